"""Lists of cells through Tune: what the record has already is taken from it, the rest is run and told."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.data.dataset import Data
from ablate.records import now
from ablate.search import cluster
from ablate.search.events import compact, opening
from ablate.search.known import LINKED, Known
from ablate.search.plan import Cell, Outcome, cell_config, once
from ablate.search.progress import Board
from ablate.search.result import Interrupted, Result, Stop
from ablate.spool import Spool
from ablate.study import Study
from ablate.tracking import Record
from ablate.trial import Resources

if TYPE_CHECKING:  # imported where they are needed: a study with nothing left to run needs no Ray
    from ablate.search.callbacks import Recorder
    from ablate.search.searcher import AblateOptuna


class Executor:
    """Runs the cells of one sweep; what it finds goes to `result`."""

    def __init__(
        self,
        study: Study,
        data: Data,
        known: Known,
        *,
        sweep: str,
        folder: Path,
        record: Record,
        spool: Spool | None,
        board: Board,
        result: Result,
        stop: Stop,
    ):
        """`sweep`: id of this process's work; `folder`: of the study; without a `spool` for looking only."""
        self.study, self.data, self.known, self.planner = study, data, known, known.planner
        several = study.search is not None and len(study.search.metric) > 1
        self.objectives = list(study.judged) if several else []
        self.id, self.folder, self.record, self.written = sweep, folder, record, spool
        self.board, self.result, self.stop = board, result, stop

    @property
    def spool(self) -> Spool:
        """Where what happens is written."""
        assert self.written is not None, "who only looks runs nothing"
        return self.written

    def run_list(self, title: str, cells: list[Cell], resources: Resources) -> dict[str, Outcome]:
        """Run the cells of a list that are not settled, in order, none stopped early; outcomes of all, by cell key."""
        cells = once(cells)
        settled = self.settled(cells)
        for cell in cells:
            if cell.key in settled and cell.key not in self.known.mine:
                self.link(cell, settled[cell.key])
        begun = {its.cell for its in self.known.mine.values()}
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

    def settled(self, cells: list[Cell]) -> dict[str, Outcome]:
        """Outcomes of the cells that need not be run, by cell key; notes which of them another study ran."""
        found = {cell.key: out for cell in cells if (out := self.known.settled(cell)) is not None}
        self.result.reused |= {key for key in found if key not in self.known.mine}
        return found

    def tune(
        self,
        recorder: Recorder,
        samples: int,
        resources: Resources,
        scheduler: Any = None,
        searcher: AblateOptuna | None = None,
        cells: list[dict[str, Any]] | None = None,
    ) -> None:
        """One Tuner, another for trials that lost their process before they began. Raises Interrupted if cut short."""
        recorder.on_full_disk = lambda: self.stop(recorder.full_disk or "disk full")
        reuse = resources.workers == 1 or scheduler is None  # a trial that waits for Ray Train cannot be stopped
        whole = self.run(recorder, samples, resources, reuse, scheduler, searcher, cells)
        given = cells if searcher is None else [self.config(cell) for cell in searcher.cells.values()]
        lost = [its for its in given or [] if its["cell"] not in recorder.outcomes]
        if whole and lost and not recorder.running and not self.stop.reason:
            self.board.say(
                f"{len(lost)} trials lost their process before they began; they are run now, none stopped early"
            )
            whole = self.run(recorder, 1, resources, reuse=False, cells=lost)
        ended = [out for out in recorder.outcomes.values() if out.status != "stopped"]
        if not whole or recorder.running or self.stop.reason or len(ended) < len(given or []):
            reason = self.stop.reason or "interrupted"
            recorder.stop_running(reason)
            self.result.full_disk = recorder.full_disk is not None
            raise Interrupted(reason)

    def run(
        self,
        recorder: Recorder,
        samples: int,
        resources: Resources,
        reuse: bool,
        scheduler: Any = None,
        searcher: AblateOptuna | None = None,
        cells: list[dict[str, Any]] | None = None,
    ) -> bool:
        """One Tuner; False if it was cut short."""
        from ablate.search.callbacks import Janitor
        from ablate.search.tuning import run_tuner

        return run_tuner(
            study=self.study.name,
            callbacks=[recorder, Janitor()],
            request=cluster.request(resources),
            concurrent=cluster.concurrency(resources),
            scratch=self.folder / "spool" / "ray",
            samples=samples,
            reuse=reuse,
            scheduler=scheduler,
            searcher=searcher,
            cells=cells,
        )

    def config(self, cell: Cell) -> dict[str, Any]:
        """What the trial process is told."""
        return cell_config(cell, self.folder, self.id, self.objectives)

    def recorder(self) -> Recorder:
        """A fresh callback over the same spool and board."""
        from ablate.search.callbacks import Recorder

        return Recorder(self.spool, lambda cell: opening(cell, self.data), self.board)

    def collect(self, recorder: Recorder) -> None:
        """Count what this process ran."""
        self.result.ran += len(recorder.outcomes)
        self.result.failed = list(self.board.failed)

    def link(self, cell: Cell, out: Outcome) -> None:
        """A configuration run of this study that points at the seed run of another."""
        if self.written is None:
            return
        self.written.append(
            {
                "event": "arm_end",
                "arm": cell.signature,
                "name": cell.name,
                "cells": {str(cell.seed): cell.key},
                "tags": {"ablate.point": compact(cell.point), LINKED: cell.role},
                "at": now(),
            }
        )
