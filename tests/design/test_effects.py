"""The table of effects: worked examples through plan and effects, failures, aliases, looks, what is no claim."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.design.effects import Effects, effects, looked, planned_seeds
from ablate.design.measured import over_strata, runs_of
from ablate.design.options import Sequential
from ablate.design.plan import Plan, plan
from ablate.design.row import COLUMNS, columns
from ablate.design.surface import EXAMPLE
from ablate.design.verdict import UNDECIDED
from ablate.errors import Mistake

from .studies import NAMES, B, C, D, base, by_seed, cells, planned
from .test_sequential import F

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


def test_worked_example_c():
    its = planned("factorial", NAMES[:3], range(4))
    found = effects(its, cells(its, C))
    rows = {row.contrast: row for row in found.rows}
    assert [rows[n].effect for n in ("scc", "cyclic", "mi", "scc:cyclic", "scc:mi", "cyclic:mi")] == pytest.approx(
        [0.04385, 0.0047375, 0.028775, -0.0059, -0.0230625, 0.003075]
    )
    scc = rows["scc"]
    assert (scc.test, scc.df, scc.p_holm) == ("ols", 22, pytest.approx(6.18245700877e-10))
    assert (scc.ss, scc.partial_eta2) == pytest.approx((0.01538258, 0.855566450734))
    assert (scc.ci_lo_seed, scc.ci_hi_seed) == pytest.approx((0.0279521954736, 0.0597478045264))
    assert (scc.p_t, scc.p_sign_flip) == pytest.approx((0.00311431567469, 0.125))
    assert [row.reading for row in found.rows] == [
        *("scc helps", "not shown at 4 seeds", "mi helps", "not shown at 4 seeds"),
        *("scc and mi weaken each other", "not shown at 4 seeds"),
    ]
    assert {row.contrast: row.effect for row in found.beside} == pytest.approx(
        {
            **{"no_scc": -0.009925, "no_cyclic": 0.00305, "no_mi": -0.003825},
            **{"only_scc": 0.06785, "only_cyclic": 0.0026, "only_mi": 0.0438},
        }
    )
    assert {row.verdict for row in found.beside} == {""}
    assert found.gaps == pytest.approx(
        {"scc": 0.009925 - 0.06785, "cyclic": -0.00305 - 0.0026, "mi": 0.003825 - 0.0438}
    )
    assert found.rho == pytest.approx(0.93, abs=0.01)
    three = planned("factorial", NAMES[:3], range(4), order=3)
    assert effects(three, cells(three, C))["scc:cyclic:mi"].effect == pytest.approx(-0.0049625)


def test_oracles_of_factorials(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    known = blocks["C_factorial_2x2x2_n4"]
    its = planned("factorial", NAMES[:3], range(4))
    found = effects(its, cells(its, known["inputs"]["y_by_seed"]))
    columns_of = {
        **{"effect": "effect", "se": "se", "lo": "ci_lo", "hi": "ci_hi", "ss": "ss", "partial_eta2": "partial_eta2"},
        **{"p": "p", "p_holm": "p_holm", "lo_per_seed": "ci_lo_seed", "hi_per_seed": "ci_hi_seed"},
        **{"p_t_per_seed": "p_t", "p_sign_flip": "p_sign_flip"},
    }
    for term in known["outputs"]["terms"]:
        row = found[term["term"]]
        assert [getattr(row, column) for column in columns_of.values()] == pytest.approx(
            [term[key] for key in columns_of], rel=1e-6, abs=1e-12
        )
    simple = {f"no_{n}": v for n, v in known["outputs"]["leave_one_out_from_cells"].items()}
    simple |= {f"only_{n}": v for n, v in known["outputs"]["add_one_in_from_cells"].items()}
    assert {row.contrast: row.effect for row in found.beside} == pytest.approx(simple)
    known = blocks["D_fraction_2_4-1_n3"]
    half = planned("fractional", seeds=range(3))
    found = effects(half, cells(half, known["inputs"]["y_by_seed"]))
    for name, term in known["outputs"]["effects"].items():
        row = found[name]
        assert [row.effect, row.se, row.ci_lo, row.ci_hi, row.p] == pytest.approx(
            [term[key] for key in ("effect", "se", "lo", "hi", "p")]
        )


def test_worked_example_d():
    its = planned("fractional", seeds=range(3))
    found = effects(its, cells(its, D))
    row = found["scc:mi = cyclic:kl_f"]
    assert (row.aliases, row.p, row.effect) == (
        "cyclic:kl_f",
        pytest.approx(8.4357281018e-06),
        pytest.approx(-0.0189667, rel=1e-5),
    )
    assert row.reading == "scc and mi weaken each other, or its aliases"
    assert found["kl_f"].reading == "kl_f hurts"
    third = planned("fractional", NAMES[:3], range(4), resolution=3)
    y = {arm.name: {s: EXAMPLE.measured(arm.on, s) for s in third.seeds} for arm in third.arms}
    assert all(row.reading.startswith(("screening: ", "not shown")) for row in effects(third, y).rows)


def test_a_missing_cell_of_a_factorial_is_flagged():
    its = planned("factorial", NAMES[:3], range(4))
    values = cells(its, C)
    values["scc+mi"][2] = None
    found = effects(its, values, {"scc+mi": {2: "diverged"}})
    row = found["scc"]
    assert (row.effect, row.se, row.n_complete) == (pytest.approx(0.0445625), pytest.approx(0.00395018005713), 3)
    assert row.notes.endswith("least squares on 31 of 32 cells")
    assert "computed on the 3 of 4 seeds where all its cells trained" in row.notes
    assert (row.failed_arm, row.failed_ref) == ("1/16", "0/16")
    # the on-side failed more often, so that it cannot be called better
    assert row.verdict == f"{UNDECIDED} (fails more often: 1/16 against 0/16)"
    assert found["scc:mi"].verdict == "worse"


def test_a_lost_level_is_named():
    its = planned("factorial", NAMES[:2], range(4))
    values = {arm: y for arm, y in cells(its, C).items() if "scc" not in arm and arm != "full"}
    found = effects(its, values, {arm: dict.fromkeys(range(4), "infra") for arm in ("scc", "full")})
    row = found["scc"]
    assert (row.effect, row.verdict) == (None, f"{UNDECIDED} (incomplete 0/4)")
    assert "cannot be estimated" in row.notes


def test_a_claim_that_seeds_do_not_bear_out():
    rng = np.random.default_rng(2)
    its = planned("factorial", NAMES[:2], range(5))
    y = {
        arm.name: {s: 0.5 + (0.4 if s == 0 else 0.02) * ("scc" in arm.on) + 0.004 * rng.normal() for s in range(5)}
        for arm in its.arms
    }
    row = effects(its, y)["scc"]
    assert (row.test, row.verdict) == ("ols", UNDECIDED)
    y = {
        arm.name: {s: 0.5 + (0.1 if s < 2 else 0.005) * ("scc" in arm.on) + 0.004 * rng.normal() for s in range(5)}
        for arm in its.arms
    }
    row = effects(its, y)["scc"]
    assert (row.verdict, row.notes) == ("better", "not uniform over seeds")


def test_one_seed_marks_and_decides_nothing():
    its = planned("fractional", seeds=(0,))
    found = effects(its, cells(its, D[:1]))
    assert {row.verdict for row in found.rows} == {""}
    assert [row.effect for row in found.rows] == pytest.approx(
        [0.05105, 0.00975, 0.02235, -0.02655, 0.00695, -0.01415, -0.00365]
    )
    assert found.lenth is not None and found.lenth.sme == pytest.approx(0.191201318493)
    assert {row.notes for row in found.rows} == {"one seed: no verdict"}
    loud = [list(D[0])]
    for i, arm in enumerate(its.arms):
        loud[0][i] += 2.0 * ("scc" in arm.on)
    assert effects(its, cells(its, loud))["scc"].notes.startswith("outside Lenth's margin")


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


def sequential(values: dict[str, Any], given_up: tuple[str, ...] = (), **more: Any) -> tuple[Plan, Effects]:
    its = plan(replace(planned("leave_one_out", NAMES[:3]).design, seeds=Sequential(15, min=5, step=5), **more), base())
    return its, effects(its, values, given_up=given_up)


def differences(**upto: int) -> dict[str, dict[int, float | None]]:
    """The arms of 9.6 around a reference of 0.6 on every seed, each up to so many seeds."""
    values = {f"no_{name}": by_seed(*(0.6 + d for d in F[f"no_{name}"][: upto.get(name, 15)])) for name in NAMES[:3]}
    return values | {"full": by_seed(*[0.6] * max(upto.get(name, 15) for name in NAMES[:3]))}


def test_sequential_seeds():
    its, found = sequential(differences(scc=10))
    assert (its.test, its.looks) == ("sequential", (5, 10, 15))
    scc, mi, cyclic = (found[f"no_{name}"] for name in ("scc", "mi", "cyclic"))
    assert (scc.verdict, scc.stopped_at, scc.n_planned, scc.p, scc.p_seq) == ("worse", 10, 10, 0.00390625, 0.00390625)
    assert (scc.p_holm, scc.level, scc.conf) == (None, pytest.approx(0.05 / 3), pytest.approx(1 - 0.05 / 3))
    assert scc.notes == "stopped early at 10 seeds: the effect is likely smaller"
    assert (mi.verdict, mi.stopped_at, mi.level) == ("worse", 15, 0.025)
    assert mi.p == pytest.approx(0.0219116210938)
    assert (cyclic.verdict, cyclic.n_planned) == (UNDECIDED, 15)
    assert scc.ci_hi is not None and scc.effect == pytest.approx(float(np.mean(F["no_scc"][:10])))
    assert {arm: account.planned for arm, account in found.accounts.items()} == {
        "full": 15,
        "no_scc": 10,
        "no_cyclic": 15,
        "no_mi": 15,
    }


def test_sequential_seeds_on_the_way():
    its, found = sequential(differences(scc=5, cyclic=5, mi=5))
    assert found.course is not None and found.course.next_look == 2
    row = found["no_scc"]
    assert (row.verdict, row.stopped_at, row.n_planned) == (UNDECIDED, None, 10)
    assert row.notes == "provisional, 5/10 seeds; 5 of at most 15 seeds so far"
    assert planned_seeds(its, found.course) == {"full": 10, "no_scc": 10, "no_cyclic": 10, "no_mi": 10}
    _, ended = sequential(differences(scc=10, cyclic=5, mi=5), ("no_mi", "no_cyclic"))
    assert ended["no_mi"].verdict == f"{UNDECIDED} (budget)"
    assert ended["no_scc"].verdict == "worse"
    assert looked(its, runs_of(its, {}, {})).next_look == 1  # type: ignore[union-attr]


def test_lost_seeds_do_not_hold_up_the_looks():
    values = differences(scc=10, cyclic=5, mi=5)
    del values["no_mi"][2]
    its, waiting = sequential(values)
    assert waiting.course is not None and waiting.course.next_look == 1
    lost = effects(its, values, {"no_mi": {2: "infra"}})
    assert lost.course is not None and lost.course.next_look == 2
    assert lost["no_mi"].n_complete == 4


def test_sequential_equivalence_and_factorials():
    flat = {arm: by_seed(*(0.6 + 0.001 * (-1) ** s for s in range(15))) for arm in ("no_scc", "no_cyclic", "no_mi")}
    _, found = sequential(flat | {"full": by_seed(*[0.6] * 15)}, margin=0.01)
    assert {(row.verdict, row.stopped_at) for row in found.rows} == {("equivalent", 5)}
    factorial = planned("factorial", NAMES[:2], Sequential(15))
    y = {arm.name: {s: EXAMPLE.measured(arm.on, s) for s in factorial.seeds} for arm in factorial.arms}
    row = effects(factorial, y)["scc"]
    assert (row.test, row.verdict, row.ss) == ("sequential", "better", None)


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
