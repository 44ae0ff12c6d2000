"""ASHA stops trials of two workers: their worker groups go, later trials run, and Ray Train tries nothing again."""

import json
from pathlib import Path
from typing import Any

import pytest

from train_faults.conftest import Make
from train_faults.stage import all_removed


@pytest.mark.slow
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


def test_ray_train_itself_tries_nothing_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With max_failures of 1 its controller answers the removal of a group with another one that nobody removes."""
    from ray.train import UserCallback
    from ray.train.torch import TorchTrainer

    from ablate.training import distributed

    made: list[Any] = []
    monkeypatch.setattr(distributed, "TuneReportCallback", UserCallback)
    monkeypatch.setattr(TorchTrainer, "fit", lambda its: made.append(its))
    resources = {"workers": 2, "cpus_per_worker": 0.5, "gpus_per_worker": 0}
    distributed.run({"trial": {"resources": resources}, "key": "abc-s0", "scratch": str(tmp_path)})
    limits = made[0].run_config.failure_config
    assert (limits.max_failures, limits.controller_failure_limit, limits.max_preemption_failures) == (0, 3, 3)
    assert made[0].scaling_config.num_workers == 2
    assert made[0].scaling_config.resources_per_worker == {"CPU": 0.5}
