"""YAML to a typed study: every mistake at once, each with file, line and column. The only file that knows pydantic."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from ablate.baselines import level_of, weights_digest, with_baselines
from ablate.design.components import near
from ablate.design.options import Design
from ablate.design_rules import SPACE, build_design, design_broken, designed, files_of, plan_of, undoing
from ablate.draft import Draft, put, range_kinds, spell_out, study_name, tuples, unknown_sections
from ablate.errors import Mistake
from ablate.naming import describe_difference
from ablate.positions import Place, dotted, override, read
from ablate.ranges import BAD, Range, is_range, parse
from ablate.registry import LOSSES, METRICS, Entry, unknown
from ablate.rules import Facts, broken, broken_together, chosen_metrics, warnings
from ablate.search_rules import search_broken
from ablate.sentences import about, of_unions, unknown_key
from ablate.study import Search, Study, Tracking, build_search, chosen_by
from ablate.trial import Loss, Plain, Resources, Term, Train, Trial, build

__all__ = ["Range", "Study", "describe_difference", "leaf_schema", "load_study"]

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())
LIMITS = ("gt", "ge", "lt", "le")


def constrained(kind: Any, limits: Mapping[str, Any]) -> Any:
    """The annotation with its limits on the numbers inside it; records become models."""
    if isinstance(kind, type) and is_dataclass(kind):
        return model_of(kind)
    if get_origin(kind) in (Union, types.UnionType):
        return Union[tuple(constrained(its, limits) for its in get_args(kind))]  # noqa: UP007
    if get_origin(kind) is tuple:
        return tuple.__class_getitem__(tuple(its if its is ... else constrained(its, limits) for its in get_args(kind)))
    return Annotated[kind, Field(**limits)] if limits and kind in (int, float) else kind


def annotation(owner: type, name: str) -> Any:
    """What the field of a dataclass takes, as pydantic reads it."""
    its = next(its for its in fields(owner) if its.name == name)
    limits = {key: its.metadata[key] for key in LIMITS if key in its.metadata}
    kind = constrained(get_type_hints(owner)[name], limits)
    return Annotated[kind, BeforeValidator(its.metadata["before"])] if "before" in its.metadata else kind


def leaf_schema(owner: type, name: str) -> dict[str, Any]:
    """JSON schema of the values that a leaf takes."""
    return TypeAdapter(annotation(owner, name), config=STRICT).json_schema()


@functools.cache
def model_of(kind: type) -> type[BaseModel]:
    """The pydantic model of a dataclass: same fields, defaults and limits; its `__post_init__` is asked last."""

    def rules_of_the_record(self: BaseModel) -> BaseModel:
        kind(**{name: getattr(self, name) for name in type(self).model_fields})
        return self

    given = {its.name: its for its in fields(kind) if not its.metadata.get("derived")}
    defaults = {name: _default(its) for name, its in given.items()}
    return create_model(
        kind.__name__,
        __config__=STRICT,
        __doc__=kind.__doc__,
        __validators__={"record": model_validator(mode="after")(rules_of_the_record)},
        **{name: (annotation(kind, name), defaults[name]) for name in given},  # type: ignore[call-overload]
    )


def _default(its: Any) -> Any:
    if its.default_factory is not MISSING:
        return its.default_factory()
    return ... if its.default is MISSING else its.default


def loss_model() -> type[BaseModel]:
    """The loss section: beta and every registered term."""
    terms: dict[str, Any] = {entry.name: (term_model(entry), None) for entry in LOSSES}
    return create_model("Loss", __config__=STRICT, beta=(annotation(Loss, "beta"), 1.0), **terms)


def term_model(entry: Entry) -> type[BaseModel]:
    """One term: weight, warm-up and its own options."""
    return create_model(
        entry.name,
        __config__=STRICT,
        __doc__=entry.doc,
        weight=(annotation(Term, "weight"), 1.0),
        warmup=(annotation(Term, "warmup"), None),
        options=(model_of(entry.options), Field(default_factory=dict, validate_default=True)),
    )


def metrics_model() -> type[BaseModel]:
    """The metrics section: how often, and every registered metric."""
    known = {entry.name: (model_of(entry.options), None) for entry in METRICS}
    every = (Annotated[int, Field(ge=1)], 1)
    return create_model("Metrics", __config__=STRICT, every=every, **known)  # type: ignore[call-overload]


def load_study(path: str | Path, overrides: Sequence[str] = ()) -> Study:
    """The study of a YAML file with `overrides` (`a.b=value`) applied. Raises Mistake with every mistake at once."""
    study, sentences = examine(Path(path), tuple(overrides))
    if study is None or sentences:
        raise Mistake(*sentences)
    return study


def examine(path: Path, overrides: tuple[str, ...] = (), baseline: bool = False) -> tuple[Study | None, list[str]]:
    """The study, if it can be understood, and a sentence per mistake in the order of the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return None, [f"{path}: the file is not UTF-8 text (byte {error.start})"]
    except OSError as error:
        return None, [f"{path}: cannot be read ({(error.strerror or str(error)).lower()})"]
    draft = Draft(read(text, str(path)))
    study = None
    if not draft.document.broken:
        for setting in overrides:
            spell_out(draft.document)
            override(draft.document, setting)
        spell_out(draft.document)
        study = interpret(draft, path, baseline)
    if study is not None:
        study = replace(study, text=text, overrides=overrides)
    return study, draft.sentences()


