"""Components: named changes of a configuration, as sets of leaf values (statistics.md 3.1, 3.2.1).

A configuration is its plain form: nested mappings, `loss.scc.weight` a dotted path into them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablate.errors import Mistake
from ablate.registry import unknown

ON, OFF = "on", "off"
RESERVED = ("full", "base", "on", "off", "probe")
Leaves = dict[str, Any]  # dotted path -> value


@dataclass(frozen=True)
class Component:
    """A knob and its levels, each a value for the same leaves; two levels, on and off, in every kind but a grid."""

    name: str
    levels: dict[str, Leaves]  # label -> leaves
    probe: bool = True  # False: it acts at evaluation only, so three training steps cannot show it

    @property
    def on(self) -> Leaves:
        """Leaves of the component's presence."""
        return self.levels[ON]

    @property
    def off(self) -> Leaves:
        """Leaves of its absence."""
        return self.levels[OFF]

    @property
    def paths(self) -> list[str]:
        """The leaves that it sets."""
        return list(next(iter(self.levels.values())))


def resolve(specs: Iterable[Any], base: Mapping[str, Any], grid: bool = False) -> tuple[Component, ...]:
    """The components that a study names, completed from its configuration. Raises Mistake with all mistakes at once."""
    found: list[Component] = []
    sentences: list[str] = []
    for spec in specs:
        try:
            found.append(component(spec, base, grid))
        except Mistake as error:
            sentences += error.sentences
    sentences += twice(found)
    if sentences:
        raise Mistake(*sentences)
    return tuple(found)


def component(spec: Any, base: Mapping[str, Any], grid: bool = False) -> Component:
    """One component: a loss term's name; {name: {on: leaves, off: leaves}}; or {leaf or option: [on, off]}.

    In a grid levels are any number: {name: {label: leaves, ...}} or {leaf: [value, ...]}. Leaves that only one level
    names have the configuration's own value in the others. Raises Mistake for what is unknown or changes nothing.
    """
    if isinstance(spec, str):
        return of_term(spec, base)
    if not isinstance(spec, Mapping) or len(spec) != 1:
        raise Mistake(
            f"design.components: {spec!r} is neither a loss term nor one name with its levels, as in "
            "full_q: {on: {model.inference: full}, off: {model.inference: factorised}}"
        )
    name, given = next(iter(spec.items()))
    name = checked_name(str(name))
    if isinstance(given, Mapping):
        return of_levels(name, given, base, grid)
    if isinstance(given, list | tuple):
        return of_values(name, list(given), base, grid)
    raise Mistake(f"design.components: {name} needs levels: {{on: {{...}}, off: {{...}}}} or a list of values")


def checked_name(name: str) -> str:
    """The name, if arms and effects can be named after it; raises Mistake."""
    if name in RESERVED or not re.fullmatch(r"[^\s+:=/|,]+", name):
        raise Mistake(
            f"design.components: {name!r} cannot name a component; use letters, digits, _ and . in another name"
        )
    return name


def of_term(name: str, base: Mapping[str, Any]) -> Component:
    """A loss term: on is its weight in the configuration, off is 0, so that it is still computed and logged."""
    terms = [its for its, value in base.get("loss", {}).items() if isinstance(value, Mapping)]
    if name not in terms:
        raise Mistake("design.components: " + unknown("component", name, terms))
    path = f"loss.{name}.weight"
    weight = value_at(base, path)
    if weight == 0:
        raise Mistake(
            f"design.components: {path} is already 0, so switching {name} off changes nothing; give it a weight"
        )
    return Component(name, {OFF: {path: 0}, ON: {path: weight}})


def of_levels(name: str, given: Mapping[str, Any], base: Mapping[str, Any], grid: bool) -> Component:
    """A component with named levels."""
    probe = given.get("probe", True)
    if not isinstance(probe, bool):
        raise Mistake(f"design.components: {name}.probe must be true or false; a level needs another name")
    levels = {str(label): leaves for label, leaves in given.items() if label != "probe"}
    if any(not label.strip() or not label.isprintable() for label in levels):
        raise Mistake(f"design.components: {name} has a level without a name that can be printed")
    if not grid and set(levels) != {ON, OFF}:
        raise Mistake(f"design.components: {name} needs the levels on and off, not {', '.join(levels) or 'none'}")
    for label, leaves in levels.items():
        if not isinstance(leaves, Mapping):
            raise Mistake(f"design.components: {name}.{label} must name leaves, as in {{model.inference: full}}")
    return checked(Component(name, completed(levels, base, name), bool(probe)))


def of_values(name: str, values: list[Any], base: Mapping[str, Any], grid: bool) -> Component:
    """A component that is one leaf, by its path or by the name of an option: the first value is on, the second off."""
    path = leaf_of(name, base)
    leaf_at(base, path, name)
    if grid:
        return checked(Component(name, {label(value): {path: value} for value in values}), len(values))
    if len(values) != 2:
        raise Mistake(
            f"design.components: {name} needs two values, on and off, not {len(values)}; kind: grid takes any number"
        )
    return checked(Component(name, {OFF: {path: values[1]}, ON: {path: values[0]}}))


