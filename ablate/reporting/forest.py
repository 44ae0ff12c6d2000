"""The forest plot: a row per contrast with its effect, its interval, its seeds and its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.design.confirm import Confirmation
from ablate.design.effects import Effects
from ablate.design.measured import runs_of
from ablate.design.options import FACTORIAL
from ablate.design.verdict import BETTER, EQUIVALENT, WORSE
from ablate.reporting.designed import Measured
from ablate.reporting.plots import BLUE, GREEN, GREY, INK, MUTED, VERMILION, WIDTH, Plot, sheet, wrapped
from ablate.reporting.question import Question

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 40  # rows that a figure has room for
GAP = "\u00a0" * 5  # that no browser closes
GLYPHS = {BETTER: ("^", BLUE), WORSE: ("v", VERMILION), EQUIVALENT: ("s", GREEN), "": ("o", GREY)}
SHAPES = "Triangle up: better; triangle down: worse; square: equivalent; open circle: no claim."


@dataclass(frozen=True)
class Mark:
    """One row; without an interval where one seed has none, without an effect where nothing finished."""

    name: str
    effect: float | None
    lo: float | None
    hi: float | None
    seeds: str  # 5/5
    verdict: str = ""  # its first word; empty: no claim
    each: tuple[float, ...] = ()  # the effect on each seed

    def __str__(self) -> str:
        """`-0.0406 [-0.05, -0.0312], worse`."""
        interval = "" if self.lo is None or self.hi is None else f" [{self.lo:+.3g}, {self.hi:+.3g}]"
        return f"{self.effect or 0:+.3g}{interval}, {self.word}"

    @property
    def claim(self) -> str:
        """better, worse, equivalent, or empty."""
        return next((word for word in (BETTER, WORSE, EQUIVALENT) if self.verdict.startswith(word)), "")

    @property
    def word(self) -> str:
        """The verdict in one word, for the margin of the figure."""
        return self.claim or ("undecided" if self.verdict else "no claim")


def marks_of(its: Effects, found: Measured) -> list[Mark]:
    """The contrasts of an ablation, in the order of the study."""
    plan = found.plan
    runs = runs_of(plan, found.values, found.failures)
    weights = {one.name: one.weights for one in plan.contrasts}
    factorial = plan.design.kind in FACTORIAL or plan.reference is None
    made = []
    for row in its.rows:
        parts = weights[row.contrast]
        seeds = [seed for seed in plan.seeds if all(seed in runs.values[arm] for arm in parts)]
        each = tuple(sum(w * runs.values[arm][seed] for arm, w in parts.items()) for seed in seeds)
        name = row.contrast if factorial else row.plus
        made.append(
            Mark(name, row.effect, row.ci_lo, row.ci_hi, f"{row.n_complete}/{row.n_planned}", row.verdict, each)
        )
    return made


def confirmed_marks(its: Confirmation) -> list[Mark]:
    """The confirmed configurations against the default, and the baselines without a verdict."""
    default = its[its.reference].arm
    made = []
    for row in its.results:
        if row.contrast is None:
            continue
        effect = row.contrast.effect
        both = [(row.arm.values.get(seed), default.values.get(seed)) for seed in its.seeds]
        each = tuple(a - b for a, b in both if a is not None and b is not None)
        lo, hi, mean = (effect.lo, effect.hi, effect.mean) if effect else (None, None, None)
        verdict = str(row.verdict) if row.verdict else ""
        made.append(Mark(row.arm.name, mean, lo, hi, f"{len(each)}/{len(its.seeds)}", verdict, each))
    return made


def shown(marks: Sequence[Mark]) -> list[Mark]:
    """The rows that there is room for: of too many the largest effects, in the order of the study."""
    if len(marks) <= MOST:
        return list(marks)
    largest = sorted(range(len(marks)), key=lambda i: (not marks[i].claim, -abs(marks[i].effect or 0.0), i))[:MOST]
    return [marks[i] for i in sorted(largest)]


def forest(marks: Sequence[Mark], question: Question, metric: str, than: str, margin: float | None, conf: str) -> Plot:
    """The figure. `than`: what effects are against; `conf`: `its 95 % interval`."""
    rows = shown(marks)
    few = "" if len(rows) == len(marks) else f" The {MOST} of {len(marks)} with a claim or the largest effects."
    known = any(its.lo is not None for its in rows)
    told = f"with {conf}; small dots are single seeds." if known else "on one seed. One seed has no interval."
    shade = "" if margin is None else f" Shaded: the margin of ±{margin:g} that the study calls equivalent."
    said = "; ".join(f"{its.name} {its}" for its in rows[:12] if its.effect is not None)
    return Plot(
        "forest",
        f"Effects on {metric}",
        f"Forest plot of effects on {metric}: {said or 'nothing has finished'}.",
        f"Effect {than}, {told} {SHAPES}{shade}{few}",
        lambda: draw(rows, question, metric, margin),
        ("contrast", "effect", "lo", "hi", "seeds", "verdict"),
        tuple((its.name, its.effect, its.lo, its.hi, its.seeds, its.verdict) for its in marks),
    )


def draw(rows: Sequence[Mark], question: Question, metric: str, margin: float | None) -> Figure:
    """Rows from top to bottom."""
    names = [wrapped(its.name, 24) for its in rows]
    lines = max(name.count("\n") for name in names) + 1 if names else 1
    figure = sheet(WIDTH, 0.75 + len(rows) * (0.19 + 0.15 * lines))
    axis = figure.subplots()
    if margin is not None:
        axis.axvspan(-margin, margin, color="#009e73", alpha=0.12, lw=0, label="margin")
    axis.axvline(0, color=INK, lw=0.9)
    for y, mark in enumerate(rows):
        row(axis, y, mark)
    axis.set_yticks(range(len(rows)), names)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    left, right = ("worse", "better") if question.mode == "max" else ("better", "worse")
    axis.set_xlabel(f"← {left}{GAP}effect on {metric}{GAP}{right} →")
    return figure


def row(axis: Axes, y: int, mark: Mark) -> None:
    """One contrast: single seeds, interval, effect, and what the verdict is on how many seeds."""
    glyph, colour = GLYPHS[mark.claim]
    axis.plot(mark.each, [y + 0.24] * len(mark.each), ".", color=colour, alpha=0.45, ms=4, label=f"{mark.name}: seeds")
    if mark.lo is not None and mark.hi is not None:
        axis.plot([mark.lo, mark.hi], [y, y], "-", color=colour, lw=2.2, label=f"{mark.name}: interval")
    if mark.effect is not None:
        face = colour if mark.claim else "white"
        axis.plot([mark.effect], [y], glyph, color=colour, mfc=face, mew=1.4, ms=7.5, label=f"{mark.name}: effect")
    beside = axis.get_yaxis_transform()
    axis.text(1.02, y, mark.seeds, transform=beside, va="center", fontsize=8, color=MUTED)
    axis.text(1.12, y, mark.word, transform=beside, va="center", fontsize=8, color=colour if mark.claim else MUTED)
