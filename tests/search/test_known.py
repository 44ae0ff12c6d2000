"""What the record already has: settled cells, unfinished ones, and those of other studies."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from toys import STUDY, toys

from ablate.search.events import METRICS, compact
from ablate.search.known import LINKED, Known
from ablate.search.plan import Cell, Planner

from .world import CONFIRMED, DEFAULT, POINT, planner, recorded

__all__ = ["toys"]
SEVERAL = (
    STUDY.replace("algorithm: tpe", "algorithm: nsga2")
    .replace("metric: valid/gap", "metric: [valid/gap, valid/recon]")
    .replace("mode: max", "mode: [max, min]")
    .replace("  scheduler: {name: asha, grace: 3}\n", "")
)


def third(its: Planner) -> Cell:
    return its.searched(POINT | {"loss.beta": 2.0})


def arm(cell: Cell, role: str = "search") -> Any:
    """A configuration run that points at a cell of another study."""
    import json

    return SimpleNamespace(tags={LINKED: role, "ablate.point": json.dumps(cell.point)})


def test_settled_in_this_study_or_complete_in_another(toys: Path) -> None:
    its = planner()
    one, other, new = its.searched(POINT), its.searched(DEFAULT), third(its)
    known = Known(its, [recorded(one, "pruned"), recorded(other, study_name="elsewhere")])
    assert [out and out.status for out in map(known.settled, (one, other, new))] == ["pruned", "complete", None]
    found = known.settled(other)
    assert found is not None and found.run_id == f"run-elsewhere-{other.label}"


def test_what_another_study_did_not_complete_is_not_taken_over(toys: Path) -> None:
    its = planner()
    cell = its.searched(POINT)
    for status in ("pruned", "failed", "stopped", "running"):
        known = Known(its, [recorded(cell, status, "elsewhere")])
        assert known.settled(cell) is None and known.elsewhere(cell) is None


def test_own_records_come_before_those_of_others(toys: Path) -> None:
    its = planner()
    cell = its.searched(POINT)
    own = recorded(cell, "failed", failure="diverged")
    known = Known(its, [own, recorded(cell, study_name="elsewhere")])
    found = known.settled(cell)
    assert found is not None and found.failure == "diverged"
    unfinished = Known(its, [recorded(cell, "stopped"), recorded(cell, study_name="elsewhere")]).settled(cell)
    assert unfinished is not None and unfinished.status == "complete"


def test_a_confirmed_cell_needs_its_test_scores(toys: Path) -> None:
    its = planner(CONFIRMED)
    cell = its.confirmed(its.study.base, "default", 1000, {}, pictures=False)
    assert Known(its, [recorded(cell)]).settled(cell) is None
    assert Known(its, [recorded(cell, metrics={"test/gap": 0.1})]).settled(cell) is not None
    assert Known(its, [recorded(cell, "failed", failure="diverged")]).settled(cell) is not None
    assert Known(its, [recorded(cell, study_name="elsewhere")]).settled(cell) is None


def test_searched_cells_in_the_order_they_began(toys: Path) -> None:
    its = planner()
    one, two, three = its.searched(POINT), its.searched(DEFAULT), third(its)
    cells = [recorded(one, started=3), recorded(two, "failed", failure="code", started=1), recorded(three, "running")]
    found = Known(its, cells).searched()
    assert [cell.key for cell, _ in found] == [two.key, one.key]
    assert [out.status for _, out in found] == ["failed", "complete"]
    assert [cell.key for cell, _ in Known(its, cells, retry_failed=True).searched()] == [one.key]


def test_only_cells_of_the_search_count_as_searched(toys: Path) -> None:
    its = planner(CONFIRMED)
    confirmed = its.confirmed(its.study.base, "default", 1000, DEFAULT, pictures=False)
    assert Known(its, [recorded(confirmed), recorded(its.searched(POINT), study_name="elsewhere")]).searched() == []


def test_points_outside_a_changed_space_are_left_out(toys: Path) -> None:
    cell = planner().searched(POINT)
    narrower = planner(STUDY.replace("{choice: [2, 4], default: 4}", "4"))
    known = Known(narrower, [recorded(cell)])
    assert known.searched() == [] and known.cell_at(POINT) is None


def test_a_cell_of_other_data_is_another_cell(toys: Path) -> None:
    its = planner()
    cell = its.searched(POINT)
    assert Known(Planner(its.study, "e" * 64), [recorded(cell)]).searched() == []


def test_unfinished_cells_are_those_that_began_and_may_go_on(toys: Path) -> None:
    its = planner()
    cells = [
        recorded(its.searched(POINT), "running"),
        recorded(its.searched(DEFAULT), "failed", failure="infra"),
        recorded(third(its), "failed", failure="code"),
    ]
    assert [it.cell for it in Known(its, cells).unfinished()] == [it.cell for it in cells[:2]]
    assert [it.cell for it in Known(its, cells, retry_failed=True).unfinished()] == [it.cell for it in cells]


def test_cells_taken_over_by_an_earlier_run_of_the_study_are_searched_cells(toys: Path) -> None:
    its = planner()
    one, other = its.searched(POINT), its.searched(DEFAULT)
    records = [recorded(one, study_name="elsewhere"), recorded(other)]
    known = Known(its, records, arms=[arm(one), arm(other), arm(third(its)), arm(one, "confirm")])
    assert [cell.key for cell, _ in known.searched()] == [other.key, one.key]


def test_several_objectives_are_this_study_s_whoever_ran_the_cell(toys: Path) -> None:
    its = planner(SEVERAL)
    cell = its.searched(POINT)
    metrics = {"objective": 0.4, "objective/0": 0.4, "objective/1": 0.9, "valid/gap": 0.4, "valid/recon": 12.0}
    known = Known(its, [recorded(cell, study_name="elsewhere", metrics=metrics)])  # there objective/1 was another
    out = known.elsewhere(cell)
    assert out is not None
    assert (out.values["objective/0"], out.values["objective/1"], out.objective) == (0.4, 12.0, 0.4)
    lacking = {key: its for key, its in metrics.items() if key != "valid/recon"}
    out = Known(its, [recorded(cell, study_name="elsewhere", metrics=lacking)]).elsewhere(cell)
    assert out is not None and "objective/1" not in out.values


def test_an_empty_record_knows_nothing(toys: Path) -> None:
    its = planner()
    known = Known(its, [])
    assert (known.searched(), known.unfinished(), known.settled(its.searched(POINT))) == ([], [], None)


def test_a_cell_that_was_measured_otherwise_is_not_taken_over(toys: Path) -> None:
    """How often is measured decides the best epoch, what a metric's options are its value; neither is in the key."""
    its = planner()
    cell = its.searched(POINT)
    asked = cell.trial.plain()["metrics"]
    assert "probes" in asked and asked["every"] == 1
    for theirs, taken in (
        (asked, True),
        (asked | {"other": {"ridge": 1}}, True),  # more than is asked
        (asked | {"every": 2}, False),
        (asked | {"probes": {"variance": 2.0}}, False),
        ({"every": 1}, False),
        ({}, False),
    ):
        record = recorded(cell, study_name="elsewhere", tags={METRICS: compact(theirs)})
        known = Known(its, [record])
        assert (known.settled(cell) is not None, known.elsewhere(cell) is not None) == (taken, taken), theirs
