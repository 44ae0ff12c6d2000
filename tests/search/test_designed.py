"""An ablation from its file to its record, with a Tune that trains nothing: cells, reuse, looks, what may change."""

from pathlib import Path
from typing import Any

import pytest
from toys import DESIGN, toys

from ablate.errors import Mistake
from ablate.search import afford
from ablate.search.identity import unpack
from ablate.search.plan import Planner

from .sweeps import World, world
from .world import DATA, study

__all__ = ["toys", "world"]
FACTORIAL = DESIGN.replace("leave_one_out", "factorial").replace("seeds: 5", "seeds: 2")
ARMS = ["base", "scc", "inference", "full"]


def ran(world: World) -> list[tuple[int, str]]:
    """(seed, arm) of what was trained, in order."""
    return [(cell["seed"], cell["name"]) for cell in world.tune.ran]


def test_every_arm_on_every_seed_seed_by_seed(world: World) -> None:
    result = world.sweep(FACTORIAL)
    assert ran(world) == [(seed, arm) for seed in (0, 1) for arm in ARMS]
    assert {cell["role"] for cell in world.tune.ran} == {"design"} and all(cell["test"] for cell in world.tune.ran)
    assert [cell["name"] for cell in world.tune.ran if cell["pictures"]] == ARMS  # of the first seed
    (call,) = world.tune.calls
    assert call["scheduler"] is None and call["searcher"] is None
    assert [(cell.name, cell.seed) for cell, _ in result.found] == [(arm, seed) for arm in ARMS for seed in (0, 1)]
    assert world.study_tags()["ablate.status"] == "complete" and not result.failed
    arms = {its.name: its for its in world.record.arms("toy")}
    assert list(arms) == ARMS and arms["full"].metrics["mean/test/gap"] == pytest.approx(0.3005)
    design = (world.folder / "runs" / "toy" / "design.json").read_text()
    assert '"contrasts"' in design and '"scc:inference"' in design


def test_a_metric_of_the_validation_split_leaves_the_test_split_alone(world: World) -> None:
    world.sweep(FACTORIAL, "design.metric=valid/gap")
    assert not any(cell["test"] for cell in world.tune.ran)


def test_a_finished_study_runs_nothing_and_one_seed_more_only_what_is_new(world: World) -> None:
    first = world.sweep(FACTORIAL)
    again = world.sweep(FACTORIAL)
    assert world.started == 1 and ran(world) == [] and again.ran == 0
    assert [(cell.key, out.key) for cell, out in again.found] == [(cell.key, out.key) for cell, out in first.found]
    world.sweep(FACTORIAL, "design.seeds=3")
    assert ran(world) == [(2, arm) for arm in ARMS]


def test_the_deciding_test_stays_when_seeds_are_added(world: World) -> None:
    world.sweep(DESIGN)
    assert unpack(world.study_tags()["ablate.design"])["design"]["decides"] == "t"
    world.sweep(DESIGN, "design.seeds=9")
    assert unpack(world.study_tags()["ablate.design"])["design"]["decides"] == "t"
    world.sweep(DESIGN, "design.seeds=9", fresh=True)
    assert unpack(world.study_tags()["ablate.design"])["design"]["decides"] == "sign_flip"


def test_an_interrupted_study_goes_on_where_it_stood(world: World) -> None:
    world.tune.before = lambda cell: (cell["seed"], cell["name"]) != (1, "scc")
    result = world.sweep(FACTORIAL)
    assert result.interrupted and len(ran(world)) == 6
    world.tune.before = lambda cell: True
    assert not world.sweep(FACTORIAL).interrupted
    assert ran(world) == [(1, "scc"), (1, "inference"), (1, "full")]


def test_arms_of_another_design_are_reused(world: World) -> None:
    world.sweep(FACTORIAL)
    other = DESIGN.replace("name: toy", "name: loo").replace("seeds: 5", "seeds: 3")
    result = world.sweep(other)
    assert ran(world) == [(2, "full"), (2, "no_scc"), (2, "no_inference")]
    assert len(result.reused) == 6 and len(result.found) == 9
    again = world.sweep(other)
    assert ran(world) == [] and again.reused == result.reused
    names = {its.signature: its.name for its in world.record.arms("loo")}
    assert sorted(names.values()) == ["full", "no_inference", "no_scc"]


def test_a_diverged_cell_is_an_outcome_here_and_in_another_study(world: World) -> None:
    world.tune.verdicts["scc"] = "diverged"
    result = world.sweep(FACTORIAL)
    assert [out.failure for cell, out in result.found if cell.name == "scc"] == ["diverged", "diverged"]
    other = world.sweep(FACTORIAL.replace("name: toy", "name: other"))
    assert ran(world) == [] and [out.failure for cell, out in other.found if cell.name == "scc"] == ["diverged"] * 2


