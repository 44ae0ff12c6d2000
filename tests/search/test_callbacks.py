"""What the record is told at each event of Tune, whatever happens; leaked placement groups."""

import errno
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
import ray.util
from rich.console import Console
from toys import toys

from ablate.search.callbacks import Janitor, Recorder, numbers, sentence
from ablate.search.progress import Board
from ablate.spool import Spool

from .world import DEFAULT, POINT, config, planner, tune_trial

__all__ = ["toys"]


class Scene:
    """A recorder over a real spool and a board that writes to a buffer."""

    def __init__(self, folder: Path):
        self.out = io.StringIO()
        self.board = Board(Console(file=self.out, width=200))
        self.spool = Spool(folder / "spool", "me")
        self.its = Recorder(
            self.spool, lambda cell: [{"event": "open", "cell": cell["cell"], "attempt": 1}], self.board
        )
        self.board.phase("search", 2)
        self.cells = [config(planner().searched(point), folder) for point in (POINT, DEFAULT)]
        self.stops: list[str | None] = []
        self.its.on_full_disk = lambda: self.stops.append(self.its.full_disk)

    def opening(self, cell: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"event": "open", "cell": cell["cell"], "attempt": cell["attempt"]}]

    def run(self, *reports: dict[str, Any], cell: int = 0, **end: Any) -> Any:
        """A trial that starts and reports; its last report is what Tune remembers."""
        trial = tune_trial(self.cells[cell], f"t{cell}", **end)
        self.its.on_trial_start(0, [], trial)
        for values in reports:
            trial.last_result = values
            self.its.on_trial_result(0, [], trial, values)
        return trial

    def complete(self, *reports: dict[str, Any], cell: int = 0) -> Any:
        trial = self.run(*reports, cell=cell)
        self.its.on_trial_complete(0, [], trial)
        return self.outcome(cell)

    def outcome(self, cell: int = 0) -> Any:
        return self.its.outcomes[self.cells[cell]["cell"]]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.spool.file.read_text().splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind and "arm" not in event]

    @property
    def text(self) -> str:
        return self.out.getvalue()


@pytest.fixture
def scene(toys: Path) -> Scene:
    return Scene(toys)


def report(epoch: int, value: float = 0.5, **more: Any) -> dict[str, Any]:
    """A report as Tune returns it, with Tune's own keys."""
    mine = {"epoch": epoch, "objective": value, "at": 1000 + epoch, "valid/gap": value, "train/recon": 2}
    tune = {"time_total_s": 3.5, "pid": 7, "trial_id": "t", "done": False, "config/cell/x": 1, "training_iteration": 9}
    return mine | tune | more


def test_values_are_ours_and_numbers() -> None:
    its = numbers(report(3, best_epoch=2, notes=["a"], date="x", **{"valid/text": "no", "node/ip": "10.0.0.1"}))
    assert its == {"objective": 0.5, "valid/gap": 0.5, "train/recon": 2.0, "best_epoch": 2.0}
    assert all(type(value) is float for value in its.values())


def test_a_complete_trial(scene: Scene) -> None:
    out = scene.complete(report(1, 0.3), report(2, 0.6), report(3, 0.6, complete=True, best_epoch=2))
    assert (out.status, out.objective, out.failure) == ("complete", 0.6, "")
    assert out.history == ((1, 0.3), (2, 0.6), (3, 0.6)) and out.values["best_epoch"] == 2
    key = scene.cells[0]["cell"]
    assert [event["event"] for event in scene.events] == ["open"] + ["metrics"] * 3 + ["tags", "end", "end"]
    assert all(event["cell"] == key and event["attempt"] == 1 for event in scene.events[:-1])
    assert scene.of("metrics")[1] == {
        "event": "metrics",
        "cell": key,
        "attempt": 1,
        "epoch": 2,
        "values": {"objective": 0.6, "valid/gap": 0.6, "train/recon": 2.0},
        "at": 1002,
    }
    assert scene.of("tags")[0]["tags"] == {"ablate.epochs": "3"}
    assert scene.of("end")[0]["status"] == "complete" and not {"failure", "why"} & set(scene.of("end")[0])
    assert scene.events[-1]["arm"] == scene.cells[0]["signature"]
    assert "[1/2] complete 0.6000" in scene.text and scene.its.running == {}


def test_a_trial_that_a_scheduler_ended_is_pruned(scene: Scene) -> None:
    out = scene.complete(report(1, 0.4, best_epoch=1), report(2, 0.4, best_epoch=1))
    assert (out.status, out.objective, out.values["best_epoch"]) == ("pruned", 0.4, 1)
    assert scene.of("end")[0]["status"] == "pruned"
    assert [event["values"]["best_epoch"] for event in scene.of("metrics")] == [1, 1]


