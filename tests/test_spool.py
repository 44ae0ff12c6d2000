"""The spool: nothing that was appended is lost, nothing half-written is delivered."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ablate import spool
from ablate.spool import Spool, Tail, files, orphans, reject

PYTHON = [sys.executable, "-c"]


def metrics(epoch: int, **values: object) -> dict:
    return {"event": "metrics", "cell": "c", "epoch": epoch, "values": values, "at": epoch}


def events(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_each_event_is_one_line_and_counts_as_backlog_until_committed(tmp_path: Path) -> None:
    mine = Spool(tmp_path, "p")
    for epoch in range(5):
        mine.append(metrics(epoch, loss=epoch / 2))
    tail = Tail(mine.file)
    first = tail.read(limit=2)
    assert [json.loads(line)["epoch"] for line in first] == [0, 1]
    assert Spool.backlog(tmp_path) == 5
    tail.commit(first)
    assert Spool.backlog(tmp_path) == 3
    again = Tail(mine.file)  # as after a restart
    assert [json.loads(line)["values"]["loss"] for line in again.read()] == [1.0, 1.5, 2.0]


def test_a_line_still_being_written_is_left_alone(tmp_path: Path) -> None:
    mine = Spool(tmp_path, "p")
    mine.append(metrics(1, loss=1.0))
    with mine.file.open("ab") as stream:
        stream.write(b'{"event": "metr')
    tail = Tail(mine.file)
    assert len(tail.read()) == 1 == tail.waiting()


def test_a_torn_last_line_of_a_dead_process_is_reported_once_and_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = Spool(tmp_path, "p")
    mine.append(metrics(1, loss=1.0))
    mine.close()
    with mine.file.open("ab") as stream:
        stream.write(b'{"event": "metr')
    with orphans(tmp_path) as (tail,):
        tail.commit(tail.read())
        assert tail.read() == []
        tail.delete()
    assert [record.message for record in caplog.records] == [
        f"{mine.file} ends in a torn line of 15 bytes (its process died while writing it); ignored"
    ]
    assert list(tmp_path.iterdir()) == []


def test_appending_to_a_torn_file_starts_a_new_line(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_bytes(b'{"event": "metr')
    mine = Spool(tmp_path, "p")
    mine.append(metrics(1, loss=1.0))
    assert Tail(mine.file).read()[1:] == [b'{"event":"metrics","cell":"c","epoch":1,"values":{"loss":1.0},"at":1}\n']


def test_non_finite_numbers_become_nan_and_a_tag_names_the_first(tmp_path: Path) -> None:
    mine = Spool(tmp_path, "p")
    mine.append(metrics(1, elbo=math.inf, loss=2.0))
    mine.append(metrics(2, elbo=-math.inf, loss=np.float32("nan")))
    first, tag, second, other = events(mine.file)
    assert math.isnan(first["values"]["elbo"]) and first["values"]["loss"] == 2.0
    assert tag == {"event": "tags", "cell": "c", "tags": {"ablate.nonfinite.elbo": "inf at epoch 1"}}
    assert math.isnan(second["values"]["elbo"]) and math.isnan(second["values"]["loss"])
    assert other["tags"] == {"ablate.nonfinite.loss": "nan at epoch 2"}


def test_numpy_numbers_arrive_exactly_and_odd_types_do_not_raise(tmp_path: Path) -> None:
    mine = Spool(tmp_path, "p")
    mine.append(metrics(1, a=np.float64(0.1), b=np.int64(3), c=object, d=True) | {"point": {"lr": np.float32(0.5)}})
    (event,) = events(mine.file)
    assert event["values"]["a"] == 0.1 and event["values"]["b"] == 3.0 and event["values"]["d"] is True
    assert event["point"] == {"lr": 0.5}
    assert isinstance(event["values"]["c"], str)


def test_sigkill_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from ablate.spool import Spool
mine = Spool(Path({str(tmp_path)!r}), "child")
epoch = 0
while True:
    epoch += 1
    mine.append({{"event": "metrics", "cell": "c", "epoch": epoch, "values": {{"loss": 1.5}}, "at": epoch}})
    print(epoch, flush=True)
"""
    with subprocess.Popen([*PYTHON, code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        while int(child.stdout.readline()) < 50:
            pass
        with orphans(tmp_path) as tails:
            assert tails == []  # its owner lives
        child.send_signal(signal.SIGKILL)
        told = [int(line) for line in child.stdout.read().splitlines() if line]
    seen = 50 if not told else max(told)
    with orphans(tmp_path) as (tail,):
        epochs = [json.loads(line)["epoch"] for line in tail.read(limit=100_000)]
        assert epochs == list(range(1, len(epochs) + 1)) and len(epochs) >= seen
        with orphans(tmp_path) as others:
            assert others == []  # one deliverer at a time


def test_a_full_disk_raises_and_leaves_what_was_written_readable(tmp_path: Path) -> None:
    code = f"""
import errno, resource, signal
from pathlib import Path
from ablate.spool import Spool
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
mine = Spool(Path({str(tmp_path)!r}), "child")
event = lambda epoch, note: {{"event": "tags", "cell": "c", "epoch": epoch, "tags": {{"note": note}}}}
mine.append(event(1, "short"))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
try:
    mine.append(event(2, "x" * 5000))
except OSError as error:
    assert error.errno == errno.EFBIG
else:
    raise AssertionError("no error")
mine.append(event(3, "short"))
"""
    subprocess.run([*PYTHON, code], check=True)
    assert [event["epoch"] for event in events(tmp_path / "child.jsonl")] == [1, 3]


def test_fsync_once_per_second_and_at_every_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, synced = [100.0], []
    monkeypatch.setattr(spool.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(spool.os, "fsync", lambda fd: synced.append(clock[0]))
    mine = Spool(tmp_path, "p")
    for clock[0] in (100.0, 100.5, 101.0, 101.5, 102.1):
        mine.append(metrics(1, loss=1.0))
    assert synced == [101.0, 102.1]
    mine.append({"event": "end", "cell": "c", "status": "complete", "at": 1})
    assert synced == [101.0, 102.1, 102.1]
    mine.sync()
    assert len(synced) == 3  # nothing new


def test_a_damaged_offset_means_everything_again(tmp_path: Path) -> None:
    mine = Spool(tmp_path, "p")
    mine.append(metrics(1, loss=1.0))
    mine.file.with_suffix(".offset").write_text("")
    assert Spool.backlog(tmp_path) == 1


def test_rejected_records_are_neither_a_spool_file_nor_backlog(tmp_path: Path) -> None:
    reject(tmp_path, b'{"event":"metrics"}\n', "bad name")
    reject(tmp_path, b"\x00\xff\n", "not JSON")
    assert files(tmp_path) == [] and Spool.backlog(tmp_path) == 0
    first, second = events(tmp_path / spool.REJECTED)
    assert first == {"reason": "bad name", "record": {"event": "metrics"}}
    assert second["reason"] == "not JSON"


def test_files_of_dead_processes_come_in_the_order_of_their_last_line(tmp_path: Path) -> None:
    for name, at in (("b", 20), ("a", 30), ("c", 10)):
        Spool(tmp_path, name).close()
        os.utime(tmp_path / f"{name}.jsonl", (at, at))
    with orphans(tmp_path) as tails:
        assert [tail.file.stem for tail in tails] == ["c", "b", "a"]
