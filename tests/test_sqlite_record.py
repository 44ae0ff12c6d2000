"""Runs read straight from the sqlite file are those that MLflow gives; any other file is left to MLflow."""

import contextlib
import math
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ablate import sqlite_record
from ablate.records import CellRecord, Row, StudyRecord
from ablate.tracking import Record


def file_of(record: Record) -> Path:
    return Path(record.uri.removeprefix("sqlite:///"))


@pytest.fixture
def full(record: Record) -> Record:
    """Two studies, odd values, a run that was deleted."""
    study = record.open_study("s", {"ablate.note": 'it\'s "quoted"'}, "d1")
    for i, status in enumerate(("complete", "failed", "stopped")):
        tags = {"ablate.kind": "seed", "ablate.study": "s" if i < 2 else "t", "ablate.cell": f"c{i}"}
        run = record.create(f"run {i}", study, tags | {"ablate.signature": "a" * 64, "ablate.seed": str(i)}, 10 - i)
        values = [("valid/a", 1.5, 1), ("valid/a", 2.5, 2), ("valid/nan", math.nan, 1), ("valid/inf", math.inf, 1)]
        record.log(run, [Row("metric", key, value, epoch, epoch) for key, value, epoch in values])
        record.log(run, [Row("param", "scc", 10.0), Row("tag", "ablate.status", status)])
        record.add_input(run, "simvowels", f"{i}" * 64, "train")
        record.set_status(run, status, 20 + i)
    gone = record.create("gone", study, {"ablate.kind": "seed", "ablate.study": "s"}, 1)
    record._client.delete_run(gone)
    return record


def plain(its: CellRecord | StudyRecord) -> dict[str, Any]:
    """Fields, with NaN as a text that equals itself."""
    values = dict(vars(its))
    values["metrics"] = {key: str(value) for key, value in its.metrics.items()}
    return values


def test_runs_are_those_that_mlflow_gives(full: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    read = [full.cells(), full.cells("s"), full.studies(), [full.study("s")], full.search({"ablate.seed": "1"})]
    assert [len(its) for its in read] == [3, 2, 1, 1, 1]
    monkeypatch.setattr(sqlite_record, "search", lambda *_: None)
    told = [full.cells(), full.cells("s"), full.studies(), [full.study("s")], full.search({"ablate.seed": "1"})]
    for ours, theirs in zip(read, told, strict=True):
        assert [plain(its) for its in ours] == [plain(its) for its in theirs]
    (cell,) = told[4]
    assert cell.metrics["valid/a"] == 2.5 and math.isnan(cell.metrics["valid/nan"]) and cell.data == "1" * 36


def test_some_metrics_and_nothing_else(full: Record) -> None:
    cells = full.cells("s", ("valid/a",))
    assert [its.metrics for its in cells] == [{"valid/a": 2.5}] * 2
    assert [(its.params, its.data) for its in cells] == [({}, "")] * 2
    assert {its.status for its in cells} == {"complete", "failed"}


def test_tables_of_another_version_are_left_to_mlflow(full: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_record, "VERSION", "another")
    assert sqlite_record.experiment(file_of(full), "ablate") is None
    assert sqlite_record.search(file_of(full), full.experiment_id, {"ablate.kind": "seed"}) is None
    assert len(full.cells("s")) == 2


def test_the_version_is_that_of_the_installed_mlflow(record: Record) -> None:
    """Where this fails after an update of MLflow: compare its tables with what is read, then name the new version."""
    with contextlib.closing(sqlite3.connect(file_of(record))) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone() == (sqlite_record.VERSION,)


def test_a_reader_writes_nothing_and_needs_no_mlflow(full: Record) -> None:
    before = file_of(full).read_bytes()
    code = (
        "import sys; from ablate.tracking import Record; its = Record(sys.argv[1], sys.argv[2], reading=True); "
        "print(its.experiment_id, len(its.cells()), 'mlflow' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, full.uri, full.experiment], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [full.experiment_id, "3", "False"]
    assert file_of(full).read_bytes() == before


def test_no_file_and_no_database_are_no_experiment(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database")
    assert sqlite_record.experiment(tmp_path / "absent.db", "ablate") is None
    assert sqlite_record.experiment(tmp_path / "text.db", "ablate") is None
    assert not (tmp_path / "absent.db").exists()
