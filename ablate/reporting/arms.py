"""The table of an ablation's effects, a row per arm or per effect of a factorial (statistics.md 11)."""

from dataclasses import dataclass

from ablate.design.effects import Effects
from ablate.design.options import FACTORIAL
from ablate.design.paired import summary
from ablate.design.plan import Plan
from ablate.design.row import Row
from ablate.design.verdict import UNDECIDED
from ablate.reporting.designed import Measured
from ablate.reporting.numbers import decimals, fixed, p_text, percent, signed
from ablate.reporting.table import Column, Table

TESTS = {
    "sign_flip": "exact sign-flip test",
    "t": "paired t-test",
    "wilcoxon": "exact signed-rank test",
    "ols": "least squares with seeds as blocks",
    "sequential": "group-sequential sign-flip test",
}


@dataclass(frozen=True)
class Line:
    """One row as text; empty where it does not apply."""

    arm: str
    seeds: str
    score: str = ""
    effect: str = ""
    effect_sd: str = ""
    p: str = ""
    p_holm: str = ""
    wins: str = ""
    p_better: str = ""
    rho: str = ""
    mde: str = ""
    verdict: str = ""
    note: str = ""
    partial_eta2: str = ""
    by_seed: str = ""  # interval of the per-seed contrasts of a factorial
    stopped_at: str = ""


def effects_table(its: Effects, found: Measured, short: bool = False) -> Table:
    """The effects with verdicts; `short` leaves the columns of a printed page: for LaTeX."""
    lines = list(effect_lines(its, found))
    kinds = columns(found.plan, short)
    rows = tuple(tuple(str(getattr(line, name)) for name, _ in kinds) for line in lines)
    notes = (*its.faults, *(f"{line.arm}: {line.note}" for line in lines if line.note))
    return Table(title(found.plan), tuple(column for _, column in kinds), rows, caption(its, found), notes)


def title(plan: Plan) -> str:
    """What the rows are."""
    return "Effects of the components" if plan.design.kind in FACTORIAL else "Effects of the arms"


def columns(plan: Plan, short: bool) -> list[tuple[str, Column]]:
    """(field of a line, column) of a design's table."""
    factorial, sequential = plan.design.kind in FACTORIAL, plan.test == "sequential"
    level = percent(1 - plan.design.alpha)
    found = [
        ("arm", Column("effect" if factorial else "arm", wrap=factorial)),
        ("seeds", Column("seeds", wrap=True)),
        *([] if factorial else [("score", Column("score"))]),
        ("effect", Column(f"effect [{level} CI]")),
        ("effect_sd", Column("in seed sd", True, spare=2)),
        *([] if short else [("p", Column("p", spare=3))]),
        ("p_holm", Column("p Holm")) if not sequential else ("stopped_at", Column("stopped at")),
    ]
    if not short:
        found += [
            *(
                [("by_seed", Column("by seed", spare=6)), ("partial_eta2", Column("part. eta²", True, spare=7))]
                * factorial
            ),
            ("wins", Column("wins", spare=5)),
            *([] if factorial else [("p_better", Column("P(better)", True, spare=4)), ("rho", Column("rho", spare=6))]),
            ("mde", Column("MDE", spare=1)),
        ]
    return [*found, ("verdict", Column("verdict", wrap=True))]


def effect_lines(its: Effects, found: Measured) -> list[Line]:
    """The reference, then a line per contrast, in the order of the study."""
    plan = found.plan
    if plan.design.kind in FACTORIAL:
        return [term_line(row, plan) for row in its.rows]
    first = plan.reference or plan.arms[0].name
    start = Line(
        first, str(its.accounts[first]), score(found, first, None), verdict="reference" if plan.reference else "start"
    )
    return [start, *(arm_line(row, its, found) for row in its.rows)]


def arm_line(row: Row, its: Effects, found: Measured) -> Line:
    """An arm against the one that it is compared with."""
    name = row.plus if found.plan.reference else f"{row.contrast} ({row.plus})"
    places = places_of(row)
    return Line(
        name,
        str(its.accounts[row.plus]),
        score(found, row.plus, places),
        effect_text(row, places),
        signed(row.effect_sd, 2),
        p_text(row.p if row.p is not None else row.p_seq),
        p_text(row.p_holm),
        wins(row),
        fixed(row.p_better, 2),
        fixed(row.rho, 2),
        fixed(row.mde, places),
        verdict_text(row, found.plan),
        row.notes,
        stopped_at="" if row.stopped_at is None else str(row.stopped_at),
    )


def term_line(row: Row, plan: Plan) -> Line:
    """An effect of a factorial."""
    places = places_of(row)
    by_seed = ""
    if row.ci_lo_seed is not None and row.ci_hi_seed is not None:
        by_seed = f"[{signed(row.ci_lo_seed, places)}, {signed(row.ci_hi_seed, places)}]"
    return Line(
        row.contrast,
        f"{row.n_complete}/{row.n_planned}",
        "",
        effect_text(row, places),
        signed(row.effect_sd, 2),
        p_text(row.p if row.p is not None else row.p_seq),
        p_text(row.p_holm),
        wins(row),
        mde=fixed(row.mde, places),
        verdict=verdict_text(row, plan),
        note=row.notes,
        partial_eta2=fixed(row.partial_eta2, 2),
        by_seed=by_seed,
        stopped_at="" if row.stopped_at is None else str(row.stopped_at),
    )


