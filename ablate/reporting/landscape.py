"""Figures of a search: its trials in parallel coordinates, what mattered to their score, and the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from ablate.naming import short, short_path
from ablate.records import text
from ablate.reporting.plots import BLUE, GREY, INK, MUTED, VERMILION, WIDTH, Plot, panels, sheet, wrapped
from ablate.reporting.question import Question
from ablate.search.importance import Share

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 300  # lines that can still be told apart
JITTER = 0.05  # of the axis: equal choices of many trials are not one line


@dataclass(frozen=True)
class Trial:
    """A point of the search and what came of it."""

    name: str
    point: Mapping[str, Any]
    status: str  # complete, pruned, failed
    scores: tuple[float | None, ...]  # of each objective

    @property
    def score(self) -> float | None:
        """Of the first objective."""
        return self.scores[0] if self.scores else None


def heights(its: Mapping[str, Any], values: Sequence[Any]) -> list[float]:
    """Where values of a leaf stand on its axis, 0 to 1: by their place in a choice, else (log-)linear."""
    if "choice" in its:
        known = [text(item) for item in its["choice"]]
        return [(known.index(text(value)) if text(value) in known else 0) / max(1, len(known) - 1) for value in values]
    kind = next(kind for kind in ("loguniform", "uniform", "int") if kind in its)
    scale = math.log if kind == "loguniform" else float
    low, high = (scale(end) for end in its[kind])
    return [(scale(value) - low) / (high - low or 1.0) for value in values]


def ticks(its: Mapping[str, Any]) -> list[tuple[float, str]]:
    """(height, label) of an axis: every choice, or the two ends of a range and its middle."""
    if "choice" in its:
        return list(zip(heights(its, its["choice"]), map(short, its["choice"]), strict=True))
    kind = next(kind for kind in ("loguniform", "uniform", "int") if kind in its)
    low, high = its[kind]
    middle = math.sqrt(low * high) if kind == "loguniform" else (low + high) / 2
    shown = [low, high] if kind == "int" else [low, middle, high]
    return list(zip(heights(its, shown), map(short, shown), strict=True))


def parallel(question: Question, trials: Sequence[Trial]) -> Plot | None:
    """A line per trial through its leaves to its score; None without a searched leaf or a scored trial."""
    space = {path: its for path, its in question.space.items() if all(path in one.point for one in trials)}
    scored = [one for one in trials if one.score is not None and math.isfinite(one.score)]
    if not space or not scored:
        return None
    ranked = sorted(scored, key=lambda one: question.sign * (one.score or 0.0))  # worst first: the best lie on top
    shown = ranked if len(ranked) <= MOST else [ranked[round(i * (len(ranked) - 1) / (MOST - 1))] for i in range(MOST)]
    some = "" if len(shown) == len(ranked) else f" {MOST} of {len(ranked)} trials, evenly spaced by score."
    best = ranked[-1]
    words = (
        "Every line is a trial: through its values to the score of its best epoch. Dark to light: worse to better; "
        "thin grey: ended early by the scheduler. One seed each: scores choose, they prove nothing."
    )
    return Plot(
        "parallel",
        "Trials in parallel coordinates",
        f"{len(scored)} trials by {', '.join(map(short_path, space))} and {question.metric}; the best is "
        f"{best.name} with {best.score:.4g}.",
        words + some,
        lambda: draw_parallel(question, space, shown),
        ("trial", *space, "status", question.metric),
        tuple((one.name, *(text(one.point[path]) for path in space), one.status, one.score) for one in trials),
    )


def draw_parallel(question: Question, space: Mapping[str, Mapping[str, Any]], shown: Sequence[Trial]) -> Figure:
    """The axes side by side, the score at the right."""
    from matplotlib import colormaps
    from matplotlib.collections import LineCollection

    scores = [float(one.score or 0.0) for one in shown]
    low, high = min(scores), max(scores)
    columns = [heights(its, [one.point[path] for one in shown]) for path, its in space.items()]
    for column, its in zip(columns, space.values(), strict=True):
        if "choice" in its:
            column[:] = [y + JITTER * (i / max(1, len(shown) - 1) - 0.5) for i, y in enumerate(column)]
    columns.append([(score - low) / (high - low or 1.0) for score in scores])
    figure = sheet(WIDTH, 3.1)
    axis = figure.subplots()
    order = range(len(shown)) if question.sign > 0 else range(len(shown) - 1, -1, -1)
    shade = {i: columns[-1][i] if question.sign > 0 else 1 - columns[-1][i] for i in order}
    lines = [[(x, column[i]) for x, column in enumerate(columns)] for i in range(len(shown))]
    pruned = [shown[i].status != "complete" for i in range(len(shown))]
    colours = [GREY if pruned[i] else colormaps["cividis"](0.92 * shade[i]) for i in range(len(shown))]
    widths = [0.6 if its else 1.3 for its in pruned]
    axis.add_collection(LineCollection(lines, colors=colours, linewidths=widths, alpha=0.9, label="trials"))
    for x, marks in enumerate([*map(ticks, space.values()), [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]]):
        axis.axvline(x, color=MUTED, lw=0.9)
        for y, name in marks:
            axis.text(
                x + 0.04,
                y,
                name,
                fontsize=7,
                va="center",
                color=INK,
                bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 0.6},
            )
    letters = max(9, 60 // len(columns))
    axis.set_xticks(
        range(len(columns)),
        [wrapped(its, letters) for its in (*map(short_path, space), question.metric.replace("/", "/ "))],
    )
    axis.set_yticks([])
    axis.set_xlim(-0.1, len(columns) - 1 + 0.35)
    axis.set_ylim(-0.06, 1.06)
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure


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
    early = f" {left_out} trials that ended early are left out: a value that only they had seems not to matter."
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
