"""One owner per study, and how the dead are told from the living."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.errors import Mistake
from ablate.lock import Lock, owner
from ablate.records import now
from ablate.tracking import Record

HOST = socket.gethostname()
HOLD = """
import sys
from pathlib import Path
from ablate.lock import Lock
from ablate.tracking import Record
record = Record(sys.argv[1])
with Lock(Path(sys.argv[2]), "s", record) as lock:
    lock.sign(record.open_study("s", {}))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_refused_by_name_until_the_first_lets_go(record: Record, tmp_path: Path) -> None:
    with Lock(tmp_path, "s", record) as first:
        run = record.open_study("s", {"ablate.stop": "1"})
        first.sign(run)
        study = record.study("s")
        assert study.owner == owner() and abs(study.heartbeat - now()) < 60_000
        assert not study.stop  # an old request is void
        sentence = (
            rf"^study 's' is being run by {owner()}, heartbeat \d+ s ago; wait for it, or end it with `ablate stop s`$"
        )
        with pytest.raises(Mistake, match=sentence), Lock(tmp_path, "s", record):
            pass
    assert record.study("s").owner == ""
    with Lock(tmp_path, "s", record):
        pass


def test_a_killed_owner_is_succeeded_at_once(record: Record, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, record.uri, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "held\n"
        with pytest.raises(Mistake, match=f"run by {HOST}:{child.pid}, heartbeat"), Lock(tmp_path, "s", record):
            pass
        with pytest.raises(Mistake, match=f"run by {HOST}:{child.pid}"), Lock(tmp_path / "elsewhere", "s", record):
            pass  # another folder, same record
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert record.study("s").owner == f"{HOST}:{child.pid}"
    with Lock(tmp_path, "s", record) as lock:
        lock.sign(record.open_study("s", {}))
        assert record.study("s").owner == owner()


@pytest.mark.parametrize(("age", "refuses"), [(80, True), (100, False)])
def test_on_another_host_the_heartbeat_decides(record: Record, tmp_path: Path, age: int, refuses: bool) -> None:
    record.open_study("s", {"ablate.owner": "far:1", "ablate.heartbeat": str(now() - age * 1000)})
    if refuses:
        with pytest.raises(Mistake, match=r"run by far:1, heartbeat 8\d s ago"), Lock(tmp_path, "s", record):
            pass
    else:
        with Lock(tmp_path, "s", record):
            pass


def test_a_fresh_heartbeat_of_a_dead_process_here_does_not_count(record: Record, tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    record.open_study("s", {"ablate.owner": f"{HOST}:{child.pid}", "ablate.heartbeat": str(now())})
    with Lock(tmp_path, "s", record):
        pass


def test_a_newer_process_with_the_dead_owners_number_is_not_the_owner(record: Record, tmp_path: Path) -> None:
    day = 86_400_000
    record.open_study("s", {"ablate.owner": f"{HOST}:{os.getppid()}", "ablate.heartbeat": str(now() - 9999 * day)})
    with Lock(tmp_path, "s", record):
        pass


def test_an_error_inside_frees_the_lock(record: Record, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Lock(tmp_path, "s", record):
        raise ZeroDivisionError
    with Lock(tmp_path, "s", record):
        pass
