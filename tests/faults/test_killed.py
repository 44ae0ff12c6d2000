"""kill -9 of the trial process and of the sweep process in mid-run: what is resumed equals what was never killed."""

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from faults.conftest import Make, Reference
from faults.scene import EPOCHS, NAME, Running, Scene, assert_each_epoch_once, epoch, load, reported

pytestmark = pytest.mark.slow


def test_a_grid_whose_processes_are_killed_gives_the_table_of_the_one_left_alone(
    scene: Make, reference: Reference
) -> None:
    """Cases 2, 5 and 18: the trial process, the sweep process in mid-run, the sweep process before the last report."""
    its = scene()
    sweep = its.sweep()
    first = kill_trial(its, sweep)
    second = sweep.until(lambda: cell if (cell := its.now_training(2)) != first else None, "the second cell")
    assert "complete" in sweep.output
    kept = load(first)
    sweep.kill()
    at_death = epoch(second)
    resumed = its.resume()  # at once: the orphaned trial process may still hold its folder
    third, before = kill_before_the_last_report(its, resumed, {first, second})
    assert reported(second)[EPOCHS]["complete"]
    assert state(its) == "interrupted"
    last = its.resume()
    assert last.end() == 0, last.output
    assert same(load(first), kept), "a complete cell was trained again"
    assert same(load(third), before), "a cell whose last checkpoint was complete was trained again"
    assert at_death >= 2
    assert_each_epoch_once(its)
    assert its.run("report", NAME, "--csv") == (0, reference.table)
    assert state(its) == "complete"
    assert [tags["status"] for tags in its.tags()] == ["FINISHED"] * 3


def state(its: Scene) -> str:
    """What `ablate status` says of the study."""
    code, said = its.run("status", NAME, "--json")
    assert code == 0, said
    return str(json.loads(said)[0]["state"])


def kill_trial(its: Scene, sweep: Running) -> Path:
    """SIGKILL the trial process at epoch 3 or later; another process goes on from there. Returns the cell."""
    cell = sweep.until(lambda: its.now_training(3), "epoch 3")
    pid, before = its.trial_pid(cell), epoch(cell)
    os.kill(pid, signal.SIGKILL)
    other = sweep.until(lambda: new if (new := its.trial_pid(cell)) != pid else None, "a new trial process")
    sweep.until(lambda: epoch(cell) == EPOCHS, "the end of the cell")
    assert other != pid and before >= 3
    following = sweep.until(lambda: its.now_training(1), "the next cell")
    assert its.trial_pid(following) == other, "the new process is not reused"
    return cell


def kill_before_the_last_report(its: Scene, sweep: Running, done: set[Path]) -> tuple[Path, dict]:
    """Stop the sweep while a trial trains its last epoch; kill it once the checkpoint says that the cell is complete.

    Returns the cell and its checkpoint.
    """
    cell = sweep.until(lambda: next((c for c in its.cells() if c not in done and epoch(c) == EPOCHS - 1), None), "it")
    trial = psutil.Process(its.trial_pid(cell))
    busy = sum(trial.cpu_times()[:2])
    sweep.until(lambda: sum(trial.cpu_times()[:2]) > busy + 0.03, "the last epoch to begin")
    sweep.signal(signal.SIGSTOP)
    sweep.until(lambda: load(cell)["progress"]["done"], "the last checkpoint")
    told = [event["epoch"] for event in its.spooled() if event["cell"] == load(cell)["cell"]]
    assert max(told) == EPOCHS - 1, "the sweep has seen the last report: nothing is shown"
    sweep.kill()
    return cell, load(cell)


def same(one: dict, other: dict) -> bool:
    """Whether two checkpoints hold the same, time stamps included."""
    return repr(one) == repr(other)
