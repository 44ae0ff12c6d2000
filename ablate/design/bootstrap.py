"""Descriptions by resampling seeds: interquartile means with intervals, stability of rankings (statistics.md 4.7, 4.9).

Neither is a test, and neither decides a verdict. Agarwal et al. 2021, arXiv 2108.13264, for the interquartile mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ablate.design.paired import TIE, Mode
from ablate.random import uniforms

EXACT = 5  # seeds up to which all n^n resamples are taken
DRAWS = 9_999
MANY, FEW_DRAWS = 50, 1_999  # above so many arms only that many best are ranked, on fewer resamples
ENDS = (2.5, 97.5)  # percentiles of an interval


def all_resamples(n: int) -> np.ndarray:
    """Every resample of n seeds with replacement, (n^n, n) indices."""
    return np.stack(np.unravel_index(np.arange(n**n), (n,) * n), axis=1)


def drawn_resamples(n: int, draws: int = DRAWS, key: str = "rank") -> np.ndarray:
    """Resamples of n seeds with replacement, (draws, n) indices from raw-bit uniforms."""
    return np.floor(uniforms(key, draws * n).reshape(draws, n) * n).astype(int)


def resamples(n: int, draws: int = DRAWS) -> np.ndarray:
    """All resamples where they are few, else drawn ones (key `rank`), (B, n)."""
    return all_resamples(n) if n <= EXACT else drawn_resamples(n, draws)


def p_first(values: Sequence[Sequence[float]] | np.ndarray, mode: Mode, index: np.ndarray | None = None) -> list[float]:
    """Share of the resamples in which each arm has the best mean; values are (arms, seeds), the same seeds for all.

    Ties (within 1e-12) share equally. `index` (B, n) stands for `resamples(n)`. With four identical arms and 6 seeds
    some arm is above .9 in one study of nine.
    """
    y = np.asarray(values, float)
    return firsts(resampled_means(y, resamples(y.shape[1]) if index is None else index), mode)


def resampled_means(y: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Means of values (arms, n) over every resample (B, n), (arms, B)."""
    return np.stack([its[index].mean(-1) for its in y])


def firsts(means: np.ndarray, mode: Mode) -> list[float]:
    """Share of the columns of (arms, B) means in which each arm is best; ties share."""
    means = means if mode == "max" else -means
    best = means >= means.max(0) - TIE
    return [float(share) for share in (best / best.sum(0)).mean(1)]


@dataclass(frozen=True)
class Ranking:
    """How firmly the seeds order the arms."""

    p_first: list[float]  # in the order of the arms; 0 for those that were not ranked
    tau_mean: float  # Kendall's tau-b between the observed order and each resampled one
    tau_low: float  # its 5 % quantile
    taus: tuple[tuple[float, float], ...] = ()  # every value that it takes, in order, and its share of the resamples


def ranking(values: Sequence[Sequence[float]] | np.ndarray, mode: Mode, index: np.ndarray | None = None) -> Ranking:
    """Stability of the ranking of arms (arms >= 2, seeds) by mean, on common seeds.

    Of more than 50 arms the 50 best are ranked, on 1,999 resamples. A single arm has tau 1.
    """
    y = np.asarray(values, float)
    kept = np.arange(len(y))
    if len(y) > MANY:
        sign = 1 if mode == "max" else -1
        kept = np.sort(np.argsort(-sign * y.mean(1), kind="stable")[:MANY])
    if index is None:
        index = resamples(y.shape[1], DRAWS if len(y) <= MANY else FEW_DRAWS)
    means = resampled_means(y[kept], index)  # (A, B)
    shares = np.zeros(len(y))
    shares[kept] = firsts(means, mode)
    tau = kendall(y[kept].mean(1), means)
    found, counts = np.unique(np.round(tau, 9), return_counts=True)
    taus = tuple(zip(found.tolist(), (counts / len(tau)).tolist(), strict=True))
    return Ranking(shares.tolist(), float(tau.mean()), float(np.percentile(tau, 5)), taus)


def kendall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Kendall's tau-b between values (A,) and each column of (A, B), (B,); differences within 1e-12 are ties.

    0 where one of the two is all ties.
    """
    i, j = np.triu_indices(len(x), 1)
    a = _signs(x[i] - x[j])  # (pairs,)
    agree, untied = np.zeros(y.shape[1]), np.zeros(y.shape[1])
    for first, second, sign in zip(i, j, a, strict=True):
        b = _signs(y[first] - y[second])  # (B,)
        agree += sign * b
        untied += b * b
    scale = np.sqrt(float(a @ a) * untied)
    return np.divide(agree, scale, out=np.zeros_like(agree), where=scale > 0)


def agreement(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Kendall's tau-b between the orders in which two metrics put the arms (A,); None below 2 arms."""
    return float(kendall(np.asarray(x, float), np.asarray(y, float)[:, None])[0]) if len(x) > 1 else None


def _signs(differences: np.ndarray) -> np.ndarray:
    return np.where(np.abs(differences) <= TIE, 0.0, np.sign(differences))


def iqm(values: Sequence[float] | np.ndarray, axis: int = -1) -> np.ndarray:
    """Interquartile mean: of the values left after dropping floor(n / 4) at each end; n = 5 keeps 3."""
    x = np.sort(np.asarray(values, float), axis)
    cut = x.shape[axis] // 4
    return np.take(x, np.arange(cut, x.shape[axis] - cut), axis).mean(axis)


@dataclass(frozen=True)
class Iqm:
    """An interquartile mean (or the difference of two) and its bootstrap interval."""

    value: float
    lo: float
    hi: float


def iqm_interval(strata: Sequence[Sequence[float]] | np.ndarray) -> Iqm:
    """Interquartile mean of one arm over strata x seeds (S, n), pooled, with a 95 % percentile interval."""
    y = np.asarray(strata, float)
    return _interval(float(iqm(y.ravel())), _resampled_iqm(y, strata_index(*y.shape)))


def iqm_difference(
    arm: Sequence[Sequence[float]] | np.ndarray, reference: Sequence[Sequence[float]] | np.ndarray
) -> Iqm:
    """Difference of the interquartile means of two arms (S, n) on common seeds, bootstrapped as a difference."""
    a, r = np.asarray(arm, float), np.asarray(reference, float)
    index = strata_index(*a.shape)
    return _interval(float(iqm(a.ravel()) - iqm(r.ravel())), _resampled_iqm(a, index) - _resampled_iqm(r, index))


def strata_index(strata: int, n: int) -> np.ndarray:
    """Seeds drawn again with replacement inside each stratum, the same for all arms: (9,999, S, n), key `iqm`."""
    return np.floor(uniforms("iqm", DRAWS * strata * n).reshape(DRAWS, strata, n) * n).astype(int)


def _resampled_iqm(y: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Interquartile mean of every resample, (B,)."""
    drawn = np.take_along_axis(np.broadcast_to(y, (len(index), *y.shape)), index, -1)  # (B, S, n)
    return iqm(drawn.reshape(len(index), -1))


def _interval(value: float, resampled: np.ndarray) -> Iqm:
    lo, hi = np.percentile(resampled, ENDS)
    return Iqm(value, float(lo), float(hi))
