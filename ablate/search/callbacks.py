"""What the sweep process does at each event of Tune: write the record, remove leaked groups, move the board."""

import math
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback

from ablate.naming import group_prefix
from ablate.records import now
from ablate.search.failures import full_disk
from ablate.search.lost import of_host_memory
from ablate.search.plan import Outcome, address
from ablate.search.progress import Board
from ablate.spool import Spool
from ablate.training.cell import ARTIFACTS

Result = dict[str, Any]
OWN = ("objective", "best_epoch")  # keys of a report that are values, besides those with a slash


def numbers(result: Result) -> dict[str, float]:
    """The values of a report: what is neither Tune's nor a control key."""
    chosen = {
        key: value for key, value in result.items() if key in OWN or ("/" in key and not key.startswith("config"))
    }
    return {key: float(value) for key, value in chosen.items() if isinstance(value, int | float)}


class Recorder(Callback):
    """Appends to the spool, never talks to MLflow: Tune's loop waits for every callback."""

    def __init__(self, spool: Spool, describe: Callable[[dict[str, Any]], list[dict[str, Any]]], board: Board):
        """`describe` gives the events that begin a cell."""
        self.spool, self.describe, self.board = spool, describe, board
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[str, dict[str, Any]] = {}  # cell key -> configuration
        self.history: dict[str, dict[int, float]] = {}
        self.full_disk: str | None = None
        self.unwritable = False  # the spool
        self.on_full_disk: Callable[[], None] = lambda: None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for `Tuner.restore`, which is never used."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Comes again at every restart; the run is made once."""
        cell = trial.config["cell"]
        if cell["cell"] not in self.running:
            self.running[cell["cell"]] = cell
            for event in self.describe(cell):
                self._note(event)
            self.board.start(cell)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """One report: one record. Repeated reports carry the same time stamp and are stored once."""
        cell = trial.config["cell"]["cell"]
        for note in result.get("notes", []):
            self.board.say(note)
        if result.get("verdict"):
            return
        values = numbers(result)
        self.history.setdefault(cell, {})[result["epoch"]] = values["objective"]
        event = {"event": "metrics", "epoch": result["epoch"], "values": values, "at": result["at"]}
        self._note(event | address(trial.config["cell"]))
        self.board.report(trial.config["cell"], result["epoch"], values["objective"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Complete if the last report says so, pruned if a scheduler stopped it, else what the verdict says."""
        result = trial.last_result or {}
        cell = trial.config["cell"]
        kind, why = result.get("verdict", ""), result.get("why", "")
        if not result or "objective" not in result:
            self._end(cell, "failed", {}, "code", "the trial ended without a report")
        elif kind == "stopped":
            self._end(cell, "stopped", {}, kind, why)
            self._full(why)
        elif kind:
            self._end(cell, "failed", {}, kind, why)
        else:
            self._end(cell, "complete" if result.get("complete") else "pruned", numbers(result))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A fault of the machines that outlasted its retries."""
        text = read(trial.error_file)
        self._end(trial.config["cell"], "failed", {}, "memory" if of_host_memory(text) else "infra", sentence(text))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """One retry at most after the memory monitor of the host."""
        if of_host_memory(read(trial.error_file)):
            trial.max_failures = trial.num_failures
        self.board.retried += 1

    def stop_running(self, why: str) -> None:
        """Mark what has not ended as stopped: `resume` goes on with it."""
        for cell in list(self.running.values()):
            self._end(cell, "stopped", {}, "stopped", why)

    def _note(self, event: dict[str, Any]) -> None:
        """Into the spool. A full disk ends the sweep; nothing more is noted then: `resume` repeats the last reports."""
        if self.unwritable:
            return
        try:
            self.spool.append(event)
        except OSError as error:
            self.unwritable = True
            self._full(full_disk(OSError(error.errno, error.strerror, str(self.spool.file))))

    def _full(self, why: str) -> None:
        if self.full_disk is None:
            self.full_disk = why
            self.on_full_disk()

    def _end(
        self, cell: dict[str, Any], status: str, values: dict[str, float], failure: str = "", why: str = ""
    ) -> None:
        key = cell["cell"]
        self.running.pop(key, None)
        artifacts = Path(cell["folder"]) / ARTIFACTS
        if artifacts.is_dir() and status in ("complete", "failed"):
            self._note({"event": "artifact", **address(cell), "path": str(artifacts)})
        reported = self.history.get(key, {})
        if reported:
            self._note({"event": "tags", **address(cell), "tags": {"ablate.epochs": str(max(reported))}})
        end = {"event": "end", **address(cell), "status": status, "at": now()}
        self._note(end | {k: v for k, v in {"failure": failure, "why": why}.items() if v})
        self._note({"event": "end", "arm": cell["signature"], "status": status, "at": now()})
        history = tuple(sorted((e, v) for e, v in reported.items() if math.isfinite(v)))
        self.outcomes[key] = Outcome(key, status, values, failure, why, None, history)
        self.board.end(cell, self.outcomes[key])


class Janitor(Callback):
    """Removes the placement groups of Train runs whose controller died without doing so; needs nothing but the GCS.

    It knows them by their names, or from the reports.
    """

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Once more before a trial starts again: a dying controller may just have made a group."""
        self._clean(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Note the group of the run."""
        if result.get("pg_id"):
            self.groups.setdefault(trial.trial_id, set()).add(result["pg_id"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Clean up after a trial that ended."""
        self._clean(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Clean up after a trial that failed."""
        self._clean(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Clean up before a trial starts again."""
        self._clean(trial)

    def _clean(self, trial: Any) -> None:
        from ray._raylet import PlacementGroupID
        from ray.util import placement_group_table, remove_placement_group
        from ray.util.placement_group import PlacementGroup

        cell = trial.config["cell"]
        if cell["trial"]["resources"]["workers"] == 1:
            return
        known, prefix = self.groups.pop(trial.trial_id, set()), group_prefix(cell["key"], cell["sweep"])
        for group, its in placement_group_table().items():
            if its["state"] != "REMOVED" and (group in known or its["name"].startswith(prefix)):
                remove_placement_group(PlacementGroup(PlacementGroupID.from_hex(group)))


def read(path: str | None) -> str:
    """Text of a file, empty where there is none."""
    try:
        return Path(path).read_text() if path else ""
    except OSError:
        return ""


def sentence(error: str) -> str:
    """What an error file says, in one line: from the name of its last exception on, without what follows at length."""
    found = list(re.finditer(r"^(?:\w+\.)*(\w+(?:Error|Exception)\b.*)", error, re.MULTILINE))
    if not found:
        return "the trial process was lost"
    words = error[found[-1].start(1) :].split()
    return textwrap.shorten(" ".join(words), 300, placeholder=" ...")
