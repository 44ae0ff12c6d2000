"""What a user reads about a value that does not suit its leaf."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ablate.positions import Place, dotted
from ablate.ranges import KINDS
from ablate.registry import unknown

TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "finite_number": "finite",
}
LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}

NO_SCHEDULER = (
    "an ablation runs every arm to its end, so design has no scheduler: ending some arms early biases the rest"
)

PAUSING = ("pbt", "pb2", "hyperband", "bohb")
PAUSING_AT = (("search", "scheduler", "name"), ("search", "algorithm"), ("search", "scheduler"))
PAUSES = "{} {!r} pauses trials by copying Tune checkpoints, which trials here do not have; use asha or median"


def about(error: Mapping[str, Any], place: Place) -> str:
    """The sentence about one failed check: `error` as pydantic lists it, `place` where it happened."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if place in PAUSING_AT and value in PAUSING:
        return PAUSES.format(dotted(place), value)
    if kind == "model_type" and value is None:
        return f"{dotted(place)} is empty" + ("; give it a weight, or leave it out" if place[0] == "loss" else "")
    if kind == "model_type" and place[0] == "loss" and len(place) == 2:
        return f"{dotted(place)} must be a weight or a mapping, not {shown(value)}"
    if kind == "value_error":
        return f"{dotted(place)}: {context['error']}"
    if kind == "missing" and isinstance(place[-1], int):
        return f"{dotted(place[:-1])} has too few values"
    if kind == "missing":
        return f"{dotted(place)} is missing"
    if kind == "too_long":
        return f"{dotted(place)} must hold {context['max_length']} values, not {context['actual_length']}"
    misspelt = range_kind(value)
    if misspelt is not None:
        return f"{dotted(place)}: {misspelt}"
    return f"{dotted(place)} must be {wanted(error)}, not {shown(value)}"


def of_unions(errors: Sequence[Mapping[str, Any]], depth: int = 0) -> list[Mapping[str, Any]]:
    """The errors without the labels of a union's members, which pydantic puts into their places.

    Of the members those count that the value resembles; where it resembles none, one error names all that are taken.
    """
    done: list[Mapping[str, Any]] = []
    unions: dict[Place, list[Mapping[str, Any]]] = {}
    for its in errors:
        at = next((i for i in range(depth, len(its["loc"])) if is_label(its, i)), None)
        if at is None:
            done.append(its)
        else:
            unions.setdefault(its["loc"][:at], []).append(its)
    for place, theirs in unions.items():
        inside = [dict(its) | {"loc": (*place, *its["loc"][len(place) + 1 :])} for its in theirs]
        near = [its for its in inside if its["loc"] != place or not resembles_not(its)]
        done += of_unions(near, len(place)) if near else [either(inside)]
    return done


def is_label(error: Mapping[str, Any], i: int) -> bool:
    """Whether a step of an error's place names a member of a union, and no key."""
    step, last = error["loc"][i], i == len(error["loc"]) - 1
    users = last and error["type"] == "extra_forbidden"
    return not users and isinstance(step, str) and any(mark in step for mark in "[(-")


def resembles_not(error: Mapping[str, Any]) -> bool:
    """Whether a value is of another kind than a member of a union."""
    return error["type"] in TYPES or error["type"] == "literal_error"


def either(errors: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """One error that names all that is taken."""
    expected = " or ".join(dict.fromkeys(wanted(its) for its in errors))
    return dict(errors[0]) | {"type": "literal_error", "ctx": {"expected": expected}}


def wanted(error: Mapping[str, Any]) -> str:
    """What the leaf takes: `a number`, `at least 1`, `'full' or 'factorised'`."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in LIMITS:
        name, word = LIMITS[kind]
        return f"{word} {context[name]:g}"
    if kind == "literal_error":
        return str(context["expected"])
    return TYPES.get(kind) or str(error["msg"]).removeprefix("Input should be ").lower()


def shown(value: Any) -> str:
    """A value as the user wrote it, if it is short."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        text = f"[{', '.join(shown(item) for item in value)}]"
        return text if len(text) <= 40 else "a list"
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else repr(value[:57] + "...")
    if isinstance(value, float) and value != value:
        return ".nan"
    if isinstance(value, float) and abs(value) == float("inf"):
        return ".inf" if value > 0 else "-.inf"
    return json.dumps(value)


def range_kind(value: Any) -> str | None:
    """The sentence about a mapping that looks like a range with a misspelt kind."""
    for key in value if isinstance(value, dict) else ():
        if difflib.get_close_matches(str(key), KINDS, n=1, cutoff=0.6):
            return unknown("kind of range", key, list(KINDS))
    return None


def unknown_key(place: Place, known: list[str]) -> str:
    """The sentence about a key that its section does not have."""
    *section, key = place
    if place == ("design", "scheduler"):
        return NO_SCHEDULER
    if not known:
        return f"unknown {dotted(tuple(section))} key {str(key)!r}: there are none"
    if section == ["loss"]:
        return unknown("loss term", str(key), known)
    if section == ["metrics"]:
        return unknown("metric", str(key), known)
    return unknown(f"{dotted(tuple(section))} key".strip(), str(key), known)
