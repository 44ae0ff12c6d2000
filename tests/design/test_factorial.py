"""Least squares with seed blocks, Lenth and half-normal quantiles: worked examples 9.3 and 9.4, lost rank, one seed."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from ablate.design.factorial import Fit, half_normal, interaction_gap, least_squares, lenth
from ablate.design.fraction import Fraction, members

from .studies import NAMES, C, D

CELLS = Fraction(3).cells()
LENTH = [0.05105, 0.00975, 0.02235, -0.02655, 0.00695, -0.01415, -0.00365]


def fitted(y: np.ndarray, fraction: Fraction, keep: np.ndarray | None = None) -> Fit:
    """The fit of values (seeds, cells), of those cells that are kept."""
    seeds = np.repeat(np.arange(len(y)), y.shape[1])
    keep = np.ones(y.size, bool) if keep is None else keep
    columns = {
        ":".join(NAMES[j] for j in members(its[0])): np.tile(fraction.column(its[0]), len(y))[keep]
        for its in fraction.classes()
    }
    return least_squares(y.ravel()[keep], seeds[keep], columns)


def test_worked_example():
    its = fitted(np.array(C), Fraction(3))
    assert (its.n, its.df, its.blocks) == (32, 22, 4)
    assert (its.sse, its.mse, its.sigma) == pytest.approx((0.00259683, 0.000118037727273, 0.0108645168909))
    scc, both = its["scc"], its["scc:mi"]
    assert [scc.effect, scc.se, scc.t, scc.p, scc.lo, scc.hi, scc.ss, scc.partial_eta2] == pytest.approx(
        [
            *(0.04385, 0.00384118678394, 11.4157427031, 1.03040950146e-10, 0.03588386618, 0.05181613382),
            *(0.01538258, 0.855566450734),
        ]
    )
    assert (both.effect, both.p) == pytest.approx((-0.0230625, 4.82799936852e-06))


def test_one_cell_missing():
    keep = np.ones(32, bool)
    keep[2 * 8 + 5] = False  # seed 2, cell +-+
    its = fitted(np.array(C), Fraction(3), keep)
    assert (its.df, its.sse, its["scc"].se) == (21, pytest.approx(0.0025074825), pytest.approx(0.00395018005713))
    assert [one.effect for one in its.terms] == pytest.approx(
        [0.0445625, 0.004025, 0.0294875, -0.0066125, -0.02235, 0.0023625]
    )
    assert its["scc"].ss == pytest.approx(0.0151958125)


def test_half_of_a_2_4():
    its = fitted(np.array(D), Fraction(4, ("D=ABC",)))
    assert (its.df, its.sse) == (14, pytest.approx(0.000651236666667))
    assert [one.effect for one in its.terms] == pytest.approx(
        [0.04395, 0.00836666666667, 0.01965, -0.0296333333333, 0.00481666666667, -0.0189666666667, -8.33333333333e-05]
    )
    assert (its["kl_f"].p, its["cyclic"].p) == pytest.approx((4.2956701553e-08, 0.00946014188483))


def test_oracles(shared: Path):
    blocks = json.loads((shared / "statistics_oracles.json").read_text())
    example = blocks["C_factorial_2x2x2_n4"]
    its = fitted(np.array(example["inputs"]["y_by_seed"]), Fraction(3))
    keys = ("effect", "se", "t", "p", "lo", "hi", "ss", "partial_eta2")
    for known in example["outputs"]["terms"]:
        assert [getattr(its[known["term"]], key) for key in keys] == pytest.approx([known[key] for key in keys])
    keep = np.ones(32, bool)
    keep[2 * 8 + 5] = False
    lost = fitted(np.array(example["inputs"]["y_by_seed"]), Fraction(3), keep)
    for known in example["one_cell_missing"]["outputs"]["terms"]:
        assert [getattr(lost[known["term"]], key) for key in keys] == pytest.approx([known[key] for key in keys])
    example = blocks["D_fraction_2_4-1_n3"]
    half = fitted(np.array(example["inputs"]["y_by_seed"]), Fraction(4, ("D=ABC",)))
    for name, known in example["outputs"]["effects"].items():
        one = half[name.partition(" = ")[0]]
        keys = ("effect", "se", "lo", "hi", "p", "partial_eta2")
        assert [getattr(one, key) for key in keys] == pytest.approx([known[key] for key in keys])
    known = example["single_seed_lenth_seed0"]
    found = lenth(list(known["effects"].values()))
    assert [found.s0, found.pse, found.df, found.me, found.sme] == pytest.approx(
        [known[key] for key in ("s0", "pse", "df", "me", "sme")]
    )
    assert half_normal(7) == pytest.approx(known["half_normal_quantiles"])


def test_balanced_standard_error():
    its = fitted(np.array(C), Fraction(3))
    assert its.mse is not None
    assert [one.se for one in its.terms] == pytest.approx([2 * (its.mse / 32) ** 0.5] * 6)


def test_seeds_are_blocks():
    """A shift of a whole seed moves no effect."""
    shifted = np.array(C) + np.array([0.3, -0.1, 0.0, 0.7])[:, None]
    one, other = fitted(np.array(C), Fraction(3)), fitted(shifted, Fraction(3))
    assert [its.effect for its in one.terms] == pytest.approx([its.effect for its in other.terms], abs=1e-12)
    assert one.sse == pytest.approx(other.sse)


def test_terms_that_cannot_be_told_apart_are_named():
    keep = np.tile(CELLS[:, 0] > 0, 4)  # scc was never off
    its = fitted(np.array(C), Fraction(3), keep)
    assert its.inestimable == ["scc", "cyclic", "mi", "scc:cyclic", "scc:mi"]
    assert its["scc"].se is None
    y = np.array(C)[:, CELLS[:, 0] > 0].reshape(4, 2, 2)  # seeds, mi, cyclic
    assert its["cyclic:mi"].effect == pytest.approx((y[:, 1, 1] - y[:, 1, 0] - y[:, 0, 1] + y[:, 0, 0]).mean() / 2)


def test_without_degrees_of_freedom_there_is_no_error():
    its = fitted(np.array(C)[:1], Fraction(3))
    assert its.df == 1
    saturated = least_squares([1.0, 3.0], [0, 0], {"a": [-1.0, 1.0]})
    assert (saturated.df, saturated.mse, saturated["a"].effect) == (0, None, pytest.approx(2))
    assert saturated["a"].p is saturated["a"].lo is None
    exact = least_squares([1.0, 3.0, 2.0, 4.0], [0, 0, 1, 1], {"a": [-1.0, 1.0, -1.0, 1.0]})
    assert exact["a"].effect == pytest.approx(2)
    assert exact["a"].p is not None and exact["a"].p < 1e-8
    with pytest.raises(ValueError, match="needs observations"):
        least_squares([], [], {"a": []})


def test_lenth():
    its = lenth(LENTH)
    assert (its.s0, its.pse, its.df) == pytest.approx((0.021225, 0.021225, 7 / 3))
    assert (its.me, its.sme) == pytest.approx((0.079893512205, 0.191201318493))
    assert its.marked({"scc": 0.05105, "mi": -0.02235}) == []
    alone = lenth([0.5, 0.01, -0.02, 0.015, 0.005, -0.01, 0.02])
    assert alone.pse == pytest.approx(1.5 * 0.0125)  # the median without the large one
    assert alone.marked({"a": 0.5, "b": 0.02}) == ["a"]


def test_half_normal_quantiles():
    assert half_normal(7) == pytest.approx([0.0896424, 0.27188, 0.4637078, 0.6744898, 0.920823, 1.2418668, 1.8027431])
    assert half_normal(1) == pytest.approx([0.6744898])


def test_interaction_gap_is_twice_the_two_way_effects():
    y = dict(zip(itertools.product((-1, 1), repeat=2), (0.1, 0.2, 0.4, 0.9), strict=True))  # (a, b)
    both = (y[1, 1] - y[1, -1] - y[-1, 1] + y[-1, -1]) / 2
    without = {"a": y[1, 1] - y[-1, 1], "b": y[1, 1] - y[1, -1]}
    alone = {"a": y[1, -1] - y[-1, -1], "b": y[-1, 1] - y[-1, -1]}
    assert interaction_gap(without, alone) == pytest.approx({"a": 2 * both, "b": 2 * both})
