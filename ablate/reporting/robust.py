"""Interquartile means of the arms, which a single seed moves little. Descriptive, never a claim (statistics.md 4.7)."""

from collections.abc import Callable

from ablate.design.bootstrap import Iqm, iqm_difference, iqm_interval
from ablate.design.paired import MIN_PAIRS
from ablate.reporting.cells import finite
from ablate.reporting.designed import Measured
from ablate.reporting.numbers import decimals, fixed, signed
from ablate.reporting.table import Column, Table

MANY = 50  # arms above which what needs resampling is left out


def robust_table(found: Measured) -> Table | None:
    """Interquartile means with bootstrap intervals; None with many arms, or where no arm has three values."""
    plan = found.plan
    by_arm = {
        arm.name: {s: y for s, value in found.values.get(arm.name, {}).items() if (y := finite(value)) is not None}
        for arm in plan.arms
    }
    if len(by_arm) > MANY or not any(len(its) >= MIN_PAIRS for its in by_arm.values()):
        return None
    lines = []
    for arm, mine in by_arm.items():
        its = iqm_interval([list(mine.values())]) if len(mine) >= MIN_PAIRS else None
        other = by_arm.get(plan.reference or "", {})
        seeds = sorted(mine.keys() & other.keys()) if arm != plan.reference else []
        apart = (
            iqm_difference([[mine[s] for s in seeds]], [[other[s] for s in seeds]]) if len(seeds) >= MIN_PAIRS else None
        )
        lines.append((arm, str(len(mine)), iqm_text(its, fixed), iqm_text(apart, signed)))
    columns = (
        Column("arm", wrap=True),
        Column("values", True, spare=1),
        Column("IQM [95 % interval]"),
        Column(f"less that of {plan.reference}"),
    )[: 4 if plan.reference else 3]
    words = (
        "Mean of the values that are left after a quarter at each end is dropped, with percentile intervals of 9,999 "
        "resamples of seeds, common to all arms. Such intervals are too narrow with few seeds. Descriptive, not part "
        "of the claim."
    )
    return Table("Robust to single seeds", columns, tuple(line[: len(columns)] for line in lines), words)


def iqm_text(its: Iqm | None, form: Callable[[float, int], str]) -> str:
    """`0.579 [0.566, 0.590]`, empty where there is none."""
    if its is None:
        return ""
    places = decimals((its.hi - its.lo) / 2)
    return f"{form(its.value, places)} [{form(its.lo, places)}, {form(its.hi, places)}]"
