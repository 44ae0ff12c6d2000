"""A node goes away without a word: its trial continues on another node, with one worker and with two."""

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from train_faults.conftest import Make
from train_faults.stage import Stage

pytestmark = pytest.mark.faults


@pytest.fixture
def nodes(plugin: None) -> Iterator[Any]:
    """A head that trains nothing, and two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "resources": {"head": 100}, "include_dashboard": False}
    its = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        its.add_node(num_cpus=1)
    yield its
    its.shutdown()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_trial_continues_on_another_node(stage: Make, nodes: Any, workers: int) -> None:
    """Case 12."""
    its = stage(nodes, fault="pace: 0.2, value: {choice: [0]}", workers=workers, cpus=1 / workers)
    its.start()
    its.until(lambda: its.reached(3), "epoch 3")
    victim = node_of(nodes, its)
    nodes.remove_node(victim, allow_graceful=False)
    assert not its.reached(its.epochs), "too late: the cell has ended"
    assert its.end() == 0, its.output
    assert [rank for rank, _ in its.started()].count(0) == 2, its.started()
    its.assert_each_epoch_once(cells=1)


def node_of(nodes: Any, its: Stage) -> Any:
    """The node on which rank 0 trains: its raylet is the parent of the worker."""
    pid = its.pid(0)
    assert pid is not None
    above = {process.pid for process in psutil.Process(pid).parents()}
    return next(node for node in nodes.worker_nodes if above & raylets(node))


def raylets(node: Any) -> set[int]:
    """Process ids of a node's raylet."""
    return {its.process.pid for its in node.all_processes["raylet"]}
