"""The plan of a design: which arms run on which seeds, what is estimated from them, and which test decides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ablate.design.arms import Arm, Contrast
from ablate.design.components import ON, Component, changed, resolve, same
from ablate.design.fraction import Fraction, letters
from ablate.design.kinds import layout
from ablate.design.options import FACTORIAL, Design, Sequential
from ablate.design.paired import Test, decide
from ablate.design.sequential import looks_of
from ablate.errors import Mistake

Decides = Test | Literal["ols", "lenth", "sequential", "none"]  # sign_flip, t, wilcoxon, or of a kind's own
FIXED = (
    *("kind", "components", "metric", "mode", "margin", "alpha", "test", "transform"),
    *("resolution", "generators", "order", "include_base", "retune"),
)  # what a study of one name may not change


@dataclass(frozen=True)
class Plan:
    """What a design comes to. Nothing in it depends on a result."""

    design: Design
    components: tuple[Component, ...]
    arms: tuple[Arm, ...]
    contrasts: tuple[Contrast, ...]
    seeds: tuple[int, ...]  # all that may be run, in order
    test: Decides  # fixed by (number of seeds, m, alpha)
    m: int  # contrasts in the family
    reference: str | None = None
    fraction: Fraction | None = None
    looks: tuple[int, ...] = ()  # numbers of seeds at which sequential seeds are looked at

    @property
    def runs(self) -> int:
        """Cells: arms x seeds."""
        return len(self.arms) * len(self.seeds)

    @property
    def screening(self) -> bool:
        """Whether main effects are blurred by two-way effects."""
        return self.design.kind == "screening" or (self.fraction is not None and self.fraction.resolution == 3)

    def arm(self, name: str) -> Arm:
        """The arm of a name; raises KeyError."""
        return self._arms[name]

    def contrast(self, name: str) -> Contrast:
        """The contrast of a name; raises KeyError."""
        return self._contrasts[name]

    @cached_property
    def _arms(self) -> dict[str, Arm]:
        return {its.name: its for its in self.arms}

    @cached_property
    def _contrasts(self) -> dict[str, Contrast]:
        return {its.name: its for its in self.contrasts}

    def configurations(self, base: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """The plain configuration of every arm, without a seed."""
        return {its.name: changed(base, its.leaves) for its in self.arms}

    def aliases(self) -> list[tuple[str, str]]:
        """(letters, names) of every class of effects that share a column: `AB=CD`, `scc:cyclic = mi:kl_f`."""
        if self.fraction is None:
            return []
        classes = self.fraction.classes(self.design.order)
        pairs = zip(classes, self.contrasts, strict=True)
        return [("=".join(map(letters, effects)), its.name) for effects, its in pairs if len(effects) > 1]

    def plain(self) -> dict[str, Any]:
        """The resolved design as JSON values: what a study's record keeps, and what a later file is compared with."""
        its = self.design
        return {
            "kind": its.kind,
            "components": {
                one.name: one.levels if one.probe else {**one.levels, "probe": False} for one in self.components
            },
            "metric": its.metric,
            "mode": its.mode,
            "margin": its.margin,
            "alpha": its.alpha,
            "power": its.power,
            "test": its.test,
            "transform": its.transform,
            "resolution": its.resolution,
            "generators": list(its.generators),
            "order": its.order,
            "include_base": its.include_base,
            "retune": None if its.retune is None else {"space": its.retune.space, "trials": its.retune.trials},
            "decides": self.test,
            "m": self.m,
            "reference": self.reference,
            "seeds": list(self.seeds),
            "looks": list(self.looks),
            "spending": its.seeds.spending if isinstance(its.seeds, Sequential) else None,
            "arms": {one.name: one.leaves for one in self.arms},
            "contrasts": {one.name: one.weights for one in self.contrasts},
            "relation": self.fraction.relation if self.fraction else "",
        }


def plan(design: Design, base: Mapping[str, Any], decided: Decides | None = None) -> Plan:
    """The plan of a design around a configuration in plain form. Raises Mistake with a sentence per mistake.

    `decided` is the test that an earlier plan of this study fixed: more seeds do not change it, save that a single
    one had none.
    """
    components = resolve(design.components, base, design.kind == "grid")
    made = layout(design, components, dict(base))
    trained(made.arms, base)
    m = sum(its.claim for its in made.contrasts)
    seeds, looks = seeds_of(design, m)
    return Plan(
        design=design,
        components=components,
        arms=made.arms,
        contrasts=made.contrasts,
        seeds=seeds,
        test=decided if decided not in (None, "lenth") else decides(design, len(seeds), m),
        m=m,
        reference=made.reference,
        fraction=made.fraction,
        looks=looks,
    )


def seeds_of(design: Design, m: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """All seeds that may be run, and the numbers of seeds at which a sequential design is looked at. Raises Mistake."""
    its = design.seeds
    if not isinstance(its, Sequential):
        return its, ()
    return tuple(range(its.max)), looks_of(its, m, design.alpha)


def decides(design: Design, n: int, m: int) -> Decides:
    """Which test decides, from the number of seeds and contrasts alone (statistics.md 4.3, 5)."""
    if design.kind == "path":
        return "none"
    if isinstance(design.seeds, Sequential):
        return "sequential"
    test = decide(design.test, n, m, design.alpha)
    if design.kind not in FACTORIAL:
        return test
    if n == 1:
        return "lenth"
    return "ols" if test == "t" else test


def trained(arms: Iterable[Arm], base: Mapping[str, Any]) -> None:
    """Raises Mistake for arms in which all weights are 0."""
    sentences = []
    for arm in arms:
        terms = [its for its in changed(base, arm.leaves).get("loss", {}).values() if isinstance(its, Mapping)]
        if terms and not any(its.get("weight") for its in terms):
            sentences.append(f"design: arm {arm.name!r} trains nothing, all weights are 0; keep one loss term on")
    if sentences:
        raise Mistake(*sentences)


def refused_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Fields of two `Plan.plain()` that a study of one name may not change (statistics.md 1.5).

    Seeds may grow; those of sequential looks may not, since the error rate is spent over all of them.
    """
    yield from (name for name in FIXED if not same(old.get(name), new.get(name)))
    if not set(old["seeds"]) <= set(new["seeds"]) or any(old[name] != new[name] for name in ("looks", "spending")):
        yield "seeds"


def tunable(space: Iterable[str], arm: Arm, components: Sequence[Component]) -> list[str]:
    """The leaves of a retune's space that matter in an arm: not of components that it lacks, nor of a term that is off.

    The weight of a term that is on is tuned like any other leaf; a component of a grid is never tuned.
    """
    own = [path for its in components if arm.levels[its.name] != ON for path in its.paths]
    off = [
        path.removesuffix("weight")
        for path, value in arm.leaves.items()
        if path.startswith("loss.") and path.endswith(".weight") and value == 0
    ]
    return [path for path in space if path not in own and not path.startswith(tuple(off) or ("\0",))]
