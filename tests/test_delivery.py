"""Events become runs: three levels, each row once, what is refused put aside and nothing else."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ablate.delivery import TRIES, Delivery, Postponed
from ablate.spool import REJECTED, Spool, Tail
from ablate.tracking import PARENT, Record

ARM, OTHER = "a" * 64, "b" * 64


class Study:
    """A study run, a spool and the delivery from one to the other."""

    def __init__(self, record: Record, folder: Path, name: str = "s"):
        self.record, self.name, self.folder = record, name, folder / name
        self.run = record.open_study(name, {})
        self.spool = Spool(self.folder, "p")
        self.tail = Tail(self.spool.file)
        self.delivery = Delivery(record, name, self.run, self.folder)

    def send(self, *events: dict[str, Any]) -> int:
        for event in events:
            self.spool.append(event)
        return self.delivery.bring(self.tail)

    def again(self) -> None:
        """Everything once more, as after a crash before the offset was written."""
        self.tail.offset = 0
        self.delivery = Delivery(self.record, self.name, self.run, self.folder)
        self.delivery.bring(self.tail)

    def rejected(self) -> list[dict[str, Any]]:
        file = self.folder / REJECTED
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def study(record: Record, tmp_path: Path) -> Study:
    return Study(record, tmp_path)


def opened(cell: str, arm: str = ARM, **more: Any) -> dict[str, Any]:
    parent = {"arm": arm, "name": f"arm {arm[0]}", "params": {"loss.scc.weight": 10.0}}
    return {"event": "open", "cell": cell, "name": f"{cell} short", "parent": parent, "at": 1000} | more


def measured(cell: str, epoch: int, **values: float) -> dict[str, Any]:
    return {"event": "metrics", "cell": cell, "epoch": epoch, "values": values, "at": 1000 + epoch}


def ended(cell: str, status: str = "complete", **more: Any) -> dict[str, Any]:
    return {"event": "end", "cell": cell, "status": status, "at": 2000} | more


def count(record: Record, table: str) -> int:
    with sqlite3.connect(record.uri.removeprefix("sqlite:///")) as database:
        return database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_three_levels_nested_by_parent(study: Study) -> None:
    point = {"loss.scc.weight": 10, "model.inference": "full"}
    for seed, (cell, arm) in enumerate([("c0", ARM), ("c1", ARM), ("c2", OTHER)]):
        study.send(opened(cell, arm, seed=seed, point=point, params={"loss.scc.weight": 10.0, "train.seed": seed}))
        study.send(*(measured(cell, epoch, loss=epoch, elbo=-epoch) for epoch in range(1, 5)), ended(cell))
    cells = {cell.cell: cell for cell in study.record.cells("s")}
    arms = {arm.signature: arm for arm in study.record.arms("s")}
    assert set(cells) == {"c0", "c1", "c2"} and set(arms) == {ARM, OTHER}
    assert count(study.record, "runs") == 1 + 2 + 3
    assert count(study.record, "metrics") == 3 * 4 * 2
    assert [cells[key].tags[PARENT] for key in ("c0", "c1", "c2")] == [arms[it].run_id for it in (ARM, ARM, OTHER)]
    assert {arm.tags[PARENT] for arm in arms.values()} == {study.run}
    assert arms[ARM].name == "arm a" and arms[ARM].params == {"loss.scc.weight": "10"}
    one = cells["c1"]
    assert (one.name, one.signature, one.seed, one.point, one.status) == ("c1 short", ARM, 1, point, "complete")
    assert one.params == {"loss.scc.weight": "10", "train.seed": "1"} and one.metrics == {"loss": 4.0, "elbo": -4.0}
    assert (one.started, one.ended, one.tags["ablate.sig"]) == (1000, 2000, "aaaaaaaa")


@pytest.mark.parametrize(
    ("status", "mlflow"),
    [("complete", "FINISHED"), ("pruned", "FINISHED"), ("failed", "FAILED"), ("stopped", "KILLED")],
)
def test_how_a_cell_ended(study: Study, status: str, mlflow: str) -> None:
    study.send(opened("c"), ended("c", status, failure="diverged", why="nan: kl_z, epoch 7"))
    (cell,) = study.record.cells("s")
    assert (cell.status, cell.failure, cell.why) == (status, "diverged", "nan: kl_z, epoch 7")
    assert study.record._client.get_run(cell.run_id).info.status == mlflow


def test_everything_twice_is_stored_once(study: Study, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"png")
    study.send(
        opened("c", seed=0, point={"a": 1}, params={"a": 1}),
        *(
            measured("c", epoch, loss=0.1 * epoch, nan=float("nan")) for epoch in (1, 2, 3, 4, 2, 3, 4)
        ),  # repeated reports
        {"event": "input", "cell": "c", "name": "simvowels", "digest": "d" * 64},
        {"event": "artifact", "cell": "c", "path": str(tmp_path / "picture.png"), "target": "pictures"},
        ended("c"),
        {
            "event": "arm_end",
            "arm": ARM,
            "name": "arm a",
            "cells": {"0": "c"},
            "values": {"loss.mean": 0.4},
            "at": 3000,
        },
        {"event": "end", "status": "complete", "at": 4000},
    )
    tables = ("runs", "metrics", "params", "tags", "inputs", "datasets")
    before = {table: count(study.record, table) for table in tables}
    assert (before["runs"], before["metrics"], before["inputs"]) == (3, 4 * 2 + 1, 1)
    study.again()
    assert {table: count(study.record, table) for table in tables} == before
    (cell,), (arm,) = study.record.cells("s"), study.record.arms("s")
    assert cell.status == "complete" and arm.status == study.record.study("s").status == "FINISHED"
    assert cell.tags["ablate.nonfinite.nan"] == "nan at epoch 1" and study.rejected() == []


def test_artifacts_texts_and_dicts_go_to_cell_arm_and_study(study: Study, tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs" / "one.wav").write_bytes(b"wav")
    study.send(
        opened("c"),
        {"event": "artifact", "cell": "c", "path": str(tmp_path / "wavs"), "target": "sounds"},
        {"event": "text", "arm": ARM, "text": "Traceback", "file": "why.txt"},
        {"event": "dict", "dict": {"arms": 1}, "file": "design.json"},
        {"event": "tags", "tags": {"ablate.note": "on the study"}},
        {"event": "metrics", "arm": ARM, "epoch": 0, "values": {"loss.sd": 0.5}, "at": 1},
    )
    (cell,), (arm,) = study.record.cells("s"), study.record.arms("s")
    roots = {key: tmp_path / "artifacts" / run / "artifacts" for key, run in (("c", cell.run_id), ("a", arm.run_id))}
    assert (roots["c"] / "sounds" / "one.wav").read_bytes() == b"wav"
    assert (roots["a"] / "why.txt").read_text() == "Traceback"
    assert json.loads((tmp_path / "artifacts" / study.run / "artifacts" / "design.json").read_text()) == {"arms": 1}
    assert study.record.study("s").tags["ablate.note"] == "on the study"
    assert arm.metrics == {"loss.sd": 0.5}


def test_poison_is_put_aside_with_one_warning_and_the_rest_arrives(
    study: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study.send(opened("c", params={"lr": 0.1}))
    good = {f"m{index}": float(index) for index in range(20)}
    study.send(
        measured("c", 1, **good),
        measured("c", 2, **good | {"bad#name": 1.0}),
        {"event": "metrics", "cell": "c", "epoch": 3, "values": {"m0": "many"}, "at": 3},
        {"event": "params", "cell": "c", "params": {"lr": 0.2, "depth": 2}},  # lr has another value already
        {"event": "artifact", "cell": "c", "path": str(tmp_path / "absent.png")},
        measured("never opened", 1, m0=1.0),
        {"event": "surprise", "cell": "c"},
        measured("c", 4, **good),
        ended("c"),
    )
    with study.spool.file.open("ab") as stream:
        stream.write(b"\x00\x00\n")
    assert study.delivery.bring(study.tail) == 1
    reasons = [rejected["reason"] for rejected in study.rejected()]
    parts = ["bad#name", "many", "lr", "absent.png", "never opened", "surprise", "JSONDecodeError"]
    assert len(reasons) == len(parts)
    assert all(any(part in reason for reason in reasons) for part in parts), reasons
    (cell,) = study.record.cells("s")
    assert (cell.status, cell.params) == ("complete", {"lr": "0.1", "depth": "2"})
    assert count(study.record, "metrics") == 3 * 20  # the good keys of the bad event too
    assert len([entry for entry in caplog.records if "refused" in entry.message]) == 1


def test_what_may_pass_is_postponed_and_nothing_is_committed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.send(opened("c"))
    real, calls = study.record.log, []

    def away(run: str, batch: list[Any]) -> None:
        calls.append(len(batch))
        raise ConnectionError("server away")

    monkeypatch.setattr(study.record, "log", away)
    for _ in range(2 * TRIES):  # for ever, not a number of times
        with pytest.raises(Postponed, match="server away"):
            study.send(measured("c", 1, loss=1.0))
    assert set(calls) == {1}  # one request per try, whatever waits; identical rows once
    assert study.tail.waiting() == 2 * TRIES and study.rejected() == []
    monkeypatch.setattr(study.record, "log", real)
    study.send()
    assert study.tail.waiting() == 0 and count(study.record, "metrics") == 1


def test_the_unforeseen_is_tried_a_few_times_and_then_put_aside(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.send(opened("c"))

    def broken(*_: Any) -> None:
        raise RuntimeError("bucket policy")

    monkeypatch.setattr(study.record, "upload", broken)
    study.spool.append({"event": "artifact", "cell": "c", "path": "x"})
    for _ in range(TRIES - 1):
        with pytest.raises(Postponed):
            study.send()
    study.send(ended("c"))
    assert [it["reason"] for it in study.rejected()] == ["RuntimeError: bucket policy"]
    assert study.record.cells("s")[0].status == "complete"


def test_other_credentials_get_one_more_try(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import RestException

    def forbidden(*_: Any) -> None:
        raise RestException({"error_code": "PERMISSION_DENIED", "message": "token expired"})

    study.send(opened("c"))
    monkeypatch.setattr(study.record, "log", forbidden)
    with pytest.raises(Postponed):
        study.send(measured("c", 1, loss=1.0), measured("c", 2, loss=1.0))
    study.send()
    assert len(study.rejected()) == 1  # the request as a whole; its first event stands for it


def test_a_cell_opened_again_is_the_same_run_running(study: Study) -> None:
    study.send(opened("c", seed=0), measured("c", 1, loss=1.0), ended("c", "stopped", failure="stopped", why="Ctrl-C"))
    study.delivery = Delivery(study.record, "s", study.run, study.folder)  # another process
    study.send(opened("c", seed=0))
    (cell,) = study.record.cells("s")
    assert (cell.status, cell.failure, cell.why) == ("running", "", "")
    study.send(measured("c", 2, loss=0.5), ended("c"))
    (cell,) = study.record.cells("s")
    assert cell.status == "complete" and study.record.history(cell.run_id, "loss") == [(1, 1.0), (2, 0.5)]


def test_another_attempt_is_another_run(study: Study) -> None:
    study.send(opened("c"), ended("c", "failed", failure="code"))
    study.send(opened("c", attempt=2), measured("c", 1, loss=1.0) | {"attempt": 2}, ended("c") | {"attempt": 2})
    first, second = study.record.cells("s")
    assert (first.attempt, first.status, first.metrics) == (1, "failed", {})
    assert (second.attempt, second.status, second.metrics) == (2, "complete", {"loss": 1.0})


def test_an_arm_points_to_its_replicates_also_in_another_study(record: Record, tmp_path: Path, study: Study) -> None:
    earlier = Study(record, tmp_path, "earlier")
    earlier.send(opened("c0"), ended("c0"), opened("c1"), ended("c1", "failed", failure="infra"))
    study.send(opened("c1"), ended("c1"))
    cells = {"0": "c0", "1": "c1", "2": "nowhere"}
    study.send({"event": "arm_end", "arm": ARM, "name": "arm a", "cells": cells, "values": {"loss.mean": 1.5}, "at": 9})
    (arm,) = record.arms("s")
    links = {key: value for key, value in arm.tags.items() if key.startswith("ablate.run.")}
    (reused, _), (own,) = record.cells("earlier"), record.cells("s")
    assert links == {"ablate.run.0": reused.run_id, "ablate.run.1": own.run_id}
    assert (arm.status, arm.metrics, arm.ended) == ("FINISHED", {"loss.mean": 1.5}, 9)


def test_an_arm_whose_cells_were_all_reused_is_made_at_its_end(record: Record, tmp_path: Path, study: Study) -> None:
    Study(record, tmp_path, "earlier").send(opened("c0"), ended("c0"))
    study.send({"event": "arm_end", "arm": ARM, "name": "arm a", "cells": {"0": "c0"}, "params": {"k": 1}, "at": 9})
    (arm,) = record.arms("s")
    assert arm.name == "arm a" and arm.params == {"k": "1"} and "ablate.run.0" in arm.tags


def test_many_rows_of_one_run_go_in_few_requests(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.send(opened("c"))
    real, sizes = study.record.log, []
    monkeypatch.setattr(study.record, "log", lambda run, batch: (sizes.append(len(batch)), real(run, batch)))
    study.send(*(measured("c", epoch, **{f"m{index}": 1.0 * index for index in range(25)}) for epoch in range(100)))
    assert sizes == [1000, 1000, 500] and count(study.record, "metrics") == 2500
