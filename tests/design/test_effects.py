"""The table of effects: worked examples through plan and effects, failures, what is no claim."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.design.effects import Effects, effects
from ablate.design.measured import over_strata
from ablate.design.row import COLUMNS, columns
from ablate.design.surface import EXAMPLE
from ablate.design.verdict import UNDECIDED
from ablate.errors import Mistake

from .studies import NAMES, B, by_seed, planned

SAME = {"mean": "mean_arm", "sd": "sd_arm", "iqm": "iqm_arm", "lo": "ci_lo", "hi": "ci_hi"}
ELSEWHERE = ("sd_d", "t", "holm_of_p_t", "holm_of_p_wilcoxon", "mde_unadjusted")  # of an oracle, no column of a row
REFERENCE = (0.612, 0.655, 0.587, 0.634, 0.601)
ARM = (0.571, 0.629, 0.560, 0.577, 0.585)


def agrees(found: Effects, oracle: dict[str, dict[str, Any]]) -> None:
    """Every number of an oracle's arms is that of its row."""
    for arm, known in oracle.items():
        for key, value in known.items():
            if key not in ELSEWHERE:
                mine = getattr(found[arm], SAME.get(key, key))
                assert mine == (value if isinstance(value, str) else pytest.approx(value, rel=1e-6, abs=1e-12)), key


def example_b(**more: Any) -> Effects:
    its = planned("leave_one_out", margin=0.01, **more)
    return effects(its, {arm: by_seed(*y) for arm, y in B.items()}, study="dsae")


def one_pair(arm: Any = ARM, failures: Any = None, **more: Any) -> Effects:
    its = planned("leave_one_out", ("scc",), range(5), **more)
    return effects(its, {"full": by_seed(*REFERENCE), "no_scc": by_seed(*arm)}, {"no_scc": failures or {}})


def test_worked_example_b():
    its = example_b()
    assert [row.contrast for row in its.rows] == ["no_scc", "no_cyclic", "no_mi", "no_kl_f"]
    verdicts = {row.contrast: (row.verdict, row.reading) for row in its.rows}
    assert verdicts == {
        "no_scc": ("worse", "scc helps"),
        "no_cyclic": ("equivalent", "cyclic does not matter within ±0.01"),
        "no_mi": (UNDECIDED, "not shown at 9 seeds"),
        "no_kl_f": ("better", "kl_f hurts"),
    }
    row = its["no_mi"]
    assert [row.effect, row.se, row.ci_lo, row.ci_hi] == pytest.approx(
        [0.0122333333333, 0.00510797307049, 0.000454326310263, 0.0240123403564]
    )
    assert (row.p_sign_flip, row.p_holm, row.p_wilcoxon) == pytest.approx((0.046875, 0.09375, 0.0546875), abs=1e-12)
    assert (row.test, row.df, row.m, row.wins, row.ties) == ("sign_flip", 8, 4, 7, 0)
    assert (row.mde, row.p_better, row.rho) == pytest.approx((0.0213282547787, 0.703703703704, 0.547300295658))
    assert (row.study, row.metric, row.mode, row.plus, row.minus) == ("dsae", "test/score", "max", "no_mi", "full")
    assert (row.n_planned, row.n_complete, row.n_cached, row.failed_arm, row.failed_ref) == (9, 9, 0, "0/9", "0/9")
    assert (its.seed_sd, its.rho) == pytest.approx((0.0160545960882, 0.654989127848))
    assert its.ranking is not None
    assert its.ranking.p_first == pytest.approx([0, 0, 0, 0.0210521052105, 0.978947894789])
    assert (its.ranking.tau_mean, its.ranking.tau_low) == pytest.approx((0.903826667412, 0.8))
    assert (its.faults, its.gaps, its.fit, its.course) == ((), {}, None, None)


@pytest.mark.parametrize(("block", "margin"), [("B_leave_one_out_n9", 0.01), ("T_surface_backend", 0.02)])
def test_oracles_of_leave_one_out(shared: Path, block: str, margin: float):
    known = json.loads((shared / "statistics_oracles.json").read_text())[block]
    given = known.get("inputs", known)
    its = planned("leave_one_out", margin=margin)
    found = effects(its, {arm.name: by_seed(*given[arm.name]) for arm in its.arms})
    agrees(found, known["outputs"]["arms"])
    assert (found.seed_sd, found.rho) == pytest.approx((known["outputs"]["seed_sd"], known["outputs"]["rho_study"]))
    assert its.test == known["outputs"]["test"]
    if block.startswith("T"):
        simulated = {arm.name: by_seed(*(EXAMPLE.measured(arm.on, seed) for seed in its.seeds)) for arm in its.arms}
        agrees(effects(its, simulated), known["outputs"]["arms"])


