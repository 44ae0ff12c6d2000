"""JSON schema of study files, for editors: every key with its type, limits, default and what it is for."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import textwrap
import tokenize
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from ablate.config import leaf_schema
from ablate.design.options import Design
from ablate.draft import NAME, range_kinds
from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, Entry, Registry
from ablate.signature import default
from ablate.study import Search, Tracking
from ablate.trial import Loss, Resources, Term, Train

Schema = dict[str, Any]


def json_schema() -> Schema:
    """The schema, with all models, terms, datasets and metrics that are registered."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ablate study",
        "type": "object",
        "required": ["name", "data", "model", "loss"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$", "description": "of the study and of its folder"},
            "data": part(DATASETS),
            "model": part(MODELS),
            "loss": loss(),
            "train": nullable(section(Train, searched=True)),
            "metrics": nullable(metrics()),
            "search": nullable(section(Search)),
            "design": nullable(section(Design)),
            "resources": nullable(section(Resources)),
            "tracking": nullable(section(Tracking)),
        },
    }


def part(registry: Registry) -> Schema:
    """`data` or `model`: the options depend on the name."""
    choices = [
        {"if": {"properties": {"name": {"const": entry.name}}, "required": ["name"]}, "then": named(entry)}
        for entry in registry
    ]
    name = {"enum": registry.names(), "description": f"of the {registry.kind}"}
    return {"type": "object", "required": ["name"], "properties": {"name": name}, "allOf": choices}


def named(entry: Entry) -> Schema:
    """The section of one dataset or model."""
    options = section(entry.options, searched=True)
    properties = {"name": {"const": entry.name}} | options["properties"]
    return options | {"description": entry.doc, "properties": properties}


def loss() -> Schema:
    """`loss`: beta and the terms; a number alone is a weight."""
    terms = {entry.name: term(entry) for entry in LOSSES}
    beta = section(Loss, searched=True, only="beta")["properties"]
    return {"type": "object", "properties": beta | terms, "additionalProperties": False}


def term(entry: Entry) -> Schema:
    """One loss term."""
    whole = section(Term, searched=True)
    weight, warmup = whole["properties"]["weight"], whole["properties"]["warmup"]
    properties = {"weight": weight, "warmup": warmup, "options": section(entry.options, searched=True)}
    return {"description": entry.doc, "anyOf": [*weight["anyOf"], whole | {"properties": properties}]}


def metrics() -> Schema:
    """`metrics`: how often, and which; all that the model can carry if none is named."""
    every = {"type": "integer", "minimum": 1, "default": 1, "description": "epochs between two looks"}
    named = {entry.name: nullable(section(entry.options)) | {"description": entry.doc} for entry in METRICS}
    return {"type": "object", "properties": {"every": every} | named, "additionalProperties": False}


def nullable(schema: Schema) -> Schema:
    """The same, or nothing written."""
    return {"anyOf": [schema, {"type": "null"}]}


def section(kind: type, searched: bool = False, only: str | None = None) -> Schema:
    """A mapping with the fields of a dataclass."""
    given = [its for its in fields(kind) if not its.metadata.get("derived") and only in (None, its.name)]
    return {
        "type": "object",
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": {its.name: leaf(kind, its, searched) for its in given},
        "required": [its.name for its in given if default(its) is MISSING],
        "additionalProperties": False,
    }


def leaf(kind: type, its: Field, searched: bool) -> Schema:
    """One field: its type, or a range of such values where a search may vary it."""
    hint = get_type_hints(kind)[its.name]
    inner = next((each for each in (hint, *get_args(hint)) if isinstance(each, type) and is_dataclass(each)), None)
    lists = [each for each in get_args(hint) if get_origin(each) is tuple]
    if inner is not None and lists:  # a number, a list, or a mapping: design.seeds
        items: Schema = {"type": "integer", "minimum": its.metadata.get("ge", 0)}
        schema: Schema = {"anyOf": [items, {"type": "array", "items": items}, section(inner)]}
    elif inner is not None:
        schema = nullable(section(inner, searched))
    elif its.name == "options":
        schema = {"type": "object"}
    else:
        schema = leaf_schema(kind, its.name)
        if "before" in its.metadata:
            schema = {"anyOf": [schema["items"], schema]}
        if searched and its.metadata.get("identity", True):
            schema = {"anyOf": [schema, *ranges(schema, range_kinds(kind, its.name))]}
        if default(its) is not MISSING:
            schema["default"] = listed(default(its))
    comment = comments(kind).get(its.name)
    return schema | ({"description": comment} if comment else {})


def listed(value: Any) -> Any:
    """The value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def ranges(one: Schema, kinds: set[str]) -> list[Schema]:
    """The ranges that may stand in place of a leaf."""
    lists = {
        kind: {"type": "array", "items": one, "minItems": 1 if kind == "choice" else 2}
        | ({} if kind == "choice" else {"maxItems": 2})
        for kind in sorted(kinds)
    }
    return [
        {
            "type": "object",
            "properties": {kind: its, "default": one},
            "required": [kind],
            "additionalProperties": False,
        }
        for kind, its in lists.items()
    ]


@functools.cache
def comments(kind: type) -> dict[str, str]:
    """The comment beside each field in the source of a dataclass and of the records it extends."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__[:-1]):
        try:
            source = textwrap.dedent(inspect.getsource(owner))
        except (OSError, TypeError):  # made at run time: no source, no comments
            continue
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        lines = {each.start[0]: each.string.lstrip("# ") for each in tokens if each.type == tokenize.COMMENT}
        body = ast.parse(source).body[0]
        for node in body.body if isinstance(body, ast.ClassDef) else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                last = node.end_lineno or node.lineno
                texts = [lines[line] for line in range(node.lineno, last + 1) if line in lines]
                found |= {node.target.id: " ".join(texts)} if texts else {}
    return found
