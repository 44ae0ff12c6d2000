"""What a study would do, before it does anything: all mistakes, the plan, what the record has, and what it costs."""

import contextlib
import itertools
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from ablate.cost import Cost, estimate
from ablate.data.dataset import Data, load_data, prepared
from ablate.data.items import BadItem, Dropped
from ablate.errors import Mistake
from ablate.outlook import Bill, Outlook, look_at, pulled
from ablate.records import CellRecord, StudyRecord, current
from ablate.registry import DATASETS, MODELS, build
from ablate.search import cluster, identity
from ablate.search.afford import check_budget, devices_of, remembered, timed
from ablate.search.known import Known
from ablate.search.plan import Planner, final, newest
from ablate.search.runner import writable_folder
from ablate.search.space import grid
from ablate.study import Study
from ablate.tracking import Record
from ablate.training.alike import check_alike, check_arms, check_steps
from ablate.training.measures import check_measures
from ablate.trial import Trial

TRIED = 5  # items that are read for the shape of a frame
CORNERS = 64  # combinations of model options that are built
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
Value = TypeVar("Value")


@dataclass
class Plan:
    """What is known of a study that has not begun. Absent parts could not be found out; `mistakes` say why."""

    study: Study
    mistakes: list[str] = field(default_factory=list)
    data: Data | None = None
    cells: list[CellRecord] | None = None  # of all studies in the record
    linked: list[StudyRecord] = field(default_factory=list)  # configuration runs of this study
    complete: bool = False  # according to the record
    parameters: dict[str, list[int]] = field(default_factory=dict)  # model -> number of parameters over the space
    fits: bool = False  # whether a trial can run at all
    at_once: int = 1  # trials
    where: str = "this machine"
    cost: Cost | None = None
    unknown_cost: str = ""  # why there is none
    outlook: Outlook | None = None  # of an ablation

    @property
    def searched(self) -> int:
        """Cells of the search or of the design."""
        search = self.study.search
        if self.study.plan is not None:
            return self.study.plan.runs
        if search is None:
            return 1
        return self.study.points or 0 if search.algorithm == "grid" else search.trials or 0

    @property
    def arms(self) -> int:
        """Configurations that are confirmed, at most: the best, the default, the baselines."""
        confirm = self.study.search.confirm if self.study.search else None
        return 0 if confirm is None else confirm.top + 1 + len(self.study.baselines)

    @property
    def confirmed(self) -> int:
        """Cells of the confirmation, at most."""
        return self.arms * len(seeds(self.study))

    @property
    def wall(self) -> float | None:
        """Seconds from start to end; None where they are unknown."""
        if self.outlook is not None:
            return self.outlook.bill.wall if self.outlook.bill else None
        return self.cost.wall if self.cost else None

    def settled(self) -> tuple[int, int]:
        """(cells of the search, cells of the confirmation) that need not be run again."""
        if not self.cells:
            return 0, 0
        if self.outlook is not None:
            return self.outlook.settled, 0
        if self.data is None:
            mine = newest(its for its in self.cells if its.study == self.study.name)
            roles = Counter(its.tags.get("ablate.role") for its in mine.values() if final(its))
            return roles["search"] + roles["grid"] + roles["design"], roles["confirm"]
        known = Known(Planner(self.study, self.data.digest), self.cells, self.linked)
        return searched_before(self.study, known), confirmed_before(self.study, known)

    def left(self) -> tuple[int, int]:
        """(cells of the search, cells of the confirmation) that would be run."""
        if self.complete:
            return 0, 0
        searched, confirmed = self.settled()
        return max(0, self.searched - searched), max(0, self.confirmed - confirmed)


