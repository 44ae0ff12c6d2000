"""A study's ranges as Optuna distributions, as a full grid, and as the points between them."""

import itertools
from collections.abc import Iterator
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from ablate.ranges import Range
from ablate.study import Study

Point = dict[str, Any]  # dotted path -> value


def distributions(space: dict[str, Range]) -> dict[str, BaseDistribution]:
    """Dotted path -> distribution, in the order of the file."""
    return {path: distribution(its) for path, its in space.items()}


def distribution(its: Range) -> BaseDistribution:
    """choice, uniform, loguniform or int. Lists among choices become text, since Optuna's choices must be scalars."""
    if its.kind == "choice":
        return CategoricalDistribution([scalar(value) for value in its.values])
    if its.kind == "int":
        return IntDistribution(int(its.low), int(its.high))
    return FloatDistribution(its.low, its.high, log=its.kind == "loguniform")


def scalar(value: Any) -> Any:
    """A value as Optuna keeps it; a list is written alike whether it comes from a file or from the record."""
    return repr(list(value)) if isinstance(value, list | tuple) else value


def to_point(space: dict[str, Range], params: dict[str, Any]) -> Point:
    """Optuna's parameters as values of leaves."""
    point = {}
    for path, its in space.items():
        value = params[path]
        if its.kind == "choice":
            value = next(choice for choice in its.values if same(scalar(choice), value))
        point[path] = value
    return point


def to_params(space: dict[str, Range], point: Point) -> dict[str, Any] | None:
    """Values of leaves as Optuna's parameters; None where the point lies outside the space."""
    if set(point) != set(space):
        return None
    params = {path: scalar(point[path]) for path in space}
    return params if all(inside(space[path], params[path]) for path in space) else None


def inside(its: Range, value: Any) -> bool:
    """Whether a value as Optuna keeps it lies in the range."""
    if its.kind == "choice":
        return any(same(scalar(choice), value) for choice in its.values)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and its.low <= value <= its.high and (its.kind != "int" or value == int(value))


def same(one: Any, other: Any) -> bool:
    """Equal and of the same kind: True is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def grid(study: Study) -> list[Point]:
    """Every combination of the choices and integers, the last leaf varying fastest."""
    return list(points(study.space))


def points(space: dict[str, Range]) -> Iterator[Point]:
    """Every point of a finite space, the last leaf varying fastest."""
    for values in itertools.product(*(its.grid() or [] for its in space.values())):
        yield dict(zip(space, values, strict=True))