def test_a_cell_without_the_metric_is_run_again_by_another_study(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.sweep(FACTORIAL)
    report = world.tune.report
    monkeypatch.setattr(world.tune, "report", lambda cell, epoch: report(cell, epoch) | {"test/swap": 0.5})
    other = FACTORIAL.replace("name: toy", "name: other").replace("test/gap", "test/gap_of_another_kind")
    world.sweep(other.replace("test/gap_of_another_kind", "test/swap"))
    assert len(ran(world)) == 8  # epochs are chosen by another metric: other configurations
    same = FACTORIAL.replace("name: toy", "name: third")
    world.sweep(same)
    assert ran(world) == []


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("design.margin=0.02", "design.margin = 0.01, this file has 0.02"),
        ("design.alpha=0.01", "design.alpha = 0.05, this file has 0.01"),
        ("design.metric=test/swap", 'design.metric = "test/gap", this file has "test/swap"'),
        ("design.test=t", 'design.test = "auto", this file has "t"'),
        ("design.kind=add_one_in", 'design.kind = "factorial", this file has "add_one_in"'),
        ("loss.scc.weight=20", "design.components.scc.on.loss.scc.weight = 10, this file has 20"),
        ("design.seeds=1", "design.seeds = [0,1], this file has [0]"),
        ("design.seeds={max: 9}", "design.seeds = [0,1], this file has [0,1,2,3,4,5,6,7,8]"),
        ("design.components=[scc]", 'design.listed = ["scc","inference"], this file has ["scc"]'),
        ("train.epochs=9", "train.epochs = 8, this file has 9"),
    ],
)
def test_what_makes_another_question_is_refused_by_name(world: World, override: str, sentence: str) -> None:
    world.sweep(FACTORIAL)
    with pytest.raises(Mistake) as caught:
        world.sweep(FACTORIAL, override)
    assert any(f"study 'toy' is in the record with {sentence}" in its for its in caught.value.sentences)
    assert world.started == 1


@pytest.mark.parametrize(
    "override", ["design.power=0.9", "resources.cpus_per_worker=0.5", "tracking.experiment=ablate"]
)
def test_what_may_change(world: World, override: str) -> None:
    world.sweep(FACTORIAL)
    world.sweep(FACTORIAL, override)
    assert ran(world) == []


def scores(world: World, monkeypatch: pytest.MonkeyPatch, effect: dict[str, float], seconds: float = 36.0) -> None:
    """Arms that differ from full by a fixed amount, with a little noise; every cell takes as long."""

    def report(cell: dict[str, Any], epoch: int) -> dict[str, Any]:
        value = 0.5 + effect.get(cell["name"], 0.0) + 0.001 * ((cell["seed"] * 7 + len(cell["name"])) % 5)
        its = {"epoch": epoch, "objective": value, "at": epoch, "system/wall_seconds": seconds}
        return its | ({"complete": True, "test/gap": value} if epoch == 2 else {})

    monkeypatch.setattr(world.tune, "report", report)


SEQUENTIAL = DESIGN.replace("seeds: 5", "seeds: {max: 12, step: 4}").replace("  margin: 0.01\n", "")


def test_clear_arms_stop_at_the_first_look_and_open_ones_get_more_seeds(world: World, monkeypatch: Any) -> None:
    scores(world, monkeypatch, {"no_scc": -0.2})
    result = world.sweep(SEQUENTIAL)
    seeds = {arm: [seed for seed, name in ran(world) if name == arm] for arm in ("full", "no_scc", "no_inference")}
    first = len(seeds["no_scc"])
    assert (
        first < 12
        and seeds["full"] == seeds["no_inference"] == list(range(12))
        and seeds["no_scc"] == list(range(first))
    )
    assert len(world.tune.calls) == 2 and result.given_up == []
    again = world.sweep(SEQUENTIAL)
    assert ran(world) == [] and world.started == 1 and len(again.found) == len(result.found)


def test_the_budget_ends_contested_arms(world: World, monkeypatch: Any) -> None:
    scores(world, monkeypatch, {})
    seconds = {"full": 36.0, "no_scc": 36.0, "no_inference": 36.0}
    monkeypatch.setattr(afford, "timed", lambda *_: seconds)  # .01 h each
    text = SEQUENTIAL.replace("step: 4", "step: 4, budget: {cpu_hours: 0.25}")
    result = world.sweep(text)
    assert result.given_up == ["no_scc", "no_inference"] and len(world.tune.calls) == 1
    assert world.study_tags()["ablate.given_up"] == '["no_scc", "no_inference"]'
    assert world.sweep(text).given_up == result.given_up and ran(world) == []
    more = world.sweep(SEQUENTIAL.replace("step: 4", "step: 4, budget: {cpu_hours: 9}"))
    assert more.given_up == [] and {seed for seed, _ in ran(world)} == set(
        range(len(world.cells()) // 3 - len(ran(world)) // 3, 12)
    )


def test_a_budget_below_the_first_look_starts_nothing(world: World, monkeypatch: Any) -> None:
    monkeypatch.setattr(afford, "timed", lambda *_: {"full": 36.0, "no_scc": 36.0, "no_inference": 36.0})
    with pytest.raises(Mistake, match=r"first look, at 8 seeds, takes about 0\.24 cpu_hours, more than the 0\.2 of"):
        world.sweep(SEQUENTIAL.replace("step: 4", "step: 4, budget: {cpu_hours: 0.2}"))
    assert world.started == 0 and world.record.study("toy") is None


def test_a_path_flips_one_component_at_a_time(world: World, monkeypatch: Any) -> None:
    scores(world, monkeypatch, {"scc": 0.1, "inference": 0.2, "scc+inference": 0.3, "full": 0.3})
    text = DESIGN.replace("leave_one_out", "path").replace("seeds: 5", "seeds: 2").replace("  margin: 0.01\n", "")
    world.sweep(text)
    names = list(dict.fromkeys(name for _, name in ran(world)))
    assert names == ["base", "scc", "inference", "full"] and len(ran(world)) == 8
    world.sweep(text)
    assert ran(world) == []


def test_cells_of_an_arm_carry_its_leaves(toys: Path) -> None:
    its = study(FACTORIAL)
    assert its.plan is not None
    planner = Planner(its, DATA)
    cell = planner.designed(its.plan.arm("scc"), 3, pictures=False)
    assert cell.point == {"loss.scc.weight": 10.0, "model.inference": "factorised"}
    assert (cell.seed, cell.trial.train.select, cell.test, cell.metric) == (3, "valid/gap", True, "test/gap")
    other = planner.designed(its.plan.arm("scc"), 4, pictures=False)
    assert other.signature == cell.signature and other.key != cell.key
