"""A full disk: the last good checkpoint survives, nothing further is started, and `resume` goes on from there."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.conftest import Make, Reference
from faults.scene import NAME, Scene, assert_each_epoch_once, epoch, load, until


@pytest.mark.faults
def test_a_checkpoint_that_cannot_be_written_stops_the_sweep(scene: Make, reference: Reference) -> None:
    """Case 11: the temporary file of the last checkpoint leads to /dev/full."""
    its = scene()
    sweep = its.sweep()
    cell = sweep.until(lambda: its.now_training(2), "epoch 2")
    partial = cell / ".last.partial"
    sweep.until(lambda: linked(partial), "a moment without that file")
    assert sweep.end() == 1, sweep.output
    assert f"the disk is full: No space left on device (errno 28) while writing {partial}" in sweep.output
    assert "Traceback" not in sweep.output and f"ablate resume {NAME}" in sweep.output
    kept = epoch(cell)
    assert kept >= 2 and its.cells() == [cell], "another trial was started"
    (tags,) = its.tags()
    assert (tags["status"], tags["ablate.failure"]) == ("KILLED", "stopped") and str(partial) in tags["ablate.why"]
    partial.unlink()
    resumed = its.resume()
    assert resumed.end() == 0, resumed.output
    assert_each_epoch_once(its)
    assert its.table() == reference.table


def linked(partial: Path) -> bool:
    """Put a link to /dev/full in its place, unless a checkpoint is being written."""
    with contextlib.suppress(FileExistsError):
        partial.symlink_to("/dev/full")
    return partial.is_symlink()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB of its own; skipped where that is not allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.faults
def test_a_disk_that_is_full_for_everything_at_once(migrated: Path, small_disk: Path, reference: Reference) -> None:
    """Checkpoints, spool and record share the disk that fills up in mid-run; with room again, nothing is missing."""
    its = Scene(small_disk / "scene", migrated)
    try:
        sweep = its.sweep()
        cell = sweep.until(lambda: its.now_training(2), "epoch 2")
        filler = small_disk / "filler"
        fill(filler)
        assert sweep.end() == 1, sweep.output
        assert "the disk is full" in sweep.output and "Traceback" not in sweep.output, sweep.output
        assert load(cell)["epoch"] >= 2
        filler.unlink()
        code, said = its.run("status", NAME)
        assert code == 0, said
        resumed = its.resume()
        assert resumed.end() == 0, resumed.output
        assert its.table() == reference.table
        assert_each_epoch_once(its)
    finally:
        its.clear()


def fill(file: Path) -> None:
    """Write until there is no room."""

    def full() -> bool:
        try:
            with file.open("ab", buffering=0) as stream:
                while True:
                    stream.write(os.urandom(1 << 12))
        except OSError:
            return True

    until(full, "a full disk", 30)
