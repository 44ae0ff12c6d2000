"""What Optuna is told of a trial, which cells are suggested, and what counts in the budget."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from ablate.errors import Mistake
from ablate.ranges import Range
from ablate.search.plan import Cell, Outcome, Point
from ablate.search.searcher import AblateOptuna, make_sampler

SPACE = {"a": Range("choice", (1, 2, 3), default=1), "b": Range("choice", (False, True), default=False)}
WIDE = SPACE | {"x": Range("uniform", (), 0.0, 1.0, 0.5)}
COMPLETE, PRUNED, FAIL = TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def cell(point: Point) -> Cell:
    key = repr(sorted(point.items()))
    trial: Any = SimpleNamespace(train=SimpleNamespace(seed=0))
    return Cell(trial, key, key, key, "search", point)


class Search:
    """A searcher over toy cells, and what it has handed on."""

    def __init__(
        self,
        budget: int = 6,
        space: dict[str, Range] | None = None,
        modes: tuple[str, ...] = ("max",),
        known: dict[str, Outcome] | None = None,
        make: Callable[[Point], Cell] = cell,
        algorithm: str = "random",
    ):
        self.copied: list[FrozenTrial] = []
        self.its = AblateOptuna(
            space or SPACE,
            list(modes),
            make_sampler(algorithm, 0, 0),
            budget,
            make=make,
            config=lambda it: it.point,
            elsewhere=lambda cell: ({} if known is None else known).get(cell.key),
            finished=self.copied.append,
        )
        self.count = 0

    def ask(self) -> tuple[str, Any]:
        """The next trial id and the cell suggested for it."""
        self.count += 1
        suggested = self.its.suggest(f"t{self.count}")
        return f"t{self.count}", suggested["cell"] if isinstance(suggested, dict) else suggested

    def end(self, trial: str, error: bool = False, **result: Any) -> FrozenTrial:
        """End a trial; what Optuna has of it."""
        number = self.its._ot_trials[trial].number
        self.its.on_trial_complete(trial, result or None, error)
        return self.its.study.trials[number]

    @property
    def states(self) -> list[TrialState]:
        return [trial.state for trial in self.its.study.trials]


@pytest.mark.parametrize(
    ("error", "result", "state", "value"),
    [
        (False, {"objective": 0.7, "epoch": 3, "complete": True}, COMPLETE, 0.7),
        (False, {"objective": 0.7, "epoch": 2}, PRUNED, 0.6),  # the last intermediate value
        (False, {"objective": math.nan, "epoch": 3, "verdict": "diverged"}, FAIL, None),
        (False, {"objective": 0.7, "epoch": 3, "verdict": "code"}, FAIL, None),
        (False, {"objective": math.inf, "epoch": 3, "complete": True}, FAIL, None),
        (False, {"epoch": 3, "complete": True}, FAIL, None),
        (False, {}, FAIL, None),
        (True, {"objective": 0.7, "epoch": 3, "complete": True}, FAIL, None),
        (True, {}, FAIL, None),
    ],
)
def test_how_a_trial_ends(error: bool, result: dict[str, Any], state: TrialState, value: float | None) -> None:
    search = Search()
    trial, _ = search.ask()
    search.its.on_trial_result(trial, {"epoch": 1, "objective": 0.5})
    search.its.on_trial_result(trial, {"epoch": 2, "objective": 0.6})
    told = search.end(trial, error, **result)
    assert (told.state, told.value) == (state, value)
    assert told.intermediate_values == {1: 0.5, 2: 0.6}
    assert [its.number for its in search.copied] == [told.number]
    assert search.its._ot_trials == {}


@pytest.mark.filterwarnings("error")
def test_reports_are_intermediate_values_by_epoch_each_once() -> None:
    search = Search()
    trial, _ = search.ask()
    for epoch, value in [(1, 0.1), (2, math.nan), (3, 0.3), (1, 0.1), (3, 0.3), (4, 0.4)]:
        search.its.on_trial_result(trial, {"epoch": epoch, "objective": value, "training_iteration": 99})
    search.its.on_trial_result(trial, {"epoch": 5})
    search.its.on_trial_result("unknown", {"epoch": 5, "objective": 1.0})
    assert search.end(trial, objective=0.4, epoch=4, complete=True).intermediate_values == {1: 0.1, 3: 0.3, 4: 0.4}


def test_trials_it_does_not_know_are_forgotten() -> None:
    search = Search()
    search.its.on_trial_complete("unknown", {"objective": 1.0, "complete": True})
    trial, _ = search.ask()
    search.end(trial, objective=1.0, complete=True)
    search.its.on_trial_complete(trial, {"objective": 2.0, "complete": True})
    assert search.its.study.trials[0].value == 1 and len(search.copied) == 1


def test_every_point_of_a_finite_space_is_suggested_once_and_then_it_is_finished() -> None:
    search = Search(budget=10)
    points = []
    while True:
        trial, suggested = search.ask()
        if suggested == Searcher.FINISHED:
            break
        points.append(tuple(suggested.values()))
        search.end(trial, objective=0.0, complete=True)
    assert sorted(points) == [(a, b) for a in (1, 2, 3) for b in (False, True)]
    assert search.its.budget == 4
    assert set(search.states) == {COMPLETE, FAIL}
    assert search.states.count(COMPLETE) == 6 == len(search.copied)  # repeats are not shown


def test_a_sampler_that_repeats_itself_is_helped_to_what_nobody_has_run() -> None:
    search = Search(budget=6)
    search.its.study.sampler = optuna.samplers.PartialFixedSampler({"a": 1, "b": True}, optuna.samplers.RandomSampler())
    points = [search.ask()[1] for _ in range(7)]
    assert points.pop() == Searcher.FINISHED
    assert sorted(tuple(point.values()) for point in points) == [(a, b) for a in (1, 2, 3) for b in (False, True)]


def test_the_budget_ends_the_search() -> None:
    search = Search(budget=2, space=WIDE)
    assert [search.ask()[1] == Searcher.FINISHED for _ in range(3)] == [False, False, True]
    assert len(search.its.study.trials) == 2


def test_a_running_point_is_not_suggested_again() -> None:
    search = Search(budget=9)
    points = [tuple(search.ask()[1].values()) for _ in range(6)]
    assert len(set(points)) == 6 and search.ask()[1] == Searcher.FINISHED


def test_points_whose_values_do_not_go_together_are_left_out() -> None:
    def make(point: Point) -> Cell:
        if point["a"] == 3:
            raise Mistake("3 does not go with anything")
        return cell(point)

    search = Search(budget=9, make=make)
    points = [search.ask()[1] for _ in range(5)]
    assert points[4] == Searcher.FINISHED and {point["a"] for point in points[:4]} == {1, 2}


def done(value: float, **more: Any) -> Outcome:
    return Outcome("", "complete", {"objective": value}, **more)


def test_cells_of_other_studies_count_in_the_budget_and_teach_the_sampler() -> None:
    known = {cell({"a": 1, "b": b}).key: done(0.1 * a, run_id="r") for a, b in ((1, False), (2, True))}
    search = Search(budget=6, known=known)
    points = []
    while (asked := search.ask())[1] != Searcher.FINISHED:
        points.append(asked[1])
        search.end(asked[0], objective=0.9, complete=True)
    assert len(points) == 4 and all(point["a"] != 1 for point in points)
    assert search.its.budget == 0
    assert {it.key for it, _ in search.its.reused} == set(known)
    assert all(outcome.run_id == "r" for _, outcome in search.its.reused)
    values = [trial.value for trial in search.its.study.trials if trial.state == COMPLETE]
    assert sorted(value for value in values if value is not None) == pytest.approx([0.1, 0.2, 0.9, 0.9, 0.9, 0.9])
    assert len(search.copied) == 6


def test_a_cell_of_another_study_without_a_value_is_run() -> None:
    points = [{"a": a, "b": b} for a in (1, 2, 3) for b in (False, True)]
    known = {cell(point).key: Outcome("", "complete", {"valid/recon": 1.0}) for point in points}
    search = Search(budget=1, known=known)
    assert search.ask()[1] in points and search.its.reused == []


def test_many_cells_of_other_studies_in_a_row_do_not_end_the_search() -> None:
    class Everything(dict):
        """Knows the first hundred cells that it is asked for."""

        asked = 0

        def get(self, key: str, default: Any = None) -> Any:
            self.asked += 1
            return done(0.5) if self.asked <= 100 else None

    search = Search(budget=101, space=WIDE, known=Everything())
    assert search.ask()[1] != Searcher.FINISHED
    assert len(search.its.reused) == 100 and search.its.budget == 0


def test_what_the_record_knows_of_this_study_is_remembered() -> None:
    search = Search()
    history = ((1, 0.1), (2, 0.3))
    ends = [
        done(0.3, history=history),
        Outcome("", "pruned", {"objective": 0.1}, history=history[:1]),
        Outcome("", "failed", {}, "diverged"),
        Outcome("", "complete", {}),
    ]
    for a, outcome in zip((1, 2, 3, 1), ends, strict=True):
        assert search.its.remember(cell({"a": a, "b": outcome is ends[3]}), outcome)
    told = search.its.study.trials
    assert [(trial.state, trial.value) for trial in told] == [
        (COMPLETE, 0.3),
        (PRUNED, 0.1),
        (FAIL, None),
        (FAIL, None),
    ]
    assert told[0].intermediate_values == {1: 0.1, 2: 0.3} and told[0].params == {"a": 1, "b": False}
    assert len(search.copied) == 4
    left = [tuple(search.ask()[1].values()) for _ in range(2)]
    assert sorted(left) == [(2, True), (3, True)] and search.ask()[1] == Searcher.FINISHED


def test_what_lies_outside_the_space_is_neither_remembered_nor_asked_for() -> None:
    search = Search()
    assert not search.its.remember(cell({"a": 4, "b": True}), done(0.3))
    assert not search.its.remember(cell({"a": 1, "b": 1}), done(0.3))
    assert not search.its.enqueue({"a": 4, "b": True})
    assert search.its.study.trials == [] and search.ask()[1]["a"] in (1, 2, 3)


def test_enqueued_points_come_first() -> None:
    search = Search(space=WIDE)
    for point in ({"a": 3, "b": True, "x": 0.25}, {"a": 1, "b": False, "x": 0.0}):
        assert search.its.enqueue(point)
        assert search.ask()[1] == point


def test_several_objectives_are_told_together() -> None:
    search = Search(budget=4, modes=("max", "min"), algorithm="nsga2")
    assert [its.name for its in search.its.study.directions] == ["MAXIMIZE", "MINIMIZE"]
    told = []
    for result in (
        {"objective": 9.0, "objective/0": 0.5, "objective/1": 0.2, "complete": True},
        {"objective": 9.0, "objective/0": 0.5, "objective/1": math.nan, "complete": True},
        {"objective": 9.0, "objective/0": 0.5, "complete": True},
        {"objective": 9.0, "objective/0": 0.5, "objective/1": 0.2},
    ):
        trial, _ = search.ask()
        search.its.on_trial_result(trial, {"epoch": 1, **result})
        told.append(search.end(trial, epoch=1, **result))
    assert [its.state for its in told] == [COMPLETE, FAIL, FAIL, FAIL]
    assert told[0].values == [0.5, 0.2] and told[0].intermediate_values == {}


def test_several_objectives_are_remembered_and_taken_over() -> None:
    values = {"objective": 9.0, "objective/0": 0.5, "objective/1": 0.2}
    search = Search(budget=1, modes=("max", "min"))
    assert search.its.remember(cell({"a": 1, "b": True}), Outcome("", "complete", values, history=((1, 0.5),)))
    assert search.its.remember(cell({"a": 2, "b": True}), Outcome("", "pruned", values))
    assert [(its.state, its.values) for its in search.its.study.trials] == [(COMPLETE, [0.5, 0.2]), (FAIL, None)]


@pytest.mark.parametrize("algorithm", ["random", "tpe", "cmaes", "nsga2"])
def test_samplers_depend_on_the_seed_and_on_how_much_is_known(algorithm: str) -> None:
    def first(seed: int, known: int) -> float:
        study = optuna.create_study(sampler=make_sampler(algorithm, seed, known))
        return float(study.ask({"x": optuna.distributions.FloatDistribution(0, 1)}).params["x"])

    assert first(1, 2) == first(1, 2)
    assert len({first(1, 2), first(1, 3), first(2, 2)}) == 3


def test_tune_has_nothing_to_pickle_or_to_save(tmp_path: Path) -> None:
    search = Search()
    search.its.save(str(tmp_path / "state"))
    assert search.its.__getstate__() == {} and not (tmp_path / "state").exists()
