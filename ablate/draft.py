"""A study while it is being understood: the document, what stands in it so far, and where ranges may stand."""

from __future__ import annotations

import re
import types
from dataclasses import Field, dataclass, field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from ablate.positions import Document, Place, dotted
from ablate.ranges import KINDS, Range, is_range
from ablate.registry import DATASETS, LOSSES, MODELS, Entry, Registry
from ablate.sentences import shown, unknown_key
from ablate.trial import Loss, Plain, Term, Train, Warmup

SECTIONS = ("name", "data", "model", "loss", "train", "metrics", "search", "design", "resources", "tracking")
SEARCHED = ("data", "model", "loss", "train")  # sections whose leaves may hold ranges
EMPTIED = ("train", "metrics", "resources", "tracking")  # sections that may be written without content
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass
class Draft:
    """What has been understood so far; complaints go into the document."""

    document: Document
    values: Plain = field(default_factory=dict)  # the document with defaults in place of ranges, lists as tuples
    space: dict[Place, Range] = field(default_factory=dict)
    unclear: set[Place] = field(default_factory=set)  # leaves with a range that is none: complained about already
    entries: dict[str, Entry] = field(default_factory=dict)  # of `data` and `model`
    elsewhere: list[str] = field(default_factory=list)  # mistakes in other files that this one names

    def sentences(self) -> list[str]:
        """Every mistake so far, in the order of the file, then those of other files."""
        return [str(complaint) for complaint in sorted(set(self.document.complaints))] + self.elsewhere

    def key(self, place: Place, sentence: str) -> None:
        """Complain about a key or a section."""
        self.document.complain(self.document.key(place), sentence)

    def value(self, place: Place, sentence: str) -> None:
        """Complain about a value."""
        self.document.complain(self.document.at(place), sentence)

    def find_entries(self) -> None:
        """Look up `data.name` and `model.name`."""
        registries: dict[str, Registry] = {"data": DATASETS, "model": MODELS}
        for section, registry in registries.items():
            written = self.document.get((section,))
            if section not in self.document.value:
                self.key((), f"{section} is missing")
            elif not isinstance(written, dict):
                self.value((section,), f"{section} must be a mapping, not {shown(written)}")
            elif "name" not in written:
                self.key((section,), f"{section}.name is missing (known: {', '.join(registry.names())})")
            elif is_range(written["name"]):
                continue  # the range is refused where ranges are
            elif written["name"] not in registry.names():
                self.value((section, "name"), registry.unknown(str(written["name"])))
            else:
                self.entries[section] = registry[written["name"]]

    def leaf(self, place: Place) -> tuple[type, Field] | None:
        """The dataclass that owns the leaf at `place`, and its field; None if no leaf is known there."""
        section, *rest = place
        owner: type | None = None
        if section in self.entries:
            owner = self.entries[str(section)].options
        elif section == "train":
            owner = Train
        elif section == "loss" and rest and rest[0] == "beta":
            owner = Loss
        elif section == "loss" and rest and rest[0] in LOSSES.names():
            inside = {"options": LOSSES[str(rest[0])].options, "warmup": Warmup}
            deeper = len(rest) == 3 and rest[1] in inside
            owner, rest = (inside[str(rest[1])], rest[2:]) if deeper else (Term, rest[1:])
        if owner is None or len(rest) != 1 or rest[0] in ("options", "warmup"):
            return None
        return next(((owner, its) for its in fields(owner) if its.name == rest[0]), None)

    def misplaced(self, place: Place) -> str | None:
        """Why no range may stand at `place`, or None."""
        if place[0] not in SECTIONS:
            return None
        if place[0] not in SEARCHED:
            return f"{dotted(place)} cannot hold a range: only leaves of data, model, loss and train can"
        if place in (("data", "name"), ("model", "name")):
            return f"{dotted(place)} cannot hold a range: another {place[0]} is another study file"
        if len(place) == 1 or (place[0] == "loss" and len(place) == 3 and place[2] in ("options", "warmup")):
            return f"{dotted(place)} cannot hold a range: only the leaves inside it can"
        leaf = self.leaf(place)
        if leaf is not None and not leaf[1].metadata.get("identity", True):
            hint = "; search.confirm.seeds repeats a configuration" if place == ("train", "seed") else ""
            return f"{dotted(place)} cannot hold a range: it is not part of a configuration's identity{hint}"
        return None


def spell_out(document: Document) -> None:
    """`scc: 10` becomes `scc: {weight: 10}`, an empty section an empty mapping, `probes:` a metric without options."""
    for section in EMPTIED:
        if document.value.get(section, ...) is None:
            document.value[section] = {}
    terms = document.get(("loss",))
    for name, value in terms.items() if isinstance(terms, dict) else ():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if name != "beta" and (number or is_range(value)):
            terms[name] = {"weight": value}
            move_marks(document, ("loss", name), "weight")
    metrics = document.get(("metrics",))
    for name, value in metrics.items() if isinstance(metrics, dict) else ():
        if value is None and name != "every":
            metrics[name] = {}


def move_marks(document: Document, place: Place, key: str) -> None:
    """What was written at `place` now stands one level deeper, under `key`."""
    for marks in (document.keys, document.values):
        for inner in [its for its in marks if its[: len(place)] == place]:
            marks[(*place, key, *inner[len(place) :])] = marks[inner]
            if inner != place:
                del marks[inner]


def unknown_sections(draft: Draft) -> None:
    """Complain about top-level keys that no study has."""
    for key in draft.document.value:
        if key not in SECTIONS:
            draft.key((key,), unknown_key((key,), list(SECTIONS)))


def tuples(value: Any) -> Any:
    """A copy with lists as tuples."""
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


def study_name(draft: Draft) -> str:
    """The study's name, which also names its folder."""
    name = draft.document.get(("name",))
    if "name" not in draft.document.value:
        draft.key((), "name is missing: every study has one, its folder is called after it")
    elif ("name",) not in draft.unclear and not (isinstance(name, str) and NAME.fullmatch(name)):
        draft.value(("name",), f"name must be letters, digits, '.', '_' or '-', at most 64, not {shown(name)}")
    return str(name)


def range_kinds(owner: type, name: str) -> set[str]:
    """The kinds of range that suit a leaf."""
    kind = get_type_hints(owner)[name]
    kinds = set(get_args(kind)) if get_origin(kind) in (Union, types.UnionType) else {kind}
    if float in kinds:
        return set(KINDS)
    return {"choice", "int"} if int in kinds else {"choice"}


def put(draft: Draft, place: Place) -> None:
    """Replace a range in `values` by its default; where it is none, take the leaf out."""
    at = draft.values
    for step in place[:-1]:
        at = at[step]  # type: ignore[index]
    if place in draft.space:
        at[place[-1]] = draft.space[place].default  # type: ignore[index]
    else:
        draft.unclear.add(place)
        del at[place[-1]]  # type: ignore[arg-type]
