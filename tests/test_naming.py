"""Run names: what a configuration changes, and nothing else."""

from pathlib import Path

import pytest
from toys import PLAIN, STUDY, toys

from ablate.config import load_study
from ablate.naming import LENGTH, describe_difference
from ablate.trial import Trial

__all__ = ["toys"]


@pytest.fixture
def base(toys: Path) -> Trial:
    (toys / "study.yaml").write_text(STUDY)
    return load_study("study.yaml").base


@pytest.mark.parametrize(
    ("leaves", "name"),
    [
        ({}, "default"),
        ({"train.seed": 5, "metrics.every": 2, "resources.workers": 2}, "default"),
        ({"loss.scc.weight": 10.0, "model.z_dim": 2}, "z_dim=2 scc=10"),
        ({"loss.beta": 0.31622776601683794}, "beta=0.3162"),
        ({"loss.recon.options.variance": 1e-5}, "recon.variance=1e-05"),
        (
            {"model.hidden": [32, 16], "model.causal": True, "model.dropout": 0.5},
            "hidden=32,16 causal=true dropout=0.5",
        ),
        ({"data.window": 30, "train.patience": 3}, "window=30 patience=3"),
    ],
)
def test_changed_leaves(base: Trial, leaves: dict[str, object], name: str) -> None:
    assert describe_difference(base.replace(leaves), base) == name


def test_terms_that_come_and_go(base: Trial) -> None:
    values = base.plain()
    values["loss"].pop("kl_z")
    values["loss"]["kl_f"] = {"weight": 2}
    assert describe_difference(Trial.from_plain(values), base) == "no kl_z kl_f=2"


def test_another_model_is_named(base: Trial, toys: Path) -> None:
    (toys / "plain.yaml").write_text(PLAIN.replace("name: sines", "name: sines, window: 10"))
    assert describe_difference(load_study("plain.yaml").base, base) == "frames recon.variance=1"


def test_names_stay_short(base: Trial) -> None:
    name = describe_difference(base.replace({"train.stop_on": "valid/" + "x" * 300}), base)
    assert len(name) == LENGTH
    assert name.endswith("…")