def test_surface_through_plan_and_effects():
    its = planned("leave_one_out", margin=0.02)
    found = effects(its, {arm.name: {s: EXAMPLE.measured(arm.on, s) for s in its.seeds} for arm in its.arms})
    assert [row.effect for row in found.rows] == pytest.approx([-0.017188, -0.019197, 0.014037, -0.001376], abs=6e-7)
    assert [row.verdict for row in found.rows] == [UNDECIDED, "worse", UNDECIDED, "equivalent"]
    assert (found.seed_sd, found.rho) == pytest.approx((0.023594, 0.694918), abs=6e-7)


def test_worked_example_a():
    its = one_pair()
    row = its["no_scc"]
    assert (row.test, row.verdict) == ("t", "worse")
    assert (row.effect_sd, row.seed_sd, row.rho) == pytest.approx((-1.24799874703, 0.0267628473821, 0.823281468191))
    assert row.mde == pytest.approx(0.0267696567757)
    equal = one_pair(margin=0.05)["no_scc"]
    assert (equal.verdict, equal.notes) == ("equivalent", "distinct, but below the margin")
    assert (equal.p_eq, equal.eq_lo, equal.eq_hi) == pytest.approx(
        (0.0400271868249, -0.0485735982777, -0.0182264017223)
    )


def test_worked_example_e_failures(shared: Path):
    its = one_pair((0.571, None, 0.560, 0.577, None), {1: "diverged", 4: "diverged"})
    row = its["no_scc"]
    assert (str(its.accounts["no_scc"]), row.failed_arm, row.failure_classes) == (
        "3/5 (2 diverged)",
        "2/5",
        "2 diverged",
    )
    assert (row.effect, row.ci_lo, row.ci_hi, row.p_t) == pytest.approx(
        (-0.041667, -0.078956, -0.004377, 0.040645), abs=6e-7
    )
    assert (row.p_sign_flip, row.wins, row.ties, row.p_better, row.n_complete) == (0.25, 0, 0, 0.0, 3)
    assert (row.verdict, row.notes) == ("worse", "computed on the 3 of 5 seeds where both trained")
    known = json.loads((shared / "statistics_oracles.json").read_text())["E_failures"]["outputs"]
    keys = {"mean": "effect", "lo": "ci_lo", "hi": "ci_hi", "p": "p_t", "se": "se", "df": "df"}
    for key, column in keys.items():
        assert getattr(row, column) == pytest.approx(known[key])
    arm, reference = its.rates["no_scc"], its.rates["full"]
    assert [arm.lo, arm.hi] == pytest.approx(known["wilson_arm"])
    assert [reference.lo, reference.hi] == pytest.approx(known["wilson_reference"])
    assert (arm.diverged, arm.tried, arm.p, reference.p) == (2, 5, known["p_fail_mcnemar_exact"], None)
    assert row.failed_arm == known["failed_arm"]


def test_not_a_number_is_a_run_that_diverged():
    its = one_pair((0.571, math.nan, 0.560, 0.577, math.inf))
    assert its["no_scc"] == one_pair((0.571, None, 0.560, 0.577, None), {1: "diverged", 4: "diverged"})["no_scc"]


def test_a_fragile_arm_is_not_equivalent():
    arm = (0.612, 0.656, 0.586, None, None)
    row = one_pair(arm, {3: "diverged", 4: "diverged"}, margin=0.05)["no_scc"]
    assert row.p_eq_holm is not None and row.p_eq_holm < 0.05
    assert row.verdict == f"{UNDECIDED} (fails more often: 2/5 against 0/5)"


def test_incomplete_arms_stay_in_the_family():
    its = planned("leave_one_out")
    values = {arm: by_seed(*y) for arm, y in B.items()} | {"no_mi": by_seed(*B["no_mi"][:2])}
    failures = {"no_mi": {2: "infra", 3: "stopped"}}
    found = effects(its, values, failures)
    row = found["no_mi"]
    assert (row.p, row.p_holm, row.verdict) == (1.0, 1.0, f"{UNDECIDED} (incomplete 2/9)")
    assert row.notes == "provisional, 2/9 seeds"
    assert row.failure_classes == "1 infra, 6 pending"
    assert found["no_scc"].p_holm == pytest.approx(4 * 2 / 2**9)
    assert str(found.accounts["no_mi"]) == "2/9 (1 infra, 6 pending)"