def interpret(draft: Draft, path: Path, baseline: bool) -> Study | None:
    """The study that the document describes, if all of it can be understood."""
    unknown_sections(draft)
    draft.find_entries()
    take_ranges(draft)
    name = study_name(draft)
    parts = {
        "loss": checked(draft, "loss", loss_model()),
        "train": checked(draft, "train", model_of(Train)),
        "metrics": checked(draft, "metrics", metrics_model()),
        "resources": checked(draft, "resources", model_of(Resources)),
        "tracking": checked(draft, "tracking", model_of(Tracking)),
    }
    for section, entry in draft.entries.items():
        options = checked(draft, section, model_of(entry.options))
        parts[section] = None if options is None else {"name": entry.name, **options}
    search = None
    if draft.document.get(("search",)) is not None:
        values = checked(draft, "search", model_of(Search))
        search = None if values is None else build_search(values)
    design = None
    if draft.document.get(("design",)) is not None:
        values = checked(draft, "design", model_of(Design))
        design = None if values is None else build_design(values)
    model = draft.entries.get("model")
    shown_parts = (parts["loss"], parts["train"], parts["resources"], parts["metrics"])
    facts = Facts(draft.document, model, *shown_parts, search, draft.space, baseline, design)
    for place, sentence in (*broken(facts), *search_broken(facts), *design_broken(facts)):
        draft.value(place, sentence)
    base = base_of(draft, parts, facts, path) if "design" in draft.values or not draft.document.complaints else None
    from_file = functools.partial(level_of, draft, path, functools.partial(examine, baseline=True))
    planned = (
        plan_of(draft, design, base, functools.partial(typed, draft), from_file) if base and not baseline else None
    )
    retuned = take_retuned(draft, base) if design and design.retune and base else {}
    if planned is not None:
        for place, sentence in undoing(planned[1], retuned):
            draft.key(place, sentence)
    study = None
    if base is not None and not draft.document.complaints:
        study = assemble(draft, name, base, parts["tracking"] or {}, search, path)
    if study is not None and planned is not None:
        study = designed(study, *planned, retuned)
        study = replace(study, files=files_of(draft.values["design"]["components"]))
    if baseline:
        return study
    return with_baselines(draft, path, search, study, functools.partial(examine, baseline=True))


def checked(draft: Draft, section: str, model: type[BaseModel]) -> Plain | None:
    """The values of a section, typed and with defaults; None after complaints."""
    if section not in draft.values and section == "loss":
        draft.key((), f"{section} is missing")
        return None
    values = draft.values.get(section, {})
    part = section in draft.entries
    if part and isinstance(values, dict):
        values = {key: value for key, value in values.items() if key != "name"}
    try:
        return model.model_validate(values).model_dump()
    except ValidationError as error:
        for its in of_unions(error.errors(include_url=False)):
            complain(draft, (section, *its["loc"]), its, keys_at(model, its["loc"][:-1], ["name"] * part))
        return None


def complain(draft: Draft, place: Place, error: Mapping[str, Any], known: list[str]) -> None:
    """Put one error of pydantic's where the user can find it."""
    if error["type"] == "extra_forbidden":
        draft.key(place, unknown_key(place, known))
    elif error["type"] == "missing" and place in draft.unclear:
        return
    elif error["type"] == "value_error":
        culprit = (*place, str(error["ctx"]["error"]).split(" ")[0])
        if draft.document.get(culprit) is None:
            draft.key(place, about(error, place))
        else:
            draft.value(culprit, f"{dotted(place)}.{error['ctx']['error']}")
    elif error["type"] == "missing":
        draft.key(place, about(error, place))
    else:
        item = bool(place) and isinstance(place[-1], int) and draft.document.get(place) is None
        draft.value(place, about(error, place[:-1] if item else place))


