"""The events that begin a cell: readable names, comparable parameters, and where everything came from."""

import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from toys import STUDY, toys

from ablate.search import events
from ablate.search.events import compact, comparable, opening, provenance, searched
from ablate.signature import CODE, FORMAT

from .world import CONFIRMED, DEFAULT, POINT, config, planner

__all__ = ["toys"]
DATA: Any = SimpleNamespace(digest="d" * 64)


def test_a_cell_begins_with_its_run_its_configuration_and_its_data(toys: Path) -> None:
    cell = planner().searched(POINT)
    run, resolved, dataset = opening(config(cell, toys), DATA)
    assert [its["event"] for its in (run, resolved, dataset)] == ["open", "dict", "input"]
    assert all((its["cell"], its["attempt"]) == (cell.key, 1) for its in (run, resolved, dataset))
    assert run["name"] == "z_dim=2 beta=0.5 scc=10 s0"
    assert run["parent"]["name"] == "z_dim=2 beta=0.5 scc=10" and run["parent"]["arm"] == cell.signature
    assert (run["seed"], run["point"]) == (0, POINT)
    assert resolved["dict"] == cell.trial.plain() and resolved["file"] == "configuration.yaml"
    assert (dataset["name"], dataset["digest"]) == ("sines", DATA.digest)
    tags = run["tags"]
    assert tags["ablate.role"] == "search" and tags["ablate.workers"] == "1" and tags["ablate.precision"] == "float32"
    assert tags["ablate.checkpoint"] == f"{toys}/checkpoints/{cell.label}/best.pt"
    assert json.loads(json.dumps([run, resolved, dataset])) == [run, resolved, dataset]


def test_parameters_are_short_and_few(toys: Path) -> None:
    its = config(planner().searched(POINT), toys)
    assert comparable(its) == {"model": "sequence", "data": "sines", "seed": 0, "z_dim": 2, "beta": 0.5, "scc": 10}
    run = opening(its, DATA)[0]
    assert run["params"] == comparable(its)
    assert run["parent"]["params"] == {key: value for key, value in run["params"].items() if key != "seed"}


def test_every_cell_of_a_study_shows_the_same_parameters(toys: Path) -> None:
    its = planner(CONFIRMED)
    cells = [
        its.searched(POINT),
        its.searched(DEFAULT),
        its.confirmed(its.study.base, "default", 1000, DEFAULT, pictures=True),
    ]
    assert len({tuple(comparable(config(cell, toys))) for cell in cells}) == 1


def test_a_baseline_shows_those_that_it_has_too(toys: Path) -> None:
    its = planner(CONFIRMED)
    plain = its.study.baselines["plain"]
    cell = config(its.confirmed(plain, "plain", 1000, {}, pictures=False), toys)
    assert comparable(cell) == {"model": "frames", "data": "sines", "seed": 1000}
    assert searched(cell | {"point": POINT}) == {"model.z_dim": 8, "loss.beta": 1}  # no scc in this configuration


def test_a_searched_leaf_that_is_off_is_shown_as_such(toys: Path) -> None:
    text = STUDY.replace("{choice: [0, 1, 10]}", "{choice: [0, 1]}")
    assert comparable(config(planner(text).searched(DEFAULT), toys))["scc"] == 0


def test_provenance_names_code_versions_and_device() -> None:
    its = provenance()
    assert (its["ablate.code"], its["ablate.format"]) == (str(CODE), str(FORMAT))
    assert {"ablate.version", "ablate.torch", "ablate.python", "ablate.device"} <= set(its)
    assert all(isinstance(value, str) and value for value in its.values())
    its["ablate.code"] = "changed"
    assert provenance()["ablate.code"] == str(CODE)


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.TimeoutExpired("git", 10)])
def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(events.subprocess, "run", run)
    assert events.git("rev-parse", "HEAD") == ""
    assert "ablate.commit" not in dict(events._provenance.__wrapped__())


def test_a_commit_with_changes_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "git", lambda *words: "abc" if words[0] == "rev-parse" else " M file")
    assert dict(events._provenance.__wrapped__())["ablate.commit"] == "abc+changes"


def test_compact_text_does_not_depend_on_the_order() -> None:
    assert compact({"b": [1, None], "a": "x"}) == compact({"a": "x", "b": [1, None]}) == '{"a":"x","b":[1,null]}'
