"""Arms and contrasts: the configurations of a design and the weighted differences that answer its question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ablate.design.components import OFF, ON, Component

FULL, BASE = "full", "base"  # all on, all off


@dataclass(frozen=True)
class Arm:
    """One configuration: the level of every component, and the leaf values that make it out of the study's own."""

    name: str
    levels: dict[str, str]  # component -> label
    leaves: dict[str, Any] = field(default_factory=dict)  # dotted path -> value

    @property
    def on(self) -> frozenset[str]:
        """Components that are on."""
        return frozenset(name for name, label in self.levels.items() if label == ON)

    @property
    def digits(self) -> str:
        """One 0/1 per component in study order: `1011`."""
        return "".join(str(int(label == ON)) for label in self.levels.values())


@dataclass(frozen=True)
class Contrast:
    """A weight per arm; on a seed its value is the weighted sum of the arms' metric. The weights add up to 0.

    Those above 0 add up to 1: the contrast is the mean of one side minus the mean of the other.
    """

    name: str
    weights: dict[str, float]  # arm -> weight
    plus: str  # what stands for the first side in a table: an arm, or `scc on`
    minus: str
    components: tuple[str, ...] = ()  # that it is about: one, two for an interaction, none in a grid
    aliases: tuple[str, ...] = ()  # effects that share its column
    claim: bool = True  # False: descriptive, no member of the family

    @property
    def sum_of_squares(self) -> float:
        """Sum w^2: Var(estimate) = sigma^2 (1 - rho) sum w^2 / n."""
        return sum(weight * weight for weight in self.weights.values())

    def side(self, sign: int) -> dict[str, float]:
        """The arms of one side (+1 or -1) and their shares, which add up to 1."""
        return {arm: sign * weight for arm, weight in self.weights.items() if sign * weight > 0}


def cell(components: Sequence[Component], levels: Mapping[str, str], name: str = "") -> Arm:
    """The arm with these levels; named by what is on unless told otherwise: `full`, `base`, `scc+mi`."""
    leaves: dict[str, Any] = {}
    for its in components:
        leaves |= its.levels[levels[its.name]]
    on = [its.name for its in components if levels[its.name] == ON]
    usual = FULL if len(on) == len(components) else "+".join(on) or BASE
    return Arm(name or usual, {its.name: levels[its.name] for its in components}, leaves)


def switched(components: Sequence[Component], on: Mapping[str, bool], name: str = "") -> Arm:
    """The arm with these two-level components on, the others off."""
    return cell(components, {its.name: ON if on[its.name] else OFF for its in components}, name)


def difference(arm: Arm, reference: Arm, component: str = "", name: str = "", claim: bool = True) -> Contrast:
    """Arm minus reference."""
    weights = {arm.name: 1.0, reference.name: -1.0}
    about = (component,) if component else ()
    return Contrast(name or arm.name, weights, arm.name, reference.name, about, claim=claim)


def variance(sum_of_squares: float, n: int, sigma: float = 1.0, rho: float = 0.0) -> float:
    """Variance of an estimate on n seeds: sigma^2 (1 - rho) sum w^2 / n, for equal variances and correlations."""
    return sigma**2 * (1 - rho) * sum_of_squares / n
