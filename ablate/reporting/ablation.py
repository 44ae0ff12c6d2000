"""The report of an ablation from its rows: tables in order, the page, the CSV of its effects."""

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.console import Console

from ablate.design.effects import Effects
from ablate.design.options import FACTORIAL
from ablate.design.row import Row
from ablate.design.row import columns as row_columns
from ablate.reporting.answer import QUESTIONS, answer, path_answer
from ablate.reporting.arms import effects_table
from ablate.reporting.beside import (
    agreement_table,
    aliases_table,
    cells_table,
    failures_table,
    lenth_sentence,
    looks_table,
    path_table,
    probes_table,
    ranking_table,
    retuned_table,
    simple_table,
)
from ablate.reporting.cells import CellRow
from ablate.reporting.designed import Measured, effects_of, measured, walk_of
from ablate.reporting.latex import latex
from ablate.reporting.numbers import plain_number
from ablate.reporting.question import Question
from ablate.reporting.robust import robust_table
from ablate.reporting.table import Table, markdown
from ablate.reporting.terminal import say, show


@dataclass(frozen=True)
class Ablation:
    """All that the record says of an ablation."""

    question: Question
    rows: Sequence[CellRow]
    found: Measured
    effects: Effects | None  # None of a path, which claims nothing

    @classmethod
    def of(cls, question: Question, rows: Sequence[CellRow], given_up: Collection[str] = ()) -> "Ablation":
        """From the rows of a study; raises Mistake for a value outside the domain of the design's transform."""
        assert question.plan is not None
        path = question.plan.design.kind == "path"
        return cls(
            question, rows, measured(question.plan, rows), None if path else effects_of(question, rows, given_up)
        )

    @property
    def faults(self) -> tuple[str, ...]:
        """Arms that change nothing, a sentence each."""
        return self.effects.faults if self.effects else ()

    def conclusion(self) -> str:
        """What came out, in words."""
        if self.effects is None:
            return path_answer(walk_of(self.question, self.rows), self.found.plan)
        return " ".join(its for its in (answer(self.effects, self.found.plan), lenth_sentence(self.effects)) if its)

    def tables(self) -> list[Table]:
        """In the order of reading: aliases before effects, claims before what stands beside them."""
        plan, its = self.found.plan, self.effects
        if its is None:
            tables = [path_table(walk_of(self.question, self.rows), plan), probes_table(self.found, self.rows)]
        else:
            factorial = plan.design.kind in FACTORIAL
            tables = [
                aliases_table(plan),
                retuned_table(plan, self.rows),
                effects_table(its, self.found),
                failures_table(its, self.found),
                simple_table(its, plan),
                looks_table(its, plan),
                cells_table(its, self.found) if factorial else None,
                probes_table(self.found, self.rows),
                agreement_table(self.found, self.rows),
                ranking_table(its, plan),
                robust_table(self.found),
            ]
        return [table for table in tables if table is not None]

    def page(self) -> str:
        """All tables as Markdown under the question and its answer."""
        head = f"# {self.question.study}\n\nAsked: {QUESTIONS[self.found.plan.design.kind]}.\n\n{self.conclusion()}\n"
        return "\n".join([head, *(markdown(table, 2) for table in self.tables())])

    def latex(self) -> str:
        """The effects for a paper."""
        label = f"tab:{self.question.study.replace('_', '-')}"
        if self.effects is None:
            return latex(path_table(walk_of(self.question, self.rows), self.found.plan), label)
        return latex(effects_table(self.effects, self.found, short=True), label)

    def csv(self) -> str:
        """The effects with all their columns; empty where one does not apply. No row of a path."""
        factorial = self.effects is not None and self.effects.fit is not None
        names = row_columns(factorial, self.found.plan.test == "sequential")
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(names)
        for row in (*self.effects.rows, *self.effects.beside) if self.effects else ():
            writer.writerow([text(row, name) for name in names])
        return out.getvalue()

    def show(self, console: Console) -> None:
        """Tables, then the answer."""
        for table in self.tables():
            show(console, table)
        say(console, self.conclusion())


def text(row: Row, name: str) -> str:
    """A value as CSV has it."""
    value = getattr(row, name)
    return value if isinstance(value, str) else plain_number(value)
