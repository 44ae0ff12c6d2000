"""How long the cells of an ablation take, and whether the budget of sequential seeds reaches their first look."""

import json
import statistics
from collections.abc import Callable, Iterable, Mapping

from ablate.data.dataset import Data
from ablate.design.options import Budget, Sequential
from ablate.errors import Mistake
from ablate.records import CellRecord
from ablate.search import retune
from ablate.search.designed import SECONDS, hours
from ablate.search.known import Known
from ablate.search.plan import Cell
from ablate.study import Study
from ablate.training.alike import data_of
from ablate.training.probe import pace
from ablate.trial import Trial

TIMED = 16  # configurations of different shape that are timed; others are charged their mean


def planned_cells(study: Study, known: Known) -> list[Cell]:
    """All cells of a design, tuned arms as far as they are known; of a path those of its two ends."""
    assert study.plan is not None
    if study.plan.design.retune is not None:
        first = retune.cells(study, known.planner)
        arms = retune.winners(study, [(cell, known.settled(cell)) for cell in first])
        seeds = [
            known.planner.designed(arms[arm.name], seed, False) for seed in study.plan.seeds for arm in study.plan.arms
        ]
        return [*first, *seeds]
    return [known.planner.designed(arm, seed, False) for seed in study.plan.seeds for arm in study.plan.arms]


def timed(study: Study, data: Data) -> dict[str, float]:
    """Arm -> seconds of one run, from ten steps and one look at the validation split per shape of configuration."""
    assert study.plan is not None
    seconds: dict[str, float] = {}
    shapes: dict[str, float] = {}
    for arm in study.plan.arms:
        trial = study.arm(arm.name)
        shape = shape_of(trial)
        if shape not in shapes and len(shapes) < TIMED:
            mine = data_of(trial, study.base, data)
            its = pace(trial, mine)
            shapes[shape] = its.epoch * trial.train.epochs + its.look * mine.test.n / mine.valid.n
        if shape in shapes:
            seconds[arm.name] = shapes[shape]
    return completed(study, seconds)


def remembered(study: Study, known: Known, cells: Iterable[CellRecord]) -> dict[str, float]:
    """Arm -> median seconds of earlier runs of the same configuration; empty where the record knows none."""
    assert study.plan is not None
    by_signature: dict[str, list[float]] = {}
    for its in cells:
        if its.status == "complete" and SECONDS in its.metrics:
            by_signature.setdefault(its.signature, []).append(its.metrics[SECONDS])
    first = study.plan.seeds[0]
    signatures = {arm.name: known.planner.designed(arm, first, False).signature for arm in study.plan.arms}
    seconds = {arm: statistics.median(by_signature[its]) for arm, its in signatures.items() if its in by_signature}
    return completed(study, seconds) if seconds else {}


def completed(study: Study, seconds: Mapping[str, float]) -> dict[str, float]:
    """The same, the mean for arms without an own figure."""
    assert study.plan is not None
    mean = statistics.fmean(seconds.values())
    return {arm.name: seconds.get(arm.name, mean) for arm in study.plan.arms}


def shape_of(trial: Trial) -> str:
    """What the time of a step depends on, as text."""
    plain = trial.plain()
    terms = sorted(name for name, term in trial.loss.terms.items() if term.weight > 0)
    return json.dumps([plain["data"], plain["model"], terms, trial.train.batch_size, trial.train.epochs])


def devices_of(study: Study, budget: Budget | None = None) -> float:
    """CPUs or GPUs of one run: those that the budget counts, else GPUs where it has any."""
    its = study.resources
    gpus = budget.gpu_hours is not None if budget else its.gpus_per_worker > 0
    return its.workers * (its.gpus_per_worker if gpus else its.cpus_per_worker)


def check_budget(study: Study, left: Mapping[str, int], seconds: Mapping[str, float]) -> None:
    """Raise Mistake where the budget of sequential seeds does not reach the first look."""
    its = study.design.seeds if study.design else ()
    if not isinstance(its, Sequential) or its.budget is None or study.plan is None:
        return
    later = len(study.plan.seeds) - study.plan.looks[0]
    first = sum(max(0, count - later) * seconds[arm] for arm, count in left.items())
    needed, allowed = first * devices_of(study, its.budget) / 3600, hours(its.budget)
    if needed > allowed:
        kind = "gpu_hours" if its.budget.gpu_hours is not None else "cpu_hours"
        raise Mistake(
            f"design.seeds.budget: the first look, at {study.plan.looks[0]} seeds, takes about {needed:.2g} {kind}, "
            f"more than the {allowed:g} of the budget"
        )


def check_first_look(study: Study, data: Data, known: Callable[[], Known]) -> None:
    """The same, from a timing probe and what the record has; for a study without such a budget nothing is looked at."""
    its = study.design.seeds if study.design else ()
    if not isinstance(its, Sequential) or its.budget is None or study.plan is None:
        return
    left = dict.fromkeys((arm.name for arm in study.plan.arms), 0)
    record = known()
    for cell in planned_cells(study, record):
        left[cell.name] += record.settled(cell) is None
    check_budget(study, left, timed(study, data))
