"""Paired effects over seeds: t, exact sign flip and signed rank, Holm, intervals (statistics.md 4.1-4.4)."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from ablate.random import uniforms

Mode = Literal["max", "min"]
Test = Literal["sign_flip", "t", "wilcoxon"]

EXACT = 16  # seeds up to which all sign vectors are enumerated
AT_ONCE = 2**22  # sums held at once
DRAWS = 99_999  # sign vectors drawn above that
TIE = 1e-12  # relative tolerance under which two sums are one
MIN_PAIRS = 3  # complete pairs below which nothing is decided


@dataclass(frozen=True)
class Paired:
    """What n differences say about their mean; all in units of the metric.

    With one difference there is no spread, so sd, se, t, p_t, lo and hi are None.
    """

    n: int
    mean: float
    sd: float | None
    se: float | None
    df: int
    t: float | None  # infinite if the differences are identical
    p_t: float | None
    p_sign_flip: float
    lo: float | None
    hi: float | None
    p_wilcoxon: float = 1.0

    @property
    def identical(self) -> bool:
        """Whether all differences are the same number other than 0: suspicious, and shown as such."""
        return self.sd == 0 and self.mean != 0

    @property
    def unchanged(self) -> bool:
        """Whether all differences are exactly 0: the arm changes nothing."""
        return self.sd == 0 and self.mean == 0

    def p(self, test: Test) -> float:
        """The p-value that decides, 1 with fewer than 3 pairs."""
        if self.n < MIN_PAIRS or self.p_t is None:
            return 1.0
        return {"t": self.p_t, "sign_flip": self.p_sign_flip, "wilcoxon": self.p_wilcoxon}[test]


@dataclass(frozen=True)
class Summary:
    """Mean, standard deviation and t-interval of values over seeds; sd from 2 values on, mean from one."""

    n: int
    mean: float | None
    sd: float | None
    lo: float | None
    hi: float | None


def paired(differences: Sequence[float], alpha: float = 0.05) -> Paired:
    """Mean of paired differences (n,), its t-interval at 1 - alpha, and all three p-values (two-sided).

    The t-interval is used at every n: a percentile bootstrap covers .75 at n = 3 where it should cover .95. All
    differences 0: p = 1, interval [0, 0]. All the same but not 0: p_t = 0. Raises ValueError for no difference or one
    that is not finite.
    """
    d = np.asarray(differences, float)
    if d.ndim != 1 or not d.size or not np.isfinite(d).all():
        raise ValueError("paired needs one or more finite differences")
    n, mean = len(d), float(d.mean())
    p_flip, p_rank = sign_flip(d), wilcoxon(d)
    if n == 1:
        return Paired(1, mean, None, None, 0, None, None, p_flip, None, None, p_rank)
    sd = spread(d)
    if sd == 0:
        t = math.copysign(math.inf, mean) if mean else 0.0
        return Paired(n, mean, 0.0, 0.0, n - 1, t, 0.0 if mean else 1.0, p_flip, mean, mean, p_rank)
    se = sd / math.sqrt(n)
    t, half = mean / se, t_quantile(1 - alpha / 2, n - 1) * se
    p_t = min(1.0, 2 * float(stdtr(n - 1, -abs(t))))
    return Paired(n, mean, sd, se, n - 1, t, p_t, p_flip, mean - half, mean + half, p_rank)


def sign_flip(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of the sign-flip permutation test of sum d, for differences (n,).

    The share of the 2^n sign vectors whose |sum e d| reaches the observed one, enumerated up to n = 16 (half of them
    suffice by symmetry); above, 99,999 drawn vectors (key `sign_flip`) and p = (1 + hits) / 100,000. Valid since two
    arms that do not differ are exchangeable within a seed. Never below 2 / 2^n: .0625 at n = 5.
    """
    return float(sign_flips(np.asarray(differences, float)[None])[0])


