"""The trials of a search in parallel coordinates: a line per trial through its leaves to its score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ablate.naming import short, short_path
from ablate.records import text
from ablate.reporting.plots import GREY, INK, MUTED, WIDTH, Plot, sheet, wrapped
from ablate.reporting.question import Question

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
        [
            wrapped(its, letters)
            for its in (
                *map(short_path, space),
                question.metric if len(question.metric) <= letters else question.metric.replace("/", "/ "),
            )
        ],
    )
    axis.set_yticks([])
    axis.set_xlim(-0.1, len(columns) - 1 + 0.35)
    axis.set_ylim(-0.06, 1.06)
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure
