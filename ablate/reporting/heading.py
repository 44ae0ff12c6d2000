"""What a page begins with: the question, its answer, the verdicts in words, and how much was run."""

from collections.abc import Iterator
from dataclasses import dataclass

from ablate.design.confirm import Confirmation
from ablate.design.effects import Effects
from ablate.design.plan import Plan
from ablate.design.row import Row
from ablate.design.verdict import BETTER, EQUIVALENT, UNDECIDED, WORSE
from ablate.naming import short_path
from ablate.reporting.ablation import Ablation
from ablate.reporting.answer import QUESTIONS, listed
from ablate.reporting.arms import effect_text, places_of
from ablate.reporting.confirmed import confirmation
from ablate.reporting.effects import conclusion, effect_decimals
from ablate.reporting.effects import effect_text as paired_text
from ablate.reporting.numbers import p_text
from ablate.reporting.recorded import Recorded

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


def head(its: Recorded) -> Head:
    """What the page begins with."""
    if its.ablation is not None:
        return ablation_head(its, its.ablation)
    question, found = its.question, confirmation(its.question, its.rows)
    leaves = listed([short_path(path) for path in question.space]) if question.space else "nothing"
    aims = zip(question.metrics or (question.metric,), question.modes or (question.mode,), strict=True)
    best = listed([f"{'highest' if mode == 'max' else 'lowest'} {metric}" for metric, mode in aims])
    asked = f"Which values of {leaves} give the {best}, and does it hold on fresh seeds?"
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
        says = "; ".join(its for its in (row.reading or row.verdict, row.notes) if its)
        yield Verdict(word, row.contrast, says, effect_text(row, places_of(row)), p_of(row, word))


def p_of(row: Row, word: str) -> str:
    """The p that a verdict rests on, named."""
    if word == EQUIVALENT:
        return f"p {p_text(row.p_eq_holm)} of a larger effect"
    if row.p_holm is None:
        return f"sequential p {p_text(row.p_seq)}" if row.p_seq is not None else ""
    return f"p Holm {p_text(row.p_holm)}"


def confirmed_verdicts(its: Confirmation) -> Iterator[Verdict]:
    """The confirmed configurations in words."""
    for row in its.results:
        if row.verdict is None:
            continue
        word = row.verdict.word if row.verdict.word in (BETTER, WORSE, EQUIVALENT) else "undecided"
        told = f"{word} than {its.reference}" if word in (BETTER, WORSE) else str(row.verdict)
        effect = row.contrast.effect if row.contrast else None
        says, p = "; ".join([told, *row.verdict.notes]), p_text(row.p_holm)
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