def sign_flips(differences: np.ndarray) -> np.ndarray:
    """The same for many contrasts (R, n) at once, (R,)."""
    n = differences.shape[1]
    threshold = np.abs(differences.sum(1)) - TIE * np.abs(differences).sum(1)  # (R,)
    if n > EXACT:
        hits = [np.sum(np.abs(drawn_signs(n) @ d) >= least) for d, least in zip(differences, threshold, strict=True)]
        return (1 + np.array(hits)) / (DRAWS + 1)
    at_once = max(1, AT_ONCE >> n)
    shares = [
        _enumerated(differences[start : start + at_once], threshold[start : start + at_once])
        for start in range(0, len(differences), at_once)
    ]
    return np.concatenate(shares)


def _enumerated(d: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Share of all sign vectors that reach the threshold (R,), for differences (R, n)."""
    sums = d[:, :1]
    for its in d.T[1:]:
        sums = np.concatenate([sums + its[:, None], sums - its[:, None]], axis=1)  # (R, 2^(n-1))
    return (np.abs(sums) >= threshold[:, None]).mean(1)


@functools.lru_cache(maxsize=2)
def drawn_signs(n: int) -> np.ndarray:
    """99,999 drawn sign vectors (DRAWS, n): +1 where the uniform (key `sign_flip`, row by row) is below .5."""
    return np.where(uniforms("sign_flip", DRAWS * n).reshape(DRAWS, n) < 0.5, 1.0, -1.0)


def wilcoxon(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p of the signed-rank test for differences (n,): the sign flip of sign(d) times the midrank of |d|.

    Zeros take ranks and are then dropped. |d| are rounded to 12 decimals first, since the noise of a subtraction splits
    true ties.
    """
    d = np.round(np.asarray(differences, float), 12)
    return sign_flip(np.sign(d) * midranks(np.abs(d)))


def midranks(x: np.ndarray) -> np.ndarray:
    """Ranks 1 ... n of (n,) values, equal ones sharing the mean of theirs."""
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    return (counts.cumsum() - (counts - 1) / 2)[place]


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided t-tests against a margin (Schuirmann 1987); both rejected: the effect lies within it."""

    margin: float
    t_lower: float  # against -margin
    t_upper: float  # against +margin
    p_lower: float
    p_upper: float
    lo: float  # t-interval at 1 - 2 alpha
    hi: float

    @property
    def p(self) -> float:
        """The larger of the two: the p of "outside the margin"."""
        return max(self.p_lower, self.p_upper)


def tost(mean: float, se: float | None, df: int, margin: float, alpha: float = 0.05) -> Equivalence | None:
    """Whether an effect lies within +-margin, a number in metric units that the study declared before its runs.

    None without a standard error. With se = 0 the answer is certain, at the margin itself it is no.
    """
    if se is None or df < 1:
        return None
    t_lower, t_upper = (_over(mean + margin, se), _over(mean - margin, se))
    half = t_quantile(1 - alpha, df) * se
    p_lower, p_upper = float(stdtr(df, -t_lower)), float(stdtr(df, t_upper))
    if se == 0:
        p_lower, p_upper = float(t_lower <= 0), float(t_upper >= 0)
    return Equivalence(margin, t_lower, t_upper, p_lower, p_upper, mean - half, mean + half)


def _over(value: float, se: float) -> float:
    return value / se if se else math.copysign(math.inf, value) if value else 0.0


def decide(test: Literal["auto", "sign_flip", "t", "wilcoxon"], n: int, m: int, alpha: float = 0.05) -> Test:
    """Which test decides with n planned seeds and m contrasts: fixed by the plan, never by the data.

    `auto` is the exact sign flip where its smallest p, 2 / 2^n, can pass Holm's first step alpha / m; else t.
    """
    if test != "auto":
        return test
    return "sign_flip" if 2 / 2**n <= alpha / max(1, m) else "t"


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values (m,) adjusted for a family of m (Holm 1979), in the order given.

    The i-th smallest becomes the largest of min(1, (m - j + 1) p_j) over j up to i, j counted from 1.
    """
    adjusted, largest, m = [0.0] * len(p_values), 0.0, len(p_values)
    for j, i in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (m - j) * p_values[i]))
        adjusted[i] = largest
    return adjusted


