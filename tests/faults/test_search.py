"""Faults within a search: what Optuna is told, what is run again, and what is not."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from faults.conftest import Make, Reference
from faults.scene import EPOCHS, NAME, STUDY, Scene, epoch, load, until

SEARCH = "search: {algorithm: grid,"
TPE = STUDY.replace("kl_z: 1", "kl_z: {weight: {loguniform: [0.1, 10], default: 1}}").replace(
    SEARCH, "search: {algorithm: tpe, trials: 6, scheduler: {name: asha, grace: 4},"
)
# In the third epoch the weight of scc exceeds what a gradient can be; a step of 1e30 makes the next reconstruction inf.
DIVERGING = STUDY.replace(
    "  kl_z: 1",
    "  kl_z: 1\n  scc: {weight: {choice: [0, 1.0e38], default: 0}, warmup: {start: 1, end: 2, steps: 1}}",
).replace(
    f"train: {{epochs: {EPOCHS}}}", f"train: {{epochs: {EPOCHS}, lr: {{choice: [2.0e-3, 1.0e30], default: 2.0e-3}}}}"
)
DIVERGING = DIVERGING.replace("{choice: [2, 3, 4], default: 2}", "2").replace(
    SEARCH, "search: {algorithm: random, trials: 4,"
)


def mirrored(its: Scene) -> list[Any]:
    """Trials of the copy that optuna-dashboard reads."""
    storage = JournalStorage(JournalFileBackend(str(its.folder / "cache" / "ablate" / "optuna.journal")))
    (name,) = [name for name in optuna.get_all_study_names(storage) if name.startswith(f"{NAME} ")]
    return optuna.load_study(study_name=name, storage=storage).trials


@pytest.mark.slow
def test_a_killed_search_resumes_with_what_it_knew(scene: Make) -> None:
    """Case 5: SIGKILL of the sweep process in mid-search, `resume` at once."""
    its = scene(study=TPE)
    sweep = its.sweep()
    done = sweep.until(lambda: next((c for c in its.cells() if epoch(c) == EPOCHS), None), "a complete trial")
    running = sweep.until(lambda: its.now_training(2, 3), "another in mid-run")
    sweep.kill()
    finished = load(done)
    assert 2 <= epoch(running) < EPOCHS
    resumed = its.resume()
    assert resumed.end() == 0, resumed.output
    runs = its.tags()
    assert len(runs) == 6 == len({tags["ablate.cell"] for tags in runs})
    assert {tags["ablate.status"] for tags in runs} <= {"complete", "pruned"}
    for tags in runs:
        steps = its.steps(tags["run"])["objective"]
        assert steps == list(range(1, len(steps) + 1)), "an epoch was reported twice"
    assert repr(load(done)) == repr(finished), "a complete cell was trained again"
    told = mirrored(its)
    assert len(told) == 6 and all(trial.state.is_finished() for trial in told)


@pytest.mark.slow
def test_a_trial_that_diverges_is_an_outcome(scene: Make, reference: Reference) -> None:
    """Case 13: the failing term is named; the run FAILED, Optuna's trial FAIL, no retry, the others as ever."""
    its = scene(study=DIVERGING)
    sweep = its.sweep()
    assert sweep.end() == 1, sweep.output
    runs = {tuple(json.loads(tags["ablate.point"]).values()): tags for tags in its.tags()}
    assert len(runs) == 4
    late, early = runs[(1e38, 2e-3)], runs[(0, 1e30)]
    assert late["ablate.why"] == "nan: gradient, epoch 3" and its.steps(late["run"])["objective"] == [1, 2]
    assert early["ablate.why"] == "nan: recon, epoch 1" and "objective" not in its.steps(early["run"])
    for tags in (late, early, runs[(1e38, 1e30)]):
        assert (tags["status"], tags["ablate.status"], tags["ablate.failure"]) == ("FAILED", "failed", "diverged")
        assert f"diverged: {tags['ablate.why']}" in sweep.output
    fine = runs[(0, 2e-3)]
    assert fine["ablate.status"] == "complete"
    assert_equal_weights(Path(fine["ablate.checkpoint"]).parent, reference)
    states = sorted(trial.state.name for trial in mirrored(its))
    assert states == ["COMPLETE", "FAIL", "FAIL", "FAIL"]
    attempts = [tags["ablate.attempt"] for tags in runs.values()]
    assert attempts == ["1"] * 4


