"""Ranges in the leaves of a study: `{choice: [...]}`, `{uniform: [a, b]}`, `{loguniform: [a, b]}`, `{int: [a, b]}`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from ablate.errors import Mistake
from ablate.positions import Place
from ablate.registry import unknown
from ablate.signature import canonical

Kind = Literal["choice", "uniform", "loguniform", "int"]
KINDS: tuple[Kind, ...] = ("choice", "uniform", "loguniform", "int")
BAD = object()  # what a conversion gives for a value that it has complained about
Complain = Callable[[Place, str], None]  # (place inside the range, what is wrong); an empty place is the range itself


@dataclass(frozen=True)
class Range:
    """The values that one leaf may take in a search."""

    kind: Kind
    values: tuple[Any, ...] = ()  # of a choice, typed as the leaf
    low: float = math.nan  # of the others, both ends included
    high: float = math.nan
    default: Any = None  # the leaf's value in the default configuration

    def pick(self, value: Any) -> Any:
        """`value` in the type of the leaf; raises Mistake if it lies outside the range."""
        if any(its is value for its in self.values):
            return value
        for its in self.values:
            if canonical(its) == canonical(value):
                return its
        number = isinstance(value, int | float) and not isinstance(value, bool)
        inside = self.kind != "choice" and number and self.low <= value <= self.high
        if not inside or (self.kind == "int" and value != int(value)):
            raise Mistake(f"{canonical(value)} is not in {self}")
        return type(self.default)(value)

    def grid(self) -> list[Any] | None:
        """All values in order; None if there is no end of them."""
        if self.kind == "choice":
            return list(self.values)
        if self.kind == "int":
            return [type(self.default)(value) for value in range(int(self.low), int(self.high) + 1)]
        return None

    @property
    def size(self) -> int | None:
        """How many values there are; None if there is no end of them."""
        if self.kind == "choice":
            return len(self.values)
        return int(self.high) - int(self.low) + 1 if self.kind == "int" else None

    def ends(self) -> list[Any]:
        """The values of a choice, or the two ends."""
        return (
            list(self.values) if self.kind == "choice" else [type(self.default)(end) for end in (self.low, self.high)]
        )

    @property
    def can_be_zero(self) -> bool:
        """Whether a search may draw exactly 0."""
        return 0 in self.values if self.kind == "choice" else self.kind == "int" and self.low <= 0 <= self.high

    def plain(self) -> dict[str, Any]:
        """The range as a study file writes it, default included."""
        values = [list(its) if isinstance(its, tuple) else its for its in self.values] or [self.low, self.high]
        return {self.kind: values, "default": list(self.default) if isinstance(self.default, tuple) else self.default}

    def __str__(self) -> str:
        items = self.values or (self.low, self.high)
        return f"{self.kind} [{', '.join(canonical(item) for item in items)}]"


def is_range(value: Any) -> bool:
    """Whether a mapping is meant as a range."""
    return isinstance(value, dict) and any(kind in value for kind in KINDS)


def parse(
    written: dict[str, Any], convert: Callable[[Any, Place], Any], takes: set[str], complain: Complain
) -> Range | None:
    """The range that was written for a leaf; None, after complaints, if it is none.

    `convert(value, place)` gives the value in the leaf's type, or complains and gives BAD; `takes` are the kinds that
    suit the leaf.
    """
    if not well_formed(written, takes, complain):
        return None
    kind = next(kind for kind in KINDS if kind in written)
    items = [convert(item, (kind, i)) for i, item in enumerate(written[kind])]
    if any(item is BAD for item in items):
        return None
    made = choice(items, complain) if kind == "choice" else interval(kind, items, complain)
    if made is None or "default" not in written:
        return made
    default = convert(written["default"], ("default",))
    if default is BAD:
        return None
    try:
        return replace(made, default=made.pick(default))
    except Mistake as error:
        complain(("default",), f"the default {error}")
        return None


def well_formed(written: dict[str, Any], takes: set[str], complain: Complain) -> bool:
    """Whether there is one kind, with a list of the right length, and no other key than `default`."""
    kinds = [key for key in written if key in KINDS]
    others = [key for key in written if key not in (*KINDS, "default")]
    for key in others:
        complain((key,), unknown("key of a range", key, [*KINDS, "default"]))
    if len(kinds) > 1:
        complain((kinds[1],), f"a range has one kind, not {' and '.join(kinds)}")
        return False
    kind, items = kinds[0], written[kinds[0]]
    if kind not in takes:
        allowed = " or ".join(sorted(takes, key=KINDS.index)) if takes else ""
        complain((kind,), f"cannot take a range of kind {kind}" + (f"; it can take {allowed}" if allowed else ""))
        return False
    if not isinstance(items, list | tuple):
        complain((kind,), f"{kind} needs a list")
    elif kind == "choice" and not items:
        complain((kind,), "the choice is empty")
    elif kind != "choice" and len(items) != 2:
        complain((kind,), f"{kind} needs two numbers, low and high, not {len(items)}")
    else:
        return not others
    return False


def choice(items: list[Any], complain: Complain) -> Range | None:
    """A choice of these values; the first is the default."""
    texts = [canonical(item) for item in items]
    for i, text in enumerate(texts):
        if text in texts[:i]:
            complain(("choice", i), f"the choice holds {text} twice")
            return None
    return Range("choice", tuple(items), default=items[0])


def interval(kind: Kind, items: list[Any], complain: Complain) -> Range | None:
    """A range between two numbers. Default: their middle; the geometric one for `loguniform`, rounded for `int`."""
    low, high = items
    if low >= high:
        complain((kind,), f"{kind} needs low below high, not {canonical(low)} and {canonical(high)}")
    elif kind == "loguniform" and low <= 0:
        complain((kind, 0), f"loguniform needs a low above 0, not {canonical(low)}")
    elif kind == "int" and not (float(low).is_integer() and float(high).is_integer()):
        complain((kind,), f"int needs whole numbers, not {canonical(low)} and {canonical(high)}")
    else:
        middle = math.sqrt(low * high) if kind == "loguniform" else (low + high) / 2
        if kind == "int":
            middle = math.floor(middle + 0.5)
        return Range(kind, (), low, high, type(low)(middle))
    return None
