"""A study from its file to its last record: plan against the record, run what remains, confirm, close."""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from rich.console import Console

from ablate.data.dataset import Data, load_data
from ablate.errors import Mistake
from ablate.lock import Lock
from ablate.records import FRESH, LEVELS, begun, current, now
from ablate.search import cluster, identity
from ablate.search.afford import check_first_look
from ablate.search.designed import Designed
from ablate.search.events import provenance
from ablate.search.executor import Executor
from ablate.search.failures import DISK_FULL, full_disk
from ablate.search.interrupts import as_interrupt, handling
from ablate.search.known import Known
from ablate.search.plan import Planner, next_attempts
from ablate.search.progress import Board
from ablate.search.result import Interrupted, Result, Stop
from ablate.spool import Spool
from ablate.sqlite_record import experiment
from ablate.study import Study
from ablate.tracking import Record, away, first_line
from ablate.training.alike import check_arms
from ablate.training.measures import check_measures
from ablate.writer import Writer, deliver

if TYPE_CHECKING:
    from ablate.search.phases import Phases

DRAIN_S = float(os.environ.get("ABLATE_DRAIN", "60"))  # how long the end of a sweep waits for MLflow
STOPPED_DRAIN_S = 4.0  # the same after Ctrl-C: who stops a sweep does not wait for long


@dataclass(frozen=True)
class Flags:
    """What the command line may ask besides the study."""

    address: str | None = None
    cpus: float | None = None
    retry_failed: bool = False
    fresh: bool = False


# What a complete sweep leaves on the study's run, as events.
Leave = Callable[[Study, Result, Data], list[dict[str, Any]]]
Tell = Callable[[Study, Console], None]  # says the plan, once the addresses are said


def sweep(
    study: Study, flags: Flags, console: Console, leave: Leave = lambda *_: [], tell: Tell = lambda *_: None
) -> Result:
    """Run a study to its end, or to Ctrl-C or SIGTERM, wherever it stands then.

    Raises Mistake for what the user must change first (nothing has been started then), and where the study's folder was
    removed meanwhile.
    """
    with handling(signal.SIGTERM, as_interrupt):
        try:
            return begin(study, flags, console, leave, tell)
        except KeyboardInterrupt:  # before anything was recorded, or again while the sweep was closed
            return Result(interrupted="interrupted")
        except Exception as error:
            if not away(error):
                raise
            raise Mistake(
                f"the record {address(study)} went away while the sweep began ({first_line(error)}); start the sweep "
                "again when the record answers, nothing that was trained is lost"
            ) from error


def begin(study: Study, flags: Flags, console: Console, leave: Leave, tell: Tell) -> Result:
    """Data, folder, record and lock, then the sweep."""
    sentence = study.resources.fits(cluster.local_totals(flags.cpus)) if flags.address is None else None
    if sentence:
        raise Mistake(sentence)
    announce(study, console)
    tell(study, console)
    writable_folder(study)
    ended, file = seen(study)
    data = usable_data(study, known=ended is not None)  # before anything is written
    folder = study_folder(study)
    if ended is not None and file is not None and not flags.fresh and not Spool.backlog(folder / "spool"):
        its = Sweep(ended, flags, console, folder, file, None, leave, data)
        if its.settled():
            return its.result
    record = open_record(study)
    with Lock(folder / "spool", study.name, record) as lock:
        deliver(record, folder / "spool", study.name)
        known = record.study(study.name)
        if known is not None and not flags.fresh:
            identity.check_same(study, known)
            study = identity.as_planned(study, known)
        check_first_look(study, data, partial(known_cells, study, data, record, flags))
        return Sweep(study, flags, console, folder, record, lock, leave, data).run()


def announce(study: Study, console: Console) -> None:
    """Where the record is kept: the addresses come before anything else."""
    show = "" if study.tracking.uri else "  (ablate ui opens it)"
    console.print(f"MLflow         {address(study)}{show}", highlight=False, soft_wrap=True)
    mirror = study.tracking.optuna or "optuna-dashboard reads the copy in the user's cache: ablate ui names it"
    if study.search is not None and study.search.algorithm != "grid":
        console.print(f"Optuna         {mirror}", highlight=False, soft_wrap=True)


