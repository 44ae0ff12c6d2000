"""Effects of factorials and fractions: worked examples 9.3 and 9.4 as studies, lost cells, one seed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ablate.design.effects import effects
from ablate.design.plan import plan
from ablate.design.surface import EXAMPLE
from ablate.design.verdict import UNDECIDED

from .studies import NAMES, C, D, base, cells, planned


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
    assert row.notes == "least squares on 31 of 32 cells"  # the fit takes seeds that lack a cell
    assert (row.failed_arm, row.failed_ref) == ("1/16", "0/16")
    on, off = found.by_level["cyclic"]
    assert (on.diverged, off.diverged, on.planned) == (0, 1, 16)
    # the on-side failed more often, so that it cannot be called better
    assert row.verdict == f"{UNDECIDED} (fails more often: 1/16 against 0/16)"
    assert found["scc:mi"].verdict == "worse"


def test_effect_interval_and_decision_are_of_one_estimate():
    """The sign flip of complete seeds decides, so it is their effect that is shown, not that of all cells."""
    its = planned("factorial", NAMES[:3], range(12))
    lost = next(arm.name for arm in its.arms if arm.on == {"mi"})
    rng = np.random.default_rng(0)
    y = {  # scc costs .003 on eight seeds, and gains .03 on the four that have lost one arm
        arm.name: {s: 0.5 + (-0.003 if s < 8 else 0.03) * ("scc" in arm.on) + 2e-4 * rng.normal() for s in range(12)}
        for arm in its.arms
    }
    whole = effects(its, y)["scc"]
    assert whole.df > 11 and whole.effect > 0  # with every cell the fit says the same as the seeds, more precisely
    y[lost] = {s: y[lost][s] for s in range(8)}
    row = effects(its, y, {lost: dict.fromkeys(range(8, 12), "memory")})["scc"]
    assert (row.test, row.verdict, row.reading) == ("sign_flip", "worse", "scc hurts")
    assert row.effect == pytest.approx(-0.003, abs=2e-4) and row.ci_hi < 0 and row.df == 7
    assert (row.ci_lo, row.ci_hi) == (row.ci_lo_seed, row.ci_hi_seed)


def test_least_squares_claim_nothing_below_three_complete_seeds():
    """Rule 2 of the verdicts: an arm that is lost everywhere leaves no complete seed, however many cells remain."""
    its = planned("factorial", NAMES[:3], range(5))
    y = {arm.name: {s: 0.5 + 0.1 * ("scc" in arm.on) + 0.001 * s * len(arm.on) for s in range(5)} for arm in its.arms}
    del y["full"]
    row = effects(its, y, {"full": dict.fromkeys(range(5), "memory")})["scc"]
    assert (row.n_complete, row.p, row.verdict) == (0, 1, f"{UNDECIDED} (incomplete 0/5)")


def test_one_seed_that_grows_gets_verdicts():
    """Lenth's margins are of one seed; with nine, the study is decided like any other of nine."""
    one = planned("factorial", NAMES[:3], range(1))
    nine = plan(replace(one.design, seeds=tuple(range(9))), base(), one.test)
    assert (one.test, nine.test) == ("lenth", "sign_flip")


def test_one_seed_of_diverged_cells_is_no_arm_that_never_trained():
    its = planned("factorial", NAMES[:3], range(2))
    on = [arm.name for arm in its.arms if "scc" in arm.on]
    y = {arm.name: {s: 0.5 for s in range(2)} for arm in its.arms if arm.name not in on}
    row = effects(its, y, {name: {0: "diverged"} for name in on})["scc"]
    assert row.verdict == f"{UNDECIDED} (incomplete 0/2)"


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


def test_an_equivalence_that_seeds_do_not_bear_out():
    """The fit pools the error of all cells; the effects by seed leave the margin."""
    its = planned("factorial", NAMES[:3], range(5), margin=0.05)
    turns = (0.09, -0.09, 0.08, -0.08, 0.0)
    rng = np.random.default_rng(0)
    y = {arm.name: {s: 0.5 + turns[s] * ("scc" in arm.on) + 0.001 * rng.normal() for s in range(5)} for arm in its.arms}
    row, calm = effects(its, y)["scc"], effects(its, y)["mi"]
    assert row.verdict.startswith("equivalent") and "not uniform over seeds" in row.notes
    assert calm.verdict.startswith("equivalent") and "not uniform" not in calm.notes