@pytest.mark.parametrize("kind", ["diverged", "code", "memory", "timeout"])
def test_a_verdict_is_a_failure_of_its_class(scene: Scene, kind: str) -> None:
    last = {"epoch": 2, "objective": math.nan, "at": 9, "verdict": kind, "why": "because"}
    out = scene.complete(report(1, 0.3), report(2, 0.4), last)
    assert (out.status, out.failure, out.why, out.values) == ("failed", kind, "because", {})
    assert out.history == ((1, 0.3), (2, 0.4))
    assert [event["epoch"] for event in scene.of("metrics")] == [1, 2]  # the verdict is no value
    end = scene.of("end")[0]
    assert (end["status"], end["failure"], end["why"]) == ("failed", kind, "because")
    assert len(scene.board.failed) == 1 and scene.board.failed[0].endswith(f"(seed 0): {kind}: because")
    assert scene.stops == []


def test_a_trial_that_never_reported_failed_by_its_code(scene: Scene) -> None:
    out = scene.complete()
    assert (out.status, out.failure, out.why) == ("failed", "code", "the trial ended without a report")
    scene.its.on_trial_complete(0, [], scene.run({"epoch": 1}.copy() | {"objective": 0.1, "at": 1}, cell=1))
    assert scene.outcome(1).status == "pruned"


