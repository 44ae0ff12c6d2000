"""A study's report from the record alone: works anywhere the record can be reached, finished or not."""

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from ablate.records import LEVELS, CellRecord, StudyRecord, current
from ablate.reporting.ablation import Ablation
from ablate.reporting.cached import Behind, keep, kept
from ablate.reporting.cells import CellRow, recorded_rows, write_csv
from ablate.reporting.confirmed import confirmation
from ablate.reporting.effects import Level, confirmation_table, levels_from
from ablate.reporting.latex import latex
from ablate.reporting.question import Question
from ablate.reporting.ranking import ranking_table
from ablate.reporting.status import find
from ablate.reporting.terminal import closing
from ablate.search.identity import GIVEN_UP, unpack
from ablate.tracking import Record
from ablate.writer import deliver


@dataclass(frozen=True)
class Recorded:
    """What the record holds of a study."""

    question: Question
    rows: list[CellRow]
    levels: list[Level]
    ablation: Ablation | None = None
    known: StudyRecord | None = None  # its run
    record: Record | None = None
    cells_by_run: Mapping[str, CellRecord] = field(default_factory=dict)  # run id -> the run behind a row

    def history(self, row: CellRow, key: str) -> list[tuple[int, float]]:
        """(epoch, value) of a metric of a row's run."""
        return self.record.history(row.run_id, key) if self.record and row.run_id else []

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the design itself."""
        return self.ablation.faults if self.ablation else ()

    def show(self, console: Console) -> None:
        """All tables on a terminal."""
        if self.ablation:
            self.ablation.show(console)
        else:
            closing(console, self.question, self.rows, self.levels)

    def markdown(self) -> str:
        """All tables as Markdown."""
        if self.ablation:
            return self.ablation.page()
        out = io.StringIO()
        closing(Console(force_terminal=False, file=out), self.question, self.rows, self.levels)
        return out.getvalue()

    def cells(self) -> str:
        """All cells as CSV."""
        return write_csv(self.question, self.rows)

    def csv(self) -> str:
        """The effects of an ablation as CSV, the cells of a search."""
        return self.ablation.csv() if self.ablation else self.cells()

    def latex(self) -> str:
        """The effects of an ablation, the confirmation or the best trials of a search, for a paper."""
        if self.ablation:
            return self.ablation.latex()
        its = confirmation(self.question, self.rows)
        table = confirmation_table(self.question, its) if its else ranking_table(self.question, self.rows)
        return latex(table, f"tab:{self.question.study.replace('_', '-')}")


def recorded(folder: Path, study: str) -> Recorded:
    """Read a study, after what waits in its spool has been delivered; raises Mistake where there is none."""
    record, known = find(folder, study)
    if (folder / study / "spool").is_dir():
        deliver(record, folder / study / "spool", study)
        record, known = find(folder, study)
    question = Question.of(unpack(known.tags["ablate.design"]))
    levels = levels_from(json.loads(known.tags.get(LEVELS, "{}")))
    rows, behind = rows_of(record, question, known, folder / study)
    ablation = None
    if question.plan is not None:
        ablation = Ablation.of(question, rows, json.loads(known.tags.get(GIVEN_UP, "[]")))
    return Recorded(question, rows, levels, ablation, known, record, behind)


def rows_of(
    record: Record, question: Question, study: StudyRecord, home: Path
) -> tuple[list[CellRow], Mapping[str, CellRecord]]:
    """Rows of a study and the runs behind them; the rows of a large one from its folder, where nothing has changed."""
    state = record.state()
    known = kept(home, state)
    if known is not None:
        return known, Behind(lambda: behind(known, record.cells()))
    cells = current(record.cells(), study)
    rows = recorded_rows(question, cells, record.arms(question.study, metrics=()))
    keep(home, state, rows)
    return rows, behind(rows, cells)


def behind(rows: Iterable[CellRow], cells: Iterable[CellRecord]) -> dict[str, CellRecord]:
    """Run id -> the run behind a row."""
    mine = {row.run_id for row in rows}
    return {its.run_id: its for its in cells if its.run_id in mine}
