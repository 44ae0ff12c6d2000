"""kill -9 of a Train worker and of the process that waits for it: the trial goes on, and Ray is left clean."""

from pathlib import Path
from typing import Any

import pytest
from faults.scene import epoch

from train_faults.conftest import Make
from train_faults.stage import Stage, all_removed

pytestmark = pytest.mark.slow


def test_a_trial_survives_the_death_of_either_worker(stage: Make, cluster: Any) -> None:
    """Case 1: rank 1, then rank 0 of the group that took over. Ranks are equal at every epoch, before and after."""
    its = stage(cluster, fault="pace: 0.1, value: {choice: [0]}")
    its.start()
    its.until(lambda: its.reached(3), "epoch 3")
    its.kill(its.pid(1))
    its.until(lambda: its.pid(0, 1) and its.reached(5), "a second group, and epoch 5")
    its.kill(its.pid(0, 1))
    assert its.end() == 0, its.output
    assert [rank for rank, _ in its.started()].count(0) == 3, its.started()
    its.assert_each_epoch_once(cells=1)
    weights = its.weights()
    assert list(weights) == list(range(its.epochs))
    assert all({rank for rank, _ in found} == {0, 1} for found in weights.values())
    assert all(len({digest for _, digest in found}) == 1 for found in weights.values())
    all_removed(cluster)


def kill_the_trial(its: Stage) -> None:
    """SIGKILL the trial process of the first cell in its third epoch or later; the rest of the study must follow."""
    its.until(lambda: its.reached(3), "epoch 3")
    first = its.cell()
    assert first is not None
    its.kill(its.scene.trial_pid(first))
    at_death = epoch(first)
    its.until(lambda: its.pid(0, 1), "a second group")
    assert epoch(first) < its.epochs and at_death >= 3
    assert its.end() == 0, its.output
    its.assert_each_epoch_once(cells=2)


@pytest.mark.faults
def test_a_trial_survives_the_death_of_its_own_process_without_a_dashboard(stage: Make, cluster: Any) -> None:
    """Case 3, and the same before the workers have started: a group that nobody knows by its reports."""
    its = stage(cluster, fault="pace: 0.1, value: {choice: [0, 1]}")
    its.start()
    (group,) = its.until(its.groups, "a placement group")
    first = its.cell()
    assert first is not None and group.startswith(f"{first.name}-") and not its.started()
    its.kill(its.scene.trial_pid(first))
    its.until(lambda: group not in its.groups(), "the end of the group")
    kill_the_trial(its)
    all_removed(cluster)


@pytest.mark.faults
def test_a_trial_survives_the_death_of_its_own_process_beside_a_second_ray(stage: Make, cluster: Any) -> None:
    """Case 3, with a dashboard: two Ray instances on a machine confuse Ray's own cleaner."""
    assert cluster.address
    its = stage(fault="pace: 0.1, value: {choice: [0, 1]}")
    its.start()
    kill_the_trial(its)


@pytest.mark.faults
def test_a_trial_survives_the_death_of_its_own_process_with_a_dashboard(stage: Make, tmp_path: Path) -> None:
    """Case 3, the ordinary machine."""
    its = stage(fault="pace: 0.1, value: {choice: [0, 1]}")
    its.start()
    kill_the_trial(its)
