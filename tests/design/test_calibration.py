"""The statistics keep their promises: error rates, coverage and power by simulation (statistics.md 10).

Fixed streams, tolerance 4 sqrt(p (1 - p) / R) unless stated. Numbers are drawn as in the product, from raw bits, so
that no version of numpy changes them.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.special import bdtr, ndtri, stdtrit

from ablate.design.arms import variance
from ablate.design.bootstrap import drawn_resamples, p_first
from ablate.design.effects import effects
from ablate.design.factorial import least_squares
from ablate.design.failures import wilson
from ablate.design.fraction import Fraction, members
from ablate.design.paired import holm, sign_flips, summary, t_interval, tost
from ablate.design.power import attained, expected_max, power, tost_power
from ablate.design.sequential import Rule, Series, course
from ablate.random import uniforms

from .studies import NAMES, C, by_seed, cells, planned

R = 20_000
CELLS = Fraction(3).cells()
TRUTH = {"A": 0.04, "B": 0.01, "C": 0.02, "AB": 0.0, "AC": -0.02, "BC": 0.0}  # what generated 9.3


def drawn(key: str, *shape: int) -> np.ndarray:
    """Uniforms in (0, 1)."""
    return uniforms(f"calibration:{key}", math.prod(shape)).reshape(shape) + 2.0**-54


def normal(key: str, *shape: int) -> np.ndarray:
    return ndtri(drawn(key, *shape))


def arms(key: str, studies: int, count: int, n: int, rho: float) -> np.ndarray:
    """Values of arms that do not differ, (studies, count, n), unit variance, correlated over seeds."""
    block, noise = normal(key + ":block", studies, 1, n), normal(key + ":noise", studies, count, n)
    return math.sqrt(rho) * block + math.sqrt(1 - rho) * noise


def tolerance(p: float, studies: int = R) -> float:
    return 4 * math.sqrt(p * (1 - p) / studies)


LAWS: dict[str, Callable[[int], np.ndarray]] = {
    "normal": lambda n: normal(f"normal{n}", R, n),
    "t3": lambda n: stdtrit(3, drawn(f"t{n}", R, n)),
    "lognormals": lambda n: np.exp(normal(f"one{n}", R, n)) - np.exp(normal(f"other{n}", R, n)),
}


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("n", "level"), [(5, 0.0), (6, 0.03125), (8, 0.046875), (9, 0.046875), (10, 0.048828125)])
def test_sign_flip_keeps_its_level(law: str, n: int, level: float):
    share = float(np.mean(sign_flips(LAWS[law](n)) <= 0.05))
    assert level == pytest.approx(attained(n), abs=1e-15)
    assert share == pytest.approx(level, abs=tolerance(level))


@pytest.mark.parametrize("n", [3, 5, 10])
def test_t_intervals_cover(n: int):
    ends = np.array([t_interval(list(d)) for d in normal(f"cover{n}", R, n)])
    share = float(np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0)))
    assert share == pytest.approx(0.95, abs=0.0062)


@pytest.mark.parametrize(("n", "rho", "expected"), [(5, 0.6, 0.477261), (5, 0.9, 0.954837), (10, 0.6, 0.881067)])
def test_power_of_pairs(n: int, rho: float, expected: float):
    y = arms(f"power{n}{rho}", R, 2, n, rho)
    ends = np.array([t_interval(list(d)) for d in y[:, 0] - y[:, 1] + 1])
    share = float(np.mean((ends[:, 0] > 0) | (ends[:, 1] < 0)))
    assert power(1.0, math.sqrt(2 * (1 - rho)), n) == pytest.approx(expected, abs=1e-6)
    assert share == pytest.approx(expected, abs=tolerance(expected))


@pytest.mark.parametrize(("n", "expected"), [(5, 0.286295), (10, 0.562007)])
def test_power_without_pairs(n: int, expected: float):
    y = arms(f"unpaired{n}", R, 2, n, 0.0)
    share = float(np.mean(stats.ttest_ind(y[:, 0] + 1, y[:, 1], axis=1).pvalue <= 0.05))
    assert share == pytest.approx(expected, abs=tolerance(expected))


@pytest.mark.parametrize(("m", "n", "without"), [(4, 9, 0.12), (8, 10, 0.12)])
def test_holm_keeps_the_family_wise_error(m: int, n: int, without: float):
    y = arms(f"holm{m}", 4000, m + 1, n, 0.6)
    d = (y[:, 1:] - y[:, :1]).reshape(-1, n)
    p = sign_flips(d).reshape(4000, m)
    assert np.mean([min(holm(list(its))) <= 0.05 for its in p]) <= 0.05 + 0.0138
    assert np.mean(p.min(1) <= 0.05) > without


@pytest.mark.parametrize(
    ("n", "margin", "effect", "expected"),
    [(9, 1.0, 1.0, 0.049995), (15, 0.5, 0.5, 0.044509), (9, 1.0, 0.0, 0.840985), (15, 0.5, 0.0, 0.334089)],
)
def test_equivalence(n: int, margin: float, effect: float, expected: float):
    y = arms(f"tost{n}{effect}", R, 2, n, 0.6)
    claimed = 0
    for d in y[:, 0] - y[:, 1] + effect:
        its = summary(list(d))
        found = tost(its.mean or 0.0, (its.sd or 0.0) / math.sqrt(n), n - 1, margin)
        claimed += found is not None and found.p <= 0.05
    assert tost_power(margin, math.sqrt(0.8), n, effect=effect) == pytest.approx(expected, abs=1e-6)
    assert claimed / R == pytest.approx(expected, abs=tolerance(expected))


def test_a_factorial_recovers_known_effects():
    """Blocks of sd .02 and noise of sd .012 around the effects of 9.3, 4 seeds, 5,000 studies."""
    studies, names = 5000, list(TRUTH)
    columns = {name: CELLS[:, members(sum(1 << "ABC".index(c) for c in name))].prod(1) for name in names}
    level = 0.6 + sum(size * columns[name] / 2 for name, size in TRUTH.items())  # (8,)
    y = level + 0.02 * normal("block", studies, 4, 1) + 0.012 * normal("noise", studies, 4, 8)
    seeds, tiled = list(np.repeat(range(4), 8)), {name: np.tile(its, 4) for name, its in columns.items()}
    fits = [least_squares(list(its.ravel()), seeds, tiled).terms for its in y]
    truth = np.array(list(TRUTH.values()))
    found = np.array([[(its.effect, its.lo, its.hi) for its in one] for one in fits], float)  # (R, 6, 3)
    assert np.abs(found[:, :, 0].mean(0) - truth).max() <= 0.00024
    assert found[:, :, 0].std(0) == pytest.approx([0.012 * 2 / math.sqrt(32)] * 6, rel=0.04)
    by_ols = np.mean((found[:, :, 1] <= truth) & (truth <= found[:, :, 2]), axis=0)
    assert by_ols == pytest.approx([0.95] * 6, abs=0.0123)
    per_seed = y @ np.stack([its / 4 for its in columns.values()]).T  # (R, 4, 6)
    ends = np.array([[t_interval(list(c)) for c in one.T] for one in per_seed])  # (R, 6, 2)
    by_seeds = np.mean((ends[:, :, 0] <= truth) & (truth <= ends[:, :, 1]), axis=0)
    assert by_seeds == pytest.approx([0.95] * 6, abs=0.0123)


def test_the_factorial_of_the_example_is_one_of_them():
    its = planned("factorial", ("scc", "cyclic", "mi"), range(4))
    rows = effects(its, cells(its, C)).rows
    covered = [row.ci_lo <= truth <= row.ci_hi for row, truth in zip(rows, TRUTH.values(), strict=True)]  # type: ignore[operator]
    assert sum(covered) >= 5


def test_variance_of_a_leave_one_out_effect():
    y = arms("loo", R, 2, 6, 0.6)
    expected = variance(2, 6, rho=0.6)
    assert expected == pytest.approx(0.133333, abs=1e-6)
    assert float((y[:, 0] - y[:, 1]).mean(1).var()) == pytest.approx(expected, rel=0.04)


def sequences(key: str, shifts: tuple[float, ...], n: int, studies: int) -> np.ndarray:
    """Differences of arms from a shared reference, (studies, m, n), rho .6."""
    y = arms(key, studies, len(shifts) + 1, n, 0.6)
    return y[:, 1:] - y[:, :1] + np.array(shifts)[:, None]


def series(d: np.ndarray) -> dict[str, Series]:
    return {str(i): Series(dict(enumerate(its.tolist())), len(its)) for i, its in enumerate(d)}


def test_sequential_seeds_keep_the_family_wise_error():
    rule = Rule((4, 7, 10))
    wrong = [
        any(its.state == "rejected" for its in course(series(d), rule).standing.values())
        for d in sequences("fwer", (0, 0, 0), 10, 2000)
    ]
    assert np.mean(wrong) <= 0.05 + 0.0195


def test_sequential_seeds_save_where_effects_are_clear():
    """True effects of 2, 1, .5 and 0 seed sds, looks at 9, 12 and 15: 9.3, 11.5, 14.1 and 14.9 seeds on average."""
    rule, studies = Rule((9, 12, 15)), 120
    ends = [course(series(d), rule).standing for d in sequences("savings", (2, 1, 0.5, 0), 15, studies)]
    used = np.array([[its.stopped_at for its in one.values()] for one in ends], float)
    found = np.array([[its.state == "rejected" for its in one.values()] for one in ends])
    assert used.mean(0) == pytest.approx([9.3, 11.5, 14.1, 14.9], abs=0.8)
    assert all(a < b for a, b in pairwise(used.mean(0)))
    assert found.mean(0)[0] == 1
    assert found.mean(0)[1:3] == pytest.approx([0.88, 0.30], abs=0.17)
    assert found.mean(0)[3] <= 0.05 + tolerance(0.05, studies)


@pytest.mark.parametrize(
    ("n", "least", "mean"), [(5, 0.858734, 0.955339), (10, 0.913862, 0.956369), (15, 0.914720, 0.954134)]
)
def test_wilson_covers(n: int, least: float, mean: float):
    """Exactly, for p = .02, .03 ... .98."""
    p = np.arange(2, 99) / 100
    ends = [wilson(x, n) or (0.0, 1.0) for x in range(n + 1)]
    mass = np.array([bdtr(x, n, p) - (bdtr(x - 1, n, p) if x else 0) for x in range(n + 1)])  # (n + 1, p)
    held = np.array([(low <= p) & (p <= high) for low, high in ends])
    coverage = (mass * held).sum(0)
    assert (coverage.min(), coverage.mean()) == pytest.approx((least, mean), abs=1e-6)


@pytest.mark.parametrize(("k", "expected"), [(10, 1.538753), (36, 2.118123), (100, 2.507594)])
def test_the_best_of_many_flatters_itself(k: int, expected: float):
    assert expected_max(k) == pytest.approx(expected, abs=1e-6)
    assert float(normal(f"best{k}", R, k).max(1).mean()) == pytest.approx(expected, abs=0.02)


def test_ranks_of_identical_arms():
    index = drawn_resamples(6, 999)
    shares = np.array([p_first(y, "max", index) for y in arms("rank", 300, 4, 6, 0.6)])  # (R, 4)
    assert shares.mean(0) == pytest.approx([0.25] * 4, abs=0.07)
    assert 0.05 <= np.mean(shares.max(1) > 0.9) <= 0.18


def test_a_null_study_claims_nothing_much():
    """Four arms that differ in nothing from the full one, by plan and effects: false claims in 5 % of studies."""
    its, studies = planned("leave_one_out"), 150
    names = [arm.name for arm in its.arms]
    claims = 0
    for y in arms("null", studies, 5, 9, 0.6):
        found = effects(its, {name: by_seed(*values) for name, values in zip(names, y.tolist(), strict=True)})
        claims += any(row.verdict in ("better", "worse") for row in found.rows)
    assert claims / studies <= 0.05 + tolerance(0.05, studies)


@pytest.mark.long
@pytest.mark.parametrize("lost", [0.0, 0.1])
def test_a_null_factorial_claims_nothing_much(lost: float):
    """2^3 on five seeds, decided by least squares, all cells or nine of ten of them: false claims in 5 % of studies."""
    its, studies = planned("factorial", NAMES[:3], range(5)), 300
    assert its.test == "ols"
    gone = drawn("gone", studies, 8, 5) < lost
    claims = 0
    for y, out in zip(arms("null ols", studies, 8, 5, 0.6), gone, strict=True):
        values = {
            arm.name: {s: float(v) for s, v in enumerate(row) if not missing[s]}
            for arm, row, missing in zip(its.arms, y, out, strict=True)
        }
        found = effects(its, values)
        claims += any(row.verdict in ("better", "worse") for row in found.rows)
    assert claims / studies <= 0.05 + tolerance(0.05, studies)


@pytest.mark.long
def test_a_true_effect_at_the_margin_is_rarely_called_equivalent():
    """By least squares, in one of six effects: in at most 5 % of studies, though Holm counts all six."""
    its, studies = planned("factorial", NAMES[:3], range(5), margin=0.5), 300
    wrong = 0
    for y in arms("margin ols", studies, 8, 5, 0.6):
        values = {
            arm.name: {s: float(v) + 0.5 * ("scc" in arm.on) for s, v in enumerate(row)}
            for arm, row in zip(its.arms, y, strict=True)
        }
        wrong += effects(its, values)["scc"].verdict.startswith("equivalent")
    assert wrong / studies <= 0.05 + tolerance(0.05, studies)