def seen(study: Study) -> tuple[Study | None, Record | None]:
    """The study as planned, if its record is a file which says that this very plan has been run to its end.

    With it the record, to read from.
    """
    uri = address(study)
    if not uri.startswith("sqlite:///") or not experiment(
        Path(uri.removeprefix("sqlite:///")), study.tracking.experiment
    ):
        return None, None
    record = open_record(study, reading=True)
    known = record.study(study.name)
    planned = identity.as_planned(study, known) if known else study
    return (planned if identity.complete(planned, known) else None), record


def usable_data(study: Study, known: bool = False) -> Data:
    """The data, in the store from here on. Raises Mistake where they, or what is asked of them, will not do.

    `known`: this very study has been run to its end, so that nothing needs to be tried.
    """
    base = study.base
    data = load_data((base.data.name, base.data.options), progress=True)
    if known:
        return data
    for trial in (base, *study.baselines.values()):
        key, metrics = study.measured
        check_measures(trial, data, metrics, key)
    if study.plan is not None:
        check_arms(study.plan, base, data)
    return data


def writable_folder(study: Study) -> bool:
    """Whether the study's folder could be made and written; raises Mistake with what is in the way."""
    folder = Path(study.tracking.folder).resolve() / study.name
    place = next(its for its in (folder, *folder.parents) if its.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise Mistake(f"the folder {folder} cannot be written ({place}); set tracking.folder to one that can")
    return True


def study_folder(study: Study) -> Path:
    """`<tracking.folder>/<name>`, made if missing; raises Mistake where it cannot be written."""
    folder = Path(study.tracking.folder).resolve() / study.name
    try:
        (folder / "spool").mkdir(parents=True, exist_ok=True)
        probe = folder / "spool" / f".probe-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise Mistake(
            f"the folder {folder} cannot be written ({error.strerror}); set tracking.folder to one that can"
        ) from error
    return folder


def open_record(study: Study, reading: bool = False) -> Record:
    """The MLflow record of the study: its server, or sqlite beside the study folders."""
    its = study.tracking
    root = Path(its.folder).resolve()
    artifacts = its.artifacts or (f"file://{root}/artifacts" if its.uri is None else None)
    wait = float(os.environ.get("ABLATE_RECORD_WAIT", "30"))
    return Record(address(study), its.experiment, artifacts, wait, reading)


def address(study: Study) -> str:
    """Of the record."""
    return study.tracking.uri or f"sqlite:///{Path(study.tracking.folder).resolve()}/mlflow.db"


def work(executor: Executor) -> Phases | Designed:
    """What a study does: an ablation, or a search with its confirmation (which alone needs Ray to be looked at)."""
    if executor.study.search is None:
        return Designed(executor)
    from ablate.search.phases import Phases

    return Phases(executor)


def known_cells(study: Study, data: Data, record: Record, flags: Flags) -> Known:
    """What the record has of a study; nothing counts with `--fresh`."""
    if flags.fresh:
        return Known(Planner(study, data.digest), [])
    cells = current(record.cells(), record.study(study.name))
    return Known(Planner(study, data.digest), cells, record.arms(study.name), flags.retry_failed)


