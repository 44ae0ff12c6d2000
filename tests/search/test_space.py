"""Ranges as Optuna sees them, points there and back, and the grid."""

import json
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from toys import STUDY, toys

from ablate.config import load_study
from ablate.ranges import Range
from ablate.search.space import distributions, grid, inside, same, to_params, to_point
from ablate.study import Study

__all__ = ["toys"]
SPACE = {
    "model.hidden": Range("choice", ((64, 64), (32,), ()), default=(64, 64)),
    "model.causal": Range("choice", (True, False), default=True),
    "model.kind": Range("choice", ("1", 1, None), default=1),
    "loss.beta": Range("loguniform", (), 0.1, 10.0, 1.0),
    "train.lr": Range("uniform", (), 0.0, 1.0, 0.5),
    "model.z_dim": Range("int", (), 2, 5, 3),
}
POINT = {
    "model.hidden": (32,),
    "model.causal": False,
    "model.kind": None,
    "loss.beta": 0.1,
    "train.lr": 1.0,
    "model.z_dim": 5,
}


def study(*lines: tuple[str, str]) -> Study:
    text = STUDY
    for old, new in lines:
        assert old in text
        text = text.replace(old, new)
    Path("study.yaml").write_text(text)
    return load_study("study.yaml")


def test_every_kind_of_range_has_its_distribution() -> None:
    found = distributions(SPACE)
    assert list(found) == list(SPACE)
    assert found["model.hidden"] == CategoricalDistribution(["[64, 64]", "[32]", "[]"])
    assert found["model.causal"] == CategoricalDistribution([True, False])
    assert found["loss.beta"] == FloatDistribution(0.1, 10.0, log=True)
    assert found["train.lr"] == FloatDistribution(0.0, 1.0)
    assert found["model.z_dim"] == IntDistribution(2, 5)


def test_points_lead_there_and_back() -> None:
    params = to_params(SPACE, POINT)
    assert params is not None
    back = to_point(SPACE, params)
    assert back == POINT and [type(its) for its in back.values()] == [type(its) for its in POINT.values()]
    for path, its in distributions(SPACE).items():
        its.to_internal_repr(params[path])  # Optuna takes the value


def test_points_of_the_record_lead_back_too() -> None:
    recorded = json.loads(json.dumps(POINT))
    assert recorded["model.hidden"] == [32]
    params = to_params(SPACE, recorded)
    assert params == to_params(SPACE, POINT) and to_point(SPACE, params or {}) == POINT


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.hidden", [64]),
        ("model.causal", 0),
        ("model.kind", True),
        ("model.kind", 2),
        ("loss.beta", 0.09),
        ("loss.beta", "1"),
        ("train.lr", True),
        ("model.z_dim", 6),
        ("model.z_dim", 2.5),
    ],
)
def test_points_outside_the_space_have_no_parameters(path: str, value: Any) -> None:
    assert not inside(SPACE[path], value) and to_params(SPACE, POINT | {path: value}) is None


def test_points_of_another_space_have_no_parameters() -> None:
    assert to_params(SPACE, {"train.lr": 0.5}) is None
    assert to_params(SPACE, POINT | {"train.clip": 1}) is None


def test_true_is_not_1() -> None:
    assert not same(True, 1) and not same(0, False) and same(1, 1.0) and same(True, True) and not same("1", 1)
    assert to_point({"a": Range("choice", (1, True))}, {"a": True})["a"] is True
    assert to_point({"a": Range("choice", (True, 1))}, {"a": 1})["a"] == 1


def test_a_grid_holds_every_combination_once_the_last_leaf_fastest(toys: Path) -> None:
    its = study(("{loguniform: [0.1, 10], default: 1}", "1"), ("algorithm: tpe\n  trials: 6", "algorithm: grid"),
                ("  scheduler: {name: asha, grace: 3}\n", ""))  # fmt: skip
    points = grid(its)
    assert [tuple(point.values()) for point in points] == [(2, 0), (2, 1), (2, 10), (4, 0), (4, 1), (4, 10)]
    assert list(points[0]) == ["model.z_dim", "loss.scc.weight"]


def test_an_int_range_is_a_grid_of_its_whole_numbers(toys: Path) -> None:
    its = study(("{loguniform: [0.1, 10], default: 1}", "{int: [2, 4]}"), ("{choice: [2, 4], default: 4}", "4"),
                ("{choice: [0, 1, 10]}", "0"), ("algorithm: tpe\n  trials: 6", "algorithm: grid"),
                ("  scheduler: {name: asha, grace: 3}\n", ""))  # fmt: skip
    assert [its.configuration(point).loss.beta for point in grid(its)] == [2, 3, 4]
