"""The closing table of a search: the best trials, their score and their probes."""

from collections.abc import Sequence

from ablate.reporting.cells import CellRow
from ablate.reporting.confirmed import accounts, ranked
from ablate.reporting.effects import BESIDE
from ablate.reporting.numbers import fixed, plain_number
from ablate.reporting.question import Question
from ablate.reporting.table import Column, Table

SHOWN = 10


def ranking_table(question: Question, rows: Sequence[CellRow], shown: int = SHOWN) -> Table:
    """The best complete trials, best first. Scores of one seed each: they choose, they prove nothing."""
    order = ranked(question, rows)[:shown]
    primary = question.metric.removeprefix("valid/")
    probes = [name for name in BESIDE if name != primary and any(f"valid/{name}" in row.values for row in order)]
    columns = (
        Column("#", True),
        Column("configuration", wrap=True),
        Column(question.metric, True),
        *(Column(name.replace("_", " "), True, spare=1 + i) for i, name in enumerate(probes)),
        Column("epochs", True, spare=len(BESIDE) + 1),
    )
    lines = tuple(
        (
            str(i),
            row.name,
            fixed(row.objective, 4),
            *(fixed(row.values.get(f"valid/{name}"), 3) for name in probes),
            plain_number(row.epochs),
        )
        for i, row in enumerate(order, 1)
    )
    return Table(f"Best of the {question.role}", columns, lines, ranking_caption(question, rows))


def ranking_caption(question: Question, rows: Sequence[CellRow]) -> str:
    """What became of the trials, and what their scores are worth."""
    mine = [row for row in rows if row.role == question.role]
    seeds = sorted({row.seed for row in mine})
    reused = sum(row.reused for row in mine)
    sentences = [
        f"{str(accounts(question, rows)[0]).capitalize()}.",
        f"{reused} of them run by other studies." if reused else "",
        f"{question.metric} of the best epoch, {'higher' if question.mode == 'max' else 'lower'} is better; probes of "
        f"the last one. One seed each ({', '.join(map(str, seeds))}): these scores choose, they prove nothing.",
    ]
    return " ".join(its for its in sentences if its)
