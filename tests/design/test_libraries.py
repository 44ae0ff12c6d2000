"""The same numbers from other people's code: scipy always, statsmodels and pyDOE3 where they are installed.

`pip install 'ablate-seqvae[oracles]'` brings the latter two; nothing in `ablate` imports them.
"""

import itertools

import numpy as np
import pytest
from scipy import stats

from ablate.design.bootstrap import iqm, kendall
from ablate.design.factorial import least_squares
from ablate.design.failures import mcnemar, wilson
from ablate.design.fraction import CATALOGUE, LETTERS, Fraction, members, screening
from ablate.design.paired import holm, p_better, paired, tost
from ablate.design.power import mde, power, power_unpaired

RNG = np.random.default_rng(11)
PAIRS = [RNG.normal(0.3, 1, size=n) for n in (3, 5, 8, 12, 16)]
CLOSE = {"rel": 1e-9, "abs": 1e-12}


@pytest.mark.parametrize("d", PAIRS, ids=len)
def test_scipy_paired(d: np.ndarray):
    its, other = paired(list(d)), stats.ttest_1samp(d, 0)
    low, high = other.confidence_interval(0.95)
    assert (its.t, its.p_t, its.lo, its.hi) == pytest.approx((other.statistic, other.pvalue, low, high), **CLOSE)
    assert its.p_wilcoxon == pytest.approx(stats.wilcoxon(d, method="exact").pvalue, abs=1e-12)
    if len(d) <= 12:
        flips = stats.permutation_test((d, np.zeros_like(d)), _sum, permutation_type="samples", n_resamples=np.inf)
        assert its.p_sign_flip == pytest.approx(flips.pvalue, abs=1e-12)


def _sum(x: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    return np.sum(x - y, axis=axis)


def test_scipy_descriptions():
    x, y = RNG.normal(size=11), RNG.normal(size=(11, 3))
    assert iqm(x) == pytest.approx(stats.trim_mean(x, 0.25), **CLOSE)
    assert kendall(x, y) == pytest.approx([stats.kendalltau(x, its).statistic for its in y.T], **CLOSE)
    a, b = list(RNG.integers(0, 5, 7).astype(float)), list(RNG.integers(0, 5, 9).astype(float))
    expected = stats.mannwhitneyu(a, b).statistic / 63
    assert p_better(a, b, "max") == pytest.approx(expected, **CLOSE)


@pytest.mark.oracles
def test_statsmodels_families_and_failures():
    pytest.importorskip("statsmodels")
    from statsmodels.stats.contingency_tables import mcnemar as other_mcnemar
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.proportion import proportion_confint

    for m in (1, 4, 9):
        p = RNG.uniform(0, 0.2, size=m)
        assert holm(list(p)) == pytest.approx(list(multipletests(p, method="holm")[1]), **CLOSE)
    for hits, n in ((0, 5), (2, 5), (5, 5), (3, 10), (1, 15)):
        assert wilson(hits, n) == pytest.approx(proportion_confint(hits, n, method="wilson"), **CLOSE)
    for one, other in ((2, 0), (5, 0), (4, 1), (3, 3)):
        assert mcnemar(one, other) == pytest.approx(other_mcnemar([[0, one], [other, 0]], exact=True).pvalue, **CLOSE)


@pytest.mark.oracles
def test_statsmodels_equivalence_and_power():
    pytest.importorskip("statsmodels")
    from statsmodels.stats.power import TTestIndPower, TTestPower
    from statsmodels.stats.weightstats import ttost_paired

    for d in PAIRS:
        its = paired(list(d))
        mine = tost(its.mean, its.se, its.df, 0.7)
        p, lower, upper = ttost_paired(d, np.zeros_like(d), -0.7, 0.7)
        assert mine is not None
        assert (mine.p, mine.t_lower, mine.p_lower) == pytest.approx((p, lower[0], lower[1]), **CLOSE)
        assert (mine.t_upper, mine.p_upper) == pytest.approx((upper[0], upper[1]), **CLOSE)
    for n in (4, 9, 20):
        assert power(0.8, 1.3, n) == pytest.approx(TTestPower().power(0.8 / 1.3, n, 0.05), rel=1e-8)
        assert power_unpaired(0.8, n) == pytest.approx(TTestIndPower().power(0.8, n, 0.05), rel=1e-8)
        assert mde(1.0, n) == pytest.approx(TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8), rel=1e-6)


@pytest.mark.oracles
@pytest.mark.parametrize("dropped", [(), (3,), (0, 9, 21)])
def test_statsmodels_factorial(dropped: tuple[int, ...]):
    pytest.importorskip("statsmodels")
    import pandas as pd
    import statsmodels.formula.api as smf
    from statsmodels.stats.anova import anova_lm

    x = Fraction(3).cells()
    keep = np.setdiff1d(np.arange(32), dropped)
    y, seeds = RNG.normal(size=32)[keep], np.repeat(range(4), 8)[keep]
    columns = {
        "x_" + "".join(LETTERS[j] for j in chosen): np.tile(x[:, list(chosen)].prod(1), 4)[keep]
        for order in (1, 2)
        for chosen in itertools.combinations(range(3), order)
    }
    mine = least_squares(list(y), list(seeds), columns)
    table = pd.DataFrame({"y": y, "seed": seeds, **columns})
    other = smf.ols("y ~ C(seed, Sum) + " + " + ".join(columns), table).fit()
    squares = anova_lm(other, typ=3)["sum_sq"]
    assert (mine.df, mine.sse) == (other.df_resid, pytest.approx(other.ssr, rel=1e-9))
    for name in columns:
        its, (low, high) = mine[name], other.conf_int().loc[name]
        assert (its.effect, its.se, its.lo, its.hi) == pytest.approx(
            (2 * other.params[name], 2 * other.bse[name], 2 * low, 2 * high), **CLOSE
        )
        assert (its.p, its.ss) == pytest.approx((other.pvalues[name], squares[name]), rel=1e-9)


@pytest.mark.oracles
@pytest.mark.parametrize("its", [Fraction(k, one) for k, rows in CATALOGUE.items() for one in rows], ids=str)
def test_pydoe_fractions(its: Fraction):
    pydoe = pytest.importorskip("pyDOE3")
    made = {one[0]: one[2:].lower() for one in its.generators}
    words = [made.get(letter, letter.lower()) for letter in LETTERS[: its.k]]
    rows = pydoe.fracfact(" ".join(words)).astype(int).tolist()
    assert {tuple(row) for row in rows} == {tuple(row) for row in its.cells().tolist()}
    assert len(rows) == its.runs


@pytest.mark.oracles
def test_pydoe_screening():
    """Other rows of the same size: equally orthogonal; aliases as strong, in its 24 runs (a doubled 12) stronger."""
    pydoe = pytest.importorskip("pyDOE3")
    for k in (11, 19, 23):
        mine, other = screening(k), np.asarray(pydoe.pbdesign(k)).astype(int)
        assert mine.shape == other.shape
        strengths = [
            {
                round(abs(x[:, main] @ x[:, [i, j]].prod(1)) / len(x), 9)
                for main in range(k)
                for i, j in itertools.combinations(range(k), 2)
                if main not in (i, j)
            }
            for x in (mine, other)
        ]
        assert strengths[0] == strengths[1] - {1.0}
        assert (other.T @ other == len(other) * np.eye(k)).all()


def test_members_are_positions():
    assert members(0b1011) == [0, 1, 3]
