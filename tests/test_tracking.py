"""The record: connecting, finding, reopening, and which errors pass."""

import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from ablate import tracking
from ablate.errors import Mistake
from ablate.records import Row, text
from ablate.tracking import Record, passing, refused, server


@pytest.fixture
def seed_run(record: Record) -> Callable[..., str]:
    def make(study: str = "s", cell: str = "c", at: int = 1, **tags: str) -> str:
        fixed = {"ablate.kind": "seed", "ablate.study": study, "ablate.cell": cell, "ablate.signature": "a" * 64}
        return record.create("run", None, fixed | {f"ablate.{key}": value for key, value in tags.items()}, at)

    return make


def test_a_study_is_one_run_however_often_it_is_opened(record: Record) -> None:
    first = record.open_study("s", {"ablate.note": "one"}, "d1")
    record.set_status(first, "stopped", 5)
    assert record.study("s").status == "KILLED"
    assert record.open_study("s", {"ablate.note": "two"}, "d1") == first
    (study,) = record.studies()
    assert (study.run_id, study.study, study.digest, study.status) == (first, "s", "d1", "RUNNING")
    assert study.tags["ablate.note"] == "two" and study.tags["mlflow.source.name"] == "ablate"
    assert record.study("other") is None


def test_a_cell_comes_back_with_its_types(record: Record, seed_run: Callable[..., str]) -> None:
    run = seed_run(seed="3", point='{"loss.scc.weight": 10, "train.lr": 0.002}', status="failed", failure="diverged")
    rows = [Row("metric", "valid/elbo", value, epoch, epoch) for epoch, value in ((2, -5.5), (1, -7.0))]
    record.log(run, [*rows, Row("param", "loss.scc.weight", 10.0), Row("param", "model", "dsae")])
    (cell,) = record.cells("s")
    assert (cell.run_id, cell.cell, cell.signature, cell.seed, cell.attempt) == (run, "c", "a" * 64, 3, 1)
    assert cell.point == {"loss.scc.weight": 10, "train.lr": 0.002}
    assert (cell.status, cell.failure, cell.why) == ("failed", "diverged", "")
    assert cell.metrics == {"valid/elbo": -5.5}  # the latest epoch, not the last sent
    assert cell.params == {"loss.scc.weight": "10", "model": "dsae"}
    assert record.history(run, "valid/elbo") == [(1, -7.0), (2, -5.5)]


def test_cells_are_found_across_studies_and_pages(
    record: Record, seed_run: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PAGE", 2)
    for at in range(5):
        seed_run(study=f"s{at % 2}", cell=f"c{at}", at=at + 1)
    assert [cell.cell for cell in record.cells()] == ["c0", "c1", "c2", "c3", "c4"]
    assert [cell.cell for cell in record.cells("s0")] == ["c0", "c2", "c4"]
    assert [cell.study for cell in record.find_cells(["c4", "c1", "absent"])] == ["s1", "s0"]
    assert record.find_cells([]) == []


def test_a_name_with_a_quote_is_searched_as_it_is(record: Record) -> None:
    run = record.open_study("it's", {})
    assert record.study("it's").run_id == run


def test_stop_is_seen_and_tags_are_cut_to_what_mlflow_keeps(record: Record) -> None:
    run = record.open_study("s", {})
    assert not record.stop_requested(run)
    record.request_stop(run)
    assert record.stop_requested(run) and record.study("s").stop
    record.set_tag(run, "ablate.why", "x" * 9000)
    assert len(record.study("s").tags["ablate.why"]) == 8000


@pytest.mark.parametrize(
    ("value", "shown"),
    [(10.0, "10"), (10, "10"), (0.1, "0.1"), (True, "true"), (None, "null"), ("dsae", "dsae"), ((1, 2), "[1,2]")],
)
def test_equal_values_are_equal_texts(value: object, shown: str) -> None:
    assert text(value) == shown


def test_which_errors_pass() -> None:
    from mlflow.exceptions import MlflowException, RestException
    from mlflow.protos import databricks_pb2 as codes

    for code in (codes.INTERNAL_ERROR, codes.TEMPORARILY_UNAVAILABLE, codes.REQUEST_LIMIT_EXCEEDED):
        assert passing(MlflowException("x", code))
    for name in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "PERMISSION_DENIED"):
        assert not passing(RestException({"error_code": name, "message": "x"}))
    assert refused(RestException({"error_code": "PERMISSION_DENIED", "message": "x"}))
    assert passing(requests.ConnectionError()) and passing(requests.Timeout()) and passing(ConnectionResetError())
    for status, passes in ((429, True), (503, True), (404, False), (401, False)):
        response = requests.Response()
        response.status_code = status
        assert passing(requests.HTTPError(response=response)) == passes
    assert refused(requests.HTTPError(response=response)) and not passing(FileNotFoundError())


def test_an_unreachable_server_is_one_sentence_after_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as held:  # bound but not listening: refuses
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(Mistake, match=rf"the record {uri} cannot be opened after 0.3 s of trying \(.*tracking.uri"):
            Record(uri, wait=0.3)


def test_a_file_that_is_no_database_and_a_folder_that_is_none_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(Mistake, match="is no MLflow database"):
        Record(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(Mistake, match="cannot be written"):
        Record(f"sqlite:///{tmp_path}/mlflow.db/inside/mlflow.db")
    with pytest.raises(Mistake, match="cannot be opened"):
        Record(f"file://{tmp_path}/mlruns")


def test_a_database_locked_for_longer_than_the_wait_is_a_mistake(migrated: Path, tmp_path: Path) -> None:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    with pytest.raises(Mistake, match="locked"):
        Record(f"sqlite:///{tmp_path}/mlflow.db", wait=0.3)
    blocker.close()
    Record(f"sqlite:///{tmp_path}/mlflow.db", wait=0.3)


def test_a_deleted_experiment_is_a_mistake_that_says_how_to_restore_it(record: Record) -> None:
    record._client.delete_experiment(record.experiment_id)
    with pytest.raises(
        Mistake, match=f"was deleted; restore it with `mlflow experiments restore -x {record.experiment_id}`"
    ):
        Record(record.uri)


def test_importing_tracking_does_not_import_mlflow() -> None:
    code = "import sys, ablate.tracking, ablate.writer, ablate.lock; sys.exit('mlflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_server_command_keeps_job_execution_off(monkeypatch: pytest.MonkeyPatch) -> None:
    command, environment = server(5001, "sqlite:////x/mlflow.db", "file:///x/artifacts")
    assert command[1:4] == ["-m", "mlflow", "server"] and command[command.index("--port") + 1] == "5001"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "true")
    assert server(1, "x", "y")[1]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "true"  # a user's own value wins


@pytest.mark.slow
def test_four_first_starts_at_once_on_one_missing_file(tmp_path: Path) -> None:
    code = f"""
from ablate.tracking import Record
record = Record("sqlite:///{tmp_path}/new/mlflow.db", "ablate", "file://{tmp_path}/artifacts", wait=100)
print(record.experiment_id, record.open_study("s{{}}".format(__import__("os").getpid()), {{}}))
"""
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    ends = [(*child.communicate(timeout=120), child.returncode) for child in started]
    assert [code for _, _, code in ends] == [0] * 4, ends
    assert len({out.split()[0] for out, _, _ in ends}) == 1
    assert all(err == "" for _, err, _ in ends)
    with sqlite3.connect(tmp_path / "new" / "mlflow.db") as database:
        assert database.execute("SELECT count(*) FROM experiments WHERE name = 'ablate'").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (4,)
    assert {file.name for file in (tmp_path / "new").iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}
