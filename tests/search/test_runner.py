"""A sweep from its file to its last record, with a Tune that trains nothing: what runs, what is told, how it ends."""

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from toys import STUDY, toys

from ablate.errors import Mistake
from ablate.records import LEVELS, current
from ablate.search import cluster, runner
from ablate.search.result import Result
from ablate.search.runner import open_record, study_folder
from ablate.spool import Spool

from .sweeps import GRID, World, world
from .world import CONFIRMED, DEFAULT, study

__all__ = ["toys", "world"]


def test_a_search_runs_its_trials_and_confirms_the_best(world: World) -> None:
    result = world.sweep(CONFIRMED)
    assert len(result.found) == 6 and result.ran == len(world.tune.ran) and not result.interrupted
    assert world.tune.points[0] == tuple(DEFAULT.values())  # the default is the first to be tried
    confirmed = [cell for cell in world.tune.ran if cell["role"] == "confirm"]
    names = [it.name for it in result.chosen]
    assert [(cell["seed"], cell["name"]) for cell in confirmed] == [(s, n) for s in (1000, 1001) for n in names]
    assert names[-2:] == ["default", "plain"] and set(result.confirmed) == {cell["cell"] for cell in confirmed}
    assert all(outcome.values["test/gap"] for outcome in result.confirmed.values())
    search, confirm = world.tune.calls
    assert search["scheduler"] is not None and search["samples"] == 6 and confirm["scheduler"] is None
    records = world.cells()
    assert len(records) == 6 + len(confirmed) and {it.status for it in records} == {"complete"}
    assert world.study_tags()["ablate.status"] == "complete" and result.backlog == 0


@pytest.mark.parametrize("text", [STUDY, GRID])
def test_trials_that_lose_their_process_before_they_begin_are_run_in_fresh_ones(world: World, text: str) -> None:
    world.tune.lost = {"default"}
    result = world.sweep(text)
    first, again = world.tune.calls
    assert first["reuse"] and not again["reuse"] and again["scheduler"] is None
    assert [cell["name"] for cell in again["cells"]] == ["default"]
    assert len(result.found) == 6 and not result.interrupted
    assert [it.status for it in world.cells()] == ["complete"] * 6


@pytest.mark.parametrize("scheduler", ["", "  scheduler: {name: asha, grace: 3}\n"])
def test_a_process_that_waits_for_two_workers_is_reused_unless_trials_may_be_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setattr(cluster, "request", lambda resources: {"CPU": 0.01})
    monkeypatch.setattr("ablate.search.callbacks.Janitor", object)  # it asks Ray for the groups of workers
    text = STUDY.replace("  scheduler: {name: asha, grace: 3}\n", scheduler)
    world.sweep(text + "resources: {workers: 2, cpus_per_worker: 0.5}\n")
    assert [its["reuse"] for its in world.tune.calls] == [not scheduler]


def test_what_stands_beside_a_confirmation_is_told_again_when_all_is_done(world: World) -> None:
    levels = {"untrained encoder": {"test/probe_gap": [0.059, 0.044]}, "raw features": {"test/probe_gap": [0.345123]}}

    def leave(study: Any, result: Result, data: Any) -> list[dict[str, Any]]:
        result.levels = levels
        return [{"event": "tags", "tags": {LEVELS: json.dumps(levels)}}]

    assert world.sweep(CONFIRMED, leave=leave).levels == levels
    again = world.sweep(CONFIRMED, leave=leave)
    assert again.levels == levels and world.tune.ran == [] and world.started == 1
    assert world.sweep(GRID, "name=other").levels == {}


def test_a_study_folder_that_is_removed_meanwhile_is_no_finished_study(world: World) -> None:
    def remove(cell: dict[str, Any]) -> bool:
        world.tune.before = lambda cell: True
        while (world.folder / "runs" / "toy").exists():  # the writer may put a file there meanwhile
            shutil.rmtree(world.folder / "runs" / "toy", ignore_errors=True)
        return True

    world.tune.before = remove
    with pytest.raises(Mistake, match=r"toy was removed while the study ran.*run the same command again"):
        world.sweep(GRID)
    again = world.sweep(GRID)
    assert len(again.found) == 6 and {it.status for it in world.cells()} == {"complete"}