def completed(levels: Mapping[str, Mapping[str, Any]], base: Mapping[str, Any], name: str) -> dict[str, Leaves]:
    """All levels over the same leaves, in the order in which these are first named; off stands before on."""
    paths = list(dict.fromkeys(path for leaves in levels.values() for path in leaves))
    own = {path: leaf_at(base, path, name) for path in paths}
    order = (OFF, ON) if set(levels) == {ON, OFF} else tuple(levels)
    return {label: {path: levels[label].get(path, own[path]) for path in paths} for label in order}


def leaf_at(base: Mapping[str, Any], path: str, name: str) -> Any:
    """The value of a leaf; raises Mistake for a whole term or its options, whose levels would be checked by nobody."""
    value = value_at(base, path, name)
    section, *rest = path.split(".")
    if isinstance(value, Mapping) and section == "loss" and rest and (len(rest) == 1 or rest[1:] == ["options"]):
        raise Mistake(f"design.components: {name}: {path} is no leaf; a level names leaves, as in loss.scc.weight")
    return value


def checked(its: Component, expected: int | None = None) -> Component:
    """The component, if its levels differ; raises Mistake."""
    if len(its.levels) < max(2, expected or 0):
        raise Mistake(f"design.components: {its.name} needs two or more different levels")
    seen: dict[Any, str] = {}
    for label, leaves in its.levels.items():
        other = seen.setdefault(plain_key(leaves), label)
        if other != label:
            where = ", ".join(its.paths) or "no leaf at all"
            raise Mistake(f"design.components: {its.name} changes nothing, {label} is equal to {other} ({where})")
    return its


def twice(components: Sequence[Component]) -> Iterator[str]:
    """A sentence for every two components that are the same knob, or that have one name."""
    for i, its in enumerate(components):
        for other in components[:i]:
            shared = next((path for path in its.paths for theirs in other.paths if overlap(path, theirs)), None)
            if its.name == other.name:
                yield f"design.components: two are named {its.name}"
            elif shared is not None:
                yield f"design.components: {other.name} and {its.name} are the same knob, both set {shared}"


def overlap(path: str, other: str) -> bool:
    """Whether two paths are one leaf, or one holds the other."""
    return f"{path}.".startswith(f"{other}.") or f"{other}.".startswith(f"{path}.")


def leaf_of(name: str, base: Mapping[str, Any]) -> str:
    """The path of a leaf: the name itself if it has a dot, else that option of the model or the data."""
    if "." in name:
        value_at(base, name)
        return name
    places = [f"{section}.{name}" for section in ("model", "data", "train") if name in base.get(section, {})]
    if len(places) == 1:
        return places[0]
    if places:
        raise Mistake(f"design.components: {name} may be {' or '.join(places)}; write the path")
    options = [its for section in ("model", "data", "train") for its in base.get(section, {}) if its != "name"]
    raise Mistake("design.components: " + unknown("option", name, options))


def value_at(base: Mapping[str, Any], path: str, name: str = "") -> Any:
    """The value of a leaf. Raises Mistake with the nearest path where there is none."""
    at: Any = base
    for step in path.split("."):
        if not isinstance(at, Mapping) or step not in at:
            raise Mistake(f"design.components: {f'{name}: ' if name else ''}" + unknown("leaf", path, near(base, path)))
        at = at[step]
    return at


def near(base: Mapping[str, Any], path: str) -> list[str]:
    """The leaves of a path's section, of all sections if there is no such."""
    leaves = list(flatten(base))
    mine = [leaf for leaf in leaves if leaf.split(".")[:-1] == path.split(".")[:-1]]
    return mine or leaves


def flatten(values: Mapping[str, Any], prefix: str = "") -> Leaves:
    """Dotted path -> value of all leaves; an empty section is a leaf."""
    found: Leaves = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        found |= flatten(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return found


def changed(base: Mapping[str, Any], leaves: Mapping[str, Any]) -> dict[str, Any]:
    """The plain form with other values in some leaves; the base stays as it is."""
    made = {key: dict(value) if isinstance(value, Mapping) else value for key, value in base.items()}
    for path, value in leaves.items():
        first, _, rest = path.partition(".")
        made[first] = changed(made[first], {rest: value}) if rest else value
    return made


def same(value: Any, other: Any) -> bool:
    """Whether two values are one in a configuration: 10 and 10.0 are, 1 and true are not."""
    return bool(plain_key(value) == plain_key(other))


def plain_key(value: Any) -> Any:
    """Something to compare and look values up by."""
    if isinstance(value, Mapping):
        return frozenset((key, plain_key(its)) for key, its in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(plain_key, value))
    return ("bool", value) if isinstance(value, bool) else value


def label(value: Any) -> str:
    """A level's name: `full`, `0.1`, `true`, `64-64`."""
    if isinstance(value, list | tuple):
        return "-".join(map(label, value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
