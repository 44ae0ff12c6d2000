"""What a table must know of the study that it reports: the question, as the record or the study file has it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from ablate.design.kept import restored
from ablate.design.plan import Plan
from ablate.records import text

DEFAULT = "default"  # name of the configuration that all ranges' defaults make


@dataclass(frozen=True)
class Question:
    """The parts of a study's design that its tables depend on."""

    study: str
    metric: str  # the (first) one searched for, `valid/...`
    mode: Literal["max", "min"]
    algorithm: str
    space: dict[str, dict[str, Any]] = field(default_factory=dict)  # path of a leaf -> its range, in file order
    trials: int | None = None  # None for a grid
    top: int = 0  # 0: no confirmation
    seeds: tuple[int, ...] = ()  # of the confirmation
    baselines: tuple[str, ...] = ()
    plan: Plan | None = None  # of an ablation
    metrics: tuple[str, ...] = ()  # all that are searched for, where they are several
    modes: tuple[str, ...] = ()

    @classmethod
    def of(cls, design: Mapping[str, Any]) -> "Question":
        """From a design as `Study.plain()` gives it and the study's run keeps it."""
        if design.get("design"):
            return cls.of_plan(design["name"], restored(design["design"], design["base"]))
        search = design.get("search") or {}
        confirm = search.get("confirm") or {}
        return cls(
            study=design["name"],
            metric=(search.get("metric") or ["objective"])[0],
            mode=(search.get("mode") or ["max"])[0],
            algorithm=search.get("algorithm", "grid"),
            space=dict(design.get("space", {})),
            trials=search.get("trials"),
            top=confirm.get("top", 0),
            seeds=tuple(confirm.get("seeds", ())),
            baselines=tuple(design.get("baselines", {})) if confirm else (),
            metrics=tuple(search.get("metric") or ()) if len(search.get("metric") or ()) > 1 else (),
            modes=tuple(search.get("mode") or ()) if len(search.get("metric") or ()) > 1 else (),
        )

    @classmethod
    def of_plan(cls, study: str, plan: Plan) -> "Question":
        """Of an ablation: its leaves stand for the searched ones."""
        leaves: dict[str, list[Any]] = {}
        for component in plan.components:
            for level in component.levels.values():
                for path, value in level.items():
                    known = leaves.setdefault(path, [])
                    known += [] if text(value) in map(text, known) else [value]
        space: dict[str, dict[str, Any]] = {path: {"choice": its} for path, its in leaves.items()}
        if plan.design.retune is not None:
            space |= {path: its for path, its in plan.design.retune.space.items() if path not in space}
        return cls(study, plan.design.metric, plan.design.mode, "design", space, plan=plan)

    @property
    def sign(self) -> int:
        """+1 where larger is better."""
        return 1 if self.mode == "max" else -1

    @property
    def role(self) -> str:
        """Role of the searched cells, or of those of a design."""
        if self.plan is not None:
            return "design"
        return "grid" if self.algorithm == "grid" else "search"

    @property
    def confirmed_metric(self) -> str:
        """The metric that the confirmation is judged by: the searched one on the test split."""
        return "test/" + self.metric.removeprefix("valid/")

    @property
    def planned(self) -> int:
        """Number of searched cells: the trials asked for, the points of the grid, or arms x seeds."""
        if self.plan is not None:
            return self.plan.runs
        if self.trials is not None:
            return self.trials
        return math.prod(len(values(its)) for its in self.space.values())

    def position(self, point: Mapping[str, Any]) -> tuple[float, ...]:
        """Where a point stands in the order of the study: the place in a choice, else the number, path by path."""
        return tuple(
            place(its, self._known[path], point[path]) if path in point else math.inf
            for path, its in self.space.items()
        )

    @cached_property
    def _known(self) -> dict[str, dict[str, int]]:
        """Path -> text of a choice -> its place."""
        return {
            path: {text(item): i for i, item in enumerate(its.get("choice", ()))} for path, its in self.space.items()
        }


def values(its: Mapping[str, Any]) -> list[Any]:
    """The values of a choice, or of the whole numbers between two ends."""
    if "choice" in its:
        return list(its["choice"])
    low, high = its["int"]
    return list(range(int(low), int(high) + 1))


def place(its: Mapping[str, Any], known: Mapping[str, int], value: Any) -> float:
    """Where a value stands in its range; `known` are the choices, what is none of them comes last."""
    return float(known.get(text(value), len(known))) if "choice" in its else float(value)
