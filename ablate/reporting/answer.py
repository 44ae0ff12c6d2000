"""What an ablation found, in words: every claim with its effect, what was not shown, and what failed."""

from collections.abc import Iterator

from ablate.design.arms import Contrast
from ablate.design.effects import Effects
from ablate.design.options import FACTORIAL
from ablate.design.path import Walk
from ablate.design.plan import Plan
from ablate.design.power import seeds_for
from ablate.design.row import Row
from ablate.design.verdict import BETTER, EQUIVALENT, UNDECIDED, WORSE
from ablate.reporting.arms import effect_text, places_of
from ablate.reporting.numbers import decimals, fixed, signed

QUESTIONS = {
    "leave_one_out": "what is lost without each component when all others are on",
    "add_one_in": "what each component brings when all others are off",
    "cumulative": "what each component adds to those before it",
    "factorial": "the average effect of each component over all states of the others, and their interactions",
    "fractional": "the average effect of each component over the states of the others, up to the aliases",
    "screening": "which of many components matter at all",
    "path": "which few changes carry the gain from all off to all on",
    "grid": "how the metric varies over the grid",
}


def answer(its: Effects, plan: Plan) -> str:
    """The verdicts in words, a sentence per kind of verdict."""
    if plan.test == "lenth":
        return "One seed was run, so no verdict is given."
    sentences = [*its.faults, *claims(its, plan), *equal(its, plan), *open_(its, plan), *waiting(its)]
    return " ".join(f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences)


def claims(its: Effects, plan: Plan) -> Iterator[str]:
    """A sentence per difference that was shown."""
    for row in its.rows:
        if row.verdict.startswith((BETTER, WORSE)):
            yield f"{row.reading} ({size(row, plan)})"


def equal(its: Effects, plan: Plan) -> Iterator[str]:
    """What was shown not to matter."""
    for row in its.rows:
        if row.verdict.startswith(EQUIVALENT):
            yield f"{row.reading} ({size(row, plan)})"


def open_(its: Effects, plan: Plan) -> Iterator[str]:
    """What was neither shown to matter nor not to."""
    rows = [row for row in its.rows if row.verdict.startswith(UNDECIDED)]
    if not rows:
        return
    names = [f"{subject(contrast_of(row, plan))} ({size(row, plan)})" for row in rows]
    reasons = {row.verdict.removeprefix(UNDECIDED).strip(" ()") for row in rows}
    why = f" ({reasons.pop()})" if len(reasons) == 1 and "" not in reasons else ""
    yield f"no effect was shown for {listed(names)}{why}; that is not evidence of none"
    shown = [row.mde for row in rows if row.mde is not None]
    if shown:
        places = decimals(max(shown))
        yield f"a true effect of {fixed(max(shown), places)} would have been found in {odds(plan)} such studies"
    seeds = [(row, n) for row in rows if (n := seeds_needed(row, plan))]
    if seeds and len(rows) <= 4:
        needed = [f"{n} seeds for {subject(contrast_of(row, plan))}" for row, n in seeds]
        yield f"effects as large as those observed would take about {listed(needed)}"


def waiting(its: Effects) -> Iterator[str]:
    """What is not there yet."""
    absent = sum(account.absent for account in its.accounts.values())
    if absent:
        yield f"provisional: {absent} of {sum(its.planned for its in its.accounts.values())} cells are missing"


def size(row: Row, plan: Plan) -> str:
    """`no_scc -0.0406 [-0.0500, -0.0312]`: the effect, named where the sentence is about a component."""
    text = effect_text(row, places_of(row)) or row.verdict
    named = plan.design.kind not in FACTORIAL and bool(contrast_of(row, plan).components)
    return f"{row.plus} {text}" if named else text


def contrast_of(row: Row, plan: Plan) -> Contrast:
    """The contrast of a row."""
    return plan.contrast(row.contrast)


def subject(contrast: Contrast) -> str:
    """`scc`, `scc with mi`; the arm where the contrast is about no component."""
    return " with ".join(contrast.components) or contrast.plus


def seeds_needed(row: Row, plan: Plan) -> int | None:
    """Seeds at which an effect of the observed size is found with the design's power, at Holm's first step."""
    if not row.effect or row.se is None or not row.n_complete:
        return None
    return seeds_for(row.effect, row.se * row.n_complete**0.5, plan.design.alpha / max(1, plan.m), plan.design.power)


def odds(plan: Plan) -> str:
    """`4 of 5` for a power of 80 %."""
    share = plan.design.power
    return "4 of 5" if share == 0.8 else "9 of 10" if share == 0.9 else f"{100 * share:.3g} % of"


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def path_answer(its: Walk, plan: Plan) -> str:
    """Which flips carried the gain."""
    if not its.steps:
        return "No step of the path is complete."
    places = decimals(max(abs(step.gain) for step in its.steps) or None)
    steps = [f"{step.name} ({signed(step.gain, places)})" for step in its.steps]
    return f"From all off, the best flips were {listed(steps)}, in this order; chosen and measured on the same seeds."
