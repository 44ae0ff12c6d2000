"""The spool: records on their way to MLflow, one JSON line each, written before anything else is done with them.

One file per process, `<folder>/<process>.jsonl`; its owner holds `flock` on it, so a file that can be locked belongs to
a dead process and anybody may deliver it. How far a file has been delivered stands beside it in `<process>.offset`.
What MLflow refuses for good is put aside in `rejected.jsonl`.

Events are plain dictionaries. `cell` (a cell key) addresses a seed run, `arm` (a signature) a configuration run,
neither the study run. `at` is milliseconds since 1970, taken where the event happened.

| event | further keys (? = may be left out) |
| --- | --- |
| open | cell, name, parent {arm, name, params?, tags?}, seed?, point?, tags?, params?, attempt? (default 1), at |
| metrics | cell or arm or neither, epoch, values, at |
| tags, params | cell or arm or neither, tags or params |
| artifact | cell or arm or neither, path, target? (folder inside the run's artifacts) |
| text, dict | cell or arm or neither, text or dict, file (name inside the run's artifacts) |
| input | cell or arm or neither, name, digest, context? |
| end | cell or arm or neither, status (complete, pruned, failed, stopped), failure?, why?, at |
| arm_end | arm, name, cells {seed: cell key}, values? (aggregates over seeds), params?, tags?, status?, at |

An event of a cell may say `attempt`; without it the first attempt is meant.
"""

import contextlib
import fcntl
import json
import logging
import math
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

log = logging.getLogger("ablate")
REJECTED = "rejected.jsonl"
SYNC_EVERY = 1.0  # seconds between two fsyncs


