"""Figures of a factorial: 2 x 2 cell means of every pair of components, and the half-normal plot of its effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from ablate.design.effects import Effects
from ablate.design.factorial import half_normal
from ablate.design.measured import runs_of
from ablate.design.paired import paired
from ablate.design.plan import Plan
from ablate.reporting.designed import Measured
from ablate.reporting.forest import GLYPHS, Mark
from ablate.reporting.numbers import percent
from ablate.reporting.plots import BLUE, MUTED, VERMILION, WIDTH, Plot, panels, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 15  # pairs that a figure has room for
LINES = ((VERMILION, "s", "--"), (BLUE, "o", "-"))  # of the second component off, on


@dataclass(frozen=True)
class Line:
    """One component from off to on, with the other one held: means over the common seeds, and the step's interval."""

    component: str
    other: str
    held: bool  # whether the other one is on
    off: float
    on: float
    lo: float | None  # of on - off, paired over seeds
    hi: float | None
    n: int


def lines_of(plan: Plan, values: Mapping[str, Mapping[int, float]]) -> list[tuple[Line, Line]]:
    """The two lines of each pair of components, as far as their cells have a seed in common."""
    found = []
    for first, second in combinations([its.name for its in plan.components], 2):
        both = [line(plan, values, first, second, held) for held in (False, True)]
        if both[0] is not None and both[1] is not None:
            found.append((both[0], both[1]))
    return found


def line(plan: Plan, values: Mapping[str, Mapping[int, float]], component: str, other: str, held: bool) -> Line | None:
    """One line; None where no seed has all its cells."""
    arms = [its for its in plan.arms if (other in its.on) == held]
    on, off = ([its.name for its in arms if (component in its.on) == level] for level in (True, False))
    seeds = [seed for seed in plan.seeds if on and off and all(seed in values[arm] for arm in (*on, *off))]
    if not seeds:
        return None
    high, low = ([sum(values[arm][seed] for arm in side) / len(side) for seed in seeds] for side in (on, off))
    step = paired([a - b for a, b in zip(high, low, strict=True)], plan.design.alpha)
    start = sum(low) / len(low)
    return Line(component, other, held, start, start + step.mean, step.lo, step.hi, len(seeds))


def interaction(found: Measured) -> Plot | None:
    """Cell means of every pair; None where no pair has its cells."""
    plan = found.plan
    pairs = lines_of(plan, runs_of(plan, found.values, found.failures).values)[:MOST]
    if not pairs:
        return None
    aliased = " Pairs that share a column cannot be told apart by it." if plan.aliases() else ""
    first = f" The first {MOST} pairs." if len(pairs) == MOST else ""
    bars = "" if any(its.lo is not None for pair in pairs for its in pair) else " One seed has no interval."
    return Plot(
        "interaction",
        "Cell means, pair by pair",
        "Cell means of each pair of components: "
        + "; ".join(
            f"{its.component} changes it by {its.on - its.off:+.3g} with {label(its)}" for pair in pairs for its in pair
        )
        + ".",
        f"Mean {plan.design.metric} with a component off and on, the other one off (squares) or on (circles). "
        f"Parallel lines: no interaction. Bars: {percent(1 - plan.design.alpha)} interval of the step from off to on, "
        f"paired over seeds.{bars}{aliased}{first}",
        lambda: draw(pairs, plan.design.metric),
        ("component", "other", "other is", "off", "on", "step lo", "step hi", "seeds"),
        tuple(
            (its.component, its.other, "on" if its.held else "off", its.off, its.on, its.lo, its.hi, its.n)
            for pair in pairs
            for its in pair
        ),
    )


def draw(pairs: Sequence[tuple[Line, Line]], metric: str) -> Figure:
    """A panel per pair, all on one scale."""
    figure, axes = panels(len(pairs), min(3, len(pairs)), 2.0 if len(pairs) > 1 else 2.6, room=0.3, share_x=False)
    for axis, pair in zip(axes, pairs, strict=True):
        for its, look in zip(pair, LINES, strict=True):
            segment(axis, its, *look)
        axis.set_title(f"{pair[0].component} × {pair[0].other}")
        axis.set_xticks([0, 1], ["off", "on"])
        axis.set_xlim(-0.25, 1.35)
        axis.set_xlabel(pair[0].component)
        axis.legend(fontsize=7, frameon=False, loc="best", handlelength=2.2, borderaxespad=0.2)
    figure.supylabel(metric, fontsize=9)
    return figure


