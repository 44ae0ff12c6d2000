"""Which figures a study has, from what the record holds of it."""

import math
from collections.abc import Iterator
from typing import Any

from ablate.design.arms import BASE
from ablate.design.confirm import Confirmation
from ablate.design.options import FACTORIAL
from ablate.reporting.ablation import Ablation
from ablate.reporting.bars import pareto_effects, rank
from ablate.reporting.cells import CellRow, finite
from ablate.reporting.confirmed import confirmation
from ablate.reporting.curves import MOST, Course, curves
from ablate.reporting.forest import confirmed_marks, forest, marks_of
from ablate.reporting.interactions import half_normal_plot, interaction
from ablate.reporting.landscape import bars, pareto
from ablate.reporting.numbers import percent
from ablate.reporting.pairs import confirmed_pairs, pairs_of, seed_lines
from ablate.reporting.parallel import Trial, parallel
from ablate.reporting.plots import Plot
from ablate.reporting.question import Question
from ablate.reporting.recorded import Recorded

ALPHA = 0.05  # of intervals beside a search
METHODS = {"ped_anova": "PED-ANOVA", "fanova": "fANOVA"}
TRIALS = 200  # of a search, whose curves are read
BOUND = "valid/elbo"


def figures(its: Recorded, fanova: bool = False) -> list[Plot]:
    """In the order of reading. `fanova`: importance by fANOVA beside PED-ANOVA, which takes seconds to minutes."""
    found = confirmation(its.question, its.rows) if its.ablation is None else None
    several = [
        *(of_ablation(its.ablation) if its.ablation else of_search(its, found, fanova)),
        *(learning(its, found, metric, name) for metric, name in watched(its.question).items()),
    ]
    return [one for one in several if one is not None]


def watched(question: Question) -> dict[str, str]:
    """Metrics of the validation split that have learning curves, with the names of their figures."""
    metric = "valid/" + question.metric.partition("/")[2]
    return {metric: "curves"} | ({} if metric == BOUND else {BOUND: "curves_elbo"})


def of_ablation(its: Ablation) -> Iterator[Plot | None]:
    """Effects, interactions, seeds."""
    design = its.found.plan.design
    yield from of_effects(its)
    yield seed_lines(pairs_of(its.found), shown_metric(design.metric, design.transform), design.alpha)


def of_effects(its: Ablation) -> Iterator[Plot | None]:
    """What a path lacks, since it claims nothing."""
    if its.effects is None:
        return
    plan, question = its.found.plan, its.question
    design, marks = plan.design, marks_of(its.effects, its.found)
    against = {
        True: "of a component (on minus off)",
        False: f"against {plan.reference}" if plan.reference else "of each step on the one before",
    }[design.kind in FACTORIAL]
    looked = plan.test == "sequential"
    level = "an interval that holds at all looks at once" if looked else f"its {percent(1 - design.alpha)} interval"
    metric = shown_metric(design.metric, design.transform)
    if any(mark.effect is not None for mark in marks):
        yield forest(marks, question, metric, against, design.margin, level)
    if design.kind in FACTORIAL:
        yield interaction(its.found)
        yield half_normal_plot(its.effects, marks)
    yield pareto_effects(its.effects, plan)
    yield rank(its.effects.ranking, plan)


def shown_metric(metric: str, transform: str) -> str:
    """`logit(test/eer_f)`: the scale that effects are on."""
    return metric if transform == "none" else f"{transform}({metric})"


def of_search(its: Recorded, found: Confirmation | None, fanova: bool) -> Iterator[Plot | None]:
    """The confirmation, then the trials."""
    question, mine = its.question, [row for row in its.rows if row.role == its.question.role]
    if found is not None:
        metric, level = question.confirmed_metric, f"its {percent(1 - found.alpha)} interval"
        marks = confirmed_marks(found)
        if any(mark.effect is not None for mark in marks):
            yield forest(marks, question, metric, f"against {found.reference}", None, level)
        yield seed_lines(confirmed_pairs(found), metric, found.alpha)
    trials = [Trial(row.name, row.point, row.status, scores(question, row)) for row in mine if row.status != "running"]
    yield parallel(question, trials)
    yield mattered(question, mine, fanova)
    if question.metrics:
        complete = [one for one in trials if one.status == "complete"]
        yield pareto(question.metrics, question.modes, complete)


def scores(question: Question, row: CellRow) -> tuple[float | None, ...]:
    """The objectives of a trial: of several their last values, of one its best."""
    if not question.metrics:
        return (row.objective,)
    return tuple(finite(row.values.get(f"objective/{k}")) for k in range(len(question.metrics)))


def mattered(question: Question, rows: list[CellRow], fanova: bool) -> Plot | None:
    """Importance of the leaves, from complete trials alone: pruned ones were compared at other epochs."""
    from ablate.search.importance import importance, quantile

    scored = [(row.point, score) for row in rows if row.done and (score := row.objective) is not None]
    scored = [(point, score) for point, score in scored if math.isfinite(score)]
    points: list[Any] = [point for point, _ in scored]
    values = [score for _, score in scored]
    found = {
        name: importance(question.space, points, values, question.mode, method)  # type: ignore[arg-type]
        for method, name in METHODS.items()
        if method == "ped_anova" or fanova
    }
    pruned = sum(row.status == "pruned" for row in rows)
    return bars(found, question.metric, len(scored), pruned, quantile(len(scored))) if scored else None


def learning(its: Recorded, found: Confirmation | None, metric: str, name: str) -> Plot | None:
    """Curves by arm of an ablation; of a search by confirmed configuration, then of its trials."""
    question, plan = its.question, its.question.plan
    if plan is not None:
        rows: dict[str, list[CellRow]] = {}
        for row in its.rows:
            rows.setdefault(row.name if row.role == "design" else "", []).append(row)
        arms = sorted((arm.name for arm in plan.arms), key=lambda arm: arm not in (plan.reference, BASE))
        every = [course(its, arm, rows.get(arm, []), metric) for arm in arms[:MOST]]
        reference = plan.reference or (BASE if BASE in arms else None)
        return curves(every, metric, reference, plan.design.alpha, name, len(arms))
    every = []
    for result in found.results if found else ():
        mine = [one for one in its.rows if one.role == "confirm" and one.signature == result.arm.signature]
        every.append(course(its, result.arm.name, mine, metric))
    trials = [row for row in its.rows if row.role == question.role][:TRIALS]
    lost = frozenset(i for i, row in enumerate(trials) if row.failure == "diverged")
    title = f"trials of the {question.role}"
    every.append(Course(title, {i: its.history(row, metric) for i, row in enumerate(trials)}, lost, trials=True))
    return curves(every, metric, found.reference if found else None, found.alpha if found else ALPHA, name)


def course(its: Recorded, name: str, rows: list[CellRow], metric: str) -> Course:
    """The curves of one configuration."""
    lost = frozenset(row.seed for row in rows if row.failure == "diverged")
    return Course(name, {row.seed: its.history(row, metric) for row in rows}, lost)
