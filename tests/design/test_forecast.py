"""What a plan can show: the example of statistics.md 12, precision of kinds, warnings."""

import json
from pathlib import Path
from typing import Any

import pytest

from ablate.design.forecast import Pace, Pilot, alternative, cost, precision, reach, too_small, warnings
from ablate.design.options import Budget, Sequential
from ablate.design.power import contrast_sd, detectable, tost_power

from .studies import NAMES, planned

RECORD = Pilot(sigma=0.0160545960882, rho=0.654989127848)


def test_worked_example():
    its = reach(planned("leave_one_out", margin=0.01), RECORD)
    assert its is not None
    assert its.in_seed_sd == pytest.approx({0.0: 1.968342, 0.3: 1.646833, 0.6: 1.244889, 0.9: 0.622444}, abs=6e-7)
    assert its.detectable == pytest.approx(0.0186, abs=5e-5)
    assert (its.equivalence_seeds, its.equivalence_seeds_first) == (17, 25)
    assert its.equivalence_power == pytest.approx(0.35, abs=0.005)


def test_the_alternative():
    its = alternative(planned("leave_one_out"))
    assert its is not None
    assert (its.fraction.generators, its.seeds, its.runs, round(its.gain, 1)) == (("D=ABC",), 5, 40, 2.2)
    assert alternative(planned("factorial")) is None
    assert alternative(planned("leave_one_out", NAMES[:2])) is None
    assert alternative(planned("leave_one_out", seeds=(0,))) is None


def test_cost(shared: Path):
    its = cost(36, Pace(0.045, 120, 100, 6, 60, 25), concurrent=4)
    assert (its.seconds, its.hours, its.hours_with_retries, its.wall_hours) == pytest.approx(
        (1225, 12.25, 12.8625, 3.0625)
    )
    known = json.loads((shared / "statistics_oracles.json").read_text())["Q_plan"]
    given = known["inputs"]
    pace = Pace(*(given[key] for key in ("t_step", "steps", "epochs", "t_valid", "t_eval", "t_start")))
    its = cost(given["arms"] * given["seeds"] - given["cached"], pace, given["gpus_per_run"], given["concurrent"])
    keys = ("to_run", "seconds_per_run", "gpu_hours", "gpu_hours_with_retries", "wall_hours")
    found = (its.runs, its.seconds, its.hours, its.hours_with_retries, its.wall_hours)
    assert found == pytest.approx([known["outputs"][key] for key in keys])


def test_precision(shared: Path):
    assert [precision(k)[0] for k in (3, 4, 5, 6, 8)] == [8, 10, 12, 14, 18]
    known = json.loads((shared / "statistics_oracles.json").read_text())["P_power"][
        "effect_variance_times_N_over_sigma2"
    ]
    for k, (equal, weighted, factorial) in known.items():
        assert precision(int(k)) == pytest.approx((equal, weighted, factorial))


def test_variances_of_kinds_for_one_number_of_runs():
    """Var(estimate) x runs, from the weights of the contrasts themselves."""
    for kind, expected in (("leave_one_out", 10), ("add_one_in", 10), ("factorial", 4), ("fractional", 4)):
        its = planned(kind)
        assert its.contrasts[0].sum_of_squares / len(its.seeds) * its.runs == pytest.approx(expected)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"seeds": range(9)}, []),
        ({"seeds": range(5)}, ["the t-test decides: the exact sign flip needs 8 seeds for 4 contrasts, not 5"]),
        ({"seeds": range(2)}, ["2 seeds: no verdict is given below 3"]),
        ({"seeds": range(1)}, ["1 seed: no verdict is given below 3"]),
        (
            {"seeds": range(5), "test": "sign_flip"},
            ["sign_flip on 5 seeds cannot pass Holm's first step for 4 contrasts; 8 seeds can"],
        ),
        ({"seeds": Sequential(15)}, []),
        (
            {"seeds": Sequential(15, min=5, step=5)},
            ["a first look at 5 seeds can never stop anything; the first that can is at 9"],
        ),
    ],
)
def test_warnings_about_seeds(more: dict[str, Any], said: list[str]):
    assert list(warnings(planned("leave_one_out", margin=0.05, **more))) == said


def test_other_warnings():
    its = planned("leave_one_out", margin=0.01)
    assert list(warnings(its, RECORD)) == [
        "detectable difference 0.0186 exceeds the margin 0.01: expect undecided rows at 9 seeds"
    ]
    assert list(warnings(planned("leave_one_out"))) == ["no design.margin: nothing can ever be called equivalent"]
    assert list(warnings(its, searched_seeds=(8, 7, 100), mixed_devices=("cpu", "cuda", "cpu"))) == [
        "seeds 7, 8 were used by the search that chose these arms: take fresh ones",
        "reused cells ran on different devices: cpu, cuda",
    ]
    third = planned("fractional", NAMES[:3], resolution=3, margin=0.05)
    assert next(iter(warnings(third))).startswith("resolution III")
    assert list(warnings(planned("path"))) == []
    assert reach(planned("path")) is None and reach(planned("leave_one_out", seeds=(0,))) is None
    factorial = planned("factorial", seeds=range(4), margin=0.05)
    assert list(warnings(factorial)) == [
        "the least-squares fit decides: the exact sign flip needs 9 seeds for 10 contrasts, not 4"
    ]


def test_a_factorial_detects_with_the_error_of_all_its_cells():
    its, half = reach(planned("factorial", NAMES[:3], range(4))), planned("leave_one_out", NAMES[:3], range(4))
    assert its is not None
    expected = contrast_sd(0.6, 4 / 8) / 2 * detectable(32 - 4 - 6, 0.05 / 6, 0.8)
    assert its.in_seed_sd[0.6] == pytest.approx(expected)
    one_by_one = reach(half)
    assert one_by_one is not None and one_by_one.in_seed_sd[0.6] > 2 * expected


def test_a_budget_too_small_for_the_first_look():
    its = planned("leave_one_out", seeds=Sequential(15, budget=Budget(cpu_hours=20)))
    assert too_small(its, 20 / 45) is None
    assert too_small(its, 0.5) == (
        "design.seeds.budget: 20 cpu hours are too few for the first look, 45 runs of 0.5 hours (5 arms x 9 seeds) "
        "need 22.5"
    )
    assert too_small(planned("leave_one_out"), 1e6) is None
    assert too_small(planned("leave_one_out", seeds=Sequential(15)), 1e6) is None


def test_a_factorial_can_show_equivalence_with_the_error_of_all_its_cells():
    """2^3 on 3 seeds, margin .01, sigma .016, rho .65: simulated power of the fit's two one-sided tests .590."""
    its = planned("factorial", NAMES[:3], range(3), margin=0.01)
    found = reach(its, Pilot(0.016, 0.65))
    assert found is not None and found.equivalence_power == pytest.approx(0.590, abs=0.01)
    assert found.equivalence_seeds == 5


def test_looks_share_the_error_rate_of_equivalence():
    fixed = reach(planned("leave_one_out", NAMES, range(15), margin=0.02), Pilot(0.016, 0.65))
    looks = planned("leave_one_out", NAMES, Sequential(15), margin=0.02)
    found = reach(looks, Pilot(0.016, 0.65))
    assert fixed is not None and found is not None
    sd = contrast_sd(0.65, 2, 0.016)
    assert found.equivalence_power == pytest.approx(tost_power(0.02, sd, 15, 0.05 / len(looks.looks)))
    assert found.equivalence_power < fixed.equivalence_power
