"""One trial: a typed configuration with every leaf resolved; plain dataclasses, rebuilt from JSON values anywhere."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from ablate.errors import Mistake
from ablate.registry import DATASETS, LOSSES, METRICS, MODELS, NoOptions, Registry, unknown

Plain = dict[str, Any]  # JSON values only
Record = TypeVar("Record")
Value = TypeVar("Value")


class Once(Generic[Value]):
    """What was worked out about a record, by which record it is: thousands of trials share their frozen parts."""

    MOST = 8192  # of a space without repetition none comes back

    def __init__(self) -> None:
        self._known: dict[tuple[int, Any], tuple[Any, Value]] = {}  # holds the record, so that its id stays its own

    def __call__(self, record: Any, what: Any, make: Callable[[], Value]) -> Value:
        """`make()`, or what it gave for this very record and this `what`."""
        found = self._known.get((id(record), what))
        if found is None:
            if len(self._known) >= self.MOST:
                self._known.clear()
            found = self._known[id(record), what] = record, make()
        return found[1]


@dataclass(frozen=True)
class Warmup:
    """Factor of a weight that grows from 0 to 1, in epochs: a pure function of the epoch, restarts change nothing."""

    end: float = field(metadata={"gt": 0})  # epoch from which the factor is 1
    start: float = field(default=0, metadata={"ge": 0})  # epoch up to which it is 0
    steps: int | None = field(
        default=None, metadata={"ge": 1}
    )  # that many equal jumps; without it the factor grows linearly

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"end ({self.end:g}) must be after start ({self.start:g})")

    def at(self, epochs: float) -> float:
        """Factor after `epochs` epochs; 0, 50 and 5 steps give .2 from epoch 10, .4 from 20, 1 from 50."""
        share = min(1.0, max(0.0, (epochs - self.start) / (self.end - self.start)))
        return share if self.steps is None else math.floor(share * self.steps) / self.steps


@dataclass(frozen=True)
class Term:
    """A loss term of a configuration. Weight 0: computed on validation batches and logged, never trained."""

    weight: float = field(default=1, metadata={"ge": 0})  # factor of the raw value
    warmup: Warmup | None = None
    options: Any = field(default_factory=NoOptions)


@dataclass(frozen=True)
class Loss:
    """The weighted terms of the objective."""

    beta: float = field(default=1, metadata={"ge": 0})  # multiplies every KL
    terms: dict[str, Term] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A registered dataset or model and its options."""

    name: str
    options: Any


@dataclass(frozen=True)
class Metrics:
    """What is measured on the validation split besides the loss terms; asking for more changes nothing in training."""

    every: int = 1  # epochs between two looks
    chosen: dict[str, Any] = field(default_factory=dict)  # metric -> its options


@dataclass(frozen=True)
class Train:
    """How a model is trained, and which epoch is kept as the best."""

    epochs: int = field(default=8, metadata={"ge": 1})
    batch_size: int = field(default=32, metadata={"ge": 1})  # sequences per step over all workers
    lr: float = field(default=2e-3, metadata={"gt": 0})
    seed: int = field(default=0, metadata={"ge": 0, "identity": False})
    clip: float | None = field(default=None, metadata={"gt": 0})  # greatest norm of the gradient
    weight_decay: float = field(default=0, metadata={"ge": 0})
    betas: tuple[float, float] = field(default=(0.9, 0.999), metadata={"ge": 0, "lt": 1})  # of Adam
    patience: int | None = field(
        default=None, metadata={"ge": 1}
    )  # epochs without a better `stop_on` before the run ends
    stop_on: str = "valid/elbo"
    select: str = "valid/elbo"  # what the best epoch is best in; a search sets it to search.metric
    select_mode: Literal["max", "min"] = "max"
    init_from: str | None = field(default=None, metadata={"identity": False})  # run folder or checkpoint to start from
    init_digest: str | None = field(default=None, metadata={"derived": True})  # SHA-256 of that checkpoint
    precision: Literal["float32", "float64"] = "float32"
    wall_limit: float | None = field(default=None, metadata={"gt": 0, "identity": False})  # seconds of training

    def __post_init__(self) -> None:
        for name in ("select", "stop_on"):
            if not getattr(self, name).startswith("valid/"):
                raise ValueError(
                    f"{name} must be measured on the validation split (valid/...), not {getattr(self, name)!r}"
                )