class Sweep:
    """One process's work on one study; made and used by `sweep` only."""

    def __init__(
        self,
        study: Study,
        flags: Flags,
        console: Console,
        folder: Path,
        record: Record,
        lock: Lock | None,
        leave: Leave,
        data: Data,
    ):
        self.study, self.flags, self.console, self.folder, self.record = study, flags, console, folder, record
        self.leave, self.data = leave, data
        self.id = uuid4().hex
        self.board = Board(console, study.mode)
        self.lock = lock
        self.result, self.stop = Result(), Stop()
        self.spool: Spool | None = None
        self.writer: Writer | None = None

    def run(self) -> Result:
        """Plan, run, close; whatever happens, the record is told and delivered."""
        status = "stopped"
        try:
            known = self.record.study(self.study.name)
            if identity.complete(self.study, known) and not work(self.open()).remaining():
                self.recall()
                status = "complete"
                return self.result
            with cluster.connected(self.flags.address, self.study.name, self.flags.cpus) as url:
                self.console.print(f"Ray dashboard  {url or 'off'}", highlight=False, soft_wrap=True)
                executor = self.open()
                executor.spool.append({"event": "tags", "tags": {"ablate.dashboard": url}})
                work(executor).run()
            for event in self.leave(self.study, self.result, self.data):
                executor.spool.append(event)
            status = "complete"
        except Interrupted as reason:
            self.result.interrupted = str(reason)
        except KeyboardInterrupt:
            self.result.interrupted = self.stop.reason or "interrupted"
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            self.result.full_disk, self.result.interrupted = True, full_disk(error)
        finally:
            self.close(status)
        return self.result

    def settled(self) -> bool:
        """Whether nothing is left of a study that its record calls complete; fills the result, writes nothing."""
        for line in self.data.report.lines():
            self.board.say(f"data: {line}")
        left = work(self.executor()).remaining()
        self.board.close()
        self.recall()
        return not left

    def recall(self) -> None:
        """What stands beside the confirmation of a study that has ended, as its run in the record keeps it."""
        known = self.record.study(self.study.name)
        self.result.levels = json.loads(known.tags.get(LEVELS, "{}")) if known else {}

    def open(self) -> Executor:
        """The study's run in the record, its writer, and what runs the cells that the record lacks."""
        study, record = self.study, self.record
        executor = self.executor()
        if self.spool is None:
            assert self.lock is not None
            identity.keep_file(study, self.folder)
            tags = identity.tags(study) | provenance()
            if self.flags.fresh:
                tags |= {FRESH: str(now()), LEVELS: "{}", identity.GIVEN_UP: "[]"}
            run = record.open_study(study.name, tags, identity.digest(study))
            self.lock.sign(run)
            self.spool = Spool(self.folder / "spool", f"{os.getpid()}-{self.id[:6]}")
            asked = partial(self.stop, "`ablate stop` asked for it")
            beat = float(os.environ.get("ABLATE_HEARTBEAT", "30"))
            self.writer = Writer(record, self.spool, study.name, run, on_stop=asked, beat=beat)
            self.tell_data(self.spool)
            for event in identity.design_events(study, self.folder):
                self.spool.append(event)
        executor.written = self.spool
        return executor

    def executor(self) -> Executor:
        """What runs the cells that the record lacks."""
        study, record = self.study, self.record
        cells, arms, known = record.cells(), record.arms(study.name), record.study(study.name)
        since = math.inf if self.flags.fresh else begun(known)
        attempts = next_attempts((its for its in cells if its.study == study.name), since)
        cells, arms = ([], []) if self.flags.fresh else (current(cells, known), arms)
        return Executor(
            study,
            self.data,
            Known(Planner(study, self.data.digest, attempts), cells, arms, self.flags.retry_failed),
            sweep=self.id,
            folder=self.folder,
            record=record,
            spool=self.spool,
            board=self.board,
            result=self.result,
            stop=self.stop,
        )

    def tell_data(self, spool: Spool) -> None:
        """What was skipped and dropped, and how the splits were made: on the terminal and as `data_report.txt`."""
        for line in self.data.report.lines():
            self.board.say(f"data: {line}")
        spool.append({"event": "text", "text": self.data.summary(), "file": "data_report.txt"})

    def close(self, status: str) -> None:
        """Aggregates, the status of the study, and everything delivered as far as MLflow answers."""
        self.board.close()
        if self.spool is None or self.writer is None:
            return
        if not self.spool.file.exists():
            self.writer.close(timeout=1.0)
            raise Mistake(
                f"{self.folder} was removed while the study ran; what the record had not been told yet is lost: "
                "run the same command again"
            )
        with contextlib.suppress(OSError):  # a full disk: the next command finds the study as if its process had died
            self.note_end(status)
        try:
            self.result.backlog = self.writer.drain(DRAIN_S if status == "complete" else STOPPED_DRAIN_S)
        except KeyboardInterrupt:  # who does not want to wait need not
            self.result.backlog = Spool.backlog(self.folder / "spool")
        self.writer.close(timeout=5.0 if status == "complete" else 1.0)

    def note_end(self, status: str) -> None:
        """Aggregates of the configurations, and how the study ended."""
        assert self.spool is not None
        if status == "complete":
            for event in (*identity.arm_ends(self.result), *identity.design_ends(self.study, self.result)):
                self.spool.append(event)
        tags = identity.closing_tags(self.study, self.result, status)
        self.spool.append({"event": "tags", "tags": tags})
        self.spool.append({"event": "end", "status": status, "at": now()})