def test_addresses_come_first(world: World) -> None:
    world.sweep(GRID)
    lines = world.out.getvalue().splitlines()
    assert lines[0] == f"MLflow         sqlite:///{world.folder}/runs/mlflow.db  (ablate ui opens it)"
    assert lines[1] == "Ray dashboard  http://127.0.0.1:8265" and lines[2] == "grid: 6 trials"
    assert "".join(world.study_tags()["ablate.dashboard"]) == "http://127.0.0.1:8265"


def test_a_study_that_is_complete_starts_nothing(world: World) -> None:
    first = world.sweep(CONFIRMED)
    again = world.sweep(CONFIRMED)
    assert world.started == 1 and world.tune.ran == [] and again.ran == 0
    assert [out.key for _, out in again.found] == [out.key for _, out in first.found]
    assert set(again.confirmed) == set(first.confirmed) and not again.interrupted


def test_an_extended_study_runs_what_is_new(world: World) -> None:
    world.sweep(CONFIRMED)
    more = world.sweep(CONFIRMED, "search.trials=8", "search.confirm.seeds=3")
    assert [cell["role"] for cell in world.tune.ran].count("search") == 2
    assert {cell["seed"] for cell in world.tune.ran if cell["role"] == "confirm"} >= {1002}
    assert len(more.found) == 8
    done = {cell["cell"] for cell in world.tune.ran}
    assert len(done) == len(world.tune.ran) and len(world.cells()) == len({it.cell for it in world.cells()})


def test_another_question_under_the_same_name_is_refused_and_nothing_changes(world: World) -> None:
    world.sweep(GRID)
    kept = (world.folder / "runs" / "toy" / "study.yaml").read_text()
    with pytest.raises(Mistake, match=r"train\.epochs = 8, this file has 9"):
        world.sweep(GRID, "train.epochs=9")
    assert (world.folder / "runs" / "toy" / "study.yaml").read_text() == kept and world.started == 1


def test_a_grid_runs_every_point_once_in_order(world: World) -> None:
    result = world.sweep(GRID)
    assert world.tune.points == [(2, 0), (2, 1), (2, 10), (4, 0), (4, 1), (4, 10)]
    assert [tuple(cell.point.values()) for cell, _ in result.found] == world.tune.points
    assert world.tune.calls[0]["cells"] is not None and world.tune.calls[0]["scheduler"] is None


def test_cells_of_another_study_are_taken_over_and_linked(world: World) -> None:
    world.sweep(GRID)
    result = world.sweep(GRID.replace("name: toy", "name: other").replace("[0, 1, 10]", "[0, 1, 10, 100]"))
    assert world.tune.points == [(2, 100), (4, 100)]
    assert len(result.found) == 8 and result.ran == 2
    arms = world.record.arms("other")
    assert len(arms) == 8 and sum("ablate.linked" in arm.tags for arm in arms) == 6
    assert len(world.cells("other")) == 2


def test_a_search_counts_what_other_studies_ran(world: World) -> None:
    world.sweep(GRID)
    text = STUDY.replace("{loguniform: [0.1, 10], default: 1}", "1").replace("name: toy", "name: other")
    result = world.sweep(text)
    assert world.tune.ran == [] and len(result.found) == 6 and result.ran == 0
    assert [tuple(sorted(cell.point)) for cell, _ in result.found] == [("loss.scc.weight", "model.z_dim")] * 6
    again = world.sweep(text)
    assert world.started == 2 and len(again.found) == 6  # the links are known: nothing is started for them again


def test_interrupted_and_resumed(world: World) -> None:
    world.tune.before = lambda cell: len(world.tune.ran) < 3
    result = world.sweep(GRID)
    assert result.interrupted == "interrupted" and not result.full_disk
    assert [it.status for it in world.cells()] == ["complete", "complete", "stopped"]
    assert world.study_tags()["ablate.status"] == "stopped"
    stopped = world.tune.ran[-1]["cell"]
    world.tune.before = lambda cell: True
    again = world.sweep(GRID)
    assert world.tune.ran[0]["cell"] == stopped and len(world.tune.ran) == 4
    assert len(again.found) == 6 and [it.status for it in world.cells()] == ["complete"] * 6


