"""A stage for fault cases: `ablate` as a subprocess in a folder of its own, waits with a deadline, kills by pid."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from ablate.reporting.cells import write_csv
from ablate.reporting.recorded import recorded

NAME, EPOCHS = "toy", 12
STUDY = f"""\
name: {NAME}
data: {{name: simvowels, features: logmel, hop_ms: 20, window: 20, shift: 5, utterances: [20, 10, 10]}}
model: {{name: dsae, hidden: 8, f_dim: 4, z_dim: {{choice: [2, 3, 4], default: 2}}}}
loss:
  recon: {{weight: 1, options: {{likelihood: gaussian, variance: 0.3}}}}
  kl_f: 1
  kl_z: 1
train: {{epochs: {EPOCHS}}}
search: {{algorithm: grid, metric: valid/probe_gap, mode: max}}
"""
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "ABLATE_RETRY_WAITS": "0",
    "ABLATE_DASHBOARD": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "COLUMNS": "200",
}
LIMIT = 180.0  # seconds after which any wait has failed


def until(condition: Callable[[], Any], what: str, limit: float = LIMIT, running: "Running | None" = None) -> Any:
    """What `condition` returns once it is true; fails after `limit` seconds, or when `running` has ended before."""
    deadline = time.monotonic() + limit
    while not (found := condition()):
        ended = running is not None and running.process.poll() is not None
        if ended and not (found := condition()):
            raise AssertionError(
                f"the command ended with {running.process.returncode} before {what}:\n{running.output}"
            )
        if time.monotonic() > deadline:
            said = f":\n{running.output}" if running else ""
            raise AssertionError(f"waited {limit:.0f} s in vain for {what}{said}")
        time.sleep(0.02)
    return found


class Running:
    """One `ablate` command in a process group of its own."""

    def __init__(self, words: tuple[str, ...], folder: Path, environment: dict[str, str], log: Path):
        self.log = log
        command = [str(Path(sys.executable).with_name("ablate")), *words]
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.pid = self.process.pid
        self.orphans: list[psutil.Process] = []

    @property
    def output(self) -> str:
        """What it has said so far."""
        return self.log.read_text(errors="replace")

    def until(self, condition: Callable[[], Any], what: str, limit: float = LIMIT) -> Any:
        """Wait while it runs."""
        return until(condition, what, limit, self)

    def end(self, limit: float = LIMIT) -> int:
        """Wait for its end; returns the exit status."""
        until(lambda: self.process.poll() is not None, f"the end of {self.process.args}", limit)
        return self.process.returncode

    def signal(self, number: int, group: bool = False) -> None:
        """To this process only, or to its group as a terminal does."""
        (os.killpg if group else os.kill)(self.pid, number)

    def family(self) -> list[psutil.Process]:
        """Its descendants: Ray's processes, the trials."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.pid).children(recursive=True)
        return []

    def kill(self) -> None:
        """SIGKILL, to it alone: Ray's processes end by themselves within seconds."""
        self.orphans += self.family()
        self.process.kill()
        self.process.wait()

    def clear(self) -> None:
        """Leave nothing behind, whatever happened."""
        if self.process.poll() is None:
            self.kill()
        for its in self.orphans:
            with contextlib.suppress(psutil.NoSuchProcess):  # compares the time of its start as well
                its.kill()
        until(lambda: not any(map(alive, self.orphans)), "the end of what was started")


