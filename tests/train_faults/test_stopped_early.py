"""ASHA stops trials of two workers: their worker groups go, and later trials run."""

import json
from typing import Any

import pytest

from train_faults.conftest import Make
from train_faults.stage import all_removed

pytestmark = pytest.mark.slow


def test_later_trials_run_after_one_was_stopped_without_a_dashboard(stage: Make, cluster: Any) -> None:
    """Case 4: the values come in the order 1, 2, 0, and the least wins, so that the second trial is stopped."""
    its = stage(
        cluster,
        fault="pace: 0.05, value: {choice: [0, 1, 2], default: 1}",
        search="algorithm: random, trials: 3, seed: 1, metric: valid/fault, mode: min, "
        "scheduler: {name: asha, grace: 1}",
        epochs=4,
    )
    its.start()
    assert its.end() == 0, its.output
    runs = [(json.loads(tags["ablate.point"]).popitem()[1], tags) for tags in its.scene.tags()]
    assert [(value, tags["ablate.status"]) for value, tags in runs] == [(1, "complete"), (2, "pruned"), (0, "complete")]
    assert [its.scene.steps(tags["run"])["objective"] for _, tags in runs] == [[1, 2, 3, 4], [1], [1, 2, 3, 4]]
    all_removed(cluster)