@functools.lru_cache(maxsize=1024)
def t_quantile(probability: float, df: float) -> float:
    """Quantile of Student's t."""
    return float(stdtrit(df, probability))


def t_interval(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float] | None:
    """t-interval at 1 - alpha of the mean of values (n,); None for fewer than 2."""
    its = summary(values, alpha)
    return None if its.lo is None or its.hi is None else (its.lo, its.hi)


def summary(values: Sequence[float], alpha: float = 0.05) -> Summary:
    """Mean, sd (n - 1) and t-interval of values (n,)."""
    if not len(values):
        return Summary(0, None, None, None, None)
    x = np.asarray(values, float)
    n, mean = len(x), float(x.mean())
    if n == 1:
        return Summary(1, mean, None, None, None)
    sd = spread(x)
    half = t_quantile(1 - alpha / 2, n - 1) * sd / math.sqrt(n)
    return Summary(n, mean, sd, mean - half, mean + half)


def spread(x: np.ndarray) -> float:
    """Standard deviation (n - 1) of values (n,); exactly 0 where they differ by rounding only."""
    off = x - x.mean()
    return 0.0 if np.ptp(x) <= TIE * np.abs(x).max() else math.sqrt(float(off @ off) / (len(x) - 1))


def seed_sd(arms: Iterable[Sequence[float]]) -> float | None:
    """Standard deviation over seeds within an arm, pooled over arms of (n_a,) values: the unit of a table.

    None if no arm has two values.
    """
    several = [np.asarray(values, float) for values in arms if len(values) > 1]
    df = sum(len(x) - 1 for x in several)
    return math.sqrt(sum((len(x) - 1) * float(x.var(ddof=1)) for x in several) / df) if df else None


def p_better(arm: Iterable[float | None], reference: Iterable[float | None], mode: Mode) -> float | None:
    """Share of all (arm, reference) pairs of values in which the arm is better, ties one half (Mann-Whitney).

    None stands for a run that diverged: below every finite value, level with another. None if either has no value.
    """
    a, r = _ranked(arm, mode), _ranked(reference, mode)
    if not a.size or not r.size:
        return None
    return float(np.mean((a[:, None] > r) + 0.5 * (a[:, None] == r)))  # (n_a, n_r)


def wins(arm: Mapping[int, float | None], reference: Mapping[int, float | None], mode: Mode) -> tuple[int, int]:
    """(seeds on which the arm is better, seeds on which both are equal), over common seeds; None = diverged."""
    common = sorted(set(arm) & set(reference))
    a, r = (_ranked([its[seed] for seed in common], mode) for its in (arm, reference))
    return int(np.sum(a > r)), int(np.sum(a == r))


def correlation(arm: Sequence[float], reference: Sequence[float]) -> float | None:
    """Pearson correlation of two arms over common seeds (n,): what pairing gains. None below 3 or without spread."""
    a, r = np.asarray(arm, float), np.asarray(reference, float)
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(r) == 0:
        return None
    a, r = a - a.mean(), r - r.mean()
    return float(np.clip(a @ r / math.sqrt((a @ a) * (r @ r)), -1, 1))


def study_correlation(pairs: Iterable[tuple[Sequence[float], Sequence[float]]]) -> float | None:
    """One correlation for a study: 1 - sum var(d) / sum (var(arm) + var(reference)) over (arm, reference) values."""
    several = [(np.asarray(a, float), np.asarray(r, float)) for a, r in pairs if len(a) > 1]
    total = sum(float(a.var(ddof=1) + r.var(ddof=1)) for a, r in several)
    return 1 - sum(float((a - r).var(ddof=1)) for a, r in several) / total if total else None


def _ranked(values: Iterable[float | None], mode: Mode) -> np.ndarray:
    """Values so that larger is better, diverged runs last."""
    sign = 1 if mode == "max" else -1
    return np.array([-math.inf if value is None else sign * value for value in values])
