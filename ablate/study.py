"""One study: a default configuration, the ranges around it, and how they are searched, run and recorded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ablate.design.kept import kept
from ablate.design.options import Design
from ablate.design.plan import Plan
from ablate.errors import Mistake
from ablate.ranges import Range
from ablate.registry import unknown
from ablate.trial import Plain, Resources, Trial, build, plain

FRESH = 1000  # first seed of a confirm that only says how many
MANY = 100  # more seeds than anybody runs


def as_list(value: Any) -> Any:
    """A single value stands for a list of one."""
    return value if value is None or isinstance(value, tuple | list | dict) else (value,)


def fresh_seeds(value: Any) -> Any:
    """A number of seeds stands for that many fresh ones: 5 -> 1000 ... 1004."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value > MANY:
        raise ValueError(f"{value} seeds are too many; to name the seed itself, write [{value}]")
    return tuple(range(FRESH, FRESH + value))


@dataclass(frozen=True)
class Scheduler:
    """Ends trials early that look bad; no trial before `grace` epochs."""

    name: Literal["asha", "median"]
    grace: int = field(default=1, metadata={"ge": 1})  # epochs that every trial gets
    factor: int = field(default=3, metadata={"ge": 2})  # asha: one of so many goes on


@dataclass(frozen=True)
class Confirm:
    """The best configurations, the default one and the baselines, trained in full on fresh seeds."""

    top: int = field(default=1, metadata={"ge": 1})  # how many of the best
    seeds: tuple[int, ...] = field(
        default=tuple(range(FRESH, FRESH + 5)), metadata={"ge": 0, "before": fresh_seeds}
    )  # a list, or how many: 5 stands for 1000 ... 1004
    against: tuple[str, ...] = field(
        default=(), metadata={"before": as_list}
    )  # study files: the baselines; of one with a search, its default

    def __post_init__(self) -> None:
        if not self.seeds:
            raise ValueError("seeds is empty; 5 is a usual number")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds holds a seed twice")


@dataclass(frozen=True)
class Search:
    """Which points of the space are tried, and what they are judged by."""

    metric: tuple[str, ...] = field(metadata={"before": as_list})  # one, or several for nsga2
    mode: tuple[Literal["max", "min"], ...] = field(metadata={"before": as_list})  # one per metric
    algorithm: Literal["random", "grid", "tpe", "cmaes", "nsga2"] = "tpe"
    trials: int | None = field(default=None, metadata={"ge": 1})  # a grid runs all its points
    scheduler: Scheduler | None = None
    confirm: Confirm | None = None
    seed: int = field(default=0, metadata={"ge": 0})  # of the sampler


@dataclass(frozen=True)
class Tracking:
    """Where the record is kept."""

    uri: str | None = None  # of the MLflow server; default: sqlite in the folder
    artifacts: str | None = None  # default: beside the database
    experiment: str = "ablate"
    folder: str = "runs"  # holds a folder per study
    optuna: str | None = None  # storage of the copy for optuna-dashboard; default: a journal file in the user's cache


@dataclass(frozen=True)
class Study:
    """A question: many trials around one configuration."""

    name: str
    base: Trial  # the default configuration
    space: dict[str, Range] = field(default_factory=dict)  # dotted path of a leaf -> its range, in file order
    search: Search | None = None
    tracking: Tracking = field(default_factory=Tracking)
    baselines: dict[str, Trial] = field(default_factory=dict)  # name -> configuration, of search.confirm.against
    source: Path = Path()  # the file
    text: str = ""  # its content as given
    overrides: tuple[str, ...] = ()  # the `--set`s
    files: tuple[str, ...] = ()  # other study files that it names, as written
    selects: bool = False  # whether the file itself says `train.select`
    design: Design | None = None  # of an ablation; a study has a search or a design
    plan: Plan | None = None  # what the design comes to
    retuned: dict[str, Range] = field(default_factory=dict)  # path -> range, of design.retune.space
    warnings: tuple[str, ...] = ()  # legal, but probably not meant

    @property
    def resources(self) -> Resources:
        """What one trial occupies."""
        return self.base.resources

    @property
    def judged(self) -> tuple[str, ...]:
        """Metrics of the validation split that epochs, and trials of a search, are chosen by."""
        if self.design is not None:
            return (chosen_by(self.design.metric),)
        return self.search.metric if self.search is not None else ()

    @property
    def measured(self) -> tuple[str, tuple[str, ...]]:
        """(key of the file that names them, metrics that the data must define)."""
        if self.design is not None:
            return "design.metric", tuple(dict.fromkeys((*self.judged, self.design.metric)))
        return "search.metric", self.judged

    @property
    def mode(self) -> str:
        """Whether more of the first of them is better: max or min."""
        if self.design is not None:
            return self.design.mode
        return self.search.mode[0] if self.search is not None else "max"

    def arm(self, name: str) -> Trial:
        """The configuration of an arm of the design; raises KeyError."""
        assert self.plan is not None
        return self.base.replace(self.plan.arm(name).leaves)

    def configuration(self, point: Mapping[str, Any]) -> Trial:
        """The trial at a point of the space; leaves that the point does not name keep their defaults.

        Raises Mistake for a leaf that is not searched, a value outside its range, or values that do not go together.
        """
        for path in point:
            if path not in self.space:
                raise Mistake(unknown("searched leaf", path, list(self.space)))
        return self.base.replace({path: self.space[path].pick(value) for path, value in point.items()})

    def point(self, trial: Trial) -> dict[str, Any]:
        """The values of the searched leaves in a configuration, by path."""
        values = trial.plain()
        return {path: _leaf(values, path) for path in self.space}

    @property
    def points(self) -> int | None:
        """Number of points of the space; None if a range is continuous."""
        return number_of_points(self.space.values())

    def plain(self) -> Plain:
        """Everything that the study asks, as JSON values: what two files of one study name are compared by."""
        design = {} if self.plan is None else {"design": kept(self.plan)}
        return {
            "name": self.name,
            "base": self.base.plain(),
            "space": {path: its.plain() for path, its in self.space.items()},
            "search": None if self.search is None else plain(self.search),
            "baselines": {name: trial.plain() for name, trial in self.baselines.items()},
            "tracking": plain(self.tracking),
        } | design


def build_search(values: Plain) -> Search:
    """The record of a checked search section."""
    inner = {"scheduler": Scheduler, "confirm": Confirm}
    records = {key: None if values[key] is None else build(kind, values[key], key) for key, kind in inner.items()}
    return build(Search, values | records, "search")


def chosen_by(metric: str) -> str:
    """The metric by which the best epoch is chosen: the same one, on the validation split."""
    return "valid/" + metric.partition("/")[2]


def number_of_points(ranges: Iterable[Range]) -> int | None:
    """Number of combinations of their values; None if one is continuous."""
    sizes = [its.size for its in ranges]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _leaf(values: Any, path: str) -> Any:
    for step in path.split("."):
        values = values[step]
    return values
