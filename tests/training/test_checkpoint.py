"""Checkpoints: full disks, damaged and foreign files, one writer per folder."""

import errno
import fcntl
import os
from pathlib import Path

import pytest
import torch

from ablate.errors import Mistake
from ablate.training import checkpoint

from .cells import CELL, Killed, cell, plain, run, same, state


def values(epoch: int = 1, owner: str = CELL) -> dict:
    return {"cell": owner, "epoch": epoch, "model": {"w": torch.full((3,), float(epoch))}}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "last", values(2))
    assert same(checkpoint.load(tmp_path, CELL), values(2))
    assert checkpoint.last_epoch(tmp_path, CELL) == 2
    assert sorted(its.name for its in tmp_path.iterdir()) == ["last.pt"]


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path, CELL) is None
    assert checkpoint.last_epoch(tmp_path / "none", CELL) == 0


def test_a_full_disk_is_an_os_error_and_the_file_before_stays(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "last", values(1))
    (tmp_path / ".last.partial").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(tmp_path, "last", values(2))
    assert caught.value.errno == errno.ENOSPC
    assert checkpoint.last_epoch(tmp_path, CELL) == 1


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_run_on_a_full_disk_goes_on_from_its_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    config = cell(plain(epochs=3), tmp_path / "cell")
    whole = run(cell(plain(epochs=3), tmp_path / "whole"))

    def fill(report: dict) -> None:
        if report["epoch"] == 1:
            (tmp_path / "cell" / f".{name}.partial").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left") as caught:
        run(config, fill)
    assert caught.value.errno == errno.ENOSPC
    assert checkpoint.last_epoch(tmp_path / "cell", CELL) == 1
    (tmp_path / "cell" / f".{name}.partial").unlink()
    again = run(config)
    assert [report["epoch"] for report in again] == [1, 2, 3]
    assert again[-1]["objective"] == whole[-1]["objective"]
    assert same(state(tmp_path / "cell"), state(tmp_path / "whole"))


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04", "cut", "other"])
def test_a_damaged_file_is_passed_over_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | str
) -> None:
    checkpoint.save(tmp_path, "best", values(1))
    checkpoint.save(tmp_path, "last", values(2))
    file = tmp_path / "last.pt"
    if content == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif content == "other":
        torch.save([1, 2], file)
    else:
        file.write_bytes(content)  # type: ignore[arg-type]
    found = checkpoint.load(tmp_path, CELL)
    assert found is not None and found["epoch"] == 1
    assert len(caplog.records) == 1 and "\n" not in caplog.messages[0]
    assert f"{file} cannot be read" in caplog.messages[0]


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "sprung"),)

    torch.save({"cell": CELL, "epoch": 1, "model": Trap()}, tmp_path / "last.pt")
    assert checkpoint.load(tmp_path, CELL) is None
    with pytest.raises(Mistake):
        checkpoint.weights(tmp_path / "last.pt")
    assert not (tmp_path / "sprung").exists()


def test_another_cells_file_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint.save(tmp_path, "last", values(7, "d" * 64))
    assert checkpoint.load(tmp_path, CELL) is None
    assert caplog.messages == [f"{tmp_path}/last.pt belongs to another cell (dddddddd...); starting afresh"]


def test_weights_are_those_of_a_file_or_of_the_best_in_a_folder(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "best", values(1))
    checkpoint.save(tmp_path, "last", values(2))
    assert checkpoint.weights(tmp_path)["w"].tolist() == [1, 1, 1]
    assert checkpoint.weights(tmp_path / "last.pt")["w"].tolist() == [2, 2, 2]


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    with (
        checkpoint.only_writer(tmp_path / "cell", wait=0),
        pytest.raises(ConnectionError, match=r"cell is still written by another process after 0 s"),
        checkpoint.only_writer(tmp_path / "cell", wait=0),
    ):
        pass
    with checkpoint.only_writer(tmp_path / "cell", wait=0):
        pass


def test_a_writer_that_goes_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cell"
    folder.mkdir()
    other = os.open(folder / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    naps = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            os.close(other)

    monkeypatch.setattr(checkpoint.time, "sleep", nap)
    with checkpoint.only_writer(folder, wait=60):
        pass
    assert len(naps) == 3


def test_a_killed_run_leaves_the_folder_free(tmp_path: Path) -> None:
    def die(_: dict) -> None:
        raise Killed

    run(cell(plain(epochs=1), tmp_path), die)
    with checkpoint.only_writer(tmp_path, wait=0):
        pass
