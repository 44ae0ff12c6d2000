"""How long the cells of an ablation take, and whether the budget of sequential seeds reaches their first look."""

import itertools
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

TIMED = 16  # configurations of different shape that are timed; arms without one are charged the mean of all


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


def timed(study: Study, data: Data, cells: Iterable[Cell]) -> dict[str, float]:
    """Arm -> seconds of one of its cells, from ten steps and one look at the validation split per shape of cell."""
    known: dict[tuple[str, bool], str] = {}  # configuration, scored on the test split -> its shape
    shapes: dict[str, float] = {}
    priced: list[tuple[str, float]] = []
    for cell in cells:
        key = cell.signature, cell.test
        shape = known[key] = known.get(key) or shape_of(cell)
        if shape not in shapes and len(shapes) < TIMED:
            mine = data_of(cell.trial, study.base, data)
            its = pace(cell.trial, mine)
            test = its.look * mine.test.n / mine.valid.n if cell.test else 0.0
            shapes[shape] = its.run(cell.trial) + test
        if shape in shapes:
            priced.append((cell.name, shapes[shape]))
    return by_arm(study, priced)


def remembered(study: Study, cells: Iterable[Cell], records: Iterable[CellRecord]) -> dict[str, float]:
    """Arm -> seconds of one of its cells, by the median of earlier runs of each; empty where the record knows none."""
    known: dict[str, list[float]] = {}
    for its in records:
        if its.status == "complete" and SECONDS in its.metrics:
            known.setdefault(its.signature, []).append(its.metrics[SECONDS])
    medians = {its: statistics.median(values) for its, values in known.items()}
    return by_arm(study, [(cell.name, medians[cell.signature]) for cell in cells if cell.signature in medians])


def by_arm(study: Study, priced: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Arm -> mean price of its cells, that of all cells for arms without one; empty where nothing has a price."""
    assert study.plan is not None
    found: dict[str, list[float]] = {}
    for arm, price in priced:
        found.setdefault(arm, []).append(price)
    if not found:
        return {}
    mean = statistics.fmean(itertools.chain.from_iterable(found.values()))
    return {arm.name: statistics.fmean(found[arm.name]) if arm.name in found else mean for arm in study.plan.arms}


def shape_of(cell: Cell) -> str:
    """What the time of a cell depends on, as text."""
    trial = cell.trial
    plain = trial.plain()
    terms = sorted(name for name, term in trial.loss.terms.items() if term.weight > 0)
    return json.dumps([plain["data"], plain["model"], terms, trial.train.batch_size, trial.train.epochs, cell.test])


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
    cells = planned_cells(study, record)
    for cell in cells:
        left[cell.name] += record.settled(cell) is None
    check_budget(study, left, timed(study, data, cells))