def assert_equal_weights(cell: Path, reference: Reference) -> None:
    """Bitwise those of the same configuration in the undisturbed study (a term at weight 0 changes nothing)."""
    mine = load(cell)["model"]
    theirs = [state["model"] for state in reference.states.values()]
    assert any(equal(mine, other) for other in theirs)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bitwise equality of two sets of weights."""
    return one.keys() == other.keys() and all(
        its.shape == other[name].shape and torch.equal(its, other[name]) for name, its in one.items()
    )


@pytest.mark.slow
def test_a_trial_in_a_reused_process_equals_the_same_trial_alone(reference: Reference) -> None:
    """Case 20: the third trial of one process, against a process that trains nothing else."""
    assert len(set(reference.pids.values())) == 1, "the process was not reused"
    its = reference.scene
    last = its.cells()[-1]
    (its.folder / "last.yaml").write_text(STUDY.replace("default: 2", "default: 4"))
    code, said = its.run("train", "last.yaml", "--folder", "alone")
    assert code == 0, said
    mine, alone = load(last), load(its.folder / "alone")
    assert mine["cell"] == alone["cell"] and equal(mine["model"], alone["model"])
    assert repr(mine["optimiser"]) == repr(alone["optimiser"])
    assert [measured(report) for report in mine["progress"]["reports"]] == [
        measured(report) for report in alone["progress"]["reports"]
    ]


def measured(report: dict[str, Any]) -> dict[str, Any]:
    """A report without clocks and memory."""
    return {key: value for key, value in report.items() if key != "at" and not key.startswith("system/")}


@pytest.mark.faults
def test_a_trial_process_that_dies_four_times_is_given_up_until_resume(scene: Make) -> None:
    """Class infra: three retries, then the cell has failed; `resume` takes it up again from its checkpoint."""
    its = scene(study=STUDY.replace("[2, 3, 4]", "[2]"))
    sweep = its.sweep()
    killed: set[int] = set()
    cell = sweep.until(lambda: its.now_training(2), "epoch 2")
    for _ in range(4):
        pid = until(lambda: new if (new := its.trial_pid(cell)) not in killed else None, "another process")
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    assert sweep.end() == 1, sweep.output
    assert len(killed) == 4 and "failed" in sweep.output and "infra" in sweep.output
    (tags,) = its.tags()
    assert (tags["status"], tags["ablate.failure"]) == ("FAILED", "infra")
    resumed = its.resume()
    assert resumed.end() == 0, resumed.output
    (tags,) = its.tags()
    assert (tags["status"], tags["ablate.status"]) == ("FINISHED", "complete") and "ablate.failure" not in tags
    assert its.steps(tags["run"])["objective"] == list(range(1, EPOCHS + 1))


@pytest.mark.faults
def test_what_failed_by_its_own_fault_runs_again_only_when_asked(scene: Make, reference: Reference) -> None:
    """Class timeout: named, exit 1; left alone by `sweep`; with --retry-failed and more time each goes on."""
    its = scene()
    sweep = its.sweep("--set", "train.wall_limit=0.001")
    assert sweep.end() == 1, sweep.output
    assert {(tags["status"], tags["ablate.failure"]) for tags in its.tags()} == {("FAILED", "timeout")}
    kept = [epoch(cell) for cell in its.cells()]
    assert kept == [1, 1, 1]
    left = its.sweep("--set", "train.wall_limit=600")
    left.end()
    assert [epoch(cell) for cell in its.cells()] == kept, left.output
    retried = its.sweep("--set", "train.wall_limit=600", "--retry-failed")
    assert retried.end() == 0, retried.output
    assert its.table() == reference.table
    for tags in its.tags():
        assert its.steps(tags["run"])["objective"] == list(range(1, EPOCHS + 1))