def alive(its: psutil.Process) -> bool:
    """Whether it is more than a zombie."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return its.is_running() and its.status() != psutil.STATUS_ZOMBIE
    return False


class Scene:
    """A folder with a study, its record, and the commands run in it."""

    def __init__(self, folder: Path, migrated: Path | None, study: str = STUDY, **environment: str):
        self.folder, self.runs = folder, folder / "runs"
        self.study = self.runs / NAME
        self.commands: list[Running] = []
        self.seen: list[psutil.Process] = []  # processes that a test wants to see ended
        self.environment = os.environ | ENVIRONMENT | {"XDG_CACHE_HOME": str(folder / "cache")} | environment
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.yaml").write_text(study)
        if migrated is not None:  # saves the seconds of a first start
            self.runs.mkdir()
            (self.runs / "mlflow.db").write_bytes(migrated.read_bytes())

    # ---- commands

    def start(self, *words: str, **environment: str) -> Running:
        """Begin a command."""
        log = self.folder / f"{len(self.commands)}-{words[0]}.log"
        self.commands.append(Running(words, self.folder, self.environment | environment, log))
        return self.commands[-1]

    def sweep(self, *words: str, **environment: str) -> Running:
        """Begin `ablate sweep`, one trial at a time."""
        return self.start("sweep", "study.yaml", "--cpus", "1", *words, **environment)

    def resume(self, *words: str, **environment: str) -> Running:
        """Begin `ablate resume`, one trial at a time."""
        return self.start("resume", NAME, "--cpus", "1", *words, **environment)

    def run(self, *words: str, limit: float = LIMIT, **environment: str) -> tuple[int, str]:
        """A command from start to end: (exit status, output)."""
        command = self.start(*words, **environment)
        return command.end(limit), command.output

    def clear(self) -> None:
        """End everything begun here."""
        for command in self.commands:
            command.clear()

    # ---- checkpoints

    def cells(self) -> list[Path]:
        """Folders of the cells begun so far, the oldest first."""
        return sorted((self.study / "checkpoints").glob("*"), key=lambda its: its.stat().st_ctime_ns)

    def now_training(self, at_least: int, no_later: int = EPOCHS - 2) -> Path | None:
        """The folder of the cell whose last checkpoint has so many epochs, of those that have not ended."""
        for cell in self.cells():
            if at_least <= epoch(cell) <= no_later:
                return cell
        return None

    def trial_pid(self, cell: Path) -> int:
        """Process of the trial that works on a cell."""
        return int(json.loads((cell / "attempts").read_text())["pid"])

    # ---- record

    def query(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of the record's database; a reader of its own, which takes no lock while it waits."""
        with contextlib.closing(sqlite3.connect(f"file:{self.runs}/mlflow.db?mode=ro", uri=True)) as database:
            return database.execute(question, values).fetchall()

    def tags(self, kind: str = "seed") -> list[dict[str, str]]:
        """Tags of the runs of a kind, with MLflow's status as `status`, the oldest first."""
        found = []
        for run, status in self.query("SELECT run_uuid, status FROM runs ORDER BY start_time"):
            tags = dict(self.query("SELECT key, value FROM tags WHERE run_uuid = ?", run))
            if tags.get("ablate.kind") == kind:
                found.append(tags | {"run": run, "status": status})
        return found

    def steps(self, run: str) -> dict[str, list[int]]:
        """Epochs of every metric of a run, each as often as the record has a row for it."""
        found: dict[str, list[int]] = {}
        for key, step in self.query("SELECT key, step FROM metrics WHERE run_uuid = ? ORDER BY step", run):
            found.setdefault(key, []).append(step)
        return found

    def table(self) -> str:
        """The study's table as CSV, from the record."""
        its = recorded(self.runs, NAME)
        return write_csv(its.question, its.rows)

    def spooled(self, kind: str = "metrics") -> list[dict[str, Any]]:
        """Events still in the spool."""
        lines = [line for file in (self.study / "spool").glob("*.jsonl") for line in file.read_text().splitlines()]
        return [event for line in lines if (event := json.loads(line))["event"] == kind]


def load(cell: Path) -> dict[str, Any]:
    """The last checkpoint of a cell."""
    state: dict[str, Any] = torch.load(cell / "last.pt", weights_only=True)
    return state


def epoch(cell: Path) -> int:
    """Epochs completed according to the last checkpoint of a cell; 0 without one."""
    return int(load(cell)["epoch"]) if (cell / "last.pt").exists() else 0


def reported(cell: Path) -> dict[int, dict[str, Any]]:
    """The last reports in a checkpoint by epoch, as sent."""
    return {its["epoch"]: its for its in load(cell)["progress"]["reports"]}


def assert_each_epoch_once(scene: Scene, epochs: int = EPOCHS, cells: int = 3) -> None:
    """Every metric of every cell has one row per epoch, 1 to the last."""
    runs = scene.tags()
    assert len(runs) == cells == len({its["ablate.cell"] for its in runs})
    for its in runs:
        steps = scene.steps(its["run"])
        assert {"objective", "valid/elbo", "train/total", "valid/probe_gap"} <= set(steps)
        once = list(range(1, epochs + 1))
        wrong = {key: found for key, found in steps.items() if found not in (once, [epochs])}
        assert not wrong, Counter(str(found) for found in wrong.values())
        assert steps["objective"] == steps["train/total"] == once
