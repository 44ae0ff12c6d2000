"""Trials: plain values and back, changed leaves, warm-ups, and whether a cluster can hold one."""

import json
from pathlib import Path

import pytest
from toys import STUDY, toys

from ablate.config import load_study
from ablate.errors import Mistake
from ablate.trial import Resources, Train, Trial, Warmup

__all__ = ["toys"]


@pytest.fixture
def trial(toys: Path) -> Trial:
    (toys / "study.yaml").write_text(STUDY)
    return load_study("study.yaml").base


def test_plain_values_lead_back(trial: Trial) -> None:
    there = json.loads(json.dumps(trial.plain()))
    back = Trial.from_plain(there)
    assert back == trial
    assert back.model.options.hidden == (64, 64)
    assert back.plain() == there


def test_absent_leaves_take_their_defaults(toys: Path) -> None:
    trial = Trial.from_plain({"data": {"name": "sines"}, "model": {"name": "frames"}, "loss": {"recon": {}}})
    assert trial.train == Train()
    assert trial.loss.terms["recon"].weight == 1
    assert trial.loss.terms["recon"].options.variance == 1


def test_replace_changes_only_the_named_leaves(trial: Trial) -> None:
    other = trial.replace({"loss.scc.weight": 10, "model.hidden": [32], "train.seed": 7})
    assert (other.loss.terms["scc"].weight, other.model.options.hidden, other.train.seed) == (10, (32,), 7)
    assert other.replace({"loss.scc.weight": 0.0, "model.hidden": (64, 64), "train.seed": 0}) == trial


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("model.zdim", 3, "this configuration has no leaf model.zdim"),
        ("loss.mi.weight", 3, "this configuration has no leaf loss.mi.weight"),
        ("train.lr.x", 3, "this configuration has no leaf train.lr.x"),
        ("model.z_dim", 9, "model: z_dim (9) must not exceed f_dim (8)"),
    ],
)
def test_replace_refuses(trial: Trial, path: str, value: object, sentence: str) -> None:
    with pytest.raises(Mistake) as caught:
        trial.replace({path: value})
    assert str(caught.value) == sentence


def test_plain_values_of_another_version_are_refused(trial: Trial) -> None:
    values = trial.plain()
    values["loss"]["recon"]["options"]["varience"] = 1
    with pytest.raises(Mistake, match=r"unknown loss\.recon\.options key 'varience'; did you mean 'variance'"):
        Trial.from_plain(values)


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [  # steps of 5: the schedule of DVAE, 0 in epochs 0-9, .2 more every 10 epochs, 1 from epoch 50, never above
        (Warmup(50, steps=5), {0: 0, 9.9: 0, 10: 0.2, 19: 0.2, 20: 0.4, 49: 0.8, 50: 1, 124: 1}),
        (Warmup(10), {0: 0, 2.5: 0.25, 10: 1, 11: 1}),
        (Warmup(10, start=5), {0: 0, 5: 0, 7.5: 0.5, 10: 1}),
    ],
)
def test_warmup(warmup: Warmup, expected: dict[float, float]) -> None:
    assert {epoch: warmup.at(epoch) for epoch in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("resources", "sentence"),
    [
        (Resources(), None),
        (Resources(cpus_per_worker=0.5, gpus_per_worker=0.25), None),
        (Resources(workers=2, cpus_per_worker=0.9, gpus_per_worker=0), None),
        (
            Resources(cpus_per_worker=3),
            "a trial needs 3 CPU (1 x 3) and the cluster has 2, so it could never start; "
            "lower resources.workers or resources.cpus_per_worker",
        ),
        (
            Resources(workers=2),  # the process that waits for the workers takes a hundredth
            "a trial needs 2.01 CPU (2 x 1) and the cluster has 2, so it could never start; "
            "lower resources.workers or resources.cpus_per_worker",
        ),
        (
            Resources(workers=2, cpus_per_worker=0.5, gpus_per_worker=1),
            "a trial needs 2 GPU (2 x 1) and the cluster has 1, so it could never start; "
            "lower resources.workers or resources.gpus_per_worker",
        ),
    ],
)
def test_whether_a_trial_fits(resources: Resources, sentence: str | None) -> None:
    assert resources.fits({"CPU": 2.0, "GPU": 1.0}) == sentence


def test_a_cluster_with_a_head_node_keeps_a_place_for_what_only_waits() -> None:
    assert Resources(workers=2).fits({"CPU": 2.0, "head": 1.0}) is None


def test_a_cluster_without_gpus_has_none() -> None:
    assert "the cluster has 0" in str(Resources(gpus_per_worker=0.5).fits({"CPU": 2.0}))
