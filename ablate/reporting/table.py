"""A table as plain text cells, before it is drawn on a terminal or written as Markdown."""

from dataclasses import dataclass

GAP = 2  # characters between columns on a terminal


@dataclass(frozen=True)
class Column:
    """One column."""

    head: str
    right: bool = False  # numbers
    wrap: bool = False  # words that a narrow terminal may break into lines
    spare: int = 0  # a narrow terminal leaves out the columns with the highest number first; 0 stays


@dataclass(frozen=True)
class Table:
    """Cells are text; every row is as long as `columns`."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.title!r}: a row is not as long as the columns")


def markdown(table: Table, level: int = 3) -> str:
    """The table as Markdown: heading, aligned pipes, caption, notes; ends in a newline."""
    escaped = [tuple(cell.replace("|", "\\|") for cell in row) for row in table.rows]
    heads = [its.head.replace("|", "\\|") for its in table.columns]
    widths = [max(3, *(len(cells[i]) for cells in (heads, *escaped))) for i in range(len(heads))]

    def line(cells: tuple[str, ...] | list[str]) -> str:
        padded = [
            cell.rjust(width) if its.right else cell.ljust(width)
            for cell, width, its in zip(cells, widths, table.columns, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    marks = ["-" * (width - 1) + (":" if its.right else "-") for width, its in zip(widths, table.columns, strict=True)]
    blocks = [f"{'#' * level} {table.title}"] if table.title else []
    blocks.append("\n".join([line(heads), line(marks), *map(line, escaped)]))
    blocks += [table.caption] if table.caption else []
    blocks += ["\n".join(f"- {note}" for note in table.notes)] if table.notes else []
    return "\n\n".join(blocks) + "\n"


def without_spare(table: Table, width: int) -> Table:
    """The table without the columns that a line of `width` characters has no room for, as far as they are spare."""
    kept = list(range(len(table.columns)))
    needed = [least(table, i) + GAP for i in kept]
    while sum(needed[i] for i in kept) > width:
        spare = max(kept, key=lambda i: (table.columns[i].spare, i))
        if not table.columns[spare].spare:
            break
        kept.remove(spare)
    if len(kept) == len(table.columns):
        return table
    left_out = [its.head for i, its in enumerate(table.columns) if i not in kept]
    notes = (*table.notes, f"no room for: {', '.join(left_out)}")
    rows = tuple(tuple(row[i] for i in kept) for row in table.rows)
    return Table(table.title, tuple(table.columns[i] for i in kept), rows, table.caption, notes)


def widths(table: Table, width: int) -> list[int]:
    """Characters of each column on a line of `width`: all it wants, where there is room; else no word is broken."""
    found = [least(table, i) for i in range(len(table.columns))]
    left = width - sum(found) - GAP * len(found)
    for i in range(len(found)):
        more = max(0, min(max(map(len, texts(table, i))) - found[i], left))
        found[i] += more
        left -= more
    return found


def least(table: Table, i: int) -> int:
    """Characters that a column needs: its longest text, or word where it may be broken into lines."""
    whole = texts(table, i)
    return max(map(len, (word for text in whole for word in text.split()) if table.columns[i].wrap else whole))


def texts(table: Table, i: int) -> list[str]:
    """Head and cells of a column."""
    return [table.columns[i].head, *(row[i] for row in table.rows)]