def test_an_interrupted_search_goes_on_with_what_was_running(world: World) -> None:
    world.tune.before = lambda cell: len(world.tune.ran) < 3
    world.sweep(STUDY)
    running = world.tune.ran[-1]["point"]
    world.tune.before = lambda cell: True
    result = world.sweep(STUDY)
    assert world.tune.ran[0]["point"] == running and len(world.tune.ran) == 4 and len(result.found) == 6
    before = [call["scheduler"]._brackets[0]._rungs for call in world.tune.calls]
    assert [len(rung) for _, rung in before[-1]] == [0, 0]  # nobody has come to epoch 3


def test_failures_are_named_and_not_run_again_unless_asked(world: World) -> None:
    world.tune.verdicts = {"z_dim=2": "code", "scc=1": "diverged"}
    result = world.sweep(GRID)
    assert [line.split(":")[0] for line in result.failed] == ["z_dim=2 (seed 0)", "scc=1 (seed 0)"]
    assert not result.interrupted and world.study_tags()["ablate.status"] == "complete"
    assert world.study_tags()["ablate.failed"] == "2"
    world.sweep(GRID)
    assert world.tune.ran == []
    world.tune.verdicts = {}
    world.sweep(GRID, retry_failed=True)
    assert [cell["name"] for cell in world.tune.ran] == ["z_dim=2"]  # what diverged would diverge again


def test_fresh_runs_everything_again_as_another_attempt(world: World) -> None:
    world.sweep(GRID)
    folders = {cell["folder"] for cell in world.tune.ran}
    world.sweep(GRID, fresh=True)
    assert len(world.tune.ran) == 6 and {cell["attempt"] for cell in world.tune.ran} == {2}
    assert folders.isdisjoint(cell["folder"] for cell in world.tune.ran)
    assert sorted(it.attempt for it in world.cells()) == [1] * 6 + [2] * 6


def test_what_is_begun_anew_does_not_go_on_with_what_was_there_before(world: World) -> None:
    """A fresh sweep is interrupted after two cells: the next command runs the other four, whatever the record has."""
    world.sweep(GRID)
    world.tune.before = lambda cell: len(world.tune.ran) < 3
    assert world.sweep(GRID, fresh=True).interrupted
    study = world.record.study("toy")
    assert sum(it.status == "complete" for it in current(world.cells(), study)) == 2
    world.tune.before = lambda cell: True
    again = world.sweep(GRID)
    assert len(world.tune.ran) == 4 and {cell["attempt"] for cell in world.tune.ran} == {2}
    assert len(again.found) == 6 and not again.interrupted
    assert sorted(it.attempt for it in world.cells()) == [1] * 6 + [2] * 6
    assert world.sweep(GRID).ran == 0


def test_nothing_of_other_studies_is_taken_over_after_a_fresh_beginning(world: World) -> None:
    world.sweep(GRID, "name=other")
    world.tune.before = lambda cell: len(world.tune.ran) < 2
    assert world.sweep(GRID, fresh=True).interrupted
    world.tune.before = lambda cell: True
    assert len(world.sweep(GRID).found) == 6 and len(world.tune.ran) == 5
    assert world.sweep(GRID, "name=third").ran == 0  # who did not begin anew takes over the last that was run


def test_a_full_disk_in_the_spool_ends_the_sweep_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Spool.append

    def full(self: Spool, event: dict[str, Any]) -> None:
        if len(world.tune.ran) >= 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, event)

    monkeypatch.setattr("ablate.search.result.os.kill", lambda *_: None)  # Tune would end its run
    world.tune.before = lambda cell: len(world.tune.ran) < 2
    monkeypatch.setattr(Spool, "append", full)
    result = world.sweep(GRID)
    assert result.full_disk and "No space left on device (errno 28)" in result.interrupted
    monkeypatch.setattr(Spool, "append", append)
    world.tune.before = lambda cell: True
    again = world.sweep(GRID)
    assert len(again.found) == 6 and not again.full_disk


