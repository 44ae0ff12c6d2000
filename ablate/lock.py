"""One owner per study: `flock` on this machine, owner and heartbeat in the record for all others."""

import fcntl
import os
import socket
import time
from pathlib import Path
from types import TracebackType

import psutil

from ablate.errors import Mistake
from ablate.records import StudyRecord, now
from ablate.tracking import Record

FRESH = 90.0  # seconds for which the heartbeat of an owner on another host counts


class Lock:
    """Held by the sweep process while it runs a study; `with Lock(folder, study, record) as lock:`.

    Entering raises Mistake while another owner lives: on this host the process exists (one that died is succeeded at
    once), on another host its heartbeat is younger than 90 s. `sign` then writes our name to the study's run.
    """

    def __init__(self, folder: Path, study: str, record: Record):
        self._file, self._study, self._record = folder / "lock", study, record
        self._fd: int | None = None
        self._run: str | None = None

    def __enter__(self) -> "Lock":
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            known = self._record.study(self._study)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Mistake(_busy(self._study, os.pread(fd, 500, 0).decode() or "another process", known)) from None
            if known is not None and lives(known):
                raise Mistake(_busy(self._study, known.owner, known))
            os.ftruncate(fd, 0)
            os.pwrite(fd, owner().encode(), 0)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def sign(self, run_id: str) -> None:
        """Name ourselves as owner on the study's run; an old request to stop is void from here on."""
        self._record.set_tag(run_id, "ablate.owner", owner())
        self._record.heartbeat(run_id)
        self._record.set_tag(run_id, "ablate.stop", "")
        self._run = run_id

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._fd is None:
            return
        os.ftruncate(self._fd, 0)
        try:
            if self._run is not None:
                self._record.set_tag(self._run, "ablate.owner", "")
        except Exception:  # MLflow is away: a dead owner's name does not keep anybody out
            pass
        finally:
            os.close(self._fd)
            self._fd = None


def owner() -> str:
    """This process as the record names it, host:pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def lives(known: StudyRecord) -> bool:
    """Whether the owner in the record still runs the study; False for ourselves."""
    host, _, pid = known.owner.rpartition(":")
    if not host or known.owner == owner():
        return False
    if host != socket.gethostname():
        return now() - known.heartbeat < FRESH * 1000
    try:  # a process younger than the heartbeat only has the dead owner's number (2 s: accuracy of start times)
        process = psutil.Process(int(pid))
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() * 1000 <= known.heartbeat + 2000
    except (psutil.NoSuchProcess, ValueError):
        return False


def _busy(study: str, who: str, known: StudyRecord | None) -> str:
    beat = (
        f", heartbeat {max(0.0, time.time() - known.heartbeat / 1000):.0f} s ago" if known and known.heartbeat else ""
    )
    return f"study {study!r} is being run by {who}{beat}; wait for it, or end it with `ablate stop {study}`"
