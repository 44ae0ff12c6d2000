"""The kept rows of a large study: the same as from the record, and only as long as the record is the same."""

import math
import os
import time
from pathlib import Path

import pytest
from command import nearly_finished

from ablate.records import Row
from ablate.reporting import cached
from ablate.reporting.cached import FILE, keep, kept
from ablate.reporting.cells import CellRow
from ablate.reporting.recorded import recorded
from ablate.tracking import Record


def rows(count: int = cached.WORTH) -> list[CellRow]:
    """Of every kind: complete, failed, pruned, without metrics, with numbers that are none."""
    point = {"model.z_dim": 4, "loss.beta": 4.0, "model.inference": "full", "data.cut": None, "model.deep": True}
    kinds = [
        {"status": "complete", "epochs": 9, "best_epoch": 7, "values": {"objective": 0.1 + 0.2, "valid/gap": -0.0}},
        {"status": "failed", "failure": "diverged", "epochs": 1, "values": {"objective": math.inf, "valid/gap": 1.0}},
        {"status": "running", "values": {}},
    ]
    who = {"study": "s", "role": "search", "signature": "f" * 64}
    return [
        CellRow(**who, name=f"n{i}", seed=i, point=point, cell=f"{i:064x}", run_id=f"r{i}", reused=i % 2 == 0, **kind)
        for i in range(count)
        for kind in [kinds[i % 3]]
    ]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    keep(tmp_path, "now", rows())
    back = kept(tmp_path, "now")
    assert back == rows()
    assert [type(its) for its in back[0].point.values()] == [int, float, str, type(None), bool]
    assert math.copysign(1, back[0].values["valid/gap"]) == -1
    its = rows()
    its[0] = CellRow(**{**vars(its[0]), "values": {"objective": math.nan}})
    keep(tmp_path, "now", its)
    back = kept(tmp_path, "now")
    assert back is not None and back[0].values.keys() == {"objective"} and math.isnan(back[0].values["objective"])


def test_only_for_the_same_state_the_same_code_and_where_it_is_worth_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, None, rows())
    keep(tmp_path, "now", rows(cached.WORTH - 1))
    assert not any(tmp_path.iterdir()) and kept(tmp_path, "now") is None
    keep(tmp_path, "now", rows())
    assert kept(tmp_path, "later") is None and kept(tmp_path, None) is None
    assert [its.name for its in tmp_path.iterdir()] == [FILE]
    monkeypatch.setattr(cached.cells, "__file__", str(tmp_path / "other.py"))
    (tmp_path / "other.py").write_text("another way to make rows")
    assert kept(tmp_path, "now") is None


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + 50 * b"x" + b"PAR1"])
def test_a_broken_file_is_none_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert kept(tmp_path, "now") is None
    keep(tmp_path, "now", rows())
    assert kept(tmp_path, "now") == rows()


def test_a_folder_that_takes_no_file_keeps_none(tmp_path: Path) -> None:
    keep(tmp_path / "missing", "now", rows())
    assert kept(tmp_path / "missing", "now") is None


def aged(folder: Path, seconds: float) -> None:
    """As if the record had been written so long ago."""
    when = time.time() - seconds
    os.utime(folder / "mlflow.db", (when, when))


def test_every_write_makes_another_state_and_a_fresh_file_has_none(record: Record, tmp_path: Path) -> None:
    run = record.open_study("s", {})
    assert record.state() is None
    aged(tmp_path, 10)
    first = record.state()
    assert first is not None and record.state() == first
    record.log(run, [Row("tag", "a", "b")])
    assert record.state() is None
    aged(tmp_path, 5)
    assert record.state() not in (None, first)
    record.uri, record._file = "http://127.0.0.1:1", None
    assert record.state() is None


def test_a_report_reads_the_record_once(tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached, "WORTH", 1)
    folder = nearly_finished(tmp_path, migrated)
    aged(folder, 60)
    first = recorded(folder, "small")
    assert (folder / "small" / FILE).exists()
    read: list[None] = []
    all_cells = Record.cells

    def counted(self: Record, *args: object) -> object:
        read.append(None)
        return all_cells(self, *args)

    monkeypatch.setattr(Record, "cells", counted)
    again = recorded(folder, "small")
    assert again.rows == first.rows and again.markdown() == first.markdown() and not read
    assert again.cells_by_run == first.cells_by_run and len(read) == 1
    record = Record(f"sqlite:///{folder}/mlflow.db", "ablate")
    changed = next(row for row in first.rows if row.run_id)
    record.log(changed.run_id, [Row("metric", "objective", 0.875, 1, 99)])
    for _ in range(2):
        row = next(row for row in recorded(folder, "small").rows if row.run_id == changed.run_id)
        assert row.values["objective"] == 0.875
        aged(folder, 30)
