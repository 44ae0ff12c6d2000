"""What a page says and in which order: answer, effects, what was not shown, failures, where it all comes from."""

from collections.abc import Iterator
from dataclasses import dataclass

from ablate.design.confirm import Confirmation
from ablate.design.effects import Effects
from ablate.design.options import FACTORIAL
from ablate.design.plan import Plan
from ablate.design.verdict import BETTER, EQUIVALENT, UNDECIDED, WORSE
from ablate.naming import short_path
from ablate.reporting.ablation import Ablation
from ablate.reporting.answer import QUESTIONS, contrast_of, listed, seeds_needed, subject
from ablate.reporting.arms import effect_text, places_of
from ablate.reporting.confirmed import accounts, confirmation
from ablate.reporting.effects import conclusion, effect_decimals
from ablate.reporting.effects import effect_text as paired_text
from ablate.reporting.numbers import fixed, p_text, percent
from ablate.reporting.provenance import cost_table, failed_table, identity_table
from ablate.reporting.ranking import ranking_table
from ablate.reporting.recorded import Recorded
from ablate.reporting.table import Column, Table
from ablate.reporting.terminal import confirmation_tables

MANY = 20  # contrasts above which they are counted, not listed


@dataclass(frozen=True)
class Verdict:
    """One contrast in words."""

    word: str  # better, worse, equivalent, undecided
    name: str
    says: str  # what it means
    effect: str  # with its interval
    p: str


@dataclass(frozen=True)
class Head:
    """The question and its answer."""

    question: str
    answer: str
    verdicts: tuple[Verdict, ...]
    facts: tuple[tuple[str, str], ...]  # (what, how much)


@dataclass(frozen=True)
class Section:
    """A heading, a few words, then tables and figures (by name) in order."""

    key: str
    title: str
    items: tuple[Table | str, ...] = ()
    words: str = ""


def head(its: Recorded) -> Head:
    """What the page begins with."""
    if its.ablation is not None:
        return ablation_head(its, its.ablation)
    question, found = its.question, confirmation(its.question, its.rows)
    leaves = listed([short_path(path) for path in question.space]) if question.space else "nothing"
    better = "highest" if question.mode == "max" else "lowest"
    aims = question.metrics or (question.metric,)
    asked = f"Which values of {leaves} give the {better} {listed(list(aims))}, and does it hold on fresh seeds?"
    if found is None:
        answer = (
            "Nothing was confirmed on fresh seeds, so nothing is claimed: scores of one seed each choose, they prove "
            "nothing."
        )
        return Head(asked, answer, (), facts(its))
    return Head(asked, conclusion(found), tuple(confirmed_verdicts(found)), facts(its))


def ablation_head(its: Recorded, found: Ablation) -> Head:
    """Of an ablation."""
    plan = found.found.plan
    names = listed([one.name for one in plan.components])
    asked = f"{QUESTIONS[plan.design.kind]}?"
    asked = f"{asked[:1].upper()}{asked[1:-1]}: {names}, by {plan.design.metric}."
    verdicts = tuple(verdicts_of(found.effects, plan)) if found.effects and plan.test != "lenth" else ()
    answer = found.conclusion() if len(plan.contrasts) <= MANY else counted(found.effects)
    return Head(asked, answer, verdicts, facts(its))


def counted(its: Effects | None) -> str:
    """How many contrasts have which verdict."""
    words = {BETTER: 0, WORSE: 0, EQUIVALENT: 0, UNDECIDED: 0}
    for row in its.rows if its else ():
        words[next((word for word in words if row.verdict.startswith(word)), UNDECIDED)] += 1
    said = [f"{count} {word}" for word, count in words.items() if count]
    return (
        f"Of {sum(words.values())} contrasts: {listed(said)}. Undecided is not evidence of no effect." if said else ""
    )


def verdicts_of(its: Effects, plan: Plan) -> Iterator[Verdict]:
    """The contrasts in words; of very many those with a claim."""
    for row in its.rows:
        word = next((word for word in (BETTER, WORSE, EQUIVALENT) if row.verdict.startswith(word)), "undecided")
        if len(its.rows) > MANY and word == "undecided":
            continue
        p = p_text(row.p_holm)
        yield Verdict(
            word, row.contrast, row.reading or row.verdict, effect_text(row, places_of(row)), f"p Holm {p}" if p else ""
        )


