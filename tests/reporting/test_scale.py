"""A study of 12,600 runs with 29 metrics each: its tables, its status and its page within seconds."""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import nearly_finished

from ablate.reporting.figures import figures
from ablate.reporting.publish import page_files
from ablate.reporting.recorded import recorded
from ablate.reporting.status import gather

RUNS = 12_600  # cells, each with the run of its configuration
METRICS = 29  # of a cell
TABLES_S, AGAIN_S, STATUS_S, PAGE_S = 20.0, 3.0, 3.0, 45.0  # of processor time
COPIED = ("tags", "params", "latest_metrics", "metrics")
Rows = list[tuple[Any, ...]]  # of a table


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    """A folder with a study whose first searched cell, written by the code itself, is there many times over."""
    folder = nearly_finished(tmp_path_factory.mktemp("many"), migrated)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        seed, arm = pair(database)
        draw = random.Random(0)
        measure(database, seed, draw)
        for i in range(RUNS - 4):  # four are there
            new = {seed: f"{i:032x}", arm: f"{i + RUNS:032x}"}
            told = {"ablate.signature": f"{i:064x}", "ablate.cell": f"{i + RUNS:064x}", "mlflow.parentRunId": new[arm]}
            point = {"model.z_dim": draw.choice((2, 4)), "loss.scc.weight": draw.choice((0, 1))}
            told["ablate.point"] = json.dumps(point)
            for run in (seed, arm):
                its = told if run == seed else {key: told[key] for key in ("ablate.signature", "ablate.point")}
                copy(database, run, new[run], its, draw.random())
    return folder


def pair(database: sqlite3.Connection) -> tuple[str, str]:
    """Ids of a searched cell's run and of its configuration's."""
    return database.execute(
        "SELECT t.run_uuid, p.value FROM tags t JOIN tags p USING (run_uuid) "
        "WHERE t.key = 'ablate.role' AND t.value = 'search' AND p.key = 'mlflow.parentRunId' "
        "AND run_uuid IN (SELECT run_uuid FROM tags WHERE key = 'ablate.kind' AND value = 'seed') LIMIT 1"
    ).fetchone()


def measure(database: sqlite3.Connection, run: str, draw: random.Random) -> None:
    """As many metrics as a real cell has."""
    names = [its[1] for its in database.execute("PRAGMA table_info(latest_metrics)")]
    rows = database.execute("SELECT * FROM latest_metrics WHERE run_uuid = ?", (run,)).fetchall()
    more = [
        dict(zip(names, rows[0], strict=True)) | {"key": f"valid/more_{i}", "value": draw.random()}
        for i in range(METRICS - len(rows))
    ]
    database.executemany(
        f"INSERT INTO latest_metrics VALUES ({', '.join('?' * len(names))})", [[*m.values()] for m in more]
    )


def copy(database: sqlite3.Connection, run: str, new: str, tags: dict[str, str], value: float) -> None:
    """A run once more, with other tags and another value of every score."""
    for table in ("runs", *COPIED):
        names = [its[1] for its in database.execute(f"PRAGMA table_info({table})")]
        rows = database.execute(f"SELECT * FROM {table} WHERE run_uuid = ?", (run,)).fetchall()
        places = ", ".join("?" * len(names))
        database.executemany(f"INSERT INTO {table} VALUES ({places})", list(changed(names, rows, new, tags, value)))


def changed(names: list[str], rows: Rows, new: str, tags: dict[str, str], value: float) -> Iterator[tuple[Any, ...]]:
    """Rows of a table as those of the new run."""
    for row in rows:
        its = dict(zip(names, row, strict=True)) | {"run_uuid": new}
        if its.get("key") in tags:
            its["value"] = tags[its["key"]]
        elif its.get("key") in ("objective", "valid/probe_gap"):
            its["value"] = value
        yield tuple(its.values())


def taken(work: Callable[[], Any]) -> tuple[float, Any]:
    """(seconds of this process, what came out)."""
    begun = time.process_time()
    out = work()
    return time.process_time() - begun, out


@pytest.mark.slow
def test_twelve_thousand_runs(many: Path, tmp_path: Path) -> None:
    seconds, (row,) = taken(lambda: gather(many, "small"))
    assert seconds < STATUS_S, f"status: {seconds:.1f} s"
    assert row["cells"] == {"complete": RUNS}
    seconds, (its, csv) = taken(lambda: (its := recorded(many, "small"), its.cells() + its.markdown()))
    assert seconds < TABLES_S, f"tables: {seconds:.1f} s"
    assert len(its.rows) == RUNS and csv.count("\nsmall,search,") == RUNS - 2
    shutil.copytree(many, older := tmp_path / "runs")
    os.utime(older / "mlflow.db", (1e9, 1e9))  # nobody has written since
    assert recorded(older, "small").cells() + its.markdown() == csv
    again, same = taken(lambda: (its := recorded(older, "small"), its.cells() + its.markdown()))
    assert again < AGAIN_S and same[1] == csv, f"unchanged tables: {again:.1f} s"
    more, files = taken(lambda: page_files(its, figures(its), many / "small"))
    assert seconds + more < PAGE_S, f"page: {seconds + more:.1f} s"
    assert files["report.html"].startswith(b"<!doctype html>")
