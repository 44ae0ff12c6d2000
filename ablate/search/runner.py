"""A study from its file to its last record: plan against the record, run what remains, confirm, close."""

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console

from ablate.data.dataset import Data, load_data
from ablate.errors import Mistake
from ablate.lock import Lock
from ablate.records import CellRecord, now
from ablate.search import cluster, identity
from ablate.search.callbacks import Janitor, Recorder
from ablate.search.confirm import Candidate, candidates, confirm_cells
from ablate.search.events import compact, opening, provenance
from ablate.search.mirror import Mirror
from ablate.search.plan import Cell, Outcome, Planner, cell_config, final, newest, outcome
from ablate.search.progress import Board
from ablate.search.scheduler import make_scheduler
from ablate.search.searcher import AblateOptuna, make_sampler
from ablate.search.space import grid
from ablate.spool import Spool
from ablate.study import Study
from ablate.tracking import Record
from ablate.training.cell import draw_cell
from ablate.trial import Resources
from ablate.writer import Writer, deliver

log = logging.getLogger(__name__)
DRAIN_S = 60.0  # how long the end of a sweep waits for MLflow


@dataclass(frozen=True)
class Flags:
    """What the command line may ask besides the study."""

    address: str | None = None
    cpus: float | None = None
    retry_failed: bool = False
    fresh: bool = False


@dataclass
class Result:
    """What a sweep leaves in hand for the closing tables."""

    found: list[tuple[Cell, Outcome]] = field(default_factory=list)  # of the search, in the order of its cells
    chosen: list[Candidate] = field(default_factory=list)
    confirmed: dict[str, Outcome] = field(default_factory=dict)  # by cell key
    cells: list[Cell] = field(default_factory=list)  # of the confirmation
    failed: list[str] = field(default_factory=list)
    interrupted: str = ""  # why, if the sweep ended before its plan
    backlog: int = 0  # records that wait for MLflow
    ran: int = 0  # cells trained by this process
    full_disk: bool = False
    levels: dict[str, dict[str, list[float]]] = field(default_factory=dict)  # untrained encoder, raw features


class Interrupted(Exception):
    """The sweep was asked to stop; what has not ended is marked as stopped."""


Leave = Callable[
    [Study, Result, Data], list[dict[str, Any]]
]  # what a complete sweep leaves on the study's run, as events


def sweep(study: Study, flags: Flags, console: Console, leave: Leave = lambda *_: []) -> Result:
    """Run a study to its end. Raises Mistake for what the user must change first; nothing has been started then."""
    sentence = study.resources.fits(cluster.local_totals(flags.cpus)) if flags.address is None else None
    if sentence:
        raise Mistake(sentence)
    folder = study_folder(study)
    record = open_record(study)
    with Lock(folder / "spool", study.name, record) as lock:
        deliver(record, folder / "spool", study.name)
        known = record.study(study.name)
        if known is not None and not flags.fresh:
            identity.check_same(study, known)
        identity.keep_file(study, folder)
        return Sweep(study, flags, console, folder, record, lock, leave).run()


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


def open_record(study: Study) -> Record:
    """The MLflow record of the study: its server, or sqlite beside the study folders."""
    its = study.tracking
    root = Path(its.folder).resolve()
    local = its.uri is None
    uri = its.uri or f"sqlite:///{root}/mlflow.db"
    artifacts = its.artifacts or (f"file://{root}/artifacts" if local else None)
    return Record(uri, its.experiment, artifacts, wait=float(os.environ.get("ABLATE_RECORD_WAIT", "30")))


