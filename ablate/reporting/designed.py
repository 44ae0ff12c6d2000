"""From the rows of an ablation to its effects: values and failures by arm and seed, and what they say."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from ablate.design.arms import BASE, FULL
from ablate.design.effects import Effects, effects
from ablate.design.failures import DIVERGED
from ablate.design.path import Walk, walk
from ablate.design.plan import Plan
from ablate.reporting.cells import CellRow, finite
from ablate.reporting.question import Question
from ablate.search.plan import primary


@dataclass(frozen=True)
class Measured:
    """What became of the cells of a design."""

    plan: Plan
    values: dict[str, dict[int, float | None]] = field(default_factory=dict)  # arm -> seed -> metric
    failures: dict[str, dict[int, str]] = field(default_factory=dict)  # arm -> seed -> class
    cached: dict[str, set[int]] = field(default_factory=dict)  # arm -> seeds that another study ran


def measured(plan: Plan, rows: Iterable[CellRow]) -> Measured:
    """The cells of an ablation from its rows; a run whose metric is not finite diverged at its evaluation."""
    its = Measured(plan)
    for row in rows:
        if row.role != "design":
            continue
        value = primary(plan.design.metric, row.values) if row.done else None
        if row.status == "failed":
            its.failures.setdefault(row.name, {})[row.seed] = row.failure or "code"
        elif row.done and value is None:
            its.failures.setdefault(row.name, {})[row.seed] = "unmeasured"
        elif row.done and finite(value) is None:
            its.failures.setdefault(row.name, {})[row.seed] = DIVERGED
        elif row.done:
            its.values.setdefault(row.name, {})[row.seed] = value
        if row.reused:
            its.cached.setdefault(row.name, set()).add(row.seed)
    return its


def effects_of(question: Question, rows: Sequence[CellRow], given_up: Collection[str] = ()) -> Effects:
    """The effects of an ablation. Raises Mistake for a value outside the domain of the design's transform."""
    assert question.plan is not None
    its = measured(question.plan, rows)
    return effects(its.plan, its.values, its.failures, cached=its.cached, study=question.study, given_up=given_up)


def walk_of(question: Question, rows: Sequence[CellRow]) -> Walk:
    """The steps of a path, as far as its rows reach."""
    assert question.plan is not None
    its, names = measured(question.plan, rows), [one.name for one in question.plan.components]
    ended = {
        state(arm, names): {**dict.fromkeys(its.failures.get(arm, {})), **its.values.get(arm, {})}
        for arm in dict.fromkeys([*its.values, *its.failures])
    }
    return walk(names, question.plan.seeds, ended, its.plan.design.mode)


def state(arm: str, names: Sequence[str]) -> frozenset[str]:
    """Components that are on in an arm of this name."""
    return frozenset(names) if arm == FULL else frozenset() if arm == BASE else frozenset(arm.split("+"))
