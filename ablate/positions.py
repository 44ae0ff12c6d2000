"""YAML 1.2 text to plain values that remember where they were written: a line and column, or a `--set`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

Place = tuple[str | int, ...]  # ("loss", "scc", "weight"), ("search", "metric", 0)

TAG = "tag:yaml.org,2002:"
SCALARS = {TAG + kind for kind in ("null", "bool", "int", "float", "str")}
AS_TEXT = {TAG + kind for kind in ("timestamp", "value")}  # not in YAML 1.2: the text stays text


@dataclass(frozen=True, order=True)
class Mark:
    """Where something was written; sorts as a reader meets it."""

    line: int
    column: int
    text: str  # `study.yaml:7:11` or `--set k=v`


@dataclass(frozen=True, order=True)
class Complaint:
    """One sentence about one place."""

    mark: Mark
    sentence: str

    def __str__(self) -> str:
        return f"{self.mark.text}: {self.sentence}"


@dataclass
class Document:
    """Plain values (dict, list, str, int, float, bool, None) and where each of them was written."""

    source: str  # path as the user gave it
    value: dict[str, Any] = field(default_factory=dict)
    keys: dict[Place, Mark] = field(default_factory=dict)
    values: dict[Place, Mark] = field(default_factory=dict)
    complaints: list[Complaint] = field(default_factory=list)
    unreadable: set[Mark] = field(default_factory=set)  # values that were complained about while reading
    broken: bool = False  # no mapping could be read at all

    def key(self, place: Place) -> Mark:
        """Where the key of `place` stands, or of the nearest section around it that was written."""
        while place and place not in self.keys:
            place = place[:-1]
        return self.keys[place] if place else Mark(1, 1, f"{self.source}:1:1")

    def at(self, place: Place) -> Mark:
        """Where the value of `place` stands; the key of a mapping, an empty value or what surrounds an absent one."""
        written = place
        while written and written not in self.values:
            written = written[:-1]
        if not written:
            return self.key(place)
        value = self.get(written)
        empty = value is None and self.values[written] not in self.unreadable
        return self.key(place) if empty or isinstance(value, dict) else self.values[written]

    def get(self, place: Place) -> Any:
        """The value there; None where nothing was written."""
        value: Any = self.value
        for step in place:
            if isinstance(value, dict):
                value = value.get(step)
            elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def complain(self, mark: Mark, sentence: str) -> None:
        """Note a mistake, unless the value could not be read in the first place."""
        if mark not in self.unreadable:
            self.complaints.append(Complaint(mark, sentence))

    def walk(self, place: Place = ()) -> Iterator[tuple[Place, Any]]:
        """All places of mappings and what they hold, sections before their contents."""
        value = self.get(place) if place else self.value
        if isinstance(value, dict):
            for key in list(value):
                yield (*place, key), value[key]
                yield from self.walk((*place, key))


def dotted(place: Place) -> str:
    """`loss.scc.weight`."""
    return ".".join(map(str, place))


def read(text: str, source: str) -> Document:
    """Parse a study file; all that is wrong with it as YAML is in `complaints`."""
    document = Document(source)
    node = compose(document, text, source, located=True)
    if document.broken:
        return document
    if not isinstance(node, MappingNode):
        what = "is empty" if node is None else "must be a mapping of sections (name, data, model, loss, ...)"
        document.complain(Mark(1, 1, f"{source}:1:1"), f"the file {what}")
        document.broken = True
        return document
    document.value = Reader(document).mapping(node, (), ())
    return document


def override(document: Document, setting: str) -> None:
    """Apply `a.b=value`; the value is YAML."""
    mark = Mark(2**31, len(document.values), f"--set {setting}")
    path, equals, text = setting.partition("=")
    place: Place = tuple(path.strip().split("."))
    if not equals or not all(place):
        document.complain(mark, "write --set section.key=value")
        return
    node = compose(document, text, mark.text, located=False, mark=mark)
    if document.broken:
        document.broken = False
        return
    at: Any = document.value
    for i, step in enumerate(place[:-1]):
        if at.get(step) is None:
            at[step] = {}
            document.keys[place[: i + 1]] = mark
        at = at[step]
        if not isinstance(at, dict):
            document.complain(mark, f"{dotted(place[: i + 1])} is no section, so nothing can be set inside it")
            return
    for known in [its for its in document.values if its[: len(place)] == place]:
        document.values.pop(known), document.keys.pop(known, None)
    reader = Reader(document, mark)
    at[place[-1]] = None if node is None else reader.value(node, place, ())
    document.keys[place] = document.values[place] = mark


def compose(document: Document, text: str, source: str, located: bool, mark: Mark | None = None) -> Node | None:
    """The tree of YAML nodes; None if the text is empty or, with `broken` set and a complaint, no YAML."""
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        if located and at is not None:
            mark = Mark(at.line + 1, at.column + 1, f"{source}:{at.line + 1}:{at.column + 1}")
        problem = ", ".join(part for part in (error.problem, error.context) if part)
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        if located:
            mark = Mark(line, column, f"{source}:{line}:{column}")
        problem = (
            f"the character {error.character!r} is not allowed"
            if isinstance(error.character, str)
            else str(error.reason)
        )
    except YAMLError as error:
        problem = str(error).partition("\n")[0]
    remedy = "" if located else "; a text may need quotes of its own: --set 'key=\"{text}\"'"
    document.complain(mark or Mark(1, 1, f"{source}:1:1"), f"this is not YAML: {problem}{remedy}")
    document.broken = True
    return None


class Reader:
    """Turns nodes into plain values and files their marks."""

    def __init__(self, document: Document, fixed: Mark | None = None):
        self.document, self.fixed = document, fixed
        self.constructor = YAML(typ="safe", pure=True).constructor

    def mark(self, node: Node) -> Mark:
        """Position of a node, 1-based; of the `--set` that wrote it."""
        if self.fixed is not None:
            return self.fixed
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        return Mark(line, column, f"{self.document.source}:{line}:{column}")

    def value(self, node: Node, place: Place, above: tuple[int, ...]) -> Any:
        """The plain value of a node."""
        self.document.values[place] = self.mark(node)
        if id(node) in above:
            return self.unreadable(node, f"{dotted(place)} contains itself")
        if isinstance(node, MappingNode) and node.tag == TAG + "map":
            return self.mapping(node, place, above)
        if isinstance(node, SequenceNode) and node.tag == TAG + "seq":
            inside = (*above, id(node))
            return [self.value(item, (*place, i), inside) for i, item in enumerate(node.value)]
        return self.scalar(node, place)

    def mapping(self, node: MappingNode, place: Place, above: tuple[int, ...]) -> dict[str, Any]:
        """A mapping; of a key given twice the first counts."""
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                self.document.complain(self.mark(key_node), "a key must be text")
                continue
            key, at = key_node.value, (*place, key_node.value)
            if key in result:
                first = self.document.keys[at]
                self.document.complain(self.mark(key_node), f"{dotted(at)} is given twice (first in line {first.line})")
                continue
            self.document.keys[at] = self.mark(key_node)
            result[key] = self.value(value_node, at, (*above, id(node)))
        return result

    def scalar(self, node: Node, place: Place) -> Any:
        """A number, text, true, false or null."""
        if node.tag in AS_TEXT:
            return node.value
        if node.tag not in SCALARS:
            return self.unreadable(node, f"{dotted(place)} has the tag {node.tag!r}, which a study cannot hold")
        try:
            return self.constructor.construct_object(node)
        except (YAMLError, ValueError):
            return self.unreadable(node, f"{dotted(place)} cannot be read: {node.value!r}")

    def unreadable(self, node: Node, sentence: str) -> None:
        """Complain once about a value; it counts as null."""
        self.document.complain(self.mark(node), sentence)
        self.document.unreadable.add(self.mark(node))
