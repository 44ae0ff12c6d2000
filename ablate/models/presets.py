"""Sizes of a model by the name of a preset; an option that is given wins over the preset's."""

from dataclasses import field, fields, replace
from typing import Any, TypeVar

from ablate.errors import Mistake

S = TypeVar("S")


def size(low: int = 1) -> Any:
    """An option whose value is left to the preset unless given."""
    return field(default=None, metadata={"ge": low})


def filled(options: Any, presets: dict[str, S]) -> S:
    """All sizes: those given in `options` (not None), the others of the preset it names."""
    sizes: Any = presets[options.preset]
    given = {its.name: getattr(options, its.name) for its in fields(sizes)}
    chosen: S = replace(sizes, **{name: value for name, value in given.items() if value is not None})
    return chosen


def vectors(model: str, frame: tuple[int, ...]) -> int:
    """The x_dim of frames that are vectors; raises Mistake for pictures."""
    if len(frame) != 1:
        raise Mistake(f"model {model} takes frames that are vectors (D), not of shape {frame}")
    return frame[0]
