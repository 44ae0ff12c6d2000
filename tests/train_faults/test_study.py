"""The two-worker study of search_spaces/, shortened, on real Ray: early stops, no hang, a complete record."""

from pathlib import Path
from typing import Any

import pytest
from faults.scene import Scene

from train_faults.stage import LIMIT, all_removed

pytestmark = pytest.mark.slow
STUDY = Path(__file__).parents[2] / "search_spaces" / "dsae_losses_ddp.yaml"
TRIALS, EPOCHS = 3, 3
SHORT = {
    "search.trials": TRIALS,
    "search.confirm": "null",
    "search.scheduler.grace": 1,
    "train.epochs": EPOCHS,
    "data.utterances": "[16, 10, 10]",
}


def test_the_two_worker_study_ends_with_every_epoch_in_the_record(cluster: Any, migrated: Path, tmp_path: Path) -> None:
    its = Scene(tmp_path, migrated, STUDY.read_text())
    short = [word for key, value in SHORT.items() for word in ("--set", f"{key}={value}")]
    try:
        status, output = its.run("sweep", "study.yaml", "--address", cluster.address, *short, limit=LIMIT)
    finally:
        its.clear()
    assert status == 0, output
    runs = its.tags()
    assert len(runs) == TRIALS and {tags["status"] for tags in runs} == {"FINISHED"}
    ends = {tags["run"]: tags["ablate.status"] for tags in runs}
    assert "complete" in ends.values() and set(ends.values()) <= {"complete", "pruned"}
    for run, end in ends.items():
        steps = its.steps(run)
        assert {"objective", "train/total", "valid/probe_gap", "valid/mi", "weight/scc"} <= set(steps)
        reached = len(steps["objective"])
        assert reached == EPOCHS if end == "complete" else 1 <= reached < EPOCHS
        assert all(found in (list(range(1, reached + 1)), [EPOCHS]) for found in steps.values()), steps
    all_removed(cluster)