def keys_at(model: Any, loc: Sequence[str | int], first: list[str]) -> list[str]:
    """Keys of the section `loc` inside a model."""
    for step in loc:
        kind = model.model_fields[step].annotation
        model = next((its for its in (kind, *get_args(kind)) if hasattr(its, "model_fields")), None)
        if model is None:
            return []
        first = []
    return first + list(model.model_fields)


def take_ranges(draft: Draft) -> None:
    """Read all ranges of the document into `space`; `values` holds their defaults instead."""
    places: list[Place] = []
    for place, value in draft.document.walk():
        if is_range(value) and place[:-1] not in places and place[: len(SPACE)] != SPACE:
            places.append(place)
    draft.values = tuples(draft.document.value)
    for place in places:
        why = draft.misplaced(place)
        if why is not None:
            draft.value(place, why)
        elif draft.leaf(place) is None:
            continue  # an unknown key, about which the section's model complains
        else:
            made = take_range(draft, place, place)
            draft.space |= {} if made is None else {place: made}
        put(draft, place)


def take_range(draft: Draft, place: Place, leaf: Place) -> Range | None:
    """Read the range at `place` for a leaf, or complain."""
    owner, its = draft.leaf(leaf)  # type: ignore[misc]

    def convert(value: Any, inner: Place) -> Any:
        return typed(draft, value, leaf, (*place, *inner))

    def refuse(inner: Place, sentence: str) -> None:
        at_key = len(inner) == 1 and inner != ("default",)
        (draft.key if at_key else draft.value)((*place, *inner), f"{dotted(leaf)}: {sentence}")

    return parse(draft.document.get(place), convert, range_kinds(owner, its.name), refuse)


def typed(draft: Draft, value: Any, leaf: Place, place: Place) -> Any:
    """A value in the type of its leaf; BAD after complaints, at the place where it is written."""
    owner, its = draft.leaf(leaf)  # type: ignore[misc]
    adapter: TypeAdapter = TypeAdapter(annotation(owner, its.name), config=STRICT)
    try:
        return adapter.validate_python(tuples(value))
    except ValidationError as error:
        for each in of_unions(error.errors(include_url=False)):
            draft.value((*place, *each["loc"]), about(each, leaf))
        return BAD


def take_retuned(draft: Draft, base: Trial) -> dict[str, Range]:
    """The ranges of `design.retune.space`, by the path of their leaf."""
    found = {}
    for path, value in draft.document.get(SPACE).items():
        place, leaf = (*SPACE, path), tuple(str(path).split("."))
        why = draft.misplaced(leaf) if draft.leaf(leaf) else unknown("leaf", path, near(base.plain(), str(path)))
        if why is not None:
            draft.key(place, f"design.retune.space: {why}")
        elif not is_range(value):
            draft.value(place, f"design.retune.space: {path} needs a range, such as {{choice: [...]}}")
        elif (made := take_range(draft, place, leaf)) is not None:
            found[path] = made
    return found


def base_of(draft: Draft, parts: dict[str, Any], facts: Facts, path: Path) -> Trial | None:
    """The default configuration; None where a section that it consists of could not be understood."""
    if any(parts.get(section) is None for section in ("data", "model", "loss", "train", "metrics")):
        return None
    loss = {key: value for key, value in parts["loss"].items() if value is not None}
    written = draft.values["loss"]  # in the order of the file
    train = dict(parts["train"])
    if facts.search is not None and facts.search.metric and facts.search.mode:
        train |= {"select": facts.search.metric[0], "select_mode": facts.search.mode[0]}
    if facts.design is not None:
        train |= {"select": chosen_by(facts.design.metric), "select_mode": facts.design.mode}
    if train["init_from"] is not None:
        weights = weights_digest(draft, train["init_from"], path)
        if weights is None:
            return None
        train |= dict(zip(("init_from", "init_digest"), weights, strict=True))
    metrics = {"every": parts["metrics"]["every"], **chosen_metrics(parts["metrics"], draft.entries["model"])}
    terms = {key: loss[key] for key in written if key != "beta"}
    shown = {"loss": {"beta": loss["beta"], **terms}, "train": train, "metrics": metrics}
    return Trial.from_plain(parts | shown | {"resources": parts["resources"] or {}})


def assemble(draft: Draft, name: str, base: Trial, tracking: Plain, search: Search | None, path: Path) -> Study | None:
    """The study of checked sections; complains about what does not go together."""
    space = {dotted(place): its for place, its in draft.space.items()}
    for place, sentence in broken_together(base, space):
        draft.value(place, sentence)
    selects = draft.document.get(("train", "select")) is not None
    study = Study(name, base, space, search, build(Tracking, tracking, "tracking"), source=path, selects=selects)
    return replace(study, warnings=tuple(warnings(study)))
