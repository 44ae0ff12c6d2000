"""Figures of bars: effects by the size of their t, and how stable the ranking of the arms is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.design.bootstrap import Ranking
from ablate.design.effects import Effects
from ablate.design.plan import Plan
from ablate.design.row import Row
from ablate.design.verdict import BETTER, EQUIVALENT, WORSE
from ablate.reporting.numbers import fixed, percent
from ablate.reporting.plots import BLUE, GREEN, GREY, INK, MUTED, VERMILION, WIDTH, Plot, sheet, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 30  # bars that a figure has room for
ROW = 0.26  # inches of a bar
COLOURS = {BETTER: BLUE, WORSE: VERMILION, EQUIVALENT: GREEN}


@dataclass(frozen=True)
class Bar:
    """An effect in units of its standard error."""

    name: str
    t: float  # absolute
    verdict: str

    @property
    def colour(self) -> str:
        """That of the verdict in the forest plot."""
        return next((colour for word, colour in COLOURS.items() if self.verdict.startswith(word)), GREY)


def pareto_effects(its: Effects, plan: Plan) -> Plot | None:
    """Absolute t of every effect, the largest first; None where fewer than two have a standard error."""
    rows = [row for row in its.rows if row.effect is not None and row.se and row.df]
    bars = sorted((bar(row) for row in rows), key=lambda one: -one.t)
    if len(bars) < 2:
        return None
    line = threshold(rows, plan)
    few = f" The {MOST} largest of {len(bars)}." if len(bars) > MOST else ""
    deciding = (
        "" if plan.test in ("t", "ols") else " The test that decides is another: verdicts are those of the table."
    )
    return Plot(
        "pareto_effects",
        "Effects by the size of t",
        "Absolute t, largest first: " + ", ".join(f"{one.name} {one.t:.3g}" for one in bars) + ".",
        f"Effect over its standard error. Dashed: what the first step of Holm's test over {plan.m} claims asks for at "
        f"{percent(plan.design.alpha)} ({line:.3g}), for the fewest degrees of freedom.{deciding}{few} Blue: better; "
        "orange: worse; green: equivalent; grey: no claim.",
        lambda: draw_effects(bars[:MOST], line),
        ("effect", "absolute t", "verdict"),
        tuple((one.name, one.t, one.verdict) for one in bars),
    )


def bar(row: Row) -> Bar:
    """The bar of a contrast."""
    assert row.effect is not None and row.se is not None
    return Bar(row.contrast, abs(row.effect) / row.se, row.verdict)


def threshold(rows: Sequence[Row], plan: Plan) -> float:
    """The t that Holm's first step asks for, with the fewest degrees of freedom among the rows."""
    from scipy import stats

    df = min(row.df for row in rows if row.df)
    return float(stats.t.isf(plan.design.alpha / max(1, plan.m) / 2, df))


def draw_effects(bars: Sequence[Bar], line: float) -> Figure:
    """Bars from the top down."""
    figure = sheet(WIDTH, 0.9 + ROW * len(bars))
    axis = figure.subplots()
    axis.barh(range(len(bars)), [one.t for one in bars], color=[one.colour for one in bars], height=0.65)
    axis.axvline(line, color=INK, linestyle="--", linewidth=1, label="threshold")
    axis.set_yticks(range(len(bars)), [wrapped(one.name, 28, 1) for one in bars])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("absolute t")
    return figure


def rank(its: Ranking | None, plan: Plan) -> Plot | None:
    """How often each arm would be first, and how alike the order of the arms stays; None where nothing was ranked."""
    if its is None or not its.taus:
        return None
    arms = [arm.name for arm in plan.arms]
    order = sorted(range(len(arms)), key=lambda i: (-its.p_first[i], i))
    few = f" The {MOST} most frequent of {len(arms)} arms." if len(arms) > MOST else ""
    return Plot(
        "rank",
        "Stability of the ranking",
        "First in so many resamples: "
        + ", ".join(f"{arms[i]} {fixed(its.p_first[i], 2)}" for i in order)
        + f"; Kendall's tau with the observed order {fixed(its.tau_mean, 2)} in the mean.",
        "Seeds drawn again, the same for all arms. Left: share of the resamples in which an arm is first. Right: "
        "Kendall's tau between the observed order and that of each resample; 1 is the same order. Not a test: of four "
        f"equal arms one is first in 9 of 10 resamples in about one study of 9.{few}",
        lambda: draw_rank([(arms[i], its.p_first[i]) for i in order[:MOST]], its),
        ("what", "name or tau", "share"),
        (
            *(("first", arms[i], its.p_first[i]) for i in order),
            *(("tau", value, share) for value, share in its.taus),
        ),
    )


def draw_rank(firsts: Sequence[tuple[str, float]], its: Ranking) -> Figure:
    """Bars of P(first), and the distribution of tau."""
    figure = sheet(WIDTH, max(1.9, 0.9 + ROW * len(firsts)))
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    left.barh(range(len(firsts)), [share for _, share in firsts], color=BLUE, height=0.65)
    left.set_yticks(range(len(firsts)), [wrapped(name, 24, 1) for name, _ in firsts])
    left.invert_yaxis()
    left.grid(axis="y", visible=False)
    left.set_xlim(0, 1)
    left.set_xlabel("P(first)")
    right.vlines([tau for tau, _ in its.taus], 0, [share for _, share in its.taus], color=MUTED, linewidth=2.5)
    right.axvline(its.tau_low, color=INK, linestyle="--", linewidth=1, label="5 % quantile")
    right.set_xlim(min(-0.05, *(tau for tau, _ in its.taus)) - 0.03, 1.05)
    right.set_ylim(bottom=0)
    right.set_xlabel("Kendall's tau")
    right.set_ylabel("share")
    right.legend(fontsize=7, frameon=False, loc="upper left")
    return figure