def places_of(row: Row) -> int:
    """Decimals of a row: two digits of the half-width of its interval, without one of its sd."""
    if row.ci_lo is not None and row.ci_hi is not None and row.ci_hi > row.ci_lo:
        return decimals((row.ci_hi - row.ci_lo) / 2)
    return decimals(row.sd_arm)


def score(found: Measured, arm: str, places: int | None) -> str:
    """`0.616 ± 0.012`: mean and sd over the seeds that finished, in units of the metric whatever its transform."""
    its = summary([value for _, value in sorted(found.values.get(arm, {}).items()) if value is not None])
    if its.mean is None:
        return ""
    places = decimals(its.sd) if places is None or found.plan.design.transform != "none" else places
    return fixed(its.mean, places) + ("" if its.sd is None else f" ± {fixed(its.sd, places)}")


def effect_text(row: Row, places: int) -> str:
    """`-0.0406 [-0.0500, -0.0312]`."""
    interval = "" if row.ci_lo is None else f" [{signed(row.ci_lo, places)}, {signed(row.ci_hi, places)}]"
    return signed(row.effect, places) + interval


def wins(row: Row) -> str:
    """`3/9`: of the seeds with an outcome on both sides, as far as the row knows."""
    diverged = not (row.failed_arm.startswith("0/") and row.failed_ref.startswith("0/"))
    total = row.n_planned if diverged else row.n_complete
    return f"{row.wins}/{total}" if row.effect is not None or diverged else ""


def verdict_text(row: Row, plan: Plan) -> str:
    """`worse (scc helps)`, `equivalent (within ±0.01)`, `within seed noise - undecided`."""
    if not row.verdict or row.verdict.startswith(UNDECIDED) or "(" in row.verdict:
        return row.verdict
    if row.verdict == "equivalent":
        return f"equivalent (within ±{plan.design.margin:g})"
    about = plan.contrast(row.contrast).components
    return f"{row.verdict} ({row.reading})" if about else row.verdict


def caption(its: Effects, found: Measured) -> str:
    """What the columns mean, on how many seeds, by which test."""
    plan, design = found.plan, found.plan.design
    metric = design.metric if design.transform == "none" else f"{design.transform} of {design.metric}"
    better = "higher" if design.mode == "max" else "lower"
    reused = sum(len(seeds) for seeds in found.cached.values())
    cells = sum(map(len, found.values.values())) + sum(map(len, found.failures.values()))
    margin = "" if design.margin is None else f"Equivalence margin {design.margin:g} (two one-sided t-tests, own Holm)."
    unit = f"one seed sd is {fixed(its.seed_sd, decimals(its.seed_sd))}" if its.seed_sd else ""
    rho = f"correlation over seeds {its.rho:.2f}" if its.rho is not None else ""
    sentences = [
        f"{metric}{' of the best epoch' if design.metric.startswith('valid/') else ''}, {better} is better.",
        meaning(plan),
        tested(plan),
        margin,
        f"{'; '.join(part for part in (unit, rho) if part)}.".capitalize() if unit or rho else "",
        f"{reused} of {cells} cells were run by other studies." if reused else "",
    ]
    return " ".join(its for its in sentences if its)


def meaning(plan: Plan) -> str:
    """What an effect is the difference of."""
    n = f"{len(plan.seeds)} common seeds" if len(plan.seeds) > 1 else "one seed"
    spread = "score = mean ± sd over seeds"
    match plan.design.kind:
        case "leave_one_out" | "add_one_in" | "grid":
            return f"Effects are arm minus {plan.reference} on {n}; {spread}."
        case "cumulative":
            return f"Effects are each step minus the one before on {n}; {spread}."
    shares = "; effects behind one = share a column and cannot be told apart" if plan.aliases() else ""
    return (
        "Effects are the mean of the cells with a component on minus that of those with it off, of two components half "
        f"the change of one's effect that the other makes, on {n}{shares}."
    )


def tested(plan: Plan) -> str:
    """How claims are made, and how their error is held."""
    level = percent(plan.design.alpha)
    if plan.test in ("none", "lenth"):
        return "One seed: no verdict." if plan.test == "lenth" else ""
    holm = f"Holm over {plan.m} contrasts at {level}" if plan.m > 1 else f"one contrast at {level}"
    test = TESTS[plan.test].capitalize()
    if plan.test != "sequential":
        return f"{test}, {holm}; intervals are not adjusted."
    return f"{test}, looks at {', '.join(map(str, plan.looks))} seeds, {holm}; intervals hold at all looks at once."