def test_nothing_has_run_yet():
    found = effects(planned("leave_one_out"), {})
    assert {row.verdict for row in found.rows} == {f"{UNDECIDED} (incomplete 0/9)"}
    assert (found.seed_sd, found.rho, found.ranking, found["no_mi"].effect) == (None, None, None, None)
    assert all(its.planned == its.pending == 9 for its in found.accounts.values())
    factorial = effects(planned("factorial", NAMES[:3], range(4)), {})
    assert {row.verdict for row in factorial.rows} == {f"{UNDECIDED} (incomplete 0/4)"}


def test_a_smaller_metric_mirrors_the_verdicts():
    its = planned("leave_one_out", margin=0.01, mode="min")
    mirrored = effects(its, {arm: by_seed(*(-y for y in ys)) for arm, ys in B.items()})
    for row, other in zip(mirrored.rows, example_b().rows, strict=True):
        assert (row.verdict, row.reading, row.wins, row.p_better) == (
            other.verdict,
            other.reading,
            other.wins,
            other.p_better,
        )
        assert row.effect == -(other.effect or 0)


def test_one_seed_of_a_leave_one_out():
    its = planned("leave_one_out", seeds=(0,))
    found = effects(its, {arm: by_seed(y[0]) for arm, y in B.items()})
    assert {row.verdict for row in found.rows} == {f"{UNDECIDED} (incomplete 1/1)"}
    assert found["no_scc"].effect == pytest.approx(-0.0491) and found["no_scc"].ci_lo is None


def test_arms_that_change_nothing_are_faults():
    its = planned("leave_one_out", ("scc", "mi"))
    found = effects(its, {arm: by_seed(*B["full" if arm == "no_mi" else arm]) for arm in ("full", "no_scc", "no_mi")})
    assert found.faults == (
        "arm 'no_mi' has the same test/score as 'full' on every seed, bit for bit: it changes nothing",
    )
    assert (found["no_mi"].p, found["no_mi"].verdict) == (1.0, UNDECIDED)


def test_a_descriptive_contrast_is_no_claim():
    its = planned("leave_one_out", ("scc", "mi"), include_base=True)
    y = {arm.name: {s: EXAMPLE.measured(arm.on, s) for s in its.seeds} for arm in its.arms}
    row = effects(its, y)["base"]
    assert (row.p, row.p_holm, row.m, row.verdict, row.test) == (None, None, None, "", "")
    assert row.ci_lo is not None
    assert effects(its, y)["no_mi"].m == 2


def test_cached_cells_are_counted():
    its = planned("leave_one_out")
    y = {arm: by_seed(*values) for arm, values in B.items()}
    found = effects(its, y, cached={"full": {0, 1, 2}, "no_mi": {1, 99}})
    assert (found["no_mi"].n_cached, found["no_scc"].n_cached) == (4, 3)


def test_order_of_arrival_does_not_matter():
    its = planned("leave_one_out", margin=0.01)
    backwards = {arm: dict(reversed(by_seed(*y).items())) for arm, y in reversed(B.items())}
    assert effects(its, backwards, study="dsae") == example_b()


def test_transforms():
    its = planned("leave_one_out", ("scc",), range(5), transform="logit")
    row = effects(its, {"full": by_seed(*REFERENCE), "no_scc": by_seed(*ARM)})["no_scc"]
    logit = np.log(np.array([REFERENCE, ARM]) / (1 - np.array([REFERENCE, ARM])))
    assert (row.metric, row.effect) == ("logit(test/score)", pytest.approx(float((logit[1] - logit[0]).mean())))
    with pytest.raises(Mistake, match=r"logit needs values strictly between 0 and 1, but full on seed 1 has 1$"):
        effects(its, {"full": by_seed(0.9, 1.0)})
    with pytest.raises(Mistake, match="log needs values above 0"):
        effects(planned("leave_one_out", ("scc",), transform="log"), {"no_scc": by_seed(0.0)})


def test_an_unknown_arm():
    with pytest.raises(Mistake, match="has no arm 'no_x'"):
        effects(planned("leave_one_out"), {"no_x": by_seed(0.1)})