def examine(study: Study, probe: bool = True, address: str | None = None, cpus: float | None = None) -> Plan:
    """Look at everything that a study needs. Starts no Ray, trains nothing for good, writes nothing."""
    plan = Plan(study)

    def attempt(action: Callable[[], Value]) -> Value | None:
        try:
            return action()
        except Mistake as mistake:
            plan.mistakes += mistake.sentences
            return None

    folder = attempt(lambda: writable_folder(study))
    record = attempt(lambda: open_existing(study)) if folder else None
    if record is not None:
        plan.linked, known = record.arms(study.name), record.study(study.name)
        plan.cells = current(record.cells(), known)
        plan.complete = identity.complete(study, known)
        attempt(lambda: None if known is None else identity.check_same(study, known))
    before = len(plan.mistakes)
    base = study.base.data
    if attempt(lambda: prepared((base.name, base.options))):
        plan.data = attempt(lambda: load_data((base.name, base.options)))
    if plan.data is not None:
        for trial in (study.base, *study.baselines.values()):
            key, metrics = study.measured
            attempt(partial(check_measures, trial, plan.data, metrics, key))
    readable = len(plan.mistakes) == before
    fits = attempt(lambda: trials_at_once(study, address, cpus))
    plan.fits, plan.at_once = fits is not None, fits or 1
    plan.where = f"the cluster at {address}" if address else "this machine"
    frame = attempt(lambda: frame_of(study, plan.data)) if readable else None
    if frame is not None:
        plan.parameters = attempt(lambda: count_parameters(study, frame, plan.data)) or {}
        if study.plan is not None:
            attempt(lambda: check_built(study, frame, plan.data))
    plan.unknown_cost = no_probe(plan, probe)
    if study.plan is not None and plan.data is not None:
        attempt(lambda: look_ahead(plan, probe))
    elif not plan.unknown_cost and plan.data is not None:
        searched, confirmed = plan.left()
        plan.cost = estimate(study, plan.data, searched, confirmed / max(1, plan.arms), plan.at_once)
    return plan


def check_built(study: Study, frame: tuple[int, ...], data: Data | None) -> None:
    """Raise Mistake for arms of a design that do not suit the data, or that build the same."""
    assert study.plan is not None
    if data is not None:
        check_arms(study.plan, study.base, data)
    else:
        check_alike(study.plan, study.base, lambda _: frame)


def look_ahead(plan: Plan, probe: bool) -> None:
    """What an ablation would run, could show and costs. Raises Mistake for arms that train the same."""
    study, data = plan.study, plan.data
    assert data is not None
    assert study.plan is not None
    cells = plan.cells or []
    known = Known(Planner(study, data.digest), cells, plan.linked)
    plan.outlook = its = look_at(study, known)
    if plan.mistakes:
        return
    if probe:
        check_steps(study.plan, study.base, data)
        its.pulls = pulled(study, data)
    seconds = timed(study, data, its.cells) if probe else remembered(study, its.cells, cells)
    if seconds:
        left = dict.fromkeys(its.left, 0) if plan.complete else its.left
        its.bill = Bill.of(left, seconds, devices_of(study), plan.at_once, measured=probe)
        check_budget(study, left, seconds)


def no_probe(plan: Plan, probe: bool) -> str:
    """Why no timing probe is made; empty if one is."""
    if plan.mistakes:
        return "the mistakes come first"
    if plan.data is None:
        return "the data are not prepared yet; the first sweep prepares them"
    return "" if probe else "--no-probe"


def open_existing(study: Study) -> Record | None:
    """The study's record, or None where there is none yet; raises Mistake where it does not answer."""
    its = study.tracking
    file = Path(its.folder).resolve() / "mlflow.db"
    if its.uri is None and not file.exists():
        return None
    local = (its.uri or "").removeprefix("sqlite:///")
    if its.uri is not None and its.uri.startswith("sqlite:///") and not Path(local).exists():
        return None
    wait = float(os.environ.get("ABLATE_RECORD_WAIT", "5"))
    return Record(its.uri or f"sqlite:///{file}", its.experiment, its.artifacts, wait=wait)


def trials_at_once(study: Study, address: str | None, cpus: float | None) -> int:
    """How many trials run at once; raises Mistake if none ever would."""
    if address is None:
        return cluster.concurrency(study.resources, cluster.local_totals(cpus))
    with cluster.connected(address, study.name):
        return cluster.concurrency(study.resources)


def frame_of(study: Study, data: Data | None) -> tuple[int, ...] | None:
    """Shape of a frame: from the prepared data, else from the first item that can be read; raises Mistake."""
    if data is not None:
        return data.frame
    dataset = DATASETS[study.base.data.name].make(study.base.data.options)
    for item in dataset.items()[:TRIED]:
        with contextlib.suppress(BadItem, Dropped):
            return tuple(dataset.load(item).x.shape[1:])
    return None


