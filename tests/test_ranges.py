"""Ranges: what lies inside, in which type, and where a grid ends."""

import pytest

from ablate.errors import Mistake
from ablate.ranges import Range, is_range

WEIGHTS = Range("choice", (0.0, 1.0, 10.0), default=0.0)
FLAGS = Range("choice", (False, True), default=False)
SIZES = Range("choice", ((64, 64), (32,)), default=(64, 64))
BETA = Range("loguniform", (), 0.1, 10.0, default=1.0)
DEPTH = Range("int", (), 1, 4, default=2)
WHOLE = Range("int", (), 0.0, 2.0, default=1.0)  # whole numbers in a leaf of type float


@pytest.mark.parametrize(
    ("its", "value", "picked"),
    [
        (WEIGHTS, 10, 10.0),
        (FLAGS, True, True),
        (SIZES, [32], (32,)),
        (BETA, 0.1, 0.1),
        (BETA, 10, 10.0),
        (DEPTH, 4, 4),
        (DEPTH, 4.0, 4),
        (WHOLE, 2, 2.0),
    ],
)
def test_a_value_inside_takes_the_type_of_the_leaf(its: Range, value: object, picked: object) -> None:
    assert its.pick(value) == picked
    assert type(its.pick(value)) is type(picked)


@pytest.mark.parametrize(
    ("its", "value", "sentence"),
    [
        (WEIGHTS, 2, "2 is not in choice [0, 1, 10]"),
        (WEIGHTS, True, "true is not in choice [0, 1, 10]"),
        (FLAGS, 1, "1 is not in choice [false, true]"),
        (SIZES, (64,), "[64] is not in choice [[64,64], [32]]"),
        (BETA, 10.1, "10.1 is not in loguniform [0.1, 10]"),
        (BETA, "1", '"1" is not in loguniform [0.1, 10]'),
        (DEPTH, 2.5, "2.5 is not in int [1, 4]"),
        (DEPTH, True, "true is not in int [1, 4]"),
    ],
)
def test_a_value_outside_is_refused(its: Range, value: object, sentence: str) -> None:
    with pytest.raises(Mistake) as caught:
        its.pick(value)
    assert str(caught.value) == sentence


def test_grids_and_ends() -> None:
    assert WEIGHTS.grid() == WEIGHTS.ends() == [0.0, 1.0, 10.0]
    assert DEPTH.grid() == [1, 2, 3, 4]
    assert WHOLE.grid() == [0.0, 1.0, 2.0]
    assert BETA.grid() is None
    assert [its.size for its in (WEIGHTS, DEPTH, WHOLE, BETA)] == [3, 4, 3, None]
    assert (BETA.ends(), DEPTH.ends()) == ([0.1, 10.0], [1, 4])


def test_which_ranges_may_draw_zero() -> None:
    assert [its.can_be_zero for its in (WEIGHTS, BETA, DEPTH, WHOLE)] == [True, False, False, True]
    assert not Range("uniform", (), 0.0, 1.0, default=0.5).can_be_zero


def test_what_is_meant_as_a_range() -> None:
    assert is_range({"choice": [1]})
    assert is_range({"int": 3, "other": 1})
    assert not is_range({"default": 1})
    assert not is_range([1, 2])
