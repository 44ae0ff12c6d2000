"""What mattered to a score: found on a surface whose answer is known, and told with an interval."""

import random

import pytest

from ablate.search.importance import Method, importance, quantile, range_of, ranges

SPACE = {"a": {"choice": [0, 1, 2]}, "b": {"loguniform": [0.1, 10]}, "c": {"choice": [7]}, "d": {"int": [1, 5]}}
DRAW = random.Random(1)
POINTS = [{"a": i % 3, "b": 10 ** DRAW.uniform(-1, 1), "c": 7, "d": DRAW.randint(1, 5)} for i in range(300)]
SCORES = [point["a"] + 0.01 * DRAW.random() for point in POINTS]


@pytest.mark.long
@pytest.mark.parametrize(("method", "n"), [("ped_anova", 300), ("fanova", 24)])
def test_the_leaf_that_decides_is_found(method: Method, n: int) -> None:
    found = importance(SPACE, POINTS[:n], SCORES[:n], "max", method)
    assert [its.path for its in found] == ["a", "b", "d"], "in file order, without the leaf of one value"
    assert sum(its.value for its in found) == pytest.approx(1)
    a, b, d = found
    assert a.value > 0.7 and a.lo > max(b.hi, d.hi), "beyond what resampling moves"
    assert all(0 <= its.lo <= its.value <= its.hi <= 1 for its in found)


@pytest.mark.long
def test_less_of_what_is_minimised_is_more() -> None:
    down = [-score for score in SCORES[:60]]
    assert importance(SPACE, POINTS[:60], SCORES[:60], "max") == importance(SPACE, POINTS[:60], down, "min")


@pytest.mark.long
def test_what_is_good_depends_on_the_direction() -> None:
    """Only at a = 2 does d raise the score: it matters for the best, not for the worst."""
    scores = [point["a"] + (3 * point["d"] if point["a"] == 2 else 0) for point in POINTS[:120]]
    best = {its.path: its.value for its in importance(SPACE, POINTS[:120], scores, "max")}
    worst = {its.path: its.value for its in importance(SPACE, POINTS[:120], scores, "min")}
    assert best["d"] > 2 * worst["d"]


@pytest.mark.long
def test_the_same_trials_give_the_same_numbers() -> None:
    assert importance(SPACE, POINTS[:60], SCORES[:60], "max") == importance(SPACE, POINTS[:60], SCORES[:60], "max")


@pytest.mark.long
def test_many_trials_have_narrower_intervals() -> None:
    few, many = (importance(SPACE, POINTS[:60] * k, SCORES[:60] * k, "max")[0] for k in (1, 7))
    assert many.hi - many.lo < few.hi - few.lo and many.lo <= many.value <= many.hi


def test_too_few_trials_or_one_score_say_nothing() -> None:
    assert importance(SPACE, POINTS[:7], SCORES[:7], "max") == []
    assert importance(SPACE, POINTS[:60], [0.5] * 60, "max") == []
    assert importance({"c": SPACE["c"]}, POINTS[:60], SCORES[:60], "max") == []


def test_points_outside_the_space_are_left_out() -> None:
    strange = [*POINTS[:20], {"a": 99, "b": 1.0, "c": 7, "d": 1}]
    assert importance(SPACE, strange, [*SCORES[:20], 1e6], "max") == importance(SPACE, POINTS[:20], SCORES[:20], "max")


def test_ranges_come_from_the_plain_form() -> None:
    found = ranges(SPACE)
    assert (
        list(found) == ["a", "b", "d"]
        and found["a"].values == (0, 1, 2)
        and (found["b"].low, found["b"].high) == (0.1, 10)
    )
    assert range_of({"uniform": [1, 1]}) is None


def test_the_best_are_a_tenth_or_as_many_as_are_needed() -> None:
    assert [quantile(n) for n in (8, 12, 25, 100)] == [0.5, 5 / 12, 0.2, 0.1]
