"""Faults of a configuration and of the code on one rank of two: a verdict, no hang, no retry, other trials go on."""

import json
import time
from collections import Counter
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from ablate.training.distributed import COLLECTIVE_TIMEOUT_S
from train_faults.conftest import Make
from train_faults.stage import Stage, all_removed

STATUS = {"nan": "FAILED", "raise": "FAILED", "none": "FINISHED"}
pytestmark = pytest.mark.slow


def test_nan_and_an_exception_on_one_rank_end_their_trials_and_no_other(stage: Make, cluster: Any) -> None:
    """Cases 13 and 14."""
    its = stage(
        cluster,
        fault="kind: {choice: [nan, raise, none], default: none}, pace: 0.02",
        search="algorithm: random, trials: 3, metric: valid/recon, mode: min",
        epochs=4,
    )
    began = time.monotonic()
    its.start()
    assert its.end() == 1, its.output
    assert time.monotonic() - began < COLLECTIVE_TIMEOUT_S / 2, "the other rank waited for the one that had failed"
    runs = {json.loads(tags["ablate.point"])["loss.fault.options.kind"]: tags for tags in its.scene.tags()}
    assert {kind: tags["status"] for kind, tags in runs.items()} == STATUS
    assert runs["nan"]["ablate.failure"] == "diverged" and runs["nan"]["ablate.why"] == "nan: fault, epoch 3"
    assert runs["raise"]["ablate.failure"] == "code"
    assert runs["raise"]["ablate.why"] == "ValueError: a mistake in the code of rank 1 (rank 1)"
    assert all([rank for rank, _ in sorted(its.started(kind))] == [0, 1] for kind in runs), "a trial was tried again"
    assert traceback_of(its, runs["raise"]).rstrip().endswith("ValueError: a mistake in the code of rank 1")
    states = Counter(trial.state for trial in copied(its).trials)
    assert states == {TrialState.COMPLETE: 1, TrialState.FAIL: 2}
    assert its.scene.steps(runs["none"]["run"])["objective"] == [1, 2, 3, 4]
    all_removed(cluster)


def traceback_of(its: Stage, tags: dict[str, str]) -> str:
    """The artifact that a failed run keeps."""
    return next((its.scene.runs / "artifacts").glob(f"{tags['run']}/**/traceback.txt")).read_text()


def copied(its: Stage) -> optuna.Study:
    """The copy of the Optuna study that optuna-dashboard reads."""
    storage = JournalStorage(JournalFileBackend(str(its.journal)))
    return optuna.load_study(study_name=None, storage=storage)
