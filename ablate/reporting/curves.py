"""Learning curves: per configuration the mean over seeds with its interval; what diverged ends in a cross."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ablate.design.paired import summary
from ablate.reporting.numbers import percent
from ablate.reporting.plots import BLUE, GREY, MUTED, VERMILION, Plot, panels, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # panels
COLUMNS = 2
History = Sequence[tuple[int, float]]  # (epoch, value), in the order of epochs


@dataclass(frozen=True)
class Course:
    """The curves of one configuration, by seed."""

    name: str
    seeds: Mapping[int, History]
    diverged: frozenset[int] = frozenset()  # seeds that count as an outcome, and not in the mean
    trials: bool = False  # many configurations of one seed each: no mean, no interval


@dataclass(frozen=True)
class Point:
    """An epoch: how many seeds there are, their mean and its interval."""

    epoch: int
    n: int
    mean: float
    lo: float | None
    hi: float | None


def means(its: Course, alpha: float) -> list[Point]:
    """Mean and t-interval over the seeds that did not diverge, at every epoch that one of them has."""
    kept = [dict(history) for seed, history in sorted(its.seeds.items()) if seed not in its.diverged]
    found = []
    for epoch in sorted({epoch for history in kept for epoch in history}):
        at = summary([history[epoch] for history in kept if math.isfinite(history.get(epoch, math.nan))], alpha)
        if at.mean is not None:
            found.append(Point(epoch, at.n, at.mean, at.lo, at.hi))
    return found


def dropped(points: Sequence[Point]) -> list[Point]:
    """The epochs from which on fewer seeds are there than before."""
    return [now for before, now in pairwise(points) if now.n < before.n]


def curves(
    every: Sequence[Course], metric: str, reference: str | None, alpha: float, name: str = "curves", total: int = 0
) -> Plot | None:
    """The figure of one metric; None without a curve. `total`: configurations of the study, where these are not all."""
    every = [its for its in every if any(its.seeds.values())]
    if not every:
        return None
    shown = every[:MOST]
    points = {its.name: means(its, alpha) for its in every if not its.trials}
    last = [f"{its} {found[-1].mean:.4g} after epoch {found[-1].epoch}" for its, found in points.items() if found]
    return Plot(
        name,
        f"{metric} by epoch",
        f"{metric} by epoch: {'; '.join(last[:MOST]) or 'trials of a search'}.",
        " ".join(said(shown, points, reference, alpha, max(total, len(every)))),
        lambda: draw(shown, metric, points, reference),
        ("configuration", "epoch", "seeds", "mean", "lo", "hi"),
        tuple((its, p.epoch, p.n, p.mean, p.lo, p.hi) for its, found in points.items() for p in found),
    )


def said(
    shown: Sequence[Course], points: Mapping[str, Sequence[Point]], reference: str | None, alpha: float, total: int
) -> Iterator[str]:
    """The caption, sentence by sentence."""
    if points:
        yield f"Thick: mean over seeds; band: its {percent(1 - alpha)} interval at each epoch; thin: single seeds."
        if not any(p.lo is not None for its in points.values() for p in its):
            yield "One seed has no interval."
    if reference in points and len(shown) > 1:
        yield f"Grey, dashed: the mean of {reference}."
    if any(its.diverged for its in shown):
        yield "A diverged seed is a line that ends in a cross, and is not in the mean."
    if any(its.trials for its in shown):
        yield "Trials of a search have one seed each, so that they have no mean."
    if total > len(shown):
        yield f"{len(shown)} of {total} configurations."


def draw(every: Sequence[Course], metric: str, points: Mapping[str, Sequence[Point]], reference: str | None) -> Figure:
    """A panel per configuration, all on one scale."""
    from matplotlib.ticker import MaxNLocator

    columns = min(COLUMNS, len(every))
    figure, axes = panels(len(every), columns, 1.7 if len(every) > 2 else 2.2, room=0.3)
    for axis, its in zip(axes, every, strict=True):
        if reference in points and its.name != reference:
            behind = points[str(reference)]
            axis.plot([p.epoch for p in behind], [p.mean for p in behind], "--", color=GREY, lw=1.3, label="reference")
        panel(axis, its, points.get(its.name, ()))
        axis.set_title(wrapped(its.name, 68 // columns, 2), fontsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0].set_ylim(*limits(every, points))
    figure.supylabel(metric, fontsize=9)
    figure.supxlabel("epoch", fontsize=9)
    return figure


def limits(every: Sequence[Course], points: Mapping[str, Sequence[Point]]) -> tuple[float, float]:
    """Ends of the scale: all seeds that did not diverge, and their bands as far as half that range beyond them."""
    several = [history for its in every for seed, history in its.seeds.items() if seed not in its.diverged]
    found = [value for history in several for _, value in history if math.isfinite(value)] or [0.0]
    low, high = min(found), max(found)
    room = (high - low) or abs(high) or 1.0
    bands = [p for its in points.values() for p in its if p.lo is not None and p.hi is not None]
    least = min((p.lo or 0.0 for p in bands), default=low)
    most = max((p.hi or 0.0 for p in bands), default=high)
    return max(min(low, least), low - 0.5 * room) - 0.05 * room, min(max(high, most), high + 0.5 * room) + 0.05 * room


def panel(axis: Axes, its: Course, points: Sequence[Point]) -> None:
    """Seeds, band, mean; a note where seeds end early."""
    for seed, history in sorted(its.seeds.items()):
        lost = seed in its.diverged
        colour, thin = (VERMILION, 0.9) if lost else (BLUE, 0.5 if its.trials else 0.7)
        xs, ys = [epoch for epoch, _ in history], [value for _, value in history]
        axis.plot(xs, ys, "-", color=colour, lw=thin, alpha=0.45, label=f"seed {seed}")
        if lost and xs:
            axis.plot(xs[-1:], ys[-1:], "x", color=VERMILION, ms=7, mew=1.6, label=f"seed {seed} diverged")
    band = [p for p in points if p.lo is not None and p.hi is not None]
    if band:
        low, high = [p.lo or 0.0 for p in band], [p.hi or 0.0 for p in band]
        axis.fill_between([p.epoch for p in band], low, high, color=BLUE, alpha=0.18, lw=0, label="interval")
    axis.plot([p.epoch for p in points], [p.mean for p in points], "-", color=BLUE, lw=2.0, label="mean")
    fewer = dropped(points)
    if fewer:
        axis.annotate(
            ", ".join(f"n = {p.n} from epoch {p.epoch}" for p in fewer[:2]), (0.98, 0.04), xycoords="axes fraction",
            ha="right", fontsize=7, color=MUTED,
        )  # fmt: skip
