"""What is confirmed: the best, the default and the baselines, on the same fresh seeds."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from toys import PLAIN, toys

from ablate.search.confirm import candidates, confirm_cells
from ablate.search.plan import Cell, Outcome, Planner

from .world import CONFIRMED, DATA, DEFAULT, planner

__all__ = ["toys"]


def found(its: Planner, *scores: tuple[float, float, str]) -> list[tuple[Cell, Outcome]]:
    """Search cells by (scc weight, score, status); beta tells cells of one weight apart."""
    cells = []
    for i, (scc, score, status) in enumerate(scores):
        cell = its.searched({"model.z_dim": 2, "loss.beta": 1 + i, "loss.scc.weight": scc})
        cells.append((cell, Outcome(cell.key, status, {"objective": score})))
    return cells


def test_the_best_then_the_default_then_the_baselines(toys: Path) -> None:
    its = planner(CONFIRMED)
    cells = found(its, (0, 0.2, "complete"), (1, 0.9, "complete"), (10, 0.5, "complete"))
    chosen = candidates(its, cells, 2, "max")
    assert [(it.role, it.search_score) for it in chosen] == [
        ("best", 0.9),
        ("best", 0.5),
        ("default", None),
        ("baseline", None),
    ]
    assert [it.name for it in chosen] == [cells[1][0].name, cells[2][0].name, "default", "plain"]
    assert chosen[0].trial == cells[1][0].trial and chosen[0].point == cells[1][0].point
    assert chosen[2].trial == its.study.base and chosen[2].point == DEFAULT
    assert chosen[3].trial == its.study.baselines["plain"] and chosen[3].point == {}


def test_smaller_is_better_where_the_mode_says_so(toys: Path) -> None:
    its = planner(CONFIRMED)
    cells = found(its, (0, 0.2, "complete"), (1, 0.9, "complete"))
    assert [it.search_score for it in candidates(its, cells, 1, "min")][:1] == [0.2]


def test_only_complete_trials_with_a_value_are_candidates(toys: Path) -> None:
    its = planner(CONFIRMED)
    statuses = [
        (1, 0.99, "pruned"),
        (1, 0.98, "failed"),
        (1, math.nan, "complete"),
        (1, 0.97, "stopped"),
        (1, 0.1, "complete"),
    ]
    assert [it.search_score for it in candidates(its, found(its, *statuses), 3, "max")] == [0.1, None, None]


def test_nothing_found_leaves_the_default_and_the_baselines(toys: Path) -> None:
    assert [it.role for it in candidates(planner(CONFIRMED), [], 2, "max")] == ["default", "baseline"]


def test_the_default_is_confirmed_once_with_its_search_score(toys: Path) -> None:
    its = planner(CONFIRMED)
    default = its.searched(DEFAULT)
    cells = [(default, Outcome(default.key, "complete", {"objective": 0.9})), *found(its, (1, 0.5, "complete"))]
    chosen = candidates(its, cells, 2, "max")
    assert [(it.role, it.search_score) for it in chosen] == [("best", 0.5), ("default", 0.9), ("baseline", None)]


def test_ties_are_broken_by_signature_and_not_by_order(toys: Path) -> None:
    its = planner(CONFIRMED)
    cells = found(its, (0, 0.5, "complete"), (1, 0.5, "complete"), (10, 0.5, "complete"))
    one, other = candidates(its, cells, 2, "max"), candidates(its, cells[::-1], 2, "max")
    assert [it.name for it in one] == [it.name for it in other]


def test_a_baseline_that_is_the_default_or_a_best_one_is_confirmed_once(toys: Path) -> None:
    its = planner(CONFIRMED)
    (best, out), *_ = cells = found(its, (1, 0.9, "complete"))
    baselines = {
        "twin": its.study.base,
        "same": best.trial,
        "plain": its.study.baselines["plain"],
        "again": its.study.baselines["plain"],
    }
    study = replace(its.study, baselines=baselines)
    chosen = candidates(Planner(study, DATA), cells, 1, "max")
    assert [it.name for it in chosen] == [best.name, "default", "plain"]
    assert out.objective == chosen[0].search_score


def test_cells_go_seed_by_seed_with_pictures_of_the_first(toys: Path) -> None:
    its = planner(CONFIRMED)
    chosen = candidates(its, found(its, (1, 0.9, "complete")), 1, "max")
    cells = confirm_cells(its, chosen, (1000, 1001, 7))
    assert [(cell.seed, cell.name) for cell in cells] == [(s, it.name) for s in (1000, 1001, 7) for it in chosen]
    assert [cell.pictures for cell in cells] == [True] * 3 + [False] * 6
    assert all(cell.test and cell.role == "confirm" for cell in cells)
    assert len({cell.key for cell in cells}) == 9 and len({cell.signature for cell in cells}) == 3
    assert cells[0].point == chosen[0].point and cells[2].point == {}


@pytest.mark.parametrize("top", [1, 3])
def test_no_more_than_the_best_k(toys: Path, top: int) -> None:
    its = planner(CONFIRMED)
    cells = found(its, *((scc, 0.1 * i, "complete") for i, scc in enumerate((0, 1, 10, 0, 1, 10))))
    assert sum(it.role == "best" for it in candidates(its, cells, top, "max")) == top
    assert PLAIN  # the baseline's file
