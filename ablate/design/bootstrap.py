"""How stable a ranking of arms is when the seeds are drawn again (statistics.md 4.9): descriptive, not a test."""

from collections.abc import Sequence

import numpy as np

from ablate.design.paired import TIE, Mode
from ablate.random import uniforms

EXACT = 5  # seeds up to which all n^n resamples are taken
DRAWS = 9_999


def all_resamples(n: int) -> np.ndarray:
    """Every resample of n seeds with replacement, (n^n, n) indices."""
    return np.stack(np.unravel_index(np.arange(n**n), (n,) * n), axis=1)


def drawn_resamples(n: int, draws: int = DRAWS, key: str = "rank") -> np.ndarray:
    """Resamples of n seeds with replacement, (draws, n) indices from raw-bit uniforms."""
    return np.floor(uniforms(key, draws * n).reshape(draws, n) * n).astype(int)


def resamples(n: int) -> np.ndarray:
    """All resamples where they are few, else 9,999 drawn ones (key `rank`), (B, n)."""
    return all_resamples(n) if n <= EXACT else drawn_resamples(n)


def p_first(values: Sequence[Sequence[float]] | np.ndarray, mode: Mode, index: np.ndarray | None = None) -> list[float]:
    """Share of the resamples in which each arm has the best mean; values are (arms, seeds), the same seeds for all.

    Ties (within 1e-12) share equally. `index` (B, n) stands for `resamples(n)`. With four identical arms and 6 seeds
    some arm is above .9 in one study of nine.
    """
    y = np.asarray(values, float) * (1 if mode == "max" else -1)  # (A, n)
    means = y[:, resamples(y.shape[1]) if index is None else index].mean(-1)  # (A, B)
    best = means >= means.max(0) - TIE
    return [float(share) for share in (best / best.sum(0)).mean(1)]
