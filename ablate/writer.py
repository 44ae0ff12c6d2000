"""The thread of the sweep process that keeps the record up to date, and the delivery of what dead processes left."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ablate.delivery import Delivery, Postponed
from ablate.spool import Spool, Tail, orphans
from ablate.tracking import Record, first_line, passing, refused

log = logging.getLogger("ablate")
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # seconds between tries while MLflow is away


class Writer:
    """The thread that delivers this process's spool, and those of dead processes, and beats the study's heart.

    `on_stop` is called once, from the thread, when the study run's tag `ablate.stop` is seen.
    """

    def __init__(
        self,
        record: Record,
        spool: Spool,
        study: str,
        study_run: str,
        *,
        on_stop: Callable[[], None] | None = None,
        beat: float = 30.0,
        pace: float = 1.0,
        waits: tuple[float, ...] = WAITS,
    ):
        self._record, self._spool, self._study_run = record, spool, study_run
        self._folder = spool.file.parent
        self._delivery = Delivery(record, study, study_run, self._folder)
        self._tail = Tail(spool.file)
        self._on_stop, self._beat_every, self._pace, self._waits = on_stop, beat, pace, waits
        self._next_beat = 0.0
        self._wake, self._closing, self._draining = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="ablate-writer", daemon=True)
        self._thread.start()

    def drain(self, timeout: float) -> int:
        """Deliver what there is, for at most `timeout` seconds; returns how many records are left."""
        deadline = time.monotonic() + timeout
        self._draining.set()
        self._wake.set()
        left = Spool.backlog(self._folder)
        while left and time.monotonic() < deadline and self._thread.is_alive():
            time.sleep(0.05)
            left = Spool.backlog(self._folder)
        self._draining.clear()
        return left

    def close(self, timeout: float = 5.0) -> None:
        """End the thread and the spool; an undelivered file waits for the next command, a delivered one goes."""
        self._closing.set()
        self._wake.set()
        self._thread.join(timeout)
        self._spool.close()
        if not self._thread.is_alive() and self._tail.file.exists() and not self._tail.waiting():
            self._tail.delete()

    def _loop(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                self._round()
                if failures:
                    log.warning("the record can be written again")
                failures, wait = 0, self._pace
            except Exception as error:
                if not failures:
                    log.warning(
                        "the record cannot be written (%s); records wait in %s", first_line(error), self._folder
                    )
                wait = self._waits[min(failures, len(self._waits) - 1)]
                failures += 1
            self._wake.wait(min(wait, self._waits[0]) if self._draining.is_set() else wait)
            self._wake.clear()

    def _round(self) -> None:
        """What dead processes left comes first: a cell they stopped may be running again in our own file."""
        self._spool.sync()
        due = time.monotonic() >= self._next_beat
        if due or self._draining.is_set():
            bring_orphans(self._delivery, self._folder)
        while self._delivery.bring(self._tail):
            pass
        if due:
            self._beat()

    def _beat(self) -> None:
        """Write the heartbeat and read the stop tag; a study run that is gone stops neither delivery nor study."""
        try:
            self._record.heartbeat(self._study_run)
            stop = self._record.stop_requested(self._study_run)
        except Exception as error:
            if passing(error):
                raise
            log.warning("no heartbeat: %s", first_line(error))
            stop = False
        self._next_beat = time.monotonic() + self._beat_every
        if stop and self._on_stop is not None:
            call, self._on_stop = self._on_stop, None
            call()


def bring_orphans(delivery: Delivery, folder: Path) -> None:
    """Deliver and delete the spool files of dead processes."""
    with orphans(folder) as tails:
        for tail in tails:
            while delivery.bring(tail):
                pass
            tail.delete()


def deliver(record: Record, folder: Path, study: str) -> int:
    """Deliver what dead processes of a study left in its spool; returns how many records still wait.

    An MLflow that is away is no error here: the records stay for the next command.
    """
    try:
        known = record.study(study)
        if known is not None:
            bring_orphans(Delivery(record, study, known.run_id, folder, patient=False), folder)
    except Exception as error:
        if not (isinstance(error, Postponed) or passing(error) or refused(error)):
            raise
        log.warning("the record cannot be written (%s); records wait in %s", first_line(error), folder)
    return Spool.backlog(folder)
