"""Paired seeds: every seed as a line from the reference to the arm; shows what pairing gains and what stands out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.design.confirm import Confirmation
from ablate.design.measured import runs_of, side
from ablate.design.paired import paired
from ablate.reporting.designed import Measured
from ablate.reporting.numbers import percent
from ablate.reporting.plots import BLUE, GREY, INK, Plot, panels, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12  # panels
COLUMNS = 3


@dataclass(frozen=True)
class Pair:
    """Two sides of a contrast on their common seeds."""

    name: str
    left: str
    right: str
    values: Mapping[int, tuple[float, float]]  # seed -> (reference, arm)
    lo: float | None  # interval of the mean difference
    hi: float | None

    @property
    def means(self) -> tuple[float, float]:
        """Of both sides over the common seeds."""
        left, right = zip(*self.values.values(), strict=True)
        return sum(left) / len(left), sum(right) / len(right)


def pair(name: str, left: str, right: str, values: Mapping[int, tuple[float, float]], alpha: float) -> Pair | None:
    """None without a common seed."""
    if not values:
        return None
    its = paired([b - a for a, b in values.values()], alpha)
    return Pair(name, left, right, values, its.lo, its.hi)


def pairs_of(found: Measured) -> list[Pair]:
    """The contrasts of an ablation, of a factorial its main effects."""
    plan = found.plan
    runs = runs_of(plan, found.values, found.failures)
    made = []
    for its in plan.contrasts:
        if len(its.components) > 1:
            continue
        plus, minus = (side(its.side(sign), runs, plan.seeds).values for sign in (1, -1))
        values = {seed: (minus[seed], plus[seed]) for seed in plan.seeds if seed in plus and seed in minus}
        made.append(pair(its.name, its.minus, its.plus, values, plan.design.alpha))
    return [its for its in made if its is not None]


def confirmed_pairs(its: Confirmation) -> list[Pair]:
    """The default and each other arm of a confirmation."""
    default = its[its.reference].arm
    made = []
    for row in its.results:
        if row.arm.name == its.reference:
            continue
        both = {seed: (default.values.get(seed), row.arm.values.get(seed)) for seed in its.seeds}
        values = {seed: (a, b) for seed, (a, b) in both.items() if a is not None and b is not None}
        made.append(pair(row.arm.name, its.reference, row.arm.name, values, its.alpha))
    return [one for one in made if one is not None]


def seed_lines(every: Sequence[Pair], metric: str, alpha: float) -> Plot | None:
    """The figure; None without a pair."""
    if not every:
        return None
    shown = every[:MOST]
    first = f" The first {MOST} of {len(every)} contrasts." if len(every) > MOST else ""
    lone = "" if any(its.lo is not None for its in shown) else " One seed has no interval."
    said = "; ".join(
        f"{its.name}: {sum(b > a for a, b in its.values.values())} of {len(its.values)} seeds rise" for its in shown
    )
    return Plot(
        "paired",
        "Seeds, paired",
        f"Each seed from the first to the second side of a contrast. {said}.",
        f"Every thin line is a seed, the thick one their mean; the bar at its end is the {percent(1 - alpha)} interval "
        f"of the mean difference. Lines that run side by side are seeds that differ alike in both arms: there pairing "
        f"gains.{lone}{first}",
        lambda: draw(shown, metric),
        ("contrast", "from", "to", "seed", "first", "second"),
        tuple((its.name, its.left, its.right, seed, a, b) for its in every for seed, (a, b) in its.values.items()),
    )


def draw(every: Sequence[Pair], metric: str) -> Figure:
    """A panel per contrast, all on one scale."""
    columns = min(COLUMNS, len(every))
    figure, axes = panels(len(every), columns, 2.0, room=0.3, share_x=False)
    for axis, its in zip(axes, every, strict=True):
        panel(axis, its, columns)
    figure.supylabel(metric, fontsize=9)
    return figure


def panel(axis: Axes, its: Pair, columns: int) -> None:
    """The seeds of one contrast."""
    for seed, both in its.values.items():
        axis.plot([0, 1], both, "-", marker=".", ms=4, color=GREY, lw=0.9, alpha=0.8, label=f"seed {seed}")
    left, right = its.means
    axis.plot([0, 1], [left, right], "-", marker="o", ms=5, color=BLUE, lw=2.2, label="mean")
    if its.lo is not None and its.hi is not None:
        axis.plot([1.12, 1.12], [left + its.lo, left + its.hi], "-", color=BLUE, lw=2.0, label="interval")
    axis.set_title(wrapped(its.name, 66 // columns, 2), fontsize=8)
    ends = (its.left, "arm" if its.right == its.name else its.right)
    axis.set_xticks([0, 1], [wrapped(one, 30 // columns, 2) for one in ends], fontsize=7, color=INK)
    axis.set_xlim(-0.3, 1.35)