def test_a_full_disk_after_the_trials_ends_the_sweep_in_order(world: World) -> None:
    def leave(*_: Any) -> list[dict[str, Any]]:
        raise OSError(errno.ENOSPC, "No space left on device", "confirm.md")

    result = world.sweep(GRID, leave=leave)
    assert result.full_disk and "while writing confirm.md" in result.interrupted
    assert world.study_tags()["ablate.status"] == "stopped"
    world.sweep(GRID)
    assert world.tune.ran == [] and world.study_tags()["ablate.status"] == "complete"


def test_other_errors_of_the_system_are_not_hidden(world: World) -> None:
    def leave(*_: Any) -> list[dict[str, Any]]:
        raise PermissionError(errno.EACCES, "Permission denied", "x")

    with pytest.raises(PermissionError):
        world.sweep(GRID, leave=leave)
    assert world.study_tags()["ablate.status"] == "stopped"


def test_a_record_that_goes_away_while_the_sweep_begins_is_one_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException

    def cells(study: str | None = None) -> list[Any]:
        raise MlflowException("API request failed: connection refused\nand more")

    monkeypatch.setattr(world.record, "cells", cells)
    with pytest.raises(Mistake, match=r"went away while the sweep began \(API request failed: connection refused\)"):
        world.sweep()


def test_ctrl_c_between_phases_ends_in_order(world: World) -> None:
    def leave(*_: Any) -> list[dict[str, Any]]:
        raise KeyboardInterrupt

    assert world.sweep(GRID, leave=leave).interrupted == "interrupted"
    assert world.study_tags()["ablate.status"] == "stopped"


def test_what_a_sweep_leaves_is_on_the_study_s_run(world: World) -> None:
    def leave(its: Any, result: Result, data: Any) -> list[dict[str, Any]]:
        return [{"event": "tags", "tags": {"ablate.found": str(len(result.found))}}]

    world.sweep(GRID, leave=leave)
    assert world.study_tags()["ablate.found"] == "6"


def test_pictures_of_the_best_trial_are_drawn_where_its_weights_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("ablate.search.phases.draw_cell", lambda config: drawn.append(config["name"]) or Path())
    world.sweep(GRID)
    assert drawn == []  # there are no weights

    def leave_weights(cell: dict[str, Any]) -> bool:
        Path(cell["folder"]).mkdir(parents=True)
        (Path(cell["folder"]) / "best.pt").write_text("weights")
        return True

    world.tune.before = leave_weights
    world.sweep(GRID, fresh=True)
    assert drawn == ["scc=10"] or drawn == ["z_dim=2 scc=10"]
    best = [it for it in world.cells() if it.tags.get("ablate.best")]
    assert [it.attempt for it in best] == [2]
    world.sweep(GRID)
    assert len(drawn) == 1


def test_a_trial_that_can_never_fit_is_refused_before_anything(world: World) -> None:
    with pytest.raises(Mistake, match="a trial needs 2000 CPU"):
        world.sweep(GRID, "resources.cpus_per_worker=2000")
    assert not (world.folder / "runs" / "toy").exists() and world.started == 0


def test_a_folder_that_cannot_be_made_is_refused(toys: Path) -> None:
    (toys / "file").write_text("in the way")
    with pytest.raises(Mistake, match=r"the folder .*file/toy cannot be written"):
        study_folder(study(STUDY, "tracking.folder=file"))


def test_the_record_lies_beside_the_studies_unless_told_otherwise(toys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "Record", lambda *where: where[:3])
    assert open_record(study()) == (f"sqlite:///{toys}/runs/mlflow.db", "ablate", f"file://{toys}/runs/artifacts")
    server = study(STUDY, "tracking.uri=http://mlflow:5000", "tracking.experiment=mine")
    assert open_record(server) == ("http://mlflow:5000", "mine", None)
    kept = study(STUDY, "tracking.artifacts=s3://bucket/a")
    assert open_record(kept) == (f"sqlite:///{toys}/runs/mlflow.db", "ablate", "s3://bucket/a")
