"""The store: written once, mapped without copying, rebuilt where damaged, and honest about a disk that refuses."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ablate.data import store
from ablate.data.dataset import load_data
from ablate.errors import Mistake

from .toy import ToyOptions, files_below


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def _entry(root: Path) -> Path:
    (entry,) = (root / "toy").iterdir()
    return entry


def test_what_was_written_comes_back_without_a_copy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.integers(0, 256, (n, 2, 3)).astype(np.uint8) for n in (4, 0, 5)]
    with store.Writer(tmp_path) as writer:
        for piece in pieces:
            writer.append(piece, {"vowel": np.arange(len(piece))})
        writer.finish({"id": ["a", "b", "c"], "sums": np.arange(6.0).reshape(3, 2)}, {"note": "é"})
    entry = store.map_entry(tmp_path)
    assert np.array_equal(entry.x, np.concatenate(pieces)) and entry.x.dtype == np.uint8
    assert not entry.x.flags.owndata and not entry.x.flags.writeable
    assert entry.frames["vowel"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert entry.items["id"] == ["a", "b", "c"] and entry.items["length"].tolist() == [4, 0, 5]
    assert entry.items["sums"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert entry.meta == {"note": "é", "frame": [2, 3]}
    assert files_below(tmp_path) == ["checksums", "frames.arrow", "items.arrow"]
    mapped = Path("/proc/self/maps").read_text() if Path("/proc/self/maps").exists() else str(tmp_path)
    assert str(tmp_path) in mapped


def test_frames_of_another_shape_are_refused(tmp_path: Path) -> None:
    with store.Writer(tmp_path) as writer:
        writer.append(np.zeros((2, 3), np.float32), {})
        with pytest.raises(ValueError, match="after frames of shape"):
            writer.append(np.zeros((2, 4), np.float32), {})
        with pytest.raises(ValueError, match="labels of shape"):
            writer.append(np.zeros((2, 3), np.float32), {"vowel": np.zeros(3)})


@pytest.mark.parametrize("damage", ["frames", "items", "checksums", "missing", "short"])
def test_a_damaged_entry_is_made_again(empty_store: Path, damage: str) -> None:
    first = load_data(("toy", ToyOptions()))
    x = first.train.x(slice(None))
    entry = _entry(empty_store)
    if damage in ("frames", "items"):
        path = entry / f"{damage}.arrow"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 255
        path.write_bytes(content)
    elif damage == "short":
        os.truncate(entry / "items.arrow", 100)
    elif damage == "missing":
        (entry / "frames.arrow").unlink()
    else:
        (entry / "checksums").write_text("{")
    again = load_data(("toy", ToyOptions()))
    assert (again.train.x(slice(None)) == x).all() and again.digest == first.digest
    assert store.find("toy", entry.name) is not None


def test_the_entry_is_found_by_content_and_written_once(empty_store: Path) -> None:
    load_data(("toy", ToyOptions()))
    written = (_entry(empty_store) / "frames.arrow").stat().st_mtime_ns
    load_data(("toy", ToyOptions(window=10, shift=3, valid_share=0.3, split_seed=4, max_bad=0.5)))  # cuts it otherwise
    assert (_entry(empty_store) / "frames.arrow").stat().st_mtime_ns == written
    load_data(("toy", ToyOptions(length=31)))
    assert len(list((empty_store / "toy").iterdir())) == 2


def test_a_failed_preparation_leaves_nothing_behind(empty_store: Path) -> None:
    with pytest.raises(Mistake, match="3 of 40 items are bad"):
        load_data(("toy", ToyOptions(bad=(1, 2, 5))))
    assert files_below(empty_store) == [f"locks/{path.name}" for path in (empty_store / "locks").iterdir()]
    assert list((empty_store / "toy").iterdir()) == []


def test_what_a_killed_process_left_is_cleared(empty_store: Path) -> None:
    load_data(("toy", ToyOptions()))
    entry = _entry(empty_store)
    (entry / "frames.arrow").unlink()
    stale = entry.parent / f".{entry.name[:16]}-killed"
    stale.mkdir()
    (stale / "x.raw").write_bytes(bytes(100))
    load_data(("toy", ToyOptions()))
    assert [path.name for path in entry.parent.iterdir()] == [entry.name]


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "file" / "store"))
    with pytest.raises(Mistake, match=r"the store .*/file/store cannot be written .*set ABLATE_STORE"):
        load_data(("toy", ToyOptions()))


SCRIPT = """
import resource, signal, sys
from tests.data.toy import ToyOptions
from ablate.data.dataset import load_data
from ablate.errors import Mistake
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv[1])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
try:
    data = load_data(("toy", ToyOptions(count=400)))
except Mistake as mistake:
    sys.exit("MISTAKE " + str(mistake))
import hashlib
sys.stdout.write(hashlib.sha256(data.train.x(slice(None)).numpy().tobytes()).hexdigest())
"""


def _process(limit: int, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(limit)],
        cwd=Path(__file__).parents[2],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_full_disk_is_a_mistake_that_names_the_store_and_loses_nothing(empty_store: Path) -> None:
    load_data(("toy", ToyOptions()))
    _, error = _process(50_000).communicate(timeout=60)
    assert "MISTAKE the disk of the store" in error and str(empty_store) in error and "Traceback" not in error
    assert len(list((empty_store / "toy").iterdir())) == 1  # the earlier entry, and no remains
    load_data(("toy", ToyOptions(count=400)))


@pytest.mark.long
def test_processes_that_want_the_same_data_share_one_preparation(empty_store: Path) -> None:
    processes = [_process(0, OMP_NUM_THREADS=str(number)) for number in (1, 2)]
    answers = [process.communicate(timeout=60) for process in processes]
    assert answers[0][0] and answers[0] == answers[1], answers
    assert len(list((empty_store / "toy").iterdir())) == 1


def test_the_lock_is_held_while_preparing(empty_store: Path) -> None:
    with store.locked("toy", "k"), (empty_store / "locks" / "toy-k").open("w") as lock:  # noqa: SIM117
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with (empty_store / "locks" / "toy-k").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_large_files_are_checked_at_both_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "WHOLE", 1000)
    monkeypatch.setattr(store, "END", 100)
    path = tmp_path / "large"
    path.write_bytes(bytes(5000))
    before = store._fingerprint(path)
    for at in (0, 4999):
        content = bytearray(5000)
        content[at] = 1
        path.write_bytes(content)
        assert store._fingerprint(path) != before
    path.write_bytes(bytes(5001))
    assert store._fingerprint(path) != before