class Sweep:
    """One process's work on one study; made and used by `sweep` only."""

    def __init__(
        self, study: Study, flags: Flags, console: Console, folder: Path, record: Record, lock: Lock, leave: Leave
    ):
        assert study.search is not None
        self.study, self.flags, self.console, self.folder, self.record = study, flags, console, folder, record
        self.search = study.search
        self.leave = leave
        self.mode = self.search.mode[0]
        self.objectives = list(self.search.metric) if len(self.search.metric) > 1 else []
        self.id = uuid4().hex
        self.board = Board(console, self.mode)
        self.result = Result()
        self.stop_reason = ""
        run = record.open_study(study.name, identity.tags(study) | provenance(), identity.digest(study))
        lock.sign(run)
        self.spool = Spool(folder / "spool", f"{os.getpid()}-{self.id[:6]}")
        self.writer = Writer(
            record, self.spool, study.name, run, on_stop=lambda: self.stop("`ablate stop` asked for it")
        )
        self.record_run = run
        self.data: Data | None = None

    def run(self) -> Result:
        """Plan, run, close; whatever happens, the record is told and delivered."""
        status = "stopped"
        try:
            self.announce_record()
            if identity.complete(self.study, self.record.study(self.study.name)):
                self.prepare()
                if not self.remaining():
                    status = "complete"
                    return self.result
            with cluster.connected(self.flags.address, self.study.name, self.flags.cpus) as url:
                self.console.print(f"Ray dashboard  {url or 'off'}", highlight=False, soft_wrap=True)
                self.prepare()
                self.run_search()
                self.run_confirm()
                self.draw_best()
            self.leave_results()
            status = "complete"
        except Interrupted as reason:
            self.result.interrupted = str(reason)
        except KeyboardInterrupt:
            self.result.interrupted = self.stop_reason or "interrupted"
        finally:
            self.close(status)
        return self.result

    def announce_record(self) -> None:
        """The addresses come before anything else."""
        show = "" if self.study.tracking.uri else "  (ablate ui opens it)"
        self.console.print(f"MLflow         {self.record.uri}{show}", highlight=False, soft_wrap=True)
        mirror = self.study.tracking.optuna or "optuna-dashboard reads the copy in the user's cache: ablate ui names it"
        if self.study.search and self.study.search.algorithm != "grid":
            self.console.print(f"Optuna         {mirror}", highlight=False, soft_wrap=True)

    def prepare(self) -> None:
        """Data into the store; what the record knows of this study and of the others."""
        if self.data is not None:
            return
        base = self.study.base.data
        self.data = load_data((base.name, base.options), progress=True)
        for line in self.data.report.lines():
            self.board.say(f"data: {line}")
        self.planner = Planner(self.study, self.data.digest)
        every = [] if self.flags.fresh else self.record.cells()
        self.mine = newest(its for its in every if its.study == self.study.name)
        self.others = newest(its for its in every if its.study != self.study.name and its.status == "complete")

    def stop(self, reason: str) -> None:
        """End the sweep in order, from any thread: the same path as Ctrl-C."""
        self.stop_reason = reason
        os.kill(os.getpid(), signal.SIGINT)

    # ---- what is left

    def remaining(self) -> bool:
        """Whether a study that the record calls complete has anything to run after all; fills the result if not."""
        plan = self.known_search()
        if plan is None:
            return True
        self.result.found = plan
        self.plan_confirm()
        todo = [cell for cell in self.result.cells if self.settled(cell) is None]
        if not todo:
            self.result.confirmed = {c.key: out for c in self.result.cells if (out := self.settled(c)) is not None}
        return bool(todo)

    def known_search(self) -> list[tuple[Cell, Outcome]] | None:
        """The whole search from the record; None if some of it is missing."""
        if self.search.algorithm == "grid":
            cells = self.grid_cells()
            found = [(cell, out) for cell in cells if (out := self.settled(cell)) is not None]
            return found if len(found) == len(cells) else None
        found = self.searched_before()
        return found if len(found) >= (self.search.trials or 0) else None

    def settled(self, cell: Cell) -> Outcome | None:
        """How a cell ended, if it need not be run: in this study, or complete in another with all that is asked."""
        mine = self.mine.get(cell.key)
        if mine is not None and final(mine, self.flags.retry_failed) and suffices(cell, mine):
            return outcome(mine)
        other = self.others.get(cell.key)
        return outcome(other) if other is not None and suffices(cell, other) else None

    def searched_before(self) -> list[tuple[Cell, Outcome]]:
        """Settled search cells of this study whose point still lies in the space, oldest first."""
        found = []
        for its in sorted(self.mine.values(), key=lambda its: its.started):
            if its.tags.get("ablate.role") != "search" or not final(its, self.flags.retry_failed):
                continue
            cell = self.cell_of(its)
            if cell is not None and cell.key == its.cell:
                found.append((cell, outcome(its)))
        return found

    def cell_of(self, its: CellRecord) -> Cell | None:
        """The cell of a recorded point; None if the space has changed under it."""
        try:
            return self.planner.searched(its.point)
        except Mistake:
            return None

    def grid_cells(self) -> list[Cell]:
        """Every point of the grid once."""
        cells = [self.planner.searched(point, "grid") for point in grid(self.study)]
        return list({cell.key: cell for cell in cells}.values())

    # ---- the phases

    def run_search(self) -> None:
        """The list of a grid, or what Optuna suggests."""
        if self.search.algorithm == "grid":
            cells = self.grid_cells()
            done = self.run_list("grid", cells, self.study.resources)
            self.result.found = [(cell, done[cell.key]) for cell in cells if cell.key in done]
        else:
            self.run_suggested()

    def run_suggested(self) -> None:
        """What Optuna suggests, after it has been told what the record knows."""
        search = self.search
        before = self.searched_before()
        mirror = Mirror(self.study.name, self.study.plain()["space"], list(search.mode), self.study.tracking.optuna)
        total = search.trials or 0
        searcher = AblateOptuna(
            self.study.space,
            list(search.mode),
            make_sampler(search.algorithm, search.seed, len(before)),
            budget=total - len(before),
            make=self.planner.searched,
            config=self.config,
            elsewhere=lambda key: outcome(its) if (its := self.others.get(key)) else None,
            finished=mirror.add,
        )
        before = [(cell, self.with_history(cell, out)) for cell, out in before]
        outside = [cell for cell, out in before if not searcher.remember(cell, out)]
        if outside:
            self.board.say(
                f"{len(outside)} earlier trials lie outside the changed space; they are left out of the search"
            )
        for its in self.unfinished():
            searcher.enqueue(its.point)
        if not before and not self.unfinished():
            searcher.enqueue(self.study.point(self.study.base))  # the default is the first to be tried
        past = {cell.key: list(out.history) for cell, out in before}
        past |= {its.cell: self.record.history(its.run_id, "objective") for its in self.unfinished()}
        recorder = self.recorder()
        try:
            if searcher.budget > 0:
                self.board.phase(f"search ({search.algorithm})", total, len(before))
                scheduler = make_scheduler(search.scheduler, self.mode, self.study.base.train.epochs, past)
                self.tune(recorder, searcher.budget, self.study.resources, scheduler=scheduler, searcher=searcher)
        finally:
            self.board.close()
            mirror.close()
            new = [
                (cell, recorder.outcomes[cell.key]) for cell in searcher.cells.values() if cell.key in recorder.outcomes
            ]
            self.result.found = [*before, *searcher.reused, *new]
            self.collect(recorder)
        for cell, out in searcher.reused:
            self.link(cell, out)
        if searcher.budget > 0 and not any(out.status == "stopped" for _, out in new):
            self.board.say(
                f"the space holds no further configuration: {total - searcher.budget} of {total} trials were run"
            )

    def unfinished(self) -> list[CellRecord]:
        """Search cells of this study that began and did not end."""
        return [
            its
            for its in self.mine.values()
            if its.tags.get("ablate.role") == "search" and not final(its, self.flags.retry_failed)
        ]

    def with_history(self, cell: Cell, out: Outcome) -> Outcome:
        """The outcome with its values by epoch, read only where a scheduler compares them."""
        if self.search.scheduler is None or out.run_id is None:
            return out
        return replace(out, history=tuple(self.record.history(out.run_id, "objective")))

    def run_confirm(self) -> None:
        """Fresh seeds for the best, the default and the baselines."""
        self.plan_confirm()
        if self.result.cells:
            self.result.confirmed = self.run_list("confirm", self.result.cells, self.study.resources)

    def plan_confirm(self) -> None:
        """Choose what is confirmed."""
        confirm = self.search.confirm
        if confirm is None:
            return
        self.result.chosen = candidates(self.planner, self.result.found, confirm.top, self.mode)
        self.result.cells = confirm_cells(self.planner, self.result.chosen, confirm.seeds)

    def run_list(self, title: str, cells: list[Cell], resources: Resources) -> dict[str, Outcome]:
        """Run the cells of a list that are not settled, in order, none stopped early; outcomes of all, by cell key."""
        settled = {cell.key: out for cell in cells if (out := self.settled(cell)) is not None}
        for cell in cells:
            if cell.key in settled and cell.key not in self.mine:
                self.link(cell, settled[cell.key])
        begun = {its.cell for its in self.mine.values()}
        todo = [cell for cell in cells if cell.key not in settled]
        todo.sort(key=lambda cell: cell.key not in begun)
        if not todo:
            return settled
        self.board.phase(title, len(cells), len(settled))
        recorder = self.recorder()
        try:
            self.tune(recorder, 1, resources, cells=[self.config(cell) for cell in todo])
        finally:
            self.board.close()
            self.collect(recorder)
        return settled | recorder.outcomes

    def tune(
        self,
        recorder: Recorder,
        samples: int,
        resources: Resources,
        scheduler: Any = None,
        searcher: AblateOptuna | None = None,
        cells: list[dict[str, Any]] | None = None,
    ) -> None:
        """One Tuner. Raises Interrupted if it ended before its plan."""
        from ablate.search.tuning import run_tuner

        recorder.on_full_disk = lambda: self.stop(recorder.full_disk or "disk full")
        run_tuner(
            study=self.study.name,
            callbacks=[recorder, Janitor()],
            request=cluster.request(resources),
            concurrent=cluster.concurrency(resources),
            scratch=self.folder / "spool" / "ray",
            samples=samples,
            reuse=resources.workers == 1,
            scheduler=scheduler,
            searcher=searcher,
            cells=cells,
        )
        missing = samples if searcher is not None else len(cells or [])
        ended = [out for out in recorder.outcomes.values() if out.status != "stopped"]
        cut_short = bool(recorder.running) or self.stop_reason or (cells is not None and len(ended) < missing)
        if cut_short:
            reason = self.stop_reason or "interrupted"
            recorder.stop_running(reason)
            self.result.full_disk = recorder.full_disk is not None
            raise Interrupted(reason)

    def draw_best(self) -> None:
        """Pictures and sounds of the best trial of the search (confirmed ones leave their own)."""
        best = self.best()
        if best is None or (best.key in self.mine and self.result.ran == 0):
            return
        config = self.config(best)
        if not (Path(config["folder"]) / "best.pt").exists():
            return
        folder = draw_cell(config)
        self.spool.append({"event": "artifact", "cell": best.key, "path": str(folder)})
        self.spool.append({"event": "tags", "cell": best.key, "tags": {"ablate.best": "true"}})

    def leave_results(self) -> None:
        """Pages and figures of the results, on the study's run."""
        assert self.data is not None
        for event in self.leave(self.study, self.result, self.data):
            self.spool.append(event)

    def best(self) -> Cell | None:
        """The best finished cell of the search."""
        sign = 1 if self.mode == "max" else -1
        done = [(sign * out.objective, cell) for cell, out in self.result.found if out.status == "complete"]
        return max(done, key=lambda one: one[0])[1] if done else None

    # ---- the record

    def config(self, cell: Cell) -> dict[str, Any]:
        """What the trial process is told."""
        return cell_config(cell, self.folder, self.id, self.objectives)

    def recorder(self) -> Recorder:
        """A fresh callback over the same spool and board."""
        assert self.data is not None
        data = self.data
        return Recorder(self.spool, lambda cell: opening(cell, data), self.board)

    def collect(self, recorder: Recorder) -> None:
        """Count what this process ran."""
        self.result.ran += len(recorder.outcomes)
        self.result.failed = list(self.board.failed)

    def link(self, cell: Cell, out: Outcome) -> None:
        """A configuration run of this study that points at the seed run of another."""
        self.spool.append(
            {
                "event": "arm_end",
                "arm": cell.signature,
                "name": cell.name,
                "cells": {str(cell.seed): cell.key},
                "tags": {"ablate.point": compact(cell.point)},
                "at": now(),
            }
        )

    def close(self, status: str) -> None:
        """Aggregates, the status of the study, and everything delivered as far as MLflow answers."""
        if status == "complete":
            for event in identity.arm_ends(self.result):
                self.spool.append(event)
        tags = identity.closing_tags(self.study, self.result, status)
        self.spool.append({"event": "tags", "tags": tags})
        self.spool.append({"event": "end", "status": status, "at": now()})
        self.board.close()
        self.result.backlog = self.writer.drain(DRAIN_S if status == "complete" else 8.0)
        self.writer.close()


def suffices(cell: Cell, its: CellRecord) -> bool:
    """Whether a record holds what is asked of the cell."""
    return not cell.test or its.status != "complete" or any(key.startswith("test/") for key in its.metrics)
