"""The writer thread through outages: no row lost, none twice."""

import contextlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ablate.spool import Spool
from ablate.tracking import Record, server
from ablate.writer import Writer, deliver

EPOCHS, KEYS = 12, 5


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait for a condition; fails after the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def opened(cell: str) -> dict[str, Any]:
    return {"event": "open", "cell": cell, "name": cell, "parent": {"arm": "a" * 64, "name": "arm"}, "at": 1}


def measured(cell: str, epoch: int) -> dict[str, Any]:
    return {
        "event": "metrics",
        "cell": cell,
        "epoch": epoch,
        "values": {f"m{k}": epoch + k for k in range(KEYS)},
        "at": epoch,
    }


def ended(cell: str) -> dict[str, Any]:
    return {"event": "end", "cell": cell, "status": "complete", "at": 99}


def stored(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT count(*) FROM metrics").fetchone()[0]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Writer]]:
    """Starts quick writers on this test's spool folder and ends them."""
    writers: list[Writer] = []

    def make(record: Record, process: str = "p", **options: Any) -> tuple[Spool, Writer]:
        spool = Spool(tmp_path / "spool", process)
        options = {"pace": 0.02, "waits": (0.05, 0.1)} | options
        writers.append(Writer(record, spool, "s", record.open_study("s", {}), **options))
        return spool, writers[-1]

    yield make
    for writer in writers:
        with contextlib.suppress(OSError):
            writer.close()


def test_a_study_is_delivered_and_leaves_no_file(record: Record, tmp_path: Path, start: Callable[..., Any]) -> None:
    spool, writer = start(record)
    for cell in ("c0", "c1"):
        spool.append(opened(cell))
        for epoch in range(1, EPOCHS + 1):
            spool.append(measured(cell, epoch))
        spool.append(ended(cell))
    assert writer.drain(30) == 0
    writer.close()
    assert list((tmp_path / "spool").iterdir()) == []
    assert stored(tmp_path / "mlflow.db") == 2 * EPOCHS * KEYS
    assert [cell.status for cell in record.cells("s")] == ["complete"] * 2


def test_the_spool_of_a_dead_process_is_delivered_too(
    record: Record, tmp_path: Path, start: Callable[..., Any]
) -> None:
    dead = Spool(tmp_path / "spool", "dead")
    dead.append(opened("c"))
    dead.append(measured("c", 1))
    dead.close()
    spool, writer = start(record)
    until(lambda: not dead.file.exists())
    spool.append(measured("c", 2))
    spool.append(ended("c"))
    assert writer.drain(30) == 0
    (cell,) = record.cells("s")
    assert record.history(cell.run_id, "m0") == [(1, 1.0), (2, 2.0)]


def test_the_heart_beats_and_a_request_to_stop_is_heard_once(record: Record, start: Callable[..., Any]) -> None:
    stops: list[int] = []
    start(record, beat=0.05, on_stop=lambda: stops.append(1))
    until(lambda: record.study("s").heartbeat)
    assert stops == []
    record.request_stop(record.study("s").run_id)
    until(lambda: stops)
    seen = record.study("s").heartbeat
    until(lambda: record.study("s").heartbeat > seen)
    assert stops == [1]


def test_a_deleted_study_run_stops_no_delivery(record: Record, tmp_path: Path, start: Callable[..., Any]) -> None:
    spool, writer = start(record, beat=0.01)
    spool.append(opened("c"))
    assert writer.drain(30) == 0
    record._client.delete_run(record.study("s").run_id)
    spool.append(measured("c", 1))
    assert writer.drain(30) == 0 and stored(tmp_path / "mlflow.db") == KEYS


@pytest.fixture
def impatient_sqlite() -> Iterator[None]:
    """MLflow waits 20 s for a locked database; here 0.1 s."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def shorten(_c: Any, _u: Any, statement: str, parameters: Any, _x: Any, _m: bool) -> tuple[str, Any]:
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


@pytest.mark.usefixtures("impatient_sqlite")
def test_a_locked_database_is_waited_for(
    record: Record, tmp_path: Path, start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    lock_and_release(record, tmp_path, start, caplog)


@pytest.mark.faults
def test_a_database_locked_beyond_mlflows_own_patience_is_waited_for(
    record: Record, tmp_path: Path, start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    lock_and_release(record, tmp_path, start, caplog)


def lock_and_release(
    record: Record, tmp_path: Path, start: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Lock the database until a write has failed, then release it: every row arrives, the user is told once."""
    spool, writer = start(record)
    spool.append(opened("c"))
    assert writer.drain(30) == 0
    blocker = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    for epoch in range(1, EPOCHS + 1):
        spool.append(measured("c", epoch))
    spool.append(ended("c"))
    until(lambda: "cannot be written" in caplog.text, 60)
    assert "database is locked" in caplog.text
    assert writer.drain(0.3) == EPOCHS + 1
    blocker.rollback()
    assert writer.drain(30) == 0
    assert stored(tmp_path / "mlflow.db") == EPOCHS * KEYS
    until(lambda: "written again" in caplog.text, 60)  # said once the round is over, heartbeat included
    said = [entry.message for entry in caplog.records if entry.name == "ablate"]
    assert ["cannot be written" in said[0], "written again" in said[1], len(said)] == [True, True, 2]


def test_close_while_the_record_is_away_leaves_the_file_for_the_next_command(
    record: Record, tmp_path: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, writer = start(record)
    spool.append(opened("c"))
    assert writer.drain(30) == 0
    away = threading.Event()

    def log(run: str, rows: list[Any], real: Any = record.log) -> None:
        if away.is_set():
            raise ConnectionError("away")
        real(run, rows)

    away.set()
    monkeypatch.setattr(record, "log", log)
    spool.append(measured("c", 1))
    spool.append(ended("c"))
    assert writer.drain(0.2) == 2
    writer.close()
    assert deliver(record, tmp_path / "spool", "s") == 2  # still away: no error
    away.clear()
    assert deliver(record, tmp_path / "spool", "s") == 0
    assert record.cells("s")[0].status == "complete" and list((tmp_path / "spool").iterdir()) == []


def test_the_spool_of_a_living_process_is_left_to_it(record: Record, tmp_path: Path) -> None:
    record.open_study("s", {})
    spool = Spool(tmp_path / "spool", "alive")
    spool.append(opened("c"))
    assert deliver(record, tmp_path / "spool", "s") == 1
    spool.close()
    assert deliver(record, tmp_path / "spool", "unknown study") == 1
    assert deliver(record, tmp_path / "spool", "s") == 0


@contextlib.contextmanager
def serving(database: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """An MLflow server in a process group of its own."""
    command, environment = server(port, f"sqlite:///{database}", f"file://{database.parent}/served")
    with (database.parent / "server.log").open("ab") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        until(lambda: _healthy(port) or process.poll() is not None, 90)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _healthy(port: int) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
        return answer.status == 200
    return False


@pytest.mark.slow
def test_a_killed_server_costs_no_row(
    migrated: Path, tmp_path: Path, start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    database = tmp_path / "mlflow.db"
    shutil.copy(migrated, database)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "picture.png").write_bytes(b"png")
    with serving(database, port):
        record = Record(f"http://127.0.0.1:{port}", "ablate")
        spool, writer = start(record)
        spool.append(opened("c0"))
        for epoch in range(1, 4):
            spool.append(measured("c0", epoch))
        until(lambda: stored(database) == 3 * KEYS)
    for epoch in range(4, EPOCHS + 1):  # the server is dead; the sweep goes on
        spool.append(measured("c0", epoch))
    spool.append({"event": "artifact", "cell": "c0", "path": str(tmp_path / "picture.png")})
    spool.append(ended("c0"))
    left = EPOCHS - 3 + 2
    assert writer.drain(2) >= left  # more where the answer to the last request was lost
    assert stored(database) == 3 * KEYS
    with serving(database, port):
        assert writer.drain(60) == 0
        assert stored(database) == EPOCHS * KEYS
        spool.append(opened("c1"))
        assert writer.drain(60) == 0
    spool.append(measured("c1", 1))
    spool.append(ended("c1"))
    assert writer.drain(1) == 2
    writer.close(timeout=30)  # the sweep ends before the server is back
    with serving(database, port):
        assert deliver(record, tmp_path / "spool", "s") == 0
        assert stored(database) == (EPOCHS + 1) * KEYS
        first, second = record.cells("s")
        assert (first.status, second.status) == ("complete", "complete")
        assert record._client.list_artifacts(first.run_id)[0].path == "picture.png"
