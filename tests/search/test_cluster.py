"""How many trials fit a cluster at once, and what the process of a trial asks for."""

import os
from collections.abc import Mapping

import pytest
import ray
import torch

from ablate.errors import Mistake
from ablate.search.cluster import HEAD, HEADS, concurrency, local_totals, request
from ablate.trial import Resources

HERE = {"CPU": 2.0, "GPU": 0.0, HEAD: HEADS}  # a Ray of our own on two cores
GPUS = {"CPU": 16.0, "GPU": 1.0}  # somebody else's cluster, without the resource of the head node


@pytest.mark.parametrize(
    ("resources", "cluster", "trials"),
    [
        (Resources(), HERE, 2),
        (Resources(cpus_per_worker=0.5), HERE, 4),
        (Resources(cpus_per_worker=0.1), {"CPU": 0.3}, 3),  # 0.3 // 0.1 is 2
        (Resources(cpus_per_worker=2), HERE, 1),
        (Resources(workers=2), HERE, 1),
        (Resources(workers=2, cpus_per_worker=0.5), HERE, 2),
        (Resources(workers=2, cpus_per_worker=0.5), {"CPU": 2.0}, 1),  # the waiting process needs 0.01 there
        (Resources(workers=2, cpus_per_worker=0.5), {"CPU": 2.02}, 2),
        (Resources(gpus_per_worker=0.25), GPUS, 4),
        (Resources(gpus_per_worker=1), GPUS, 1),
        (Resources(cpus_per_worker=8, gpus_per_worker=0.25), GPUS, 2),
    ],
)
def test_trials_at_once(resources: Resources, cluster: Mapping[str, float], trials: int) -> None:
    assert concurrency(resources, cluster) == trials


@pytest.mark.parametrize(
    ("resources", "cluster", "sentence"),
    [
        (Resources(workers=3), HERE, r"a trial needs 3 CPU \(3 x 1\) and the cluster has 2"),
        (Resources(gpus_per_worker=1), HERE, r"a trial needs 1 GPU \(1 x 1\) and the cluster has 0"),
        (Resources(workers=2), {"CPU": 2.0}, r"a trial needs 2\.01 CPU"),
    ],
)
def test_a_trial_that_never_fits_is_refused(resources: Resources, cluster: Mapping[str, float], sentence: str) -> None:
    with pytest.raises(Mistake, match=sentence):
        concurrency(resources, cluster)


def test_the_connected_cluster_is_asked_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 5.0})
    assert concurrency(Resources(cpus_per_worker=2)) == 2


def test_what_the_trial_process_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert request(Resources(cpus_per_worker=0.5)) == {"CPU": 0.5}
    assert request(Resources(gpus_per_worker=0.25)) == {"CPU": 1, "GPU": 0.25}
    monkeypatch.setattr(ray, "cluster_resources", lambda: HERE)
    assert request(Resources(workers=2)) == {HEAD: 1}
    monkeypatch.setattr(ray, "cluster_resources", lambda: GPUS)
    assert request(Resources(workers=2)) == {"CPU": 0.01}


def test_what_a_ray_of_our_own_offers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert local_totals(None) == {"CPU": len(os.sched_getaffinity(0)), "GPU": 3, HEAD: HEADS}
    assert local_totals(1.5)["CPU"] == 1.5
