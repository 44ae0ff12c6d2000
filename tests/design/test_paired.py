"""Paired effects: worked examples of statistics.md 9.1, edge cases of 4.1, and sign flips by brute force."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from ablate.design.paired import (
    correlation,
    decide,
    holm,
    midranks,
    p_better,
    paired,
    seed_sd,
    sign_flip,
    study_correlation,
    summary,
    t_interval,
    tost,
    wilcoxon,
    wins,
)

REFERENCE = [0.612, 0.655, 0.587, 0.634, 0.601]
ARM = [0.571, 0.629, 0.560, 0.577, 0.585]
D = [-0.041, -0.026, -0.027, -0.057, -0.016]
A2 = [0.0141, -0.0128, 0.0230, 0.0268, -0.0310, -0.0180, 0.0106, 0.0017, 0.0077, -0.0091]
A2 += [0.0256, 0.0236, 0.0093, 0.0305, 0.0174, -0.0092, 0.0154, -0.0112, 0.0256, 0.0070]


def test_worked_example():
    its = paired(D)
    assert (its.n, its.df, its.p_sign_flip) == (5, 4, 0.0625)
    assert [its.mean, its.sd, its.se, its.t, its.p_t, its.lo, its.hi] == pytest.approx(
        [
            -0.0334,
            0.0159154013459,
            0.00711758385971,
            -4.6926036501,
            0.00935963107379,
            -0.0531615808681,
            -0.0136384191319,
        ],
        rel=1e-9,
    )
    assert seed_sd([ARM, REFERENCE]) == pytest.approx(0.0267628473821, rel=1e-9)
    assert its.mean / seed_sd([ARM, REFERENCE]) == pytest.approx(-1.24799874703, rel=1e-9)
    assert correlation(ARM, REFERENCE) == pytest.approx(0.823281468191, rel=1e-9)
    assert p_better(ARM, REFERENCE, "max") == pytest.approx(0.12)
    assert p_better(ARM, REFERENCE, "min") == pytest.approx(0.88)
    assert wins(dict(enumerate(ARM)), dict(enumerate(REFERENCE)), "max") == (0, 0)


def test_oracles(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    its, expected = paired(blocks["A_one_pair_n5"]["outputs"]["d"]), blocks["A_one_pair_n5"]["outputs"]
    for name in ("mean", "sd", "se", "t", "lo", "hi", "df", "n"):
        assert getattr(its, name) == pytest.approx(expected[name], rel=1e-6)
    assert its.p_t == pytest.approx(expected["p"], rel=1e-6)
    assert its.p_sign_flip == pytest.approx(expected["p_sign_flip"], abs=1e-12)
    many = blocks["A2_monte_carlo_sign_flip_n20"]
    assert sign_flip(many["inputs"]["d"]) == pytest.approx(many["outputs"]["p_sign_flip"], abs=1e-12)
    study = blocks["B_leave_one_out_n9"]["inputs"]
    arms = ("no_scc", "no_cyclic", "no_mi", "no_kl_f")
    flips = [sign_flip(np.subtract(study[name], study["full"])) for name in arms]
    assert flips == pytest.approx([0.00390625, 0.96484375, 0.046875, 0.00390625], abs=1e-12)
    assert holm(flips) == pytest.approx([0.015625, 0.96484375, 0.09375, 0.015625], abs=1e-12)
    assert study_correlation([(study[name], study["full"]) for name in arms]) == pytest.approx(0.654989, abs=1e-6)
    assert seed_sd([study[name] for name in ("full", *arms)]) == pytest.approx(0.016055, abs=1e-6)
    fewest = blocks["P_power"]["holm_first_step_min_n"]
    for m, n in fewest.items():
        assert decide("auto", n, int(m)) == "sign_flip"
        assert decide("auto", n - 1, int(m)) == "t"


def test_wilcoxon():
    assert wilcoxon(D) == paired(D).p_wilcoxon == 0.0625
    assert midranks(np.array([3.0, 1.0, 3.0, 0.0])).tolist() == [3.5, 2.0, 3.5, 1.0]
    # ranks 1 2.5 2.5 4 with signs + - + +: of the 16 sums 10 reach |5|, by hand
    sums = [abs(np.dot(signs, (1, 2.5, 2.5, 4))) for signs in itertools.product((1, -1), repeat=4)]
    assert wilcoxon([0.01, -0.02, 0.02, 0.05]) == np.mean([its >= 5 for its in sums])
    assert wilcoxon([0.0, 0.1, 0.2]) == 0.5  # the zero took rank 1 and is dropped
    assert wilcoxon([0.3 - 0.2, 0.2 - 0.1, 0.1]) == 0.25  # ties but for rounding
    assert wilcoxon([0.0, 0.0, 0.0]) == 1.0
    assert wilcoxon(A2) == pytest.approx(stats.wilcoxon(A2, method="asymptotic").pvalue, abs=0.005)  # drawn


def test_wilcoxon_of_oracles(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    for block in ("B_leave_one_out_n9", "T_surface_backend"):
        values = blocks[block].get("inputs", blocks[block])
        for arm, known in blocks[block]["outputs"]["arms"].items():
            its = paired(np.subtract(values[arm], values["full"]))
            assert its.p_wilcoxon == pytest.approx(known["p_wilcoxon"], abs=1e-12)
            assert its.p("wilcoxon") == its.p_wilcoxon


def test_tost(shared: Path):
    its = paired(D)
    found = tost(its.mean, its.se, its.df, 0.05)
    assert found is not None
    assert (found.t_lower, found.t_upper, found.p_lower, found.p_upper) == pytest.approx(
        (2.33225211353, -11.7174594137, 0.0400271868249, 0.000151701110364)
    )
    assert (found.p, found.lo, found.hi) == pytest.approx((0.0400271868249, -0.0485735982777, -0.0182264017223))
    known = json.loads((shared / "statistics_oracles.json").read_text())["A_one_pair_n5"]["outputs"]["tost_margin_0_05"]
    keys = ("t_lower", "t_upper", "p_lower", "p_upper", "p", "lo", "hi")
    assert [getattr(found, key) for key in keys] == pytest.approx([known[key] for key in keys])


def test_tost_without_spread():
    inside, at, outside = (tost(mean, 0.0, 4, 0.05) for mean in (0.04, 0.05, -0.06))
    assert inside is not None and at is not None and outside is not None
    assert (inside.p, at.p, outside.p) == (0.0, 1.0, 1.0)
    assert tost(0.01, None, 0, 0.05) is None
    mirrored, its = tost(-0.01, 0.02, 5, 0.05), tost(0.01, 0.02, 5, 0.05)
    assert mirrored is not None and its is not None and mirrored.p == its.p


def test_drawn_sign_flips_above_16_seeds():
    assert sign_flip(A2) == pytest.approx(0.07485, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 9))
def test_sign_flip_is_the_share_of_all_sign_vectors(n: int):
    d = np.array(A2[:n]) - 0.004
    sums = [abs(np.dot(signs, d)) for signs in itertools.product((1, -1), repeat=n)]
    assert sign_flip(d) == np.mean([its >= abs(d.sum()) - 1e-15 for its in sums])


def test_sign_flip_counts_zeros_and_ties():
    assert sign_flip([0.0, 0.0, 0.3]) == 1.0
    assert sign_flip([1.0, 1.0, 1.0]) == 0.25
    assert sign_flip([0.1, 0.2, -0.3]) == 1.0  # 0.1 + 0.2 - 0.3 is not 0 in floating point
    assert sign_flip([0.01] * 16) == 2 / 2**16


def test_one_difference_has_no_interval():
    its = paired([0.02])
    assert (its.n, its.mean, its.p_sign_flip) == (1, 0.02, 1.0)
    assert its.sd is its.se is its.t is its.p_t is its.lo is its.hi is None
    assert its.p("t") == its.p("sign_flip") == 1.0


def test_two_differences_have_an_interval_but_decide_nothing():
    its = paired([0.01, 0.03])
    half = 12.7062047364 * 0.01  # t(.975, 1) * sd / sqrt 2
    assert (its.lo, its.hi) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-9)
    assert its.p("t") == 1.0


def test_no_difference_at_all():
    its = paired([0.0, 0.0, 0.0])
    assert (its.t, its.p_t, its.p_sign_flip, its.lo, its.hi) == (0.0, 1.0, 1.0, 0.0, 0.0)
    assert its.unchanged and not its.identical


def test_identical_differences():
    its = paired([0.62 - 0.61, 0.63 - 0.62, 0.64 - 0.63])  # equal but for rounding
    assert its.identical and not its.unchanged
    assert (its.sd, its.t, its.p_t) == (0.0, math.inf, 0.0)
    assert its.lo == its.hi == pytest.approx(0.01)


@pytest.mark.parametrize("bad", [[], [0.1, math.nan], [math.inf], [[0.1, 0.2]]])
def test_bad_differences(bad: list):
    with pytest.raises(ValueError, match="finite differences"):
        paired(bad)


def test_holm_by_hand():
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


def test_auto_depends_on_the_plan_alone():
    assert decide("auto", 5, 1) == "t"  # 2 / 32 > .05
    assert decide("auto", 6, 1) == "sign_flip"
    assert decide("auto", 6, 2) == "t"
    assert decide("auto", 6, 0) == "sign_flip"
    assert decide("sign_flip", 3, 9) == "sign_flip"


def test_intervals_and_summaries():
    assert t_interval([1.0]) is None
    assert t_interval([1.0, 1.0, 1.0]) == (1.0, 1.0)
    its = summary([0.6270, 0.6391, 0.6188, 0.6344, 0.6242])
    assert [its.mean, its.sd, its.lo, its.hi] == pytest.approx(
        [0.6287, 0.00809011742807, 0.618654792448, 0.638745207552], rel=1e-9
    )
    assert summary([]).mean is None
    assert (summary([2.0]).mean, summary([2.0]).sd) == (2.0, None)
    assert summary([0.98, 0.98, 0.98]).sd == 0.0


def test_diverged_runs_are_worst():
    arm: list[float | None] = [0.571, None, 0.560, 0.577, None]
    assert p_better(arm, REFERENCE, "max") == 0.0
    assert p_better(REFERENCE, arm, "min") == 1 - p_better(arm, REFERENCE, "min")
    assert wins(dict(enumerate(REFERENCE)), dict(enumerate(arm)), "max") == (5, 0)
    assert wins({0: None, 1: 0.5}, {0: None, 1: 0.5}, "max") == (0, 2)
    assert p_better([None], [None], "min") == 0.5
    assert p_better([], [0.5], "max") is None


def test_wins_count_common_seeds_only():
    assert wins({0: 0.5, 1: 0.6}, {1: 0.5, 2: 0.4}, "max") == (1, 0)
    assert wins({0: 0.5, 1: 0.6}, {1: 0.5, 2: 0.4}, "min") == (0, 0)


def test_undefined_correlations():
    assert correlation([1.0, 2.0], [1.0, 2.0]) is None
    assert correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    assert correlation([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == -1.0
    assert study_correlation([([1.0], [2.0])]) is None
    assert seed_sd([[1.0], []]) is None
