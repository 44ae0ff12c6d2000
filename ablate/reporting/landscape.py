"""Figures of a search beside its trials: what mattered to their score, and the Pareto front of several objectives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from ablate.naming import short_path
from ablate.reporting.parallel import Trial
from ablate.reporting.plots import BLUE, GREY, INK, VERMILION, Plot, panels, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ablate.search.importance import Share


def bars(found: Mapping[str, Sequence[Share]], metric: str, n: int, left_out: int, share: float) -> Plot | None:
    """Importance of the leaves by one or two methods (name -> shares); None where neither says anything."""
    found = {name: its for name, its in found.items() if its}
    if not found:
        return None
    words = {
        "PED-ANOVA": f"PED-ANOVA: what it takes to be among the best {100 * share:.3g} % of the trials",
        "fANOVA": "fANOVA: share of the variance of the score over the whole space",
    }
    every = [(name, its) for name, shares in found.items() for its in shares]
    early = f" Trials that ended early are left out ({left_out}): a value that only they had seems not to matter."
    left = early if left_out else ""
    return Plot(
        "importance",
        f"What mattered to {metric}",
        "; ".join(
            f"{name}: " + ", ".join(f"{short_path(its.path)} {its.value:.2f}" for its in shares)
            for name, shares in found.items()
        )
        + ".",
        f"{'; '.join(words[name] for name in found)}. Bars: 95 % of resamples of the {n} complete "
        f"trials.{left} Descriptive, and biased by the sampler, which looks where it has found good scores.",
        lambda: draw_bars(found),
        ("method", "leaf", "importance", "lo", "hi"),
        tuple((name, its.path, its.value, its.lo, its.hi) for name, its in every),
    )


def draw_bars(found: Mapping[str, Sequence[Share]]) -> Figure:
    """A panel per method."""
    leaves = max(map(len, found.values()))
    figure, axes = panels(len(found), len(found), 0.7 + 0.28 * leaves, share_x=False, share_y=False)
    for axis, (name, shares) in zip(axes, found.items(), strict=True):
        for y, its in enumerate(shares):
            axis.barh([y], [its.value], color=BLUE, alpha=0.8, height=0.6, label=its.path)
            axis.plot([its.lo, its.hi], [y, y], "-", color=INK, lw=1.4, label="interval")
        axis.set_yticks(range(len(shares)), [wrapped(short_path(its.path), 16) for its in shares])
        axis.set_ylim(len(shares) - 0.5, -0.5)
        axis.set_xlim(0, 1)
        axis.set_xlabel("share of the importance")
        axis.set_title(name)
        axis.grid(axis="y", visible=False)
    return figure


def front(scores: Sequence[tuple[float, float]], signs: tuple[int, int]) -> list[int]:
    """The points that no other is better than in one of two objectives and not worse in the other; by the first one."""
    order = sorted(range(len(scores)), key=lambda i: (-signs[0] * scores[i][0], -signs[1] * scores[i][1]))
    kept: list[int] = []
    best = -math.inf
    for i in order:
        if signs[1] * scores[i][1] > best:
            kept.append(i)
            best = signs[1] * scores[i][1]
    return kept


def pareto(metrics: Sequence[str], modes: Sequence[str], trials: Sequence[Trial]) -> Plot | None:
    """The trials in every two of several objectives; None with one objective or without a scored trial."""
    scored = [one for one in trials if None not in one.scores and len(one.scores) == len(metrics) > 1]
    if not scored:
        return None
    signs = [1 if mode == "max" else -1 for mode in modes]
    couples = list(combinations(range(len(metrics)), 2))
    values = [[float(its or 0.0) for its in one.scores] for one in scored]
    fronts = {its: front([(v[its[0]], v[its[1]]) for v in values], (signs[its[0]], signs[its[1]])) for its in couples}
    said = "; ".join(
        f"{metrics[a]} against {metrics[b]}: {', '.join(scored[i].name for i in fronts[a, b][:8])}" for a, b in couples
    )
    arrows = ", ".join(f"{name} {'higher' if sign > 0 else 'lower'}" for name, sign in zip(metrics, signs, strict=True))
    return Plot(
        "pareto_front",
        "Pareto front",
        f"Trials that no other beats in both objectives: {said}.",
        f"Every dot is a complete trial of one seed; joined: those that none beats in both ({arrows} is better). "
        "Descriptive: on other seeds the front lies elsewhere.",
        lambda: draw_front(metrics, values, fronts),
        ("trial", *metrics, "on a front"),
        tuple(
            (one.name, *one.scores, "yes" if any(i in its for its in fronts.values()) else "")
            for i, one in enumerate(scored)
        ),
    )


def draw_front(
    metrics: Sequence[str], values: Sequence[Sequence[float]], fronts: Mapping[tuple[int, int], Sequence[int]]
) -> Figure:
    """A panel per two objectives."""
    figure, axes = panels(len(fronts), min(2, len(fronts)), 2.8, share_x=False, share_y=False)
    for axis, ((a, b), chosen) in zip(axes, fronts.items(), strict=True):
        axis.plot([v[a] for v in values], [v[b] for v in values], "o", color=GREY, ms=4, alpha=0.7, label="trials")
        axis.plot(
            [values[i][a] for i in chosen],
            [values[i][b] for i in chosen],
            "-o",
            color=VERMILION,
            ms=5,
            lw=1.3,
            label="front",
        )
        axis.set_xlabel(metrics[a])
        axis.set_ylabel(metrics[b])
    return figure
