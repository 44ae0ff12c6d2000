"""The plain table of a study: one row per cell, every metric, the same bytes however the cells came to be."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.records import CellRecord, StudyRecord, text
from ablate.reporting.numbers import plain_number
from ablate.reporting.question import Question
from ablate.search.plan import SHORT, Cell, Outcome, newest

ROLES = ("search", "grid", "confirm", "retune", "design")
FIXED = ("study", "role", "name", "signature", "seed")
ENDED = ("status", "failure", "epochs", "best_epoch")
LINK = "ablate.run."  # + seed: tag of a configuration's run that names the run of a seed


@dataclass(frozen=True)
class CellRow:
    """One configuration on one seed, as a table shows it."""

    study: str
    role: str  # search, grid, confirm, retune or design
    name: str  # of the configuration
    signature: str  # 64 hex
    seed: int
    status: str
    failure: str = ""
    epochs: int | None = None
    best_epoch: int | None = None
    point: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)  # objective, valid/..., test/...
    cell: str = ""  # cell key
    reused: bool = False  # run by another study
    run_id: str = ""  # in MLflow; empty before it is there

    @property
    def objective(self) -> float | None:
        """The searched metric, best epoch; None if the cell has none."""
        return finite(self.values.get("objective"))

    @property
    def done(self) -> bool:
        """Whether it ended as intended."""
        return self.status == "complete"


def recorded_rows(question: Question, cells: Iterable[CellRecord], arms: Iterable[StudyRecord]) -> list[CellRow]:
    """Rows of a study from the record: its own cells, and those of others that its configurations' runs link to.

    `cells` may hold every study's (`Record.cells()`); `arms` are the configuration runs (`Record.arms(study)`). One row
    per cell key, of the last attempt. Sorted by role, place in the study, signature, seed.
    """
    cells, by_signature = list(cells), {its.signature: its for its in arms if its.study == question.study}
    linked = {run for arm in by_signature.values() for key, run in arm.tags.items() if key.startswith(LINK)}
    own = newest(its for its in cells if its.study == question.study)
    others = newest(its for its in cells if its.study != question.study and its.run_id in linked)
    settled = {key for key, its in own.items() if its.status == "complete"}
    chosen = own | {key: its for key, its in others.items() if key not in settled}
    return ordered(question, [_row(question, its, by_signature.get(its.signature)) for its in chosen.values()])


def swept_rows(
    question: Question, found: Iterable[tuple[Cell, Outcome | None]], reused: Container[str] = ()
) -> list[CellRow]:
    """Rows of a study from what a sweep holds in hand, for its closing tables; a cell without outcome is `pending`.

    `reused` holds the keys of the cells that another study ran.
    """
    rows = {cell.key: _swept(question, cell, outcome, cell.key in reused) for cell, outcome in found}
    return ordered(question, list(rows.values()))


def ordered(question: Question, rows: Sequence[CellRow]) -> list[CellRow]:
    """Rows by role, place in the study (arm by arm in a design), signature, seed: never by time or value."""
    arms = {its.name: i for i, its in enumerate(question.plan.arms)} if question.plan else {}
    baselines = {name: i for i, name in enumerate(question.baselines)}

    def place(row: CellRow) -> tuple[Any, ...]:
        baseline = baselines.get(row.name, -1) if row.role == "confirm" else -1
        arm = arms.get(row.name, len(arms))
        return ROLES.index(row.role), baseline, arm, question.position(row.point), row.signature, row.seed, row.cell

    return sorted(rows, key=place)


def write_csv(question: Question, rows: Sequence[CellRow]) -> str:
    """All rows as CSV (UTF-8, LF): who, the searched leaves, how it ended, objective, valid/..., test/....

    Numbers in the shortest text that reads back the same; empty where there is none. Holds no time, path, run id or
    machine, so that an interrupted and resumed study gives the same bytes as the uninterrupted one.
    """
    metrics = metric_names(rows)
    digits = unique_digits(row.signature for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*FIXED, *question.space, *ENDED, *metrics])
    for row in rows:
        who = [row.study, row.role, row.name, row.signature[:digits], str(row.seed)]
        leaves = [text(row.point[path]) if path in row.point else "" for path in question.space]
        ended = [row.status, row.failure, plain_number(row.epochs), plain_number(row.best_epoch)]
        writer.writerow([*who, *leaves, *ended, *(plain_number(row.values.get(name)) for name in metrics)])
    return out.getvalue()


def metric_names(rows: Iterable[CellRow]) -> list[str]:
    """`objective` (and its parts), then all others by name."""
    names = {name for row in rows for name in row.values}
    return sorted(names, key=lambda name: (not name.startswith("objective"), name))


def unique_digits(signatures: Iterable[str]) -> int:
    """Digits of the signatures that tell them apart: 8, or as many more as are needed."""
    distinct = set(signatures)
    return next((n for n in range(SHORT, 64) if len({its[:n] for its in distinct}) == len(distinct)), 64)


@dataclass(frozen=True)
class Account:
    """What became of the planned cells of one role: planned = complete + pruned + failed + running + missing."""

    role: str
    planned: int
    complete: int
    pruned: int
    failed: dict[str, int]  # class of failure -> cells
    running: int
    missing: int  # stopped, or not begun

    def __str__(self) -> str:
        """`24 planned: 15 complete, 8 pruned, 1 failed (1 diverged)`."""
        total = sum(self.failed.values())
        classes = ", ".join(f"{count} {kind}" for kind, count in self.failed.items())
        parts = {"complete": self.complete, "pruned": self.pruned, "running": self.running, "missing": self.missing}
        shown = [f"{count} {name}" for name, count in parts.items() if count]
        shown += [f"{total} failed ({classes})"] if total else []
        return f"{self.planned} planned: {', '.join(shown) or 'none begun'}"


def account(role: str, planned: int, rows: Iterable[CellRow]) -> Account:
    """Account of the rows of one role; a search that ran more cells than are planned now planned those."""
    mine = [row for row in rows if row.role == role]
    status = Counter(row.status for row in mine)
    failed = Counter(row.failure or "code" for row in mine if row.status == "failed")
    ended = status["complete"] + status["pruned"] + status["failed"] + status["running"]
    planned = max(planned, ended)
    failures = dict(sorted(failed.items()))
    return Account(role, planned, status["complete"], status["pruned"], failures, status["running"], planned - ended)


def finite(value: float | None) -> float | None:
    """The value, or None if it is no number."""
    return value if value is not None and math.isfinite(value) else None


def shown(values: Mapping[str, float]) -> dict[str, float]:
    """The values that a table shows: no training averages, weights or system figures."""
    return {key: value for key, value in values.items() if key.startswith(("valid/", "test/", "objective"))}


def whole(value: Any) -> int | None:
    """A count that the record keeps as text or as a float."""
    return None if value in (None, "") else int(float(value))


def _row(question: Question, its: CellRecord, arm: StudyRecord | None) -> CellRow:
    """A row from the record; name and point are those of this study's configuration run."""
    reused = its.study != question.study
    role = its.tags.get("ablate.role", question.role)
    if reused:
        role = "confirm" if its.seed in question.seeds else question.role
        if question.plan is not None and its.seed not in question.plan.seeds:
            role = "retune"
    point = json.loads(arm.tags["ablate.point"]) if arm and "ablate.point" in arm.tags else its.point
    return CellRow(
        study=question.study,
        role=role,
        name=arm.name if arm else its.name.removesuffix(f" s{its.seed}"),
        signature=its.signature,
        seed=its.seed,
        status=its.status,
        failure=its.failure if its.status == "failed" else "",
        epochs=whole(its.tags.get("ablate.epochs", its.metrics.get("epoch"))),
        best_epoch=whole(its.metrics.get("best_epoch")),
        point={path: point[path] for path in question.space if path in point},
        values=shown(its.metrics),
        cell=its.cell,
        reused=reused,
        run_id=its.run_id,
    )


def _swept(question: Question, cell: Cell, outcome: Outcome | None, reused: bool) -> CellRow:
    """A row from a cell and how it ended."""
    values = outcome.values if outcome else {}
    history = outcome.history if outcome else ()
    return CellRow(
        study=question.study,
        role=cell.role,
        name=cell.name,
        signature=cell.signature,
        seed=cell.seed,
        status=outcome.status if outcome else "pending",
        failure=outcome.failure if outcome and outcome.status == "failed" else "",
        epochs=history[-1][0] if history else None,
        best_epoch=whole(values.get("best_epoch")),
        point=cell.point,
        values=shown(values),
        cell=cell.key,
        reused=reused,
    )