def segment(axis: Axes, its: Line, colour: str, shape: str, dash: str) -> None:
    """A line from off to on; the bar stands beside its end."""
    axis.plot([0, 1], [its.off, its.on], dash, marker=shape, ms=5, color=colour, lw=1.6, label=label(its))
    if its.lo is not None and its.hi is not None:
        at = 1.12 if its.held else 1.06
        axis.plot([at, at], [its.off + its.lo, its.off + its.hi], "-", color=colour, lw=1.3, label="_step")


def label(its: Line) -> str:
    """`mi on`."""
    return f"{its.other} {'on' if its.held else 'off'}"


def half_normal_plot(its: Effects, marks: Sequence[Mark]) -> Plot | None:
    """Absolute effects against half-normal quantiles; None with fewer than 3."""
    sizes = sorted((mark for mark in marks if mark.effect is not None), key=lambda one: abs(one.effect or 0.0))
    if len(sizes) < 3:
        return None
    at = half_normal(len(sizes))
    pse = its.lenth.pse if its.lenth else lenth_of(sizes)
    words = (
        "Effects that are nothing but noise lie along a line through 0 (drawn for Lenth's pseudo standard error, which "
        "presumes that most effects are 0); those far above it stand out. Bars: interval of the effect. A picture, not "
        "a test: verdicts are those of the table."
    )
    return Plot(
        "half_normal",
        "Half-normal plot of the effects",
        "Absolute effects, smallest first: "
        + ", ".join(f"{one.name} {abs(one.effect or 0):.3g}" for one in sizes)
        + ".",
        words,
        lambda: draw_half_normal(sizes, at, pse),
        ("effect", "quantile", "size", "lo", "hi", "verdict"),
        tuple(
            (one.name, q, abs(one.effect or 0.0), *reach(one), one.verdict) for one, q in zip(sizes, at, strict=True)
        ),
    )


def lenth_of(sizes: Sequence[Mark]) -> float:
    """Lenth's pseudo standard error of the effects."""
    from ablate.design.factorial import lenth

    return lenth([one.effect for one in sizes if one.effect is not None]).pse


def reach(mark: Mark) -> tuple[float | None, float | None]:
    """The interval of an absolute effect: that of the effect, turned up."""
    if mark.lo is None or mark.hi is None or mark.effect is None:
        return None, None
    lo, hi = (mark.lo, mark.hi) if mark.effect >= 0 else (-mark.hi, -mark.lo)
    return max(0.0, lo), hi


def draw_half_normal(sizes: Sequence[Mark], at: Sequence[float], pse: float) -> Figure:
    """Points with their names, and the line of pure noise."""
    figure = sheet(WIDTH, 3.0)
    axis = figure.subplots()
    axis.plot([0, at[-1] * 1.05], [0, pse * at[-1] * 1.05], "-", color=MUTED, lw=1, label="noise")
    for mark, x in zip(sizes, at, strict=True):
        glyph, colour = GLYPHS[mark.claim]
        lo, hi = reach(mark)
        if lo is not None and hi is not None:
            axis.plot([x, x], [lo, hi], "-", color=colour, lw=1.2, alpha=0.7, label="interval")
        face = colour if mark.claim else "white"
        axis.plot([x], [abs(mark.effect or 0.0)], glyph, color=colour, mfc=face, ms=7, label=mark.name)
    named = sizes if len(sizes) <= 8 else [one for one in sizes if one.claim] or sizes[-3:]
    for i, (mark, x) in enumerate(zip(sizes, at, strict=True)):
        if mark in named:
            place = (-7, 3 + 10 * (i % 2))  # neighbours are as close as their names are long
            y = abs(mark.effect or 0.0)
            axis.annotate(mark.name, (x, y), place, textcoords="offset points", ha="right", fontsize=8)
    axis.set_xlim(0 if len(sizes) > 8 else -0.35, at[-1] * 1.08)
    axis.set_ylim(bottom=0)
    axis.set_xticks([tick for tick in axis.get_xticks() if 0 <= tick <= at[-1] * 1.08])
    axis.set_xlabel("half-normal quantile")
    axis.set_ylabel("absolute effect")
    return figure
