"""Tables on a terminal, the same tables as Markdown, and what a sweep shows at its end."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as Drawn
from rich.text import Text

from ablate.design.confirm import Confirmation
from ablate.reporting.cells import CellRow
from ablate.reporting.confirmed import confirmation
from ablate.reporting.effects import (
    Level,
    against_table,
    conclusion,
    confirmation_table,
    metrics_table,
    seeds_table,
)
from ablate.reporting.question import Question
from ablate.reporting.ranking import ranking_table
from ablate.reporting.table import GAP, Table, markdown, widths, without_spare


def show(console: Console, table: Table) -> None:
    """Draw a table in the width of the terminal; elsewhere (a file, a pipe) write it as Markdown, unwrapped."""
    if not console.is_terminal:
        say(console, markdown(table))
        return
    fitting = without_spare(table, console.width)
    fits = sum(widths(fitting, console.width)) + GAP * len(fitting.columns) <= console.width
    fitting = fitting if fits else table
    console.print(drawn(fitting, console.width) if fits else stacked(table))
    for line in (fitting.caption, *fitting.notes):
        if line:
            console.print(Text(line, style="dim"))
    console.print()


def drawn(table: Table, width: int) -> Drawn:
    """The table for rich, in columns that no word is broken for."""
    its = Drawn(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False)
    its.title, its.title_justify, its.title_style = table.title, "left", "bold"
    for column, size in zip(table.columns, widths(table, width), strict=True):
        its.add_column(Text(column.head), justify="right" if column.right else "left", width=size)
    for row in table.rows:
        its.add_row(*map(Text, row))
    return its


def stacked(table: Table) -> Text:
    """The table for a terminal that is too narrow for its columns: a block of lines per row."""
    heads = [its.head for its in table.columns]
    text = Text(f"{table.title}\n", style="bold")
    for row in table.rows:
        lines = [f"{head}: {cell}" for head, cell in zip(heads, row, strict=True) if cell]
        text.append("\n" + "\n  ".join(lines) + "\n", style="not bold")
    return text


def say(console: Console, text: str) -> None:
    """Plain text as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def closing(console: Console, question: Question, rows: Sequence[CellRow], levels: Sequence[Level] = ()) -> None:
    """The tables at the end of a sweep, or of `ablate report`: the search, then the confirmation in full."""
    show(console, ranking_table(question, rows))
    its = confirmation(question, rows)
    if its is None:
        return
    for table in confirmation_tables(question, its, rows, levels):
        show(console, table)
    say(console, conclusion(its))


def confirmation_tables(
    question: Question, its: Confirmation, rows: Sequence[CellRow], levels: Sequence[Level] = ()
) -> list[Table]:
    """The confirmation, against the baselines, all seeds, the probes beside it."""
    tables = [
        confirmation_table(question, its),
        against_table(its),
        seeds_table(question, its),
        metrics_table(question, its, rows, levels),
    ]
    return [table for table in tables if table is not None]


def confirmation_markdown(
    question: Question, its: Confirmation, rows: Sequence[CellRow], levels: Sequence[Level] = ()
) -> str:
    """The confirmation as a Markdown page: the artifact `confirm.md` and the table of the README."""
    head = f"# {question.study}: confirmation\n\n{conclusion(its)}\n"
    return "\n".join([head, *(markdown(table, 2) for table in confirmation_tables(question, its, rows, levels))])
