"""Effects of a factorial from all its cells: least squares with seeds as blocks, Lenth's margin (statistics.md 5).

Model: y = block(seed) + sum_j b_j x_j + noise with columns x_j of +1 and -1; the effect of a column is 2 b_j, the mean
of its on-cells minus that of its off-cells.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr

from ablate.design.paired import t_quantile

RANK = 1e-9  # relative size of a singular value that counts as 0


@dataclass(frozen=True)
class Term:
    """The effect of one column; numbers are None where it cannot be estimated or nothing is left for the error."""

    name: str
    effect: float | None  # None: the cells that are there cannot tell it from the others
    se: float | None = None
    t: float | None = None
    p: float | None = None
    lo: float | None = None
    hi: float | None = None
    ss: float | None = None  # what leaving it out adds to the squared error ("type III")
    partial_eta2: float | None = None


@dataclass(frozen=True)
class Fit:
    """A least-squares fit with seeds as blocks."""

    terms: tuple[Term, ...]
    n: int  # observations
    blocks: int  # seeds with an observation
    df: int  # of the error
    sse: float
    mse: float | None  # None without degrees of freedom

    @property
    def sigma(self) -> float | None:
        """Standard deviation of the noise within a seed."""
        return None if self.mse is None else math.sqrt(self.mse)

    @property
    def inestimable(self) -> list[str]:
        """Terms that the finished cells cannot tell from others; they are named, never dropped."""
        return [its.name for its in self.terms if its.effect is None]

    def __getitem__(self, name: str) -> Term:
        """The term of a name; raises KeyError."""
        return {its.name: its for its in self.terms}[name]


def least_squares(
    y: Sequence[float], seeds: Sequence[int], columns: Mapping[str, Sequence[float]], alpha: float = 0.05
) -> Fit:
    """Ordinary least squares of observations (N,) on seed blocks and columns (name -> (N,) of +1 and -1).

    se = 2 sqrt(mse (M'M)^-1_jj) with M the columns less their block means, df = N - blocks - rank(M), t-intervals at
    1 - alpha. Where missing cells cost rank, the terms that remain estimable are estimated and the others come without
    numbers. Raises ValueError without an observation.
    """
    if not len(y):
        raise ValueError("least squares needs observations")
    block = np.asarray(seeds)
    table = np.array([list(its) for its in columns.values()], float).reshape(len(columns), len(y)).T  # (N, p)
    m, centred = within(table, block), within(np.asarray(y, float)[:, None], block)[:, 0]
    u, sizes, v = np.linalg.svd(m, full_matrices=False)
    rank = int(np.sum(sizes > RANK * max(1.0, sizes.max(initial=0.0))))
    b = v[:rank].T @ ((u[:, :rank].T @ centred) / sizes[:rank])  # (p,)
    inverse = ((v[:rank] / sizes[:rank, None]) ** 2).sum(0)  # (p,) diagonal of (M'M)^-1
    estimable = (v[:rank] ** 2).sum(0) > 1 - 1e-7
    rest = centred - m @ b
    blocks = len(np.unique(block))
    sse, df = float(rest @ rest), len(y) - blocks - rank
    mse = sse / df if df > 0 else None
    terms = [
        term(name, float(b[j]), float(inverse[j]), sse, mse, df, alpha) if estimable[j] else Term(name, None)
        for j, name in enumerate(columns)
    ]
    return Fit(tuple(terms), len(y), blocks, df, sse, mse)


def within(x: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Values (N, p) less the mean of their block (N,)."""
    made = np.array(x, float)
    for seed in np.unique(block):
        made[block == seed] -= made[block == seed].mean(0)
    return made


def term(name: str, b: float, inverse: float, sse: float, mse: float | None, df: int, alpha: float) -> Term:
    """An estimated term; b is half its effect, `inverse` its diagonal element of (M'M)^-1."""
    ss = b * b / inverse
    share = ss / (ss + sse) if ss + sse > 0 else 0.0
    if mse is None:
        return Term(name, 2 * b, ss=ss, partial_eta2=share)
    se = 2 * math.sqrt(mse * inverse)
    t = 2 * b / se if se else math.copysign(math.inf, b) if b else 0.0
    p = 2 * float(stdtr(df, -abs(t))) if math.isfinite(t) else 0.0
    half = t_quantile(1 - alpha / 2, df) * se
    return Term(name, 2 * b, se, t, min(1.0, p), 2 * b - half, 2 * b + half, ss, share)


@dataclass(frozen=True)
class Lenth:
    """Margins for effects of one seed, without an estimate of error (Lenth 1989). They mark, they decide nothing."""

    s0: float
    pse: float  # pseudo standard error: presumes that most effects are 0
    df: float
    me: float  # margin of error of one effect
    sme: float  # of all effects at once

    def marked(self, effects: Mapping[str, float]) -> list[str]:
        """Names of the effects outside the simultaneous margin."""
        return [name for name, effect in effects.items() if abs(effect) > self.sme]


def lenth(effects: Sequence[float], alpha: float = 0.05) -> Lenth:
    """The margins of effects (m,), m >= 1."""
    size = np.abs(np.asarray(effects, float))
    s0 = 1.5 * float(np.median(size))
    small = size[size < 2.5 * s0]
    pse, m = 1.5 * float(np.median(small)) if len(small) else 0.0, len(size)
    return Lenth(
        s0,
        pse,
        m / 3,
        t_quantile(1 - alpha / 2, m / 3) * pse,
        t_quantile((1 + (1 - alpha) ** (1 / m)) / 2, m / 3) * pse,
    )


def half_normal(m: int) -> list[float]:
    """Where the absolute effects of a half-normal plot stand, smallest first: Phi^-1(.5 + .5 (i - .5) / m)."""
    return [float(ndtri(0.5 + 0.5 * (i - 0.5) / m)) for i in range(1, m + 1)]


def interaction_gap(without: Mapping[str, float], alone: Mapping[str, float]) -> dict[str, float]:
    """Per component, its leave-one-out loss (full - no_X) less its add-one-in gain (only_X - base).

    It is twice the sum of its two-way effects: what a leave-one-out and an add-one-in table disagree by.
    """
    return {name: without[name] - alone[name] for name in without if name in alone}
