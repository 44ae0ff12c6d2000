"""The cells of an ablation: every arm on every seed, or as many as sequential looks ask for, or the steps of a path."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ablate.design.arms import Arm, switched
from ablate.design.effects import looked
from ablate.design.failures import DIVERGED
from ablate.design.measured import runs_of
from ablate.design.options import Budget, Sequential
from ablate.design.path import walk
from ablate.design.plan import Plan
from ablate.design.sequential import Course, cells_to_run, within_budget
from ablate.search import retune
from ablate.search.executor import Executor
from ablate.search.plan import Cell, Outcome, once, primary

SECONDS = "system/wall_seconds"  # of training, in the reports of a cell


@dataclass
class Found:
    """What is known so far of the cells of a design."""

    plan: Plan
    cells: dict[tuple[str, int], Cell] = field(default_factory=dict)  # (arm, seed), in the order of the plan
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # by cell key
    given_up: set[str] = field(default_factory=set)  # contrasts that the budget ended

    def add(self, cells: Iterable[Cell], outcomes: Mapping[str, Outcome]) -> None:
        """Cells that were asked for, and how those ended that did."""
        self.cells |= {(cell.name, cell.seed): cell for cell in cells}
        self.outcomes |= outcomes

    @property
    def done(self) -> set[tuple[str, int]]:
        """(arm, seed) of the cells that ended."""
        return {place for place, cell in self.cells.items() if cell.key in self.outcomes}

    def values(self) -> dict[str, dict[int, float | None]]:
        """Arm -> seed -> metric of the cells that ended; None where one ended without."""
        found: dict[str, dict[int, float | None]] = {}
        for (arm, seed), cell in self.cells.items():
            out = self.outcomes.get(cell.key)
            if out is not None:
                value = primary(self.plan.design.metric, out.values) if out.status == "complete" else None
                found.setdefault(arm, {})[seed] = value if value is not None and math.isfinite(value) else None
        return found

    def failures(self) -> dict[str, dict[int, str]]:
        """Arm -> seed -> class of the cells that ended without a value."""
        found: dict[str, dict[int, str]] = {}
        for (arm, seed), cell in self.cells.items():
            out = self.outcomes.get(cell.key)
            if out is not None and out.status != "complete":
                found.setdefault(arm, {})[seed] = out.failure or "code"
            elif out is not None:
                value = primary(self.plan.design.metric, out.values)
                if value is None or not math.isfinite(value):
                    found.setdefault(arm, {})[seed] = "unmeasured" if value is None else DIVERGED
        return found

    def pairs(self) -> list[tuple[Cell, Outcome | None]]:
        """The cells and how they ended, in the order of the plan: arm by arm."""
        order = {arm.name: i for i, arm in enumerate(self.plan.arms)}
        places = sorted(self.cells, key=lambda place: (order.get(place[0], len(order)), place[0], place[1]))
        return [(self.cells[place], self.outcomes.get(self.cells[place].key)) for place in places]


class Incomplete(Exception):
    """A cell of the plan has not ended, and nothing is to be run."""


class Designed:
    """The work of one sweep on an ablation; what it finds goes to `result`."""

    def __init__(self, executor: Executor):
        study = executor.study
        assert study.plan is not None
        self.executor, self.study, self.plan = executor, study, study.plan
        self.planner, self.found = executor.planner, Found(study.plan)
        self.dry = False  # only look at what the record has
        self.arms = {arm.name: arm for arm in self.plan.arms}
        self.tried: list[tuple[Cell, Outcome | None]] = []  # of the search inside the arms

    def run(self) -> None:
        """Run what the record lacks of the plan."""
        try:
            self.all_cells()
        finally:
            pairs = [*self.tried, *self.found.pairs()]
            self.executor.result.found = [(cell, out) for cell, out in pairs if out is not None]
            names = [its.name for its in self.plan.contrasts]
            self.executor.result.given_up = [name for name in names if name in self.found.given_up]

    def remaining(self) -> bool:
        """Whether a study that the record calls complete has anything to run after all; fills the result if not."""
        self.dry = True
        try:
            self.run()
        except Incomplete:
            return True
        finally:
            self.dry, self.found, self.tried = False, Found(self.plan), []
        return False

    def all_cells(self) -> None:
        """By the kind of the design and of its seeds."""
        if self.plan.design.retune is not None:
            self.retune()
        if self.plan.design.kind == "path":
            self.run_path()
        elif isinstance(self.plan.design.seeds, Sequential):
            self.run_looks(self.plan.design.seeds.budget)
        else:
            self.run_cells((arm, seed) for seed in self.plan.seeds for arm in self.arms.values())

    def retune(self) -> None:
        """Search inside every arm; from then on an arm is its best point."""
        cells = retune.cells(self.study, self.planner)
        done = self.ended("retune", cells)
        self.tried = [(cell, done.get(cell.key)) for cell in cells]
        self.arms = retune.winners(self.study, self.tried)

    def ended(self, title: str, cells: list[Cell]) -> dict[str, Outcome]:
        """How cells ended; those that the record lacks are run first. Raises Incomplete where nothing is to be run."""
        if not self.dry:
            return self.executor.run_list(title, cells, self.study.resources)
        done = self.executor.settled(once(cells))
        if any(cell.key not in done for cell in cells):
            raise Incomplete
        return done

    def run_cells(self, places: Iterable[tuple[Arm, int]], title: str = "design") -> None:
        """Arms on seeds, in this order; an interrupted list holds complete pairs."""
        first = self.plan.seeds[0]
        cells = [self.planner.designed(arm, seed, pictures=seed == first) for arm, seed in places]
        self.found.add(cells, self.executor.settled(once(cells)))
        self.found.add(cells, self.ended(title, cells))

    def run_looks(self, budget: Budget | None) -> None:
        """Seed after seed for the contrasts that are not decided, from look to look."""
        plan = self.plan
        arms = {its.name: tuple(its.weights) for its in plan.contrasts if its.claim}
        while (now := self.look()).next_look is not None:
            seeds = plan.seeds[: plan.looks[now.next_look - 1]]
            names = self.affordable(now, arms, seeds, budget)
            batch = cells_to_run(names, arms, seeds, self.found.done)
            if batch:
                self.run_cells(((self.arms[name], seed) for name, seed in batch), f"look {now.next_look}")

    def look(self) -> Course:
        """What the looks have decided from what is there."""
        runs = runs_of(self.plan, self.found.values(), self.found.failures())
        now = looked(self.plan, runs, self.found.given_up)
        assert now is not None
        return now

    def affordable(
        self, now: Course, arms: Mapping[str, Sequence[str]], seeds: Sequence[int], budget: Budget | None
    ) -> list[str]:
        """The open contrasts whose next batch the budget pays for; the others are given up.

        The first look is free of it, since nothing is measured before. Costs are those measured so far: an arm that has
        not run yet is charged the dearest of the others.
        """
        cost = self.costs(budget)
        if budget is None or not cost:
            return now.open
        dearest = max(cost.values())
        left = hours(budget) - self.spent(budget)
        each = {name: cost.get(name, dearest) for its in arms.values() for name in its}
        kept, ended = within_budget(now, arms, seeds, self.found.done, each, left)
        self.found.given_up |= set(ended)
        return kept

    def costs(self, budget: Budget | None) -> dict[str, float]:
        """Arm -> mean device hours of its cells."""
        found: dict[str, list[float]] = {}
        for cell, out in self.found.pairs():
            if out is not None and SECONDS in out.values:
                found.setdefault(cell.name, []).append(out.values[SECONDS] * self.devices(budget) / 3600)
        return {name: sum(its) / len(its) for name, its in found.items()}

    def spent(self, budget: Budget | None) -> float:
        """Device hours of this study's own cells, those of the search inside the arms included."""
        reused = self.executor.result.reused
        pairs = [*once_each(self.tried), *self.found.pairs()]
        own = [out.values for cell, out in pairs if out is not None and cell.key not in reused]
        return sum(its.get(SECONDS, 0.0) for its in own) * self.devices(budget) / 3600

    def devices(self, budget: Budget | None) -> float:
        """CPUs or GPUs of one cell, whichever the budget counts."""
        its = self.study.resources
        return its.workers * (its.gpus_per_worker if budget and budget.gpu_hours is not None else its.cpus_per_worker)

    def run_path(self) -> None:
        """One component at a time, the best flip of each round."""
        names = [its.name for its in self.plan.components]
        arms: dict[frozenset[str], Arm] = {}
        while True:
            values = self.found.values()
            by_state = {on: values[arm.name] for on, arm in arms.items() if arm.name in values}
            its = walk(names, self.plan.seeds, by_state, self.plan.design.mode)
            if not its.wanted:
                return
            for on, _ in its.wanted:
                arms.setdefault(on, switched(self.plan.components, {name: name in on for name in names}))
            self.run_cells(((arms[on], seed) for on, seed in its.wanted), f"step {len(its.steps) + 1}")


def once_each(pairs: Iterable[tuple[Cell, Outcome | None]]) -> list[tuple[Cell, Outcome | None]]:
    """Every cell once, though several arms tried it."""
    return list({cell.key: (cell, out) for cell, out in pairs}.values())


def hours(budget: Budget) -> float:
    """Of the devices that the budget counts."""
    return budget.gpu_hours if budget.gpu_hours is not None else budget.cpu_hours or 0.0
