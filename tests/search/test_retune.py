"""The search inside the arms of a design: the same candidates for all, the best of each, nothing twice."""

from pathlib import Path
from typing import Any

import pytest
from toys import DESIGN, toys

from ablate.ranges import Range
from ablate.reporting.ablation import Ablation
from ablate.reporting.cells import recorded_rows
from ablate.reporting.question import Question
from ablate.reporting.table import markdown
from ablate.search import retune
from ablate.search.identity import unpack
from ablate.search.plan import Planner

from .sweeps import World, world
from .world import DATA, study

__all__ = ["toys", "world"]
SPACE = "loss.kl_z.weight: {loguniform: [0.1, 10], default: 1}, loss.scc.weight: {choice: [10, 1]}"
TEXT = DESIGN.replace("seeds: 5", "seeds: 3") + f"  retune: {{trials: 4, space: {{{SPACE}}}}}\n"


def test_candidates_begin_with_the_defaults_and_stay_in_their_ranges() -> None:
    space = {
        "a": Range("loguniform", (), 0.1, 10.0, 1.0),
        "b": Range("choice", ("x", "y", "z"), default="y"),
        "c": Range("int", (), 1, 4, 2),
        "d": Range("uniform", (), -1.0, 1.0, 0.0),
    }
    points = retune.candidates(space, 200)
    assert points[0] == {"a": 1.0, "b": "y", "c": 2, "d": 0.0} and len(points) == 200
    assert {p["b"] for p in points} == {"x", "y", "z"} and {p["c"] for p in points} == {1, 2, 3, 4}
    assert all(0.1 <= p["a"] <= 10 and -1 <= p["d"] <= 1 for p in points)
    assert 60 < sum(p["a"] < 1 for p in points) < 140
    fewer = retune.candidates({"a": space["a"]}, 200)
    assert [p["a"] for p in fewer] == [p["a"] for p in points]


def test_every_arm_tries_the_same_points_without_what_it_lacks(toys: Path) -> None:
    its = study(TEXT)
    cells = retune.cells(its, Planner(its, DATA))
    by_arm = {arm: [cell.point for cell in cells if cell.name == arm] for arm in ("full", "no_scc", "no_inference")}
    weights = [point["loss.kl_z.weight"] for point in by_arm["full"]]
    assert weights[0] == 1.0 and len(set(weights)) == 4
    assert [point["loss.kl_z.weight"] for point in by_arm["no_scc"]] == weights
    assert all(point["loss.scc.weight"] == 0 for point in by_arm["no_scc"])
    assert {point["loss.scc.weight"] for point in by_arm["full"]} == {1.0, 10.0}
    assert {cell.seed for cell in cells} == {2000} and not any(cell.test or cell.pictures for cell in cells)
    assert retune.seed_of(study(TEXT.replace("seeds: 3", "seeds: [2000, 2001]")).plan) == 2002  # type: ignore[arg-type]


def report(cell: dict[str, Any], epoch: int) -> dict[str, Any]:
    """Best near a weight of 3 for kl_z, elsewhere the seed's own value; scc hurts."""
    weight = cell["trial"]["loss"]["kl_z"]["weight"]
    value = 0.5 - 0.01 * abs(weight - 3) - 0.001 * cell["trial"]["loss"]["scc"]["weight"] + 0.001 * (cell["seed"] % 7)
    its = {"epoch": epoch, "objective": value, "at": epoch, "valid/gap": value}
    test = {"test/gap": value} if cell["test"] else {}
    return its | ({"complete": True} | test if epoch == 2 else {})


def test_arms_run_at_their_best_point(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.tune, "report", report)
    world.sweep(TEXT)
    tried, ran = ([cell for cell in world.tune.ran if cell["role"] == role] for role in ("retune", "design"))
    assert len(tried) == 12 and len(ran) == 9 and len(world.tune.calls) == 2
    points = {cell["name"]: cell["point"] for cell in ran}
    best = min((cell["point"]["loss.kl_z.weight"] for cell in tried), key=lambda weight: abs(weight - 3))
    assert points["no_scc"]["loss.kl_z.weight"] == best
    assert points["full"]["loss.scc.weight"] in (1.0, 10.0) and points["no_scc"]["loss.scc.weight"] == 0
    again = world.sweep(TEXT)
    assert world.tune.ran == [] and world.started == 1 and len(again.found) == 21
    world.sweep(TEXT, "design.seeds=4")
    assert [(cell["role"], cell["seed"], cell["point"]) for cell in world.tune.ran] == [
        ("design", 3, points[name]) for name in ("full", "no_scc", "no_inference")
    ]


def test_what_was_chosen_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.tune, "report", report)
    world.sweep(TEXT)
    question = Question.of(unpack(world.study_tags()["ablate.design"]))
    rows = recorded_rows(question, world.record.cells(), world.record.arms("toy"))
    assert [row.role for row in rows] == ["retune"] * 12 + ["design"] * 9
    its = Ablation.of(question, rows)
    assert its.effects is not None and str(its.effects.accounts["full"]) == "3/3"
    table = next(markdown(table) for table in its.tables() if table.title == "Tuned inside each arm")
    assert "| no_scc       |      4 |" in table and "loss.kl_z.weight" in table and "valid/gap" in table


def test_an_arm_whose_trials_all_fail_stays_as_the_file_has_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.tune, "report", report)
    world.tune.verdicts["no_scc"] = "diverged"
    world.sweep(TEXT)
    points = {cell["name"]: cell["point"] for cell in world.tune.ran if cell["role"] == "design"}
    assert "loss.kl_z.weight" not in points["no_scc"] and "loss.kl_z.weight" in points["full"]