class Spool:
    """The spool file of this process, open for appending and locked as long as the process lives."""

    def __init__(self, folder: Path, process: str):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"{process}.jsonl"
        self._fd = _create(self.file)
        self._size = _mend(self._fd)
        self._guard = threading.Lock()
        self._synced = time.monotonic()
        self._dirty = False
        self._tagged: set[tuple[str, str]] = set()

    def append(self, event: dict[str, Any]) -> None:
        """Write one event; it survives the death of this process from here on, and of the machine after the next fsync.

        Numbers that are not finite become NaN, and a tag `ablate.nonfinite.<key>` says what the first one was (MLflow
        would turn inf into 1.797e308). Raises OSError where the disk is full; what was written before stays readable.
        """
        values = {key: _number(value) for key, value in event.get("values", {}).items()}
        marks = self._nonfinite(event, values)
        if values:
            event = {**event, "values": {key: math.nan if _infinite(value) else value for key, value in values.items()}}
        self._write(_line(event))
        if marks:
            address: dict[str, Any] = {key: event[key] for key in ("cell", "arm", "attempt") if key in event}
            self._write(_line({"event": "tags", **address, "tags": marks}))
        if event["event"] in ("end", "arm_end") or time.monotonic() - self._synced >= SYNC_EVERY:
            self.sync()

    def sync(self) -> None:
        """Make everything appended so far survive a power cut; free where nothing is new."""
        with self._guard:
            if self._dirty:
                os.fsync(self._fd)
                self._dirty, self._synced = False, time.monotonic()

    def close(self) -> None:
        """Let go of the file: whatever is undelivered may now be delivered by anybody."""
        self.sync()
        os.close(self._fd)

    @staticmethod
    def backlog(folder: Path) -> int:
        """Records in the folder that MLflow does not have yet."""
        return sum(Tail(file).waiting() for file in files(folder))

    def _nonfinite(self, event: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
        """Tags that name the values of an event that are not finite for the first time."""
        run = str(event.get("cell") or event.get("arm"))
        fresh = {key: value for key, value in values.items() if _infinite(value) and (run, key) not in self._tagged}
        self._tagged.update((run, key) for key in fresh)
        return {f"ablate.nonfinite.{key}": f"{value} at epoch {event.get('epoch', 0)}" for key, value in fresh.items()}

    def _write(self, line: bytes) -> None:
        with self._guard:
            try:
                done = os.write(self._fd, line)
                while done < len(line):
                    done += os.write(self._fd, line[done:])
            except OSError:
                os.ftruncate(self._fd, self._size)  # half a line would spoil the next one
                raise
            self._size += len(line)
            self._dirty = True


class Tail:
    """Reads a spool file from where its delivery stopped."""

    def __init__(self, file: Path):
        self.file = file
        self._mark = file.with_suffix(".offset")
        mark = self._mark.read_text() if self._mark.exists() else ""
        self.offset = int(mark) if mark.isdigit() else 0  # empty after a power cut: everything again, stored once

    def read(self, limit: int = 1000) -> list[bytes]:
        """Up to `limit` complete lines behind the offset, each with its newline; a line still being written is left."""
        with self.file.open("rb") as stream:
            stream.seek(self.offset)
            lines = [line for _, line in zip(range(limit), stream, strict=False)]
        return [line for line in lines if line.endswith(b"\n")]

    def commit(self, delivered: list[bytes]) -> None:
        """Move the offset behind these lines, atomically."""
        self.offset += sum(map(len, delivered))
        fresh = self._mark.with_suffix(".offset.new")
        fresh.write_text(str(self.offset))
        fresh.replace(self._mark)

    def waiting(self) -> int:
        """Complete lines behind the offset."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self.offset)
                return sum(line.endswith(b"\n") for line in stream)
        except FileNotFoundError:  # delivered and deleted in this moment
            return 0

    def torn(self) -> int:
        """Bytes behind the last complete line of a file delivered up to there: its process died while writing."""
        return self.file.stat().st_size - self.offset

    def delete(self) -> None:
        """Remove a file whose process is gone and whose lines are delivered; a torn last line is reported, once."""
        if torn := self.torn():
            log.warning(
                "%s ends in a torn line of %d bytes (its process died while writing it); ignored", self.file, torn
            )
        self.file.unlink()
        self._mark.unlink(missing_ok=True)


def files(folder: Path) -> list[Path]:
    """Spool files of a folder, the oldest last-written first."""

    def written(file: Path) -> tuple[float, str]:
        with contextlib.suppress(FileNotFoundError):
            return file.stat().st_mtime, file.name
        return 0.0, file.name

    return sorted((file for file in folder.glob("*.jsonl") if file.name != REJECTED), key=written)


@contextlib.contextmanager
def orphans(folder: Path) -> Iterator[list[Tail]]:
    """The files of dead processes, locked while the block runs, so that two deliverers never share one."""
    with contextlib.ExitStack() as stack:
        yield [Tail(file) for file in files(folder) if stack.enter_context(_claimed(file))]


@contextlib.contextmanager
def _claimed(file: Path) -> Iterator[bool]:
    """Whether the file had no owner; it has one, us, inside the block."""
    try:
        fd = os.open(file, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _locked(fd, fcntl.LOCK_EX | fcntl.LOCK_NB) and _same(fd, file)
    finally:
        os.close(fd)


def reject(folder: Path, line: bytes, reason: str) -> None:
    """Put a record aside that MLflow refuses for good, with the reason."""
    try:
        record = json.loads(line)
    except ValueError:
        record = line.decode(errors="replace")
    with (folder / REJECTED).open("ab") as stream:
        stream.write(_line({"reason": reason, "record": record}))


def _create(file: Path) -> int:
    """Open and lock the file; again, should a deliverer have taken the empty file for a dead one and removed it."""
    while True:
        fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if _same(fd, file):
            return fd
        os.close(fd)


def _mend(fd: int) -> int:
    """End a torn last line of an earlier process of the same name; returns the size."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        size += os.write(fd, b"\n")
    return size


def _locked(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how)
    except BlockingIOError:
        return False
    return True


def _same(fd: int, file: Path) -> bool:
    """Whether the open file is still the one that the name stands for."""
    try:
        return os.path.samestat(os.fstat(fd), file.stat())
    except FileNotFoundError:
        return False


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, default=_number, separators=(",", ":")).encode() + b"\n"


def _infinite(value: Any) -> bool:
    """Whether it is a number, and NaN or infinite."""
    return isinstance(value, float) and not math.isfinite(value)


def _number(value: Any) -> Any:
    """A number of numpy's as ours, anything else as text (MLflow will refuse it): no event is lost for its types."""
    if isinstance(value, (int, float, str)):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