def confirmed_verdicts(its: Confirmation) -> Iterator[Verdict]:
    """The confirmed configurations in words."""
    for row in its.results:
        if row.verdict is None:
            continue
        word = row.verdict.word if row.verdict.word in (BETTER, WORSE, EQUIVALENT) else "undecided"
        says = f"{word} than {its.reference}" if word in (BETTER, WORSE) else str(row.verdict)
        effect = row.contrast.effect if row.contrast else None
        p = p_text(row.p_holm)
        yield Verdict(
            word, row.arm.name, says, paired_text(effect, effect_decimals(effect)), f"p Holm {p}" if p else ""
        )


def facts(its: Recorded) -> tuple[tuple[str, str], ...]:
    """How much was run, at a glance."""
    done = sum(row.done for row in its.rows)
    found = {
        "runs": str(len(its.rows)),
        "complete": str(done),
        "pruned": str(sum(row.status == "pruned" for row in its.rows)),
        "failed": str(sum(row.status == "failed" for row in its.rows)),
        "not finished": str(sum(row.status not in ("complete", "pruned", "failed") for row in its.rows)),
        "from other studies": str(sum(row.reused for row in its.rows)),
    }
    kept = ("runs", "complete", "failed")
    plan = its.question.plan
    asked = () if plan is None else (("arms", str(len(plan.arms))), ("seeds", seeds_of(plan)))
    return (*asked, *((name, count) for name, count in found.items() if count != "0" or name in kept))


def seeds_of(plan: Plan) -> str:
    """`5`, or `up to 15` for sequential ones."""
    return f"up to {len(plan.seeds)}" if plan.test == "sequential" else str(len(plan.seeds))


def sections(its: Recorded, asked: str = "") -> list[Section]:
    """In the order of reading; figures that the study lacks are left out by the page."""
    body = of_ablation(its.ablation) if its.ablation is not None else of_search(its)
    *_, failures = failed(its)
    cost = cost_table(its)
    return [
        *body,
        failures,
        Section("curves", "Learning curves", ("curves", "curves_elbo")),
        Section("cost", "Cost", (cost,) if cost else ()),
        Section("provenance", "Provenance", (identity_table(its),)),
    ]


def of_ablation(its: Ablation) -> Iterator[Section]:
    """Effects first; what stands beside them after."""
    plan, tables = its.found.plan, {table.title: table for table in its.tables() if table.title != "Failures"}

    def take(*titles: str) -> tuple[Table, ...]:
        return tuple(tables.pop(title) for title in titles if title in tables)

    main = take("Aliases", "Effects of the components", "Effects of the arms", "Path from all off to all on")
    yield Section("effects", "Effects", (*main, "forest"))
    open_ = not_shown(its.effects, plan) if its.effects else None
    if open_ is not None:
        yield Section("open", "What was not shown", (open_,))
    if plan.design.kind in FACTORIAL:
        beside = take("From the same cells, one component at a time")
        yield Section("interactions", "Interactions", ("interaction", "half_normal", *beside))
    yield Section("looks", "Sequential seeds", take("Looks", "Tuned inside each arm"))
    cells = take(*(title for title in list(tables) if title.startswith("All arms")))
    yield Section("seeds", "Seeds", ("paired", *cells, *take("Stability of the ranking")))
    yield Section("beside", "Other metrics", tuple(tables.values()))


def not_shown(its: Effects, plan: Plan) -> Table | None:
    """The undecided contrasts, and how many seeds effects of the observed size would take; None if all are decided."""
    rows = [row for row in its.rows if row.verdict.startswith(UNDECIDED) and row.effect is not None][: 3 * MANY]
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


def failed(its: Recorded) -> Iterator[Section]:
    """What failed, by run, with the rates of an ablation's arms; else that nothing did."""
    tables = [table for table in (its.ablation.tables() if its.ablation else ()) if table.title == "Failures"]
    every = failed_table(its)
    said = (
        ". ".join(f"{account.role}: {account}" for account in accounts(its.question, its.rows))
        if not its.ablation
        else ""
    )
    if not tables and every is None:
        missing = sum(row.status not in ("complete", "pruned") for row in its.rows)
        words = f"No run failed; {missing} are not finished." if missing else "No run failed."
        yield Section("failures", "Failures", (), f"{words} {said}.".replace(" .", "") if said else words)
        return
    yield Section("failures", "Failures", (*tables, *([every] if every else [])), f"{said}." if said else "")