@dataclass(frozen=True)
class Resources:
    """What one trial occupies. Never part of a configuration's identity."""

    workers: int = field(default=1, metadata={"ge": 1, "identity": False})
    cpus_per_worker: float = field(default=1, metadata={"gt": 0, "identity": False})
    gpus_per_worker: float = field(default=0, metadata={"ge": 0, "identity": False})

    def __post_init__(self) -> None:
        if self.gpus_per_worker > 1 and self.gpus_per_worker % 1:
            raise ValueError(f"gpus_per_worker above 1 must be a whole number, not {self.gpus_per_worker:g}")
        if self.workers > 1 and 0 < self.gpus_per_worker < 1:
            raise ValueError(
                f"{self.workers} workers of one trial cannot share a GPU; gpus_per_worker must be 0 or at least 1"
            )

    def fits(self, cluster: Mapping[str, float]) -> str | None:
        """None if one trial can run on a cluster of these totals (`CPU`, `GPU`), else why it never can."""
        for kind, each in (("CPU", self.cpus_per_worker), ("GPU", self.gpus_per_worker)):
            need, have = self.workers * each, cluster.get(kind, 0)
            if kind == "CPU" and self.workers > 1 and "head" not in cluster:
                need += 0.01  # the process that waits for the workers; a cluster may keep a place for it
            if need > have + 1e-9:
                key = f"resources.{kind.lower()}s_per_worker"
                return (
                    f"a trial needs {need:g} {kind} ({self.workers} x {each:g}) and the cluster has {have:g}, "
                    f"so it could never start; lower resources.workers or {key}"
                )
        return None


@dataclass(frozen=True)
class Trial:
    """A configuration: `plain()` is its JSON form, `from_plain` the way back."""

    data: Part
    model: Part
    loss: Loss
    train: Train = field(default_factory=Train)
    metrics: Metrics = field(default_factory=Metrics)
    resources: Resources = field(default_factory=Resources)

    def plain(self) -> Plain:
        """Nested JSON values of all leaves, defaults included, laid out as in a study file."""
        terms = {name: plain(term) for name, term in self.loss.terms.items()}
        return {
            "data": {"name": self.data.name, **plain(self.data.options)},
            "model": {"name": self.model.name, **plain(self.model.options)},
            "loss": {"beta": self.loss.beta, **terms},
            "train": plain(self.train),
            "metrics": {"every": self.metrics.every, **{name: plain(its) for name, its in self.metrics.chosen.items()}},
            "resources": plain(self.resources),
        }

    @classmethod
    def from_plain(cls, values: Plain) -> Trial:
        """The trial of these values, defaults for absent ones; raises Mistake for an unknown name or a broken rule."""
        loss, metrics = values["loss"], values.get("metrics", {})
        return cls(
            data=part(DATASETS, values["data"], "data"),
            model=part(MODELS, values["model"], "model"),
            loss=Loss(loss.get("beta", 1), {name: term(name, its) for name, its in loss.items() if name != "beta"}),
            train=build(Train, values.get("train", {}), "train"),
            metrics=Metrics(
                metrics.get("every", 1),
                {n: build(METRICS[n].options, its, f"metrics.{n}") for n, its in metrics.items() if n != "every"},
            ),
            resources=build(Resources, values.get("resources", {}), "resources"),
        )

    def replace(self, leaves: Mapping[str, Any]) -> Trial:
        """This trial with other values in some leaves, by dotted path; raises Mistake for a path that is not there.

        Parts in which nothing changes are shared, and so are those in which the same changes were made before.
        """
        parts: dict[tuple[str, str], dict[str, Any]] = {}  # (section, term) -> what changes in it
        for path, value in leaves.items():
            section, term, rest = (*path.split(".", 2), "", "")[:3]
            if section == "loss" and rest:
                parts.setdefault((section, term), {})[rest] = value
            elif path == "loss.beta" or (section in SHARED and term):
                parts.setdefault((section, ""), {})[path.partition(".")[2]] = value
            else:
                return self._rebuilt(leaves)
        if not all(term in self.loss.terms for _, term in parts if term):
            return self._rebuilt(leaves)
        made = {
            section: altered(getattr(self, section), section, parts[section, ""])
            for section in SHARED
            if (section, "") in parts
        }
        terms = {term: altered(self.loss.terms[term], f"loss.{term}", its) for (_, term), its in parts.items() if term}
        beta = parts.get(("loss", ""), {}).get("beta", self.loss.beta)
        return replace(self, loss=Loss(beta, self.loss.terms | terms), **made)

    def _rebuilt(self, leaves: Mapping[str, Any]) -> Trial:
        """The same through the plain form."""
        values = self.plain()
        set_leaves(values, leaves)
        return Trial.from_plain(values)


