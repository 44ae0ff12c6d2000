"""The rows of a large study, kept beside it in `runs.parquet` for as long as its record stays as it is."""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ablate.records import CellRecord
from ablate.reporting import cells
from ablate.reporting.cells import CellRow

FILE = "runs.parquet"  # in the study's folder
WORTH = 1000  # rows; the record is read quickly enough where they are fewer
KEY = b"ablate.record"  # of the file's metadata: the state of the record that the rows were read from
PLAIN = ("study", "role", "name", "signature", "seed", "status", "failure", "epochs", "best_epoch", "cell", "reused")
METRIC = "metric "  # before the name of a column of values


class Behind(Mapping[str, CellRecord]):
    """Run id -> the run behind a row, read when the first of them is asked for: plain tables never do."""

    def __init__(self, read: Callable[[], dict[str, CellRecord]]):
        self._read = functools.cache(read)

    def __getitem__(self, run_id: str) -> CellRecord:
        return self._read()[run_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def kept(home: Path, state: str | None) -> list[CellRow] | None:
    """The rows in a study's folder; None where they are of another state of the record, or there are none."""
    if state is None or not (home / FILE).is_file():
        return None
    with contextlib.suppress(OSError, pa.ArrowException, KeyError, ValueError):
        if (pq.read_schema(home / FILE).metadata or {}).get(KEY) == mark(state):
            return rows_of(pq.read_table(home / FILE))
    return None


def keep(home: Path, state: str | None, rows: Sequence[CellRow]) -> None:
    """Write rows where that is worth it and possible; `state` is that of the record before they were read."""
    if state is None or len(rows) < WORTH:
        return
    table = table_of(rows).replace_schema_metadata({KEY: mark(state)})
    fresh = home / f".{FILE}.{os.getpid()}"
    with contextlib.suppress(OSError):
        pq.write_table(table, fresh)
        fresh.replace(home / FILE)


def mark(state: str) -> bytes:
    """What the file says of its record, and of the code that made rows of it."""
    sources = b"".join(Path(its).read_bytes() for its in (cells.__file__, __file__))
    return f"{state} {hashlib.sha256(sources).hexdigest()}".encode()


def table_of(rows: Sequence[CellRow]) -> pa.Table:
    """One row per cell: who and how it ended, its point as JSON, a column per metric."""
    columns: dict[str, Any] = {name: [getattr(row, name) for row in rows] for name in (*PLAIN, "run_id")}
    columns["point"] = [json.dumps(row.point) for row in rows]
    for name in sorted({name for row in rows for name in row.values}):
        columns[METRIC + name] = pa.array([row.values.get(name) for row in rows], pa.float64())
    for name in ("epochs", "best_epoch"):
        columns[name] = pa.array(columns[name], pa.int64())
    return pa.table(columns)


def rows_of(table: pa.Table) -> list[CellRow]:
    """The same back."""
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    point = functools.cache(json.loads)
    metrics = {name.removeprefix(METRIC): its for name, its in columns.items() if name.startswith(METRIC)}
    values = (
        {name: value for name, value in zip(metrics, each, strict=True) if value is not None}
        for each in zip(*metrics.values(), strict=True)
    )
    fields = zip(*(columns[name] for name in (*PLAIN, "run_id")), strict=True)
    return [
        CellRow(**dict(zip((*PLAIN, "run_id"), its, strict=True)), point=point(text), values=measured)
        for its, text, measured in zip(fields, columns["point"], values, strict=True)
    ]