def test_a_trial_lost_to_the_machines(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("Traceback\n  ...\nActorDiedError: the node went away\n")
    trial = scene.run(report(1), error_file=str(tmp_path / "error.txt"))
    scene.its.on_trial_error(0, [], trial)
    assert (scene.outcome().status, scene.outcome().failure) == ("failed", "infra")
    assert scene.outcome().why == "ActorDiedError: the node went away"


def test_a_trial_lost_to_the_memory_of_the_host(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "error.txt").write_text("ray.exceptions.RayActorError: OutOfMemoryError: 1 worker(s), low on memory")
    trial = scene.run(report(1), error_file=str(tmp_path / "error.txt"))
    scene.its.on_trial_error(0, [], trial)
    assert (scene.outcome().status, scene.outcome().failure) == ("failed", "memory")


def test_without_an_error_file_the_process_was_lost(scene: Scene, tmp_path: Path) -> None:
    for number, file in enumerate((None, str(tmp_path / "none"))):
        scene.its.on_trial_error(0, [], scene.run(report(1), cell=number, error_file=file))
        assert scene.outcome(number).why == "the trial process was lost"


def test_an_error_file_is_told_in_one_line() -> None:
    assert sentence("") == "the trial process was lost"
    assert (
        sentence("Traceback\n  x\nray.exceptions.ActorDiedError: gone\n  by\tkill\n") == "ActorDiedError: gone by kill"
    )
    assert len(sentence("ValueError: " + "word " * 500)) <= 300


def test_a_restarted_trial_opens_its_run_once_and_repeats_its_reports(scene: Scene) -> None:
    trial = scene.run(report(1), report(2))
    scene.its.on_trial_recover(0, [], trial)
    scene.its.on_trial_start(0, [], trial)
    for values in (report(1), report(2), report(3, complete=True)):
        trial.last_result = values
        scene.its.on_trial_result(0, [], trial, values)
    scene.its.on_trial_complete(0, [], trial)
    assert len(scene.of("open")) == 1 and scene.board.retried == 1
    sent = [(event["epoch"], event["at"]) for event in scene.of("metrics")]
    assert sent == [(1, 1001), (2, 1002), (1, 1001), (2, 1002), (3, 1003)]  # repeated to the time stamp
    assert scene.outcome().history == ((1, 0.5), (2, 0.5), (3, 0.5))


@pytest.mark.parametrize(("text", "tries"), [("killed by the memory monitor", 1), ("ActorDiedError: x", 3)])
def test_after_the_memory_monitor_there_is_one_more_try(scene: Scene, tmp_path: Path, text: str, tries: int) -> None:
    (tmp_path / "error.txt").write_text(text)
    trial = scene.run(report(1), error_file=str(tmp_path / "error.txt"), num_failures=1)
    scene.its.on_trial_recover(0, [], trial)
    assert trial.max_failures == tries


def test_notes_are_said(scene: Scene) -> None:
    scene.run(report(1, notes=["last.pt cannot be read [RuntimeError]", "another"]))
    assert "last.pt cannot be read [RuntimeError]\n" in scene.text and "another\n" in scene.text
    assert "notes" not in scene.of("metrics")[0]["values"]


def test_artifacts_of_complete_and_failed_cells_are_brought(scene: Scene) -> None:
    for number, last in enumerate((report(1, complete=True), report(1, verdict="code", why="x"))):
        folder = Path(scene.cells[number]["folder"]) / "artifacts"
        folder.mkdir(parents=True)
        scene.complete(last, cell=number)
        assert scene.of("artifact")[number]["path"] == str(folder)
    kinds = [event["event"] for event in scene.events if event.get("cell") == scene.cells[0]["cell"]]
    assert kinds.index("artifact") < kinds.index("end")


def test_values_that_are_not_finite_reach_the_record_as_such(scene: Scene) -> None:
    out = scene.complete(report(1, 0.3, **{"valid/mi": math.inf}), report(2, 0.3, complete=True))
    assert out.status == "complete"
    sent = scene.of("metrics")[0]["values"]
    assert math.isnan(sent["valid/mi"]) and sent["objective"] == 0.3
    assert {"ablate.nonfinite.valid/mi": "inf at epoch 1"} in [event["tags"] for event in scene.of("tags")]


def test_what_has_not_ended_is_marked_as_stopped(scene: Scene) -> None:
    scene.run(report(1), report(2))
    scene.run(cell=1)
    scene.its.stop_running("Ctrl-C")
    assert [event["status"] for event in scene.of("end")] == ["stopped", "stopped"]
    assert scene.of("end")[0]["why"] == "Ctrl-C" and scene.its.running == {}
    assert [scene.outcome(n).status for n in (0, 1)] == ["stopped", "stopped"]
    scene.its.stop_running("again")
    assert len(scene.of("end")) == 2


def test_a_full_disk_in_a_trial_ends_the_sweep_once(scene: Scene) -> None:
    full = {"epoch": 1, "objective": math.nan, "at": 1, "verdict": "stopped", "why": "the disk is full: x"}
    assert scene.complete(report(1), full).status == "stopped"
    assert scene.complete(full, cell=1).status == "stopped"
    assert scene.stops == ["the disk is full: x"]
    assert scene.board.failed == []


def test_a_spool_that_cannot_be_written_ends_the_sweep_in_order(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = scene.run(report(1))
    before = scene.spool.file.read_bytes()

    def full(event: dict[str, Any]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scene.spool, "append", full)
    for values in (report(2), report(3, complete=True)):
        trial.last_result = values
        scene.its.on_trial_result(0, [], trial, values)
    scene.its.on_trial_complete(0, [], trial)
    scene.run(cell=1)
    scene.its.stop_running("the disk is full")
    assert scene.stops == [f"the disk is full: No space left on device (errno 28) while writing {scene.spool.file}"]
    assert scene.spool.file.read_bytes() == before
    assert scene.outcome().status == "complete" and scene.outcome(1).status == "stopped"


def test_tune_has_nothing_to_pickle(scene: Scene) -> None:
    assert scene.its.__getstate__() == {}


A, B, C, D = (digit * 36 for digit in "abcd")  # ids of placement groups


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Placement groups of a cluster, by id."""
    table: dict[str, dict[str, str]] = {}
    monkeypatch.setattr(ray.util, "placement_group_table", lambda: table)
    monkeypatch.setattr(ray.util, "remove_placement_group", lambda its: table[its.id.hex()].update(state="REMOVED"))
    return table


def of_workers(trial_id: str, key: str = "abc-s0", workers: int = 2) -> Any:
    """A trial of several workers."""
    return tune_trial({"key": key, "sweep": "0123456789", "trial": {"resources": {"workers": workers}}}, trial_id)


@pytest.mark.parametrize("ending", ["on_trial_complete", "on_trial_error", "on_trial_recover"])
def test_the_janitor_removes_what_a_trial_leaves(groups: dict[str, dict[str, str]], ending: str) -> None:
    groups |= {A: {"state": "CREATED", "name": ""}, B: {"state": "CREATED", "name": ""}}
    its, trial, other = Janitor(), of_workers("one"), of_workers("other", "def-s0")
    for group in (A, A, C):  # C is unknown to the cluster
        its.on_trial_result(0, [], trial, {"pg_id": group})
    its.on_trial_result(0, [], trial, {"epoch": 1})
    its.on_trial_result(0, [], other, {"pg_id": B})
    getattr(its, ending)(0, [], trial)
    assert {group: its["state"] for group, its in groups.items()} == {A: "REMOVED", B: "CREATED"}
    assert its.groups == {"other": {B}}


@pytest.mark.parametrize("moment", ["on_trial_complete", "on_trial_error", "on_trial_recover", "on_trial_start"])
def test_the_janitor_knows_by_its_name_a_group_that_was_never_reported(
    groups: dict[str, dict[str, str]], moment: str
) -> None:
    names = {A: "abc-s0-01234567-0", B: "abc-s0-99999999-0", C: "abc-s01-01234567-0", D: "abc-s0-01234567-1"}
    groups |= {group: {"state": "PENDING", "name": name} for group, name in names.items()}
    getattr(Janitor(), moment)(0, [], of_workers("one"))
    assert [group for group, its in groups.items() if its["state"] == "REMOVED"] == [A, D]


def test_a_trial_of_one_worker_leaves_no_group(groups: dict[str, dict[str, str]]) -> None:
    groups[A] = {"state": "CREATED", "name": "abc-s0-01234567-0"}
    Janitor().on_trial_recover(0, [], of_workers("one", workers=1))
    assert groups[A]["state"] == "CREATED"
