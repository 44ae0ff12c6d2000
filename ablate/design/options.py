"""What the `design` section of a study asks: which kind, of which components, on which seeds, decided how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal[
    "leave_one_out", "add_one_in", "cumulative", "factorial", "fractional", "screening", "path", "grid"
]  # statistics.md 3.1
Spending = Literal["linear", "obf", "pocock"]
FACTORIAL = ("factorial", "fractional", "screening")  # kinds whose effects are averages over all states of the others
MANY = 1000  # more seeds than anybody runs


def first_seeds(value: Any) -> Any:
    """A number of seeds stands for the first ones: 5 -> 0 ... 4."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    if value > MANY:
        raise ValueError(f"{value} seeds are too many; to name the seed itself, write [{value}]")
    return tuple(range(value))


@dataclass(frozen=True)
class Budget:
    """What sequential seeds may cost in all; cells that were done before count nothing."""

    gpu_hours: float | None = field(default=None, metadata={"gt": 0})
    cpu_hours: float | None = field(default=None, metadata={"gt": 0})

    def __post_init__(self) -> None:
        if (self.gpu_hours is None) == (self.cpu_hours is None):
            raise ValueError("gpu_hours or cpu_hours: a budget names one of the two")


@dataclass(frozen=True)
class Sequential:
    """Seeds 0 ... max-1, added in steps to the arms that are not decided yet (statistics.md 8)."""

    max: int = field(metadata={"ge": 2, "le": MANY})
    min: int | Literal["auto"] = field(default="auto", metadata={"ge": 2})  # seeds before the first look
    step: int = field(default=3, metadata={"ge": 1})  # seeds between two looks
    spending: Spending = "linear"  # how the error rate is spent over the looks
    budget: Budget | None = None

    def __post_init__(self) -> None:
        if self.min != "auto" and self.min > self.max:
            raise ValueError(f"min ({self.min}) is above max ({self.max})")


@dataclass(frozen=True)
class Retune:
    """A search inside every arm before its seeds are run (statistics.md 3.6)."""

    space: dict[str, Any]  # dotted path of a leaf -> its range
    trials: int = field(default=12, metadata={"ge": 1})

    def __post_init__(self) -> None:
        if not self.space:
            raise ValueError("space is empty; name the leaves to tune in every arm")


@dataclass(frozen=True)
class Design:
    """A question about components; the keys are those of statistics.md 3.1."""

    kind: Kind
    components: tuple[Any, ...]  # a loss term's name, or {name: {on: {leaf: value}, off: {...}}}, or {leaf: [on, off]}
    metric: str  # the one that is claimed about, `test/...` or `valid/...`, declared before the first run
    mode: Literal["max", "min"]
    seeds: tuple[int, ...] | Sequential = field(
        default=(0, 1, 2, 3, 4), metadata={"ge": 0, "before": first_seeds}
    )  # a list, how many (9 stands for 0 ... 8), or {min, max, step, spending, budget}
    margin: float | None = field(default=None, metadata={"gt": 0})  # differences below it do not matter; metric units
    alpha: float = field(default=0.05, metadata={"gt": 0, "lt": 0.5})
    power: float = field(default=0.8, metadata={"gt": 0, "lt": 1})  # for the minimum detectable effect
    test: Literal["auto", "sign_flip", "t", "wilcoxon"] = "auto"
    transform: Literal["none", "logit", "log"] = "none"  # of the metric, before anything is computed
    resolution: int | None = field(default=None, metadata={"ge": 3})  # fractional; 4 unless generators are given
    generators: tuple[str, ...] = ()  # fractional, instead of the catalogue: ("D=ABC",)
    order: Literal[2, 3] = 2  # factorial: 3 adds three-way effects
    include_base: bool = False  # leave_one_out: also run "everything off"
    retune: Retune | None = None

    def __post_init__(self) -> None:
        for rule in (self._of_another_kind, self._seeds, self._judged):
            sentence = rule()
            if sentence:
                raise ValueError(sentence)

    def _of_another_kind(self) -> str | None:
        """A key that the kind does not read would be silently dropped."""
        owners = {
            "resolution": ("fractional", self.resolution is not None),
            "generators": ("fractional", bool(self.generators)),
            "order": ("factorial", self.order != 2),
            "include_base": ("leave_one_out", self.include_base),
        }
        for key, (kind, given) in owners.items():
            if given and self.kind != kind:
                return f"{key} belongs to kind {kind}; leave it out with kind {self.kind}"
        return None

    def _seeds(self) -> str | None:
        if not isinstance(self.seeds, tuple):
            if self.kind == "path":
                return "seeds must be a list or a number for kind path, which claims nothing"
            if self.test in ("t", "wilcoxon"):
                return f"test {self.test} cannot decide sequential seeds; leave it out, they use the sign flip"
            return None
        if not self.seeds:
            return "seeds is empty; 9 is a usual number"
        return "seeds holds a seed twice" if len(set(self.seeds)) < len(self.seeds) else None

    def _judged(self) -> str | None:
        split, _, name = self.metric.partition("/")
        if split not in ("test", "valid") or not name:
            return f"metric must be test/<name> or valid/<name>, not {self.metric!r}"
        if self.margin is not None and self.transform != "none":
            return (
                f"margin is in units of the metric, and transform {self.transform} puts effects on another scale; "
                "leave one of the two out"
            )
        return None if self.components else "components is empty; name what is switched on and off"

    @property
    def sign(self) -> int:
        """+1 where larger is better."""
        return 1 if self.mode == "max" else -1
