"""Ctrl-C, SIGTERM and `ablate stop`, wherever a sweep stands: 130 within seconds, nothing lost, nothing left behind."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from faults.conftest import Make, Reference
from faults.scene import EPOCHS, NAME, STUDY, Running, Scene, alive, assert_each_epoch_once, epoch, load, until

pytestmark = pytest.mark.slow
RESUME = f"go on with: ablate resume {NAME}"


def test_stopped_three_ways_and_resumed_it_gives_the_table_of_the_one_left_alone(
    scene: Make, reference: Reference
) -> None:
    """Cases 6, 16 and 17: SIGINT, SIGTERM, `ablate stop`; a second sweep refused; a checkpoint truncated by hand."""
    its = scene()
    sweep = its.sweep()
    cell = sweep.until(lambda: its.now_training(2), "epoch 2")
    refuses_another(its, sweep)
    assert_stops(its, sweep, lambda: sweep.signal(signal.SIGINT), "interrupted")

    resumed = its.resume()
    resumed.until(lambda: epoch(cell) >= 5, "epoch 5")
    assert_stops(its, resumed, lambda: resumed.signal(signal.SIGTERM), "interrupted")
    os.truncate(cell / "last.pt", (cell / "last.pt").stat().st_size // 2)

    again = its.resume(ABLATE_HEARTBEAT="0.5")
    again.until(lambda: f"{cell}/last.pt cannot be read" in again.output, "a word about the damaged checkpoint")
    again.until(lambda: readable(cell) and epoch(cell) >= 2, "epoch 2 again")
    assert_stops(its, again, lambda: asks_to_stop(its, again), "`ablate stop` asked for it")

    last = its.resume()
    assert last.end() == 0, last.output
    assert its.table() == reference.table
    assert {(tags["status"], tags["ablate.status"]) for tags in its.tags()} == {("FINISHED", "complete")}
    for tags in its.tags():
        steps = its.steps(tags["run"])["objective"]
        damaged = Path(tags["ablate.checkpoint"]).parent == cell
        assert sorted(set(steps) if damaged else steps) == list(range(1, EPOCHS + 1))
    nothing_left(its)


def refuses_another(its: Scene, sweep: Running) -> None:
    """While one lives, another `resume` of the study is refused by name and heartbeat."""
    with held(sweep):
        code, said = its.run("resume", NAME)
    assert code == 2 and f":{sweep.pid}, heartbeat " in said and "s ago; wait for it" in said, said
    assert "Traceback" not in said


def asks_to_stop(its: Scene, sweep: Running) -> None:
    """`ablate stop` from another process."""
    with held(sweep):
        code, said = its.run("stop", NAME)
    assert code == 0 and f":{sweep.pid} to stop {NAME}" in said, said


@contextlib.contextmanager
def held(sweep: Running) -> Iterator[None]:
    """It waits meanwhile, lest it ends before the other command has begun."""
    sweep.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        sweep.signal(signal.SIGCONT)


def assert_stops(its: Scene, sweep: Running, stop: Callable[[], None], why: str) -> None:
    """It ends with 130 within 10 s (on a machine with nothing else to do), all is delivered, it says how to go on."""
    family = sweep.family()
    stop()
    began = time.monotonic()
    assert sweep.end() == 130, sweep.output
    took = time.monotonic() - began
    assert took < 10 * busy(), took
    said = sweep.output
    assert f"stopped: {why}" in said and RESUME in said and "Traceback" not in said, said
    (study,) = its.tags("study")
    assert (study["status"], study["ablate.status"], study["ablate.owner"]) == ("KILLED", "stopped", "")
    *before, cell = its.tags()
    assert {tags["ablate.status"] for tags in before} <= {"complete"}
    assert (cell["status"], cell["ablate.status"], cell["ablate.failure"]) == ("KILLED", "stopped", "stopped")
    assert not list((its.study / "spool").glob("*.jsonl")), "records are left in the spool"
    its.seen += family


def busy() -> float:
    """How much longer things take than on a machine of our own."""
    return max(1.0, os.getloadavg()[0] / len(os.sched_getaffinity(0)))


def readable(cell: Path) -> bool:
    """Whether the last checkpoint is whole."""
    try:
        return bool(load(cell))
    except Exception:
        return False


@pytest.mark.faults
def test_ctrl_c_at_the_edges_of_a_sweep(scene: Make, reference: Reference) -> None:
    """While Ray starts, twice in a row, and while the best trial is drawn: as in the middle, and `resume` completes."""
    its = scene()
    starting = its.sweep()
    starting.until(lambda: child(starting, "gcs_server"), "Ray to start")
    ends_well(its, starting, [signal.SIGTERM], "go on with: ablate sweep study.yaml")
    assert not (its.study / "study.yaml").exists() and its.tags("study") == []

    twice = its.sweep()
    twice.until(lambda: its.now_training(2), "epoch 2")
    ends_well(its, twice, [signal.SIGINT, signal.SIGINT], RESUME)
    assert [cell["ablate.status"] for cell in its.tags()] == ["stopped"]

    drawing = its.resume()
    drawing.until(lambda: "[3/3] complete" in drawing.output, "the last trial")
    ends_well(its, drawing, [signal.SIGINT], RESUME)
    assert [study["ablate.status"] for study in its.tags("study")] == ["stopped"]

    last = its.resume()
    assert last.end() == 0, last.output
    assert its.table() == reference.table
    assert_each_epoch_once(its)
    best = [tags for tags in its.tags() if tags.get("ablate.best")]
    assert len(best) == 1
    assert list((its.runs / "artifacts" / best[0]["run"]).rglob("swap*.wav")), "the best trial was not drawn"
    nothing_left(its)


def test_ctrl_c_of_a_terminal_while_data_are_prepared(scene: Make, tmp_path: Path) -> None:
    """It reaches the whole process group: one line, no traceback of any process, nothing half written."""
    its = scene(study=STUDY.replace("[20, 10, 10]", "[3000, 10, 10]"), ABLATE_STORE=str(tmp_path / "store"))
    sweep = its.sweep()
    sweep.until(lambda: child(sweep, "ablate.data.pool"), "the preparation")
    family = sweep.family()
    sweep.signal(signal.SIGINT, group=True)
    assert sweep.end(60) == 130, sweep.output
    assert "go on with: ablate sweep study.yaml" in sweep.output
    assert "Traceback" not in sweep.output, sweep.output
    assert its.tags("study") == [] and not (its.study / "study.yaml").exists()
    assert not [file for file in Path(its.environment["ABLATE_STORE"]).rglob("*") if file.suffix == ".arrow"]
    until(lambda: not any(map(alive, family)), "the end of its processes", 60)


def child(sweep: Running, words: str) -> bool:
    """Whether a process with these words in its command line has been started by the sweep."""
    for its in sweep.family():
        try:
            if words in " ".join(its.cmdline()):
                return True
        except psutil.Error:
            continue
    return False


def ends_well(its: Scene, sweep: Running, signals: list[int], how: str) -> None:
    """These signals end it with 130, the line `how` and no traceback."""
    its.seen += sweep.family()
    for number in signals:
        sweep.signal(number)
    its.seen += sweep.family()
    assert sweep.end(60) == 130, sweep.output
    assert how in sweep.output and "Traceback" not in sweep.output, sweep.output


def nothing_left(its: Scene) -> None:
    """The processes of all the sweeps that were stopped have ended."""
    until(lambda: not any(map(alive, its.seen)), "the end of Ray's processes", 60)