def count_parameters(study: Study, frame: tuple[int, ...], data: Data | None = None) -> dict[str, list[int]]:
    """Model -> its number of parameters by default and at the ends of its ranges; built on the meta device.

    Before the data are prepared, what a model holds of every sequence is counted once.
    """
    sequences = 1 if data is None else len(data.train.items)
    counts: dict[str, list[int]] = {}
    for name, trial in {study.base.model.name: study.base, **study.baselines}.items():
        counts[name] = [number_of_parameters(its, frame, sequences) for its in (trial, *corners(study, trial))]
    return counts


def corners(study: Study, trial: Trial) -> list[Trial]:
    """The default configuration with the ends of the model's ranges in it; of a design one per model of its arms."""
    if study.plan is not None and trial is study.base:
        arms = {json.dumps(its.plain()["model"]): its for its in map(study.arm, (arm.name for arm in study.plan.arms))}
        return list(arms.values())[:CORNERS]
    paths = [path for path in study.space if path.startswith("model.")] if trial is study.base else []
    points = itertools.islice(itertools.product(*(study.space[path].ends() for path in paths)), CORNERS)
    return [trial.replace(dict(zip(paths, values, strict=True))) for values in points] if paths else []


def number_of_parameters(trial: Trial, frame: tuple[int, ...], sequences: int = 1) -> int:
    """Parameters of the model of a configuration; raises Mistake where it cannot be built for such frames."""
    with torch.device("meta"):
        model = build(MODELS[trial.model.name], frame, trial.model.options, trial.data.options.window, sequences)
    return sum(p.numel() for p in model.parameters())


def searched_before(study: Study, known: Known) -> int:
    """Search cells that are settled."""
    if study.search is not None and study.search.algorithm == "grid":
        cells = {cell.key: cell for cell in (known.planner.searched(point, "grid") for point in grid(study))}
        return sum(known.settled(cell) is not None for cell in cells.values())
    return len(known.searched())


def confirmed_before(study: Study, known: Known) -> int:
    """Cells of the confirmation that are settled: the default's and the baselines', and this study's of the best."""
    fixed = {"default": study.base, **study.baselines}
    cells = [known.planner.confirmed(its, name, s, {}, False) for name, its in fixed.items() for s in seeds(study)]
    keys = {cell.key for cell in cells}
    best = [its for its in known.mine.values() if its.tags.get("ablate.role") == "confirm" and its.cell not in keys]
    return sum(known.settled(cell) is not None for cell in cells) + sum(final(its) for its in best)


def seeds(study: Study) -> tuple[int, ...]:
    """Of the confirmation."""
    confirm = study.search.confirm if study.search else None
    return () if confirm is None else confirm.seeds


def seconds(text: str) -> float:
    """`90s`, `45m`, `4h`, `1h30m`, `2d` in seconds; raises Mistake."""
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text.strip()):
        raise Mistake(f"--budget {text} is no time; write 45m, 4h, 1h30m or 2d")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([smhd])", text))


def refuse(plan: Plan, budget: str | None) -> None:
    """Raise Mistake for everything that is wrong, a cost above the budget included."""
    mistakes = list(plan.mistakes)
    if budget is not None:
        allowed, wall = seconds(budget), plan.wall
        if wall is None:
            mistakes.append(f"--budget {budget} cannot be checked: the cost is unknown ({plan.unknown_cost})")
        elif wall > allowed:
            less = (
                "search.trials, train.epochs or search.confirm.seeds"
                if plan.study.search
                else "design.seeds or train.epochs"
            )
            mistakes.append(
                f"the study takes about {duration(wall)} on {plan.where}, more than --budget {budget}; lower {less}"
            )
    if mistakes:
        raise Mistake(*dict.fromkeys(mistakes))


def duration(value: float) -> str:
    """Seconds for a person: `40 s`, `4 min`, `2 h 10 min`, `3 d 4 h`."""
    if value < 90:
        return f"{max(1, round(value))} s"
    minutes = round(value / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
