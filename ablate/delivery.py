"""Events of the spool to runs of the record: made where missing, each row once, what is refused put aside."""

import errno
import json
import logging
import math
from pathlib import Path
from typing import Any

from ablate.records import Row
from ablate.spool import REJECTED, Tail, reject
from ablate.tracking import Record, first_line, passing, refused

log = logging.getLogger("ablate")
CHUNK = 1000  # lines, and rows of a run, per request
TRIES = 5  # of an event that fails for a reason nobody foresaw
ABSENT = {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


class Postponed(Exception):
    """The record cannot be written now; what is undelivered has to be brought again."""


class Delivery:
    """Applies events to their runs, making the runs where they are missing; the same event twice changes nothing.

    What MLflow refuses for good goes to `rejected.jsonl`. What may pass is raised as Postponed, and the caller tries
    again from the last committed line. Not patient: what fails for an unforeseen reason is put aside at once, and a
    server that wants other credentials counts as away.
    """

    def __init__(self, record: Record, study: str, study_run: str, folder: Path, patient: bool = True):
        self._record, self._study, self._study_run, self._folder = record, study, study_run, folder
        self._patient = patient
        self._runs: dict[tuple[str, ...], str] = {}
        self._pending: dict[str, dict[tuple[Any, ...], Row]] = {}  # run -> rows not sent yet, each once
        self._tries: dict[bytes, int] = {}
        self._rejected: set[bytes] = set()
        self._warned = False

    def bring(self, tail: Tail) -> int:
        """Deliver the next lines of a spool file; returns how many there were."""
        lines = tail.read(CHUNK)
        self._pending.clear()
        for line in lines:
            try:
                self._apply(json.loads(line), line)
            except Postponed:
                raise
            except Exception as error:
                self._give_up(line, error)
        for run in list(self._pending):
            self._flush(run)
        if lines:
            tail.commit(lines)
            self._tries.clear()
            self._rejected.clear()
        return len(lines)

    def _apply(self, event: dict[str, Any], line: bytes) -> None:
        kind = event["event"]
        if kind == "open":
            return self._open(event, line)
        if kind == "arm_end":
            return self._arm_end(event, line)
        run = self._run(event)
        if kind in ("metrics", "tags", "params"):
            return self._queue(run, rows(event, line))
        self._flush(run)
        if kind == "end":
            self._end(run, event, {f"ablate.{key}": event[key] for key in ("failure", "why") if event.get(key)}, line)
        elif kind == "artifact":
            self._record.upload(run, Path(event["path"]), event.get("target"))
        elif kind in ("text", "dict"):
            self._record.write(run, event[kind], event["file"])
        elif kind == "input":
            self._record.add_input(run, event["name"], event["digest"], event.get("context", "training"))
        else:
            raise ValueError(f"unknown event {kind!r}")
        return None

    def _open(self, event: dict[str, Any], line: bytes) -> None:
        """Make the seed run under its configuration's run, or let it run again."""
        parent = event["parent"]
        arm = self._arm(
            parent["arm"], parent["name"], parent.get("params", {}), parent.get("tags", {}), event["at"], line
        )
        tags = {
            "ablate.kind": "seed",
            "ablate.study": self._study,
            "ablate.cell": event["cell"],
            "ablate.attempt": str(event.get("attempt", 1)),
            "ablate.signature": parent["arm"],
            "ablate.sig": parent["arm"][:8],
            "ablate.status": "running",
        }
        tags |= {f"ablate.{key}": json.dumps(event[key]) for key in ("seed", "point") if key in event}
        tags |= event.get("tags", {})
        key = _address(event)
        run = self._find(key)
        if run is None:
            self._runs[key] = run = self._record.create(event["name"], arm, tags, event["at"])
        else:
            self._record.reopen(run)
            self._queue(run, rows({"tags": tags}, line))
        self._queue(run, rows({"params": event.get("params", {})}, line))

    def _arm(self, arm: str, name: str, params: dict[str, Any], tags: dict[str, Any], at: int, line: bytes) -> str:
        """The run of a configuration, made or reopened when this process first meets it."""
        key = ("arm", arm)
        if key in self._runs:
            return self._runs[key]
        run = self._find(key)
        fixed = {"ablate.kind": "arm", "ablate.study": self._study, "ablate.signature": arm, "ablate.sig": arm[:8]}
        if run is None:
            run = self._record.create(name, self._study_run, fixed | tags, at)
        else:
            self._record.reopen(run)
        self._runs[key] = run
        self._queue(run, rows({"params": params}, line))
        return run

    def _arm_end(self, event: dict[str, Any], line: bytes) -> None:
        """Aggregates and the runs of all seeds, own or reused from another study."""
        run = self._arm(event["arm"], event["name"], event.get("params", {}), event.get("tags", {}), event["at"], line)
        found = {seed: self._replicate(cell) for seed, cell in event.get("cells", {}).items()}
        links = {f"ablate.run.{seed}": run_id for seed, run_id in found.items() if run_id}
        self._queue(run, rows({"values": event.get("values", {}), "at": event["at"]}, line))
        self._end(run, {"status": "complete"} | event, links | event.get("tags", {}), line)

    def _replicate(self, cell: str) -> str | None:
        """The run of a cell: a complete one first, then this study's, then the latest."""
        found = self._record.search({"ablate.kind": "seed", "ablate.cell": cell})
        best = sorted(found, key=lambda it: (it.status == "complete", it.study == self._study, it.attempt, it.started))
        return best[-1].run_id if best else None

    def _end(self, run: str, event: dict[str, Any], tags: dict[str, Any], line: bytes) -> None:
        self._queue(run, rows({"tags": {"ablate.status": event["status"]} | tags}, line))
        self._flush(run)
        self._record.set_status(run, event["status"], event["at"])

    def _run(self, event: dict[str, Any]) -> str:
        """Id of the run an event is addressed to."""
        key = _address(event)
        run = self._find(key)
        if run is None:
            raise LookupError(f"no run of {' '.join(key)}")
        return run

    def _find(self, key: tuple[str, ...]) -> str | None:
        if key[0] == "study":
            return self._study_run
        if key not in self._runs:
            tags = {"ablate.study": self._study, "ablate.kind": "arm", "ablate.signature": key[1]}
            if key[0] == "cell":
                tags = {
                    "ablate.study": self._study,
                    "ablate.kind": "seed",
                    "ablate.cell": key[1],
                    "ablate.attempt": key[2],
                }
            found = self._record.find_runs(tags)
            if not found:
                return None
            self._runs[key] = found[0]
        return self._runs[key]

    def _queue(self, run: str, fresh: list[Row]) -> None:
        self._pending.setdefault(run, {}).update({(r.kind, r.key, r.at, r.epoch, repr(r.value)): r for r in fresh})

    def _flush(self, run: str) -> None:
        waiting = list(self._pending.pop(run, {}).values())
        for start in range(0, len(waiting), CHUNK):
            self._send(run, waiting[start : start + CHUNK])

    def _send(self, run: str, batch: list[Row]) -> None:
        """Send rows; where MLflow refuses them, halve until the bad one stands alone."""
        try:
            self._record.log(run, batch)
        except Exception as error:
            if len(batch) == 1 or passing(error) or refused(error):
                return self._give_up(batch[0].source, error)
            self._send(run, batch[: len(batch) // 2])
            self._send(run, batch[len(batch) // 2 :])
        return None

    def _give_up(self, line: bytes, error: Exception) -> None:
        """Put an event aside, or raise Postponed where it is worth another try."""
        tries = self._tries[line] = self._tries.get(line, 0) + 1
        if passing(error) or tries < self._patience(error):
            raise Postponed(f"{type(error).__name__}: {first_line(error)}") from error
        if line in self._rejected:
            return
        self._rejected.add(line)
        reject(self._folder, line, f"{type(error).__name__}: {error}")
        if not self._warned:
            self._warned = True
            log.warning(
                "MLflow refused a record (%s); it and any further ones are in %s", error, self._folder / REJECTED
            )

    def _patience(self, error: Exception) -> float:
        """How often to try what fails like this."""
        if refused(error):
            return 2 if self._patient else math.inf
        foreseen = isinstance(error, (LookupError, TypeError, ValueError)) or getattr(error, "errno", None) in ABSENT
        if foreseen or getattr(error, "error_code", "BAD_REQUEST") != "BAD_REQUEST":
            return 1
        return TRIES if self._patient else 1


def rows(event: dict[str, Any], line: bytes) -> list[Row]:
    """The metric values, tags and parameters of an event."""
    at, epoch = event.get("at", 0), event.get("epoch", 0)
    return [
        *(Row("metric", key, value, at, epoch, line) for key, value in event.get("values", {}).items()),
        *(Row("tag", key, value, source=line) for key, value in event.get("tags", {}).items()),
        *(Row("param", key, value, source=line) for key, value in event.get("params", {}).items()),
    ]


def _address(event: dict[str, Any]) -> tuple[str, ...]:
    """Whose event it is: (cell, key, attempt), (arm, signature) or (study,)."""
    if "cell" in event:
        return "cell", event["cell"], str(event.get("attempt", 1))
    return ("arm", event["arm"]) if "arm" in event else ("study",)
