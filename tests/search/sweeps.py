"""A sweep over a Tune that trains nothing and a record in memory."""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher
from rich.console import Console
from toys import STUDY

from ablate.records import CellRecord
from ablate.search import cluster, runner, tuning
from ablate.search.result import Result
from ablate.search.runner import Flags, sweep

from .memory import MemoryRecord
from .world import DATA, study, tune_trial

GRID = STUDY.replace("{loguniform: [0.1, 10], default: 1}", "1").replace(
    "algorithm: tpe\n  trials: 6", "algorithm: grid"
).replace("  scheduler: {name: asha, grace: 3}\n", "")  # fmt: skip
EPOCHS = 2


class FakeTune:
    """Runs cells one after the other: two reports each, values from the point. Can be cut short."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.ran: list[dict[str, Any]] = []
        self.verdicts: dict[str, str] = {}  # name of a cell -> class
        self.pruned: set[str] = set()
        self.lost: set[str] = set()  # names of cells whose process is not there when they are first handed out
        self.before: Callable[[dict[str, Any]], bool] = lambda cell: True  # False: SIGINT comes before the trial ends

    def __call__(self, **how: Any) -> bool:
        self.calls.append(how)
        return all(self.trial(cell, trial, how) for trial, cell in self.cells(how))

    def cells(self, how: dict[str, Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        if how["cells"] is not None:
            for number, cell in enumerate(how["cells"]):
                yield tune_trial(cell, f"list{number}"), cell
            return
        for number in range(how["samples"]):
            suggested = how["searcher"].suggest(f"t{number}")
            if suggested == Searcher.FINISHED:
                return
            yield tune_trial(suggested["cell"], f"t{number}"), suggested["cell"]

    def trial(self, cell: dict[str, Any], trial: Any, how: dict[str, Any]) -> bool:
        """One trial; whether the run goes on after it."""
        if cell["name"] in self.lost and how["reuse"]:
            if how["searcher"] is not None:
                how["searcher"].on_trial_complete(trial.trial_id, None, error=True)
            return True
        self.ran.append(cell)
        self.tell(how, "on_trial_start", trial)
        reports = [self.report(cell, epoch) for epoch in range(1, EPOCHS + 1)]
        if cell["name"] in self.pruned:
            reports = reports[:1]
        if cell["name"] in self.verdicts:
            reports[-1] = {
                "epoch": 1,
                "objective": float("nan"),
                "at": 2,
                "verdict": self.verdicts[cell["name"]],
                "why": "w",
            }
        for values in reports:
            trial.last_result = values
            self.tell(how, "on_trial_result", trial, values)
        if not self.before(cell):
            return False
        self.tell(how, "on_trial_complete", trial)
        if how["searcher"] is not None:
            how["searcher"].on_trial_complete(trial.trial_id, trial.last_result)
        return True

    def tell(self, how: dict[str, Any], event: str, trial: Any, *result: Any) -> None:
        for callback in how["callbacks"]:
            if hasattr(callback, event):
                getattr(callback, event)(0, [], trial, *result)

    @staticmethod
    def report(cell: dict[str, Any], epoch: int) -> dict[str, Any]:
        value = 0.1 * epoch + 0.01 * float(cell["point"].get("loss.scc.weight", 0)) + 0.001 * cell["seed"] % 7
        its = {"epoch": epoch, "objective": value, "at": 1000 + epoch, "valid/gap": value}
        if epoch == EPOCHS:
            its |= {"complete": True} | ({"test/gap": value} if cell["test"] else {})
        return its

    @property
    def points(self) -> list[tuple[Any, ...]]:
        return [tuple(cell["point"].values()) for cell in self.ran]


class World:
    """A folder, a record and a fake Tune: `World.sweep(study)`."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch):
        self.folder, self.tune, self.out, self.started = folder, FakeTune(), io.StringIO(), 0
        self.record: Any = MemoryRecord()
        patch.setattr(runner, "open_record", lambda _, reading=False: self.record)
        data = SimpleNamespace(digest=DATA, report=SimpleNamespace(lines=lambda: []), summary=lambda: "all read")
        patch.setattr(runner, "usable_data", lambda _, known=False: data)
        patch.setattr(tuning, "run_tuner", self.tune)
        patch.setattr(cluster, "connected", self.connected)
        patch.setattr(cluster, "concurrency", lambda _: 1)
        patch.setattr("ablate.search.phases.draw_cell", lambda config: Path(config["folder"]) / "artifacts")
        patch.setenv("ABLATE_HEARTBEAT", "1000")

    @contextlib.contextmanager
    def connected(self, address: str | None, name: str, cpus: float | None = None) -> Iterator[str]:
        self.started += 1
        yield "http://127.0.0.1:8265"

    def sweep(self, text: str = STUDY, *overrides: str, leave: Any = lambda *_: [], **flags: Any) -> Result:
        its = study(text, f"tracking.optuna={self.folder}/optuna.journal", *overrides)
        self.tune.ran.clear()
        return sweep(its, Flags(**flags), Console(file=self.out, width=200), leave)

    def cells(self, name: str = "toy") -> list[CellRecord]:
        return self.record.cells(name)

    def study_tags(self, name: str = "toy") -> dict[str, str]:
        known = self.record.study(name)
        assert known is not None
        return known.tags


@pytest.fixture
def world(toys: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(toys, monkeypatch)