def test_strata_are_averaged_seed_by_seed():
    one = {"full": by_seed(0.6, 0.7, None), "no_scc": by_seed(0.5, 0.6, 0.4)}
    other = {"full": by_seed(0.8, 0.9, 0.9), "no_scc": by_seed(0.4, 0.8)}
    both = over_strata([one, other])
    assert both == {
        "full": {0: pytest.approx(0.7), 1: 0.8, 2: None},
        "no_scc": {0: 0.45, 1: pytest.approx(0.7), 2: None},
    }


def test_columns_are_those_of_the_table():
    text = """
        study, metric, mode, contrast, plus, minus, aliases, n_planned, n_complete, n_cached, failed_arm, failed_ref,
        failure_classes, mean_ref, sd_ref, mean_arm, sd_arm, iqm_arm, effect, se, df, ci_lo, ci_hi, conf, test, p_t,
        p_sign_flip, p_wilcoxon, p, p_holm, m, effect_sd, seed_sd, p_better, wins, ties, rho, margin, p_eq, p_eq_holm,
        eq_lo, eq_hi, mde, power, stopped_at, verdict, reading, notes
    """
    assert list(COLUMNS) == text.replace(",", " ").split()
    assert columns(True, False)[-4:] == ("ss", "partial_eta2", "ci_lo_seed", "ci_hi_seed")
    assert columns(False, True)[-2:] == ("p_seq", "level")


def test_a_grid_against_its_reference():
    its = planned("grid", [{"z_dim": [4, 8, 16]}], range(6), margin=0.005)
    y = {"z_dim=4": 0.5, "z_dim=8": 0.6, "z_dim=16": 0.6001}
    noise = np.random.default_rng(0).normal(scale=0.001, size=(3, 6))
    found = effects(its, {arm: by_seed(*(value + noise[i])) for i, (arm, value) in enumerate(y.items())})
    assert [(row.contrast, row.verdict, row.reading) for row in found.rows] == [
        ("z_dim=4", "worse", "z_dim=4 is worse than z_dim=8"),
        ("z_dim=16", "equivalent", "z_dim=16 is as good as z_dim=8 within ±0.005"),
    ]


def test_a_large_grid_is_quick():
    its = planned("grid", [{"z_dim": list(range(50))}, {"f_dim": list(range(50))}], range(5))
    y = np.random.default_rng(0).normal(size=(2500, 5))
    found = effects(its, {arm.name: by_seed(*y[i]) for i, arm in enumerate(its.arms)})
    assert len(found.rows) == 2499 and found.ranking is not None
    assert sum(found.ranking.p_first) == pytest.approx(1)


def test_a_path_has_arms_and_no_rows():
    its = planned("path", seeds=range(3))
    found = effects(its, {"base": by_seed(0.5, 0.6, 0.7), "full": by_seed(0.6, 0.7, 0.8), "scc": by_seed(0.5)})
    assert (found.rows, found.beside, found.rates["full"].diverged) == ((), (), 0)


def test_a_reference_that_failed_leaves_no_verdict():
    """Nobody knows whether the arm never trains where the reference did not either, for whatever reason."""
    its = planned("leave_one_out", ("scc",), range(5))
    gone = {"no_scc": dict.fromkeys(range(5), "diverged")}
    assert effects(its, {"full": by_seed(*REFERENCE)}, gone)["no_scc"].verdict == "worse (never trained: 0/5)"
    for failures in ({"full": dict.fromkeys(range(5), "memory")}, {}):
        row = effects(its, {}, {**gone, **failures})["no_scc"]
        assert row.verdict == f"{UNDECIDED} (incomplete 0/5)"
    some = {**gone, "full": {0: "memory"}}
    assert effects(its, {"full": dict(zip(range(1, 5), REFERENCE, strict=False))}, some)["no_scc"].verdict.startswith(
        UNDECIDED
    )


@pytest.mark.parametrize("lost", [(), (3,)])
def test_an_arm_that_changes_nothing_is_not_equivalent(lost: tuple[int, ...]):
    """Equal bit for bit on all seeds that both have: a fault of the study, whatever the margin."""
    its = planned("leave_one_out", ("scc",), range(9), margin=0.01)
    y = {s: 0.5 + 0.01 * s for s in range(9)}
    found = effects(its, {"full": y, "no_scc": {s: v for s, v in y.items() if s not in lost}})
    row = found["no_scc"]
    assert (row.p, row.p_eq, row.verdict) == (1, None, UNDECIDED) and "changes nothing" in row.notes
    assert len(found.faults) == 1 and "same test/score" in found.faults[0]
