"""What a page says and in which order: answer, effects, what was not shown, failures, where it all comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ablate.design.effects import Effects
from ablate.design.options import FACTORIAL
from ablate.design.plan import Plan
from ablate.design.verdict import UNDECIDED
from ablate.reporting.ablation import Ablation
from ablate.reporting.answer import contrast_of, seeds_needed, subject
from ablate.reporting.arms import effect_text, places_of
from ablate.reporting.confirmed import accounts, confirmation
from ablate.reporting.numbers import fixed, percent
from ablate.reporting.provenance import cost_table, failed_table, identity_table
from ablate.reporting.ranking import ranking_table
from ablate.reporting.recorded import Recorded
from ablate.reporting.table import Column, Table
from ablate.reporting.terminal import confirmation_tables

FAILURES = "Failures"
MAIN = (
    *("Aliases", "Tuned inside each arm"),
    *("Effects of the components", "Effects of the arms", "Path from all off to all on"),
)
OPEN = 60  # undecided contrasts that are listed


@dataclass(frozen=True)
class Section:
    """A heading, a few words, then tables and figures (by name) in order."""

    key: str
    title: str
    items: tuple[Table | str, ...] = ()
    words: str = ""


def sections(its: Recorded) -> list[Section]:
    """In the order of reading; figures that the study lacks are left out by the page."""
    tables = its.ablation.tables() if its.ablation is not None else []
    body = of_ablation(its.ablation, tables) if its.ablation is not None else of_search(its)
    cost = cost_table(its)
    return [
        *body,
        failures(its, tables),
        Section("curves", "Learning curves", ("curves", "curves_elbo")),
        Section("cost", "Cost", (cost,) if cost else ()),
        Section("provenance", "Provenance", (identity_table(its),)),
    ]


def of_ablation(its: Ablation, tables: Sequence[Table]) -> Iterator[Section]:
    """Effects first; what stands beside them after. Tables that no section names are those of other metrics."""
    plan, left = its.found.plan, {table.title: table for table in tables if table.title != FAILURES}

    def take(*titles: str) -> tuple[Table, ...]:
        return tuple(left.pop(title) for title in titles if title in left)

    yield Section("effects", "Effects", (*take(*MAIN), "forest", "pareto_effects"))
    open_ = not_shown(its.effects, plan) if its.effects else None
    if open_ is not None:
        yield Section("open", "What was not shown", (open_,))
    if plan.design.kind in FACTORIAL:
        beside = take("From the same cells, one component at a time")
        yield Section("interactions", "Interactions", ("interaction", "half_normal", *beside))
    yield Section("looks", "Sequential seeds", take("Looks"))
    cells = take(*(title for title in list(left) if title.startswith("All arms")))
    ranking, robust = take("Stability of the ranking"), take("Robust to single seeds")
    yield Section("seeds", "Seeds", ("paired", *cells, *ranking, "rank", *robust))
    yield Section("beside", "Other metrics", tuple(left.values()))


def not_shown(its: Effects, plan: Plan) -> Table | None:
    """The undecided contrasts, and how many seeds effects of the observed size would take; None if all are decided."""
    rows = [row for row in its.rows if row.verdict.startswith(UNDECIDED) and row.effect is not None][:OPEN]
    if not rows:
        return None
    columns = (
        Column("effect", wrap=True),
        Column("observed"),
        Column("detectable", True),
        Column("seeds", True),
        Column("seeds it would take", True),
    )
    lines = tuple(
        (
            " with ".join(contrast_of(row, plan).components) or subject(contrast_of(row, plan)),
            effect_text(row, places_of(row)),
            fixed(row.mde, places_of(row)),
            str(row.n_complete),
            str(seeds_needed(row, plan) or ""),
        )
        for row in rows
    )
    words = (
        f"Detectable: the true effect that a study of this size finds with a power of {percent(plan.design.power)}, at "
        "Holm's first step. Seeds it would take: for a true effect as large as the one observed, which is itself "
        "uncertain."
    )
    return Table("Undecided effects", columns, lines, words)


def of_search(its: Recorded) -> Iterator[Section]:
    """The confirmation, which is evidence; then the search, which is not."""
    question, found = its.question, confirmation(its.question, its.rows)
    if found is not None:
        main, *others = confirmation_tables(question, found, its.rows, its.levels)
        yield Section("effects", "Confirmed on fresh seeds", (main, "forest", "paired", *others))
    words = "Scores of one seed each: they choose which configurations are confirmed, they prove nothing."
    yield Section(
        "search", "Search", (ranking_table(question, its.rows), "parallel", "importance", "pareto_front"), words
    )


def failures(its: Recorded, tables: Sequence[Table]) -> Section:
    """What failed, with the rates of an ablation's arms; else that nothing did. Of a search, all cells as well."""
    rates = [table for table in tables if table.title == FAILURES]
    every = failed_table(its)
    missing = sum(row.status not in ("complete", "pruned") for row in its.rows)
    said = [f"No run failed{f'; {missing} are not finished' if missing else ''}."] if every is None else []
    if its.ablation is None:
        said += [f"{one.role.capitalize()}: {one}." for one in accounts(its.question, its.rows)]
    return Section("failures", FAILURES, (*rates, *([every] if every else [])), " ".join(said))
