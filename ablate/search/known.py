"""What the record already has of a study: cells that need not be run, and cells that were begun."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ablate.errors import Mistake
from ablate.records import CellRecord, StudyRecord
from ablate.search.events import METRICS
from ablate.search.plan import Cell, Outcome, Planner, Point, final, newest, outcome, primary

LINKED = "ablate.linked"  # tag of a configuration run that points at a cell of another study: the cell's role here


class Known:
    """The cells of a study in the record, and complete ones of other studies."""

    def __init__(
        self,
        planner: Planner,
        cells: Iterable[CellRecord],
        arms: Iterable[StudyRecord] = (),
        retry_failed: bool = False,
    ):
        """`cells` of all studies, `arms` (configuration runs) of this one."""
        every, name = list(cells), planner.study.name
        self.linked = [json.loads(arm.tags["ablate.point"]) for arm in arms if arm.tags.get(LINKED) == "search"]
        self.planner, self.retry_failed = planner, retry_failed
        self.mine = newest(its for its in every if its.study == name)
        asked = planner.study.base.plain()["metrics"]
        complete = (its for its in every if its.study != name and its.status == "complete")
        self.others = newest(its for its in complete if measured_alike(asked, its))
        self.diverged = newest(its for its in every if its.study != name and its.failure == "diverged")

    def settled(self, cell: Cell) -> Outcome | None:
        """How a cell ended, if it need not be run: in this study, or complete in another with all that is asked."""
        mine = self.mine.get(cell.key)
        if mine is not None and final(mine, self.retry_failed) and suffices(cell, mine):
            return outcome(mine)
        other = self.others.get(cell.key)
        if other is None and cell.role == "design":
            other = self.diverged.get(cell.key)
        return self.taken_over(other) if other is not None and suffices(cell, other) and measured(cell, other) else None

    def elsewhere(self, cell: Cell) -> Outcome | None:
        """How a cell ended that another study has run to its end, with all that is asked."""
        other = self.others.get(cell.key)
        return self.taken_over(other) if other is not None and measured(cell, other) else None

    def taken_over(self, other: CellRecord) -> Outcome:
        """The outcome of another study's cell: of several objectives, this study's and in its order."""
        names = self.planner.study.search.metric if self.planner.study.search else ()
        values = {key: value for key, value in other.metrics.items() if not key.startswith("objective/")}
        if len(names) > 1:
            values |= {f"objective/{k}": values[name] for k, name in enumerate(names) if name in values}
        return replace(outcome(other), values=values)

    def searched(self) -> list[tuple[Cell, Outcome]]:
        """Settled search cells of this study whose point still lies in the space, oldest first."""
        found = []
        for its in sorted(self.mine.values(), key=lambda its: its.started):
            if its.tags.get("ablate.role") != "search" or not final(its, self.retry_failed):
                continue
            cell = self.cell_at(its.point)
            if cell is not None and cell.key == its.cell:
                found.append((cell, outcome(its)))
        return [*found, *self.searched_elsewhere({cell.key for cell, _ in found})]

    def searched_elsewhere(self, own: set[str]) -> list[tuple[Cell, Outcome]]:
        """Search cells that earlier runs of this study took over from other studies."""
        cells = [cell for point in self.linked if (cell := self.cell_at(point)) is not None and cell.key not in own]
        return [(cell, found) for cell in cells if (found := self.elsewhere(cell)) is not None]

    def unfinished(self) -> list[CellRecord]:
        """Search cells of this study that began and did not end."""
        return [
            its
            for its in self.mine.values()
            if its.tags.get("ablate.role") == "search" and not final(its, self.retry_failed)
        ]

    def cell_at(self, point: Point) -> Cell | None:
        """The cell of a recorded point; None if the space has changed under it."""
        try:
            return self.planner.searched(point)
        except Mistake:
            return None


def measured_alike(asked: dict[str, Any], its: CellRecord) -> bool:
    """Whether another study's record was measured as this one asks, at the same epochs with the same options.

    How often decides which epoch is the best one, and what a metric's options are decides its value; neither is part of
    a configuration.
    """
    theirs = json.loads(its.tags.get(METRICS, "{}"))
    return "every" in theirs and all(theirs[name] == options for name, options in asked.items() if name in theirs)


def suffices(cell: Cell, its: CellRecord) -> bool:
    """Whether a record holds the scores on the test split that are asked of the cell."""
    return not cell.test or its.status != "complete" or any(key.startswith("test/") for key in its.metrics)


def measured(cell: Cell, its: CellRecord) -> bool:
    """Whether another study's record holds all metrics that are asked of the cell, and the one that it is there for."""
    if its.status != "complete":
        return True
    held = cell.trial.metrics.chosen.keys() <= json.loads(its.tags.get(METRICS, "{}")).keys()
    return held and (not cell.metric or primary(cell.metric, its.metrics) is not None)