SHARED = ("data", "model", "train", "resources")
_ALTERED: Once[Any] = Once()


def altered(record: Any, where: str, leaves: Mapping[str, Any]) -> Any:
    """A part of a trial with other values in some leaves, made once; raises Mistake as `Trial.replace`."""
    return _ALTERED(
        record, (where, *((path, repr(its)) for path, its in leaves.items())), lambda: _altered(record, where, leaves)
    )


def _altered(record: Any, where: str, leaves: Mapping[str, Any]) -> Any:
    values = {"name": record.name, **plain(record.options)} if isinstance(record, Part) else plain(record)
    set_leaves(values, leaves, f"{where}.")
    if isinstance(record, Part):
        return part(DATASETS if where == "data" else MODELS, values, where)
    return term(where.partition(".")[2], values) if isinstance(record, Term) else build(type(record), values, where)


def set_leaves(values: Plain, leaves: Mapping[str, Any], prefix: str = "") -> None:
    """Write values at dotted paths; raises Mistake for a path that is not there."""
    for path, value in leaves.items():
        *sections, last = path.split(".")
        at = values
        for section in sections:
            at = at.get(section) if isinstance(at, dict) else None  # type: ignore[assignment]
        if not isinstance(at, dict) or last not in at:
            raise Mistake(f"this configuration has no leaf {prefix}{path}")
        at[last] = copy.deepcopy(value)


def part(registry: Registry, values: Plain, where: str) -> Part:
    """A dataset or model from {name, options...}."""
    options = {key: value for key, value in values.items() if key != "name"}
    return Part(values["name"], build(registry[values["name"]].options, options, where))


def term(name: str, values: Plain) -> Term:
    """A loss term from {weight, warmup, options}."""
    where = f"loss.{name}"
    options: Any = build(LOSSES[name].options, values.get("options") or {}, f"{where}.options")
    its = {key: value for key, value in values.items() if key not in ("options", "warmup")}
    warmup = values.get("warmup")
    return build(
        Term,
        its | {"options": options, "warmup": None if warmup is None else build(Warmup, warmup, f"{where}.warmup")},
        where,
    )


def build(kind: type[Record], values: Mapping[str, Any], where: str) -> Record:
    """The record of these values, lists made tuples; raises Mistake for an unknown, a missing or an unsuitable one."""
    known = [its.name for its in fields(kind)]  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise Mistake(unknown(f"{where} key", name, known))
    try:
        return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    except (ValueError, TypeError) as error:
        raise Mistake(f"{where}: {error}") from error


def plain(record: Any) -> Plain:
    """JSON values of a record's fields: tuples become lists, records within it mappings."""
    return {its.name: _value(getattr(record, its.name)) for its in fields(record)}


def _value(value: Any) -> Any:
    if is_dataclass(value):
        return plain(value)
    return [_value(item) for item in value] if isinstance(value, tuple | list) else value
