"""The record goes away in mid-run, server or database: trials do not notice, and no row is lost or doubled."""

import contextlib
import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ablate.tracking import server
from faults.conftest import Make, Reference
from faults.scene import NAME, Running, Scene, assert_each_epoch_once, until


class Server:
    """`mlflow server` on the database of a scene, in a process group of its own."""

    def __init__(self, its: Scene):
        self.folder = its.runs
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Serve, and wait until it answers."""
        command, environment = server(self.port, f"sqlite:///{self.folder}/mlflow.db", f"file://{self.folder}/served")
        with (self.folder / "server.log").open("ab") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
        until(self.answers, "the MLflow server")

    def answers(self) -> bool:
        """Whether it is there."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2) as answer:
            return answer.status == 200
        return False

    def kill(self) -> None:
        """SIGKILL to its process group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def served() -> Iterator[Callable[[Scene], Server]]:
    """Makes servers, and ends them."""
    made: list[Server] = []

    def make(its: Scene) -> Server:
        made.append(Server(its))
        made[-1].start()
        return made[-1]

    yield make
    for its in made:
        its.kill()


def begun(its: Scene) -> bool:
    """Whether the record has a row of a second epoch."""
    return bool(its.query("SELECT 1 FROM metrics WHERE key = 'objective' AND step = 2"))


def assert_nothing_lost(its: Scene, reference: Reference) -> None:
    """Rows = epochs x keys, nothing put aside, the table as if nothing had happened."""
    assert_each_epoch_once(its)
    assert not (its.study / "spool" / "rejected.jsonl").exists()
    assert its.table() == reference.table


def assert_epochs_took_no_longer(its: Scene) -> None:
    """No epoch waited for the record: each call to a record that is away takes at least seconds."""
    for tags in its.tags():
        at = [
            a
            for (a,) in its.query("SELECT timestamp FROM metrics WHERE run_uuid = ? AND key = 'objective'", tags["run"])
        ]
        gaps = [(b - a) / 1000 for a, b in zip(sorted(at), sorted(at)[1:], strict=False)]
        assert max(gaps) < statistics.median(gaps) + 4, gaps


@pytest.mark.slow
def test_a_server_killed_and_started_again(
    scene: Make, reference: Reference, served: Callable[[Scene], Server]
) -> None:
    """Case 7: SIGKILL of the server's process group in mid-run, the same database served again 5 s later or more."""
    its = scene()
    mlflow = served(its)
    sweep = its.sweep("--set", f"tracking.uri={mlflow.uri}")
    sweep.until(lambda: its.now_training(2) and begun(its), "epoch 2")
    mlflow.kill()
    killed = time.monotonic()
    until(lambda: "the record cannot be written" in sweep.output, "a word about it")
    until(lambda: time.monotonic() > killed + 5, "5 seconds")
    mlflow.start()
    assert sweep.end() == 0, sweep.output
    assert "the record can be written again" in sweep.output and sweep.output.count("] complete") == 3
    assert_nothing_lost(its, reference)
    assert_epochs_took_no_longer(its)


@pytest.mark.faults
def test_a_server_that_stays_away_until_after_the_sweep(
    scene: Make, reference: Reference, served: Callable[[Scene], Server]
) -> None:
    """Cases 8 and 6: the sweep is stopped, then ends, without the server; the next command delivers what waits."""
    its = scene(ABLATE_DRAIN="3")
    mlflow = served(its)
    sweep = its.sweep("--set", f"tracking.uri={mlflow.uri}")
    sweep.until(lambda: its.now_training(2) and begun(its), "epoch 2")
    mlflow.kill()
    sweep.until(lambda: its.now_training(5), "epoch 5 without the server")
    sweep.signal(signal.SIGINT)
    asked = time.monotonic()
    assert sweep.end() == 130, sweep.output
    assert time.monotonic() - asked < 20
    waits(its, sweep)
    mlflow.start()
    delivers(its)
    assert [tags["status"] for tags in its.tags()] == ["KILLED"]

    resumed = its.resume()
    resumed.until(lambda: "[1/3] complete" in resumed.output, "a complete trial")
    mlflow.kill()
    assert resumed.end() == 0, resumed.output
    waits(its, resumed)
    code, said = its.run("status", NAME, ABLATE_RECORD_WAIT="1")
    assert code == 0 and "unreachable" in said, said
    mlflow.start()
    delivers(its)
    assert_nothing_lost(its, reference)


def waits(its: Scene, sweep: Running) -> None:
    """Records wait, and it says so."""
    assert its.spooled("end") and f"records wait in runs/{NAME}/spool; any ablate command" in sweep.output, sweep.output


def delivers(its: Scene) -> None:
    """`ablate status` delivers what waits."""
    code, said = its.run("status", NAME)
    assert code == 0 and not list((its.study / "spool").glob("*.jsonl")), said


@pytest.mark.slow
def test_a_database_locked_beyond_mlflows_patience(scene: Make, reference: Reference) -> None:
    """Case 9: another process holds the sqlite file until a write has failed, which takes MLflow 20 s."""
    its = scene()
    sweep = its.sweep()
    sweep.until(lambda: its.now_training(2) and begun(its), "epoch 2")
    with locked(its.runs / "mlflow.db"):
        sweep.until(lambda: "the record cannot be written" in sweep.output, "a failed write")
    assert sweep.end() == 0, sweep.output
    assert "database is locked" in sweep.output and "the record can be written again" in sweep.output
    assert_nothing_lost(its, reference)
    assert_epochs_took_no_longer(its)


@contextlib.contextmanager
def locked(file: Path) -> Iterator[None]:
    """Nobody else writes or reads."""
    database = sqlite3.connect(file, timeout=60, isolation_level=None)
    try:
        database.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        database.close()
