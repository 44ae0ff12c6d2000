"""Cells: what a study runs, how each is addressed, and what is known about it already."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ablate.data.dataset import load_data
from ablate.design.arms import Arm
from ablate.naming import describe_difference
from ablate.records import CellRecord
from ablate.signature import cell_key, signature
from ablate.study import Study
from ablate.trial import Trial

Point = dict[str, Any]
SHORT = 8  # hex digits of a signature in folder and run names


@dataclass(frozen=True)
class Cell:
    """One configuration on one seed, with the part it plays in the study."""

    trial: Trial  # seed included
    signature: str  # of the configuration, 64 hex
    key: str  # cell key, 64 hex
    name: str  # of the configuration: how it differs from the study's default
    role: str  # search, grid, confirm, design or retune
    point: Point = field(default_factory=dict)  # the searched leaves
    test: bool = False  # score the test split at the end
    pictures: bool = False  # leave pictures and sounds
    attempt: int = 1  # of `--fresh`: the record keeps each
    metric: str = ""  # that a cell of another study must have to stand for this one

    @property
    def seed(self) -> int:
        """Seed of the replicate."""
        return self.trial.train.seed

    @property
    def label(self) -> str:
        """`<short signature>-s<seed>`, `-a<attempt>` from the second on: its folder, and its name on the dashboard."""
        again = f"-a{self.attempt}" if self.attempt > 1 else ""
        return f"{self.signature[:SHORT]}-s{self.seed}{again}"


@dataclass(frozen=True)
class Outcome:
    """How a cell ended, from this process or from the record."""

    key: str
    status: str  # complete, pruned, failed, stopped
    values: dict[str, float]  # of its last report
    failure: str = ""
    why: str = ""
    run_id: str | None = None  # where another study ran it
    history: tuple[tuple[int, float], ...] = ()  # (epoch, objective)

    @property
    def objective(self) -> float:
        """Best value of the selected metric; NaN if it never got one."""
        return self.values.get("objective", math.nan)


class Planner:
    """Makes the cells of one study."""

    def __init__(self, study: Study, data_digest: str, attempts: Mapping[str, int] = MappingProxyType({})):
        """`attempts`: which attempt is meant, by cell key; the first for all others."""
        self.study, self.data_digest, self.attempts = study, data_digest, attempts
        self._arms: dict[str, tuple[Trial, str]] = {}  # of a design, by their leaves, with their signatures
        self._digests = {study.base.data: data_digest}

    def digest(self, trial: Trial) -> str:
        """Digest of the data that a configuration sees: its own where it changes options of the data."""
        if trial.data not in self._digests:
            self._digests[trial.data] = load_data((trial.data.name, trial.data.options)).digest
        return self._digests[trial.data]

    def searched(self, point: Point, role: str = "search") -> Cell:
        """The cell of a point of the space, on the study's own seed."""
        trial = self.study.configuration(point)
        return self._cell(trial, describe_difference(trial, self.study.base), role, point)

    def confirmed(self, trial: Trial, name: str, seed: int, point: Point, pictures: bool) -> Cell:
        """A replicate on a fresh seed, to be scored on the test split."""
        return self._cell(trial.replace({"train.seed": seed}), name, "confirm", point, test=True, pictures=pictures)

    def designed(self, arm: Arm, seed: int, pictures: bool) -> Cell:
        """A replicate of an arm; scored on the test split where the design's metric is one of that split."""
        design = self.study.design
        assert design is not None
        return self._of_arm(arm, seed, "design", design.metric.startswith("test/"), pictures, design.metric)

    def retuned(self, arm: Arm, seed: int) -> Cell:
        """A trial of the search inside an arm."""
        return self._of_arm(arm, seed, "retune")

    def _of_arm(
        self, arm: Arm, seed: int, role: str, test: bool = False, pictures: bool = False, metric: str = ""
    ) -> Cell:
        leaves = json.dumps(arm.leaves, sort_keys=True)
        if leaves not in self._arms:
            trial = self.study.base.replace(arm.leaves)
            self._arms[leaves] = trial, signature(trial)
        trial, its = self._arms[leaves]
        trial = replace(trial, train=replace(trial.train, seed=seed))
        key = cell_key(trial, self.digest(trial), its)
        attempt = self.attempts.get(key, 1)
        return Cell(trial, its, key, arm.name, role, arm.leaves, test, pictures, attempt, metric)

    def _cell(
        self, trial: Trial, name: str, role: str, point: Point, test: bool = False, pictures: bool = False
    ) -> Cell:
        its = signature(trial)
        key = cell_key(trial, self.digest(trial), its)
        attempt = self.attempts.get(key, 1)
        return Cell(trial, its, key, name, role, point, test, pictures, attempt)


def cell_config(cell: Cell, folder: Path, sweep: str, objectives: list[str]) -> dict[str, Any]:
    """What travels to the trial process: plain values only."""
    return {
        "trial": cell.trial.plain(),
        "signature": cell.signature,
        "cell": cell.key,
        "seed": cell.seed,
        "key": cell.label,
        "name": cell.name,
        "role": cell.role,
        "point": cell.point,
        "attempt": cell.attempt,
        "test": cell.test,
        "pictures": cell.pictures,
        "objectives": objectives,
        "folder": str(folder / "checkpoints" / cell.label),
        "scratch": str(folder / "spool" / "ray"),
        "sweep": sweep,
    }


def address(cell: dict[str, Any]) -> dict[str, Any]:
    """Which run of the record an event about this cell is for."""
    return {"cell": cell["cell"], "attempt": cell["attempt"]}


def primary(metric: str, values: Mapping[str, float]) -> float | None:
    """What a cell says of a metric of either split, at its best epoch: of the validation split that is `objective`."""
    return values.get("objective" if metric.startswith("valid/") else metric)


def once(cells: Iterable[Cell]) -> list[Cell]:
    """Each cell key once, the first of several: a baseline may be the default configuration."""
    found: dict[str, Cell] = {}
    for cell in cells:
        found.setdefault(cell.key, cell)
    return list(found.values())


def outcome(record: CellRecord) -> Outcome:
    """What the record says of a cell."""
    return Outcome(record.cell, record.status, dict(record.metrics), record.failure, record.why, record.run_id)


def newest(records: Iterable[CellRecord]) -> dict[str, CellRecord]:
    """The last attempt at each cell; one that completed wins over a later one that did not."""
    found: dict[str, CellRecord] = {}
    for its in sorted(records, key=lambda its: (its.status == "complete", its.attempt, its.started)):
        found[its.cell] = its
    return found


def next_attempts(records: Iterable[CellRecord], since: float) -> dict[str, int]:
    """The attempt at each cell that counts: the last one, or the next where the last began before `since`."""
    last: dict[str, CellRecord] = {}
    for its in sorted(records, key=lambda its: its.attempt):
        last[its.cell] = its
    return {key: its.attempt + (its.started < since) for key, its in last.items()}


def final(record: CellRecord, retry_failed: bool = False) -> bool:
    """Whether a cell is settled: complete, pruned, or failed by its own fault (unless failures are retried)."""
    if record.status in ("complete", "pruned"):
        return True
    if record.status != "failed" or record.failure == "infra":
        return False
    return record.failure == "diverged" or not retry_failed
