"""From the runs of a study to its contrasts: values by arm and seed, the two sides of a contrast, their difference."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablate.design.arms import Contrast
from ablate.design.failures import DIVERGED, Seeds, Values, count, outcomes, settled, together
from ablate.design.paired import Paired, paired, study_correlation
from ablate.design.plan import Plan
from ablate.errors import Mistake


@dataclass(frozen=True)
class Runs:
    """What became of every cell: values of the finished ones (transformed), classes of failure of others."""

    seeds: tuple[int, ...]
    values: dict[str, dict[int, float]]  # arm -> seed -> metric
    failures: dict[str, dict[int, str]]

    def account(self, arm: str, seeds: Iterable[int] | None = None) -> Seeds:
        """How many of the planned seeds finished, diverged, are missing or pending."""
        return count(self.seeds if seeds is None else seeds, self.values[arm], self.failures[arm])

    def finished(self, arm: str) -> list[float]:
        """The values of an arm, by seed."""
        return [value for _, value in sorted(self.values[arm].items())]


@dataclass(frozen=True)
class Side:
    """The arms of one side of a contrast, as if they were one."""

    account: Seeds  # of all their cells
    values: dict[int, float]  # their weighted mean, on the seeds where all finished
    outcomes: dict[int, float | None]  # with None where one of them diverged


@dataclass(frozen=True)
class Estimate:
    """A contrast on its seeds."""

    contrast: Contrast
    seeds: tuple[int, ...]  # planned for it
    arm: Side
    reference: Side
    effect: Paired | None  # None without a complete seed
    settled: int  # seeds that all its cells have an outcome on: trained or diverged

    @property
    def pairs(self) -> int:
        """Seeds on which all its cells finished."""
        return self.effect.n if self.effect else 0

    @property
    def common(self) -> tuple[list[float], list[float]]:
        """Values of both sides on those seeds."""
        return common(self.arm.values, self.reference.values)


def runs_of(plan: Plan, values: Mapping[str, Values], failures: Mapping[str, Mapping[int, str]]) -> Runs:
    """The runs of a plan's arms on its seeds; a value that is not finite is a run that diverged.

    Raises Mistake for an arm that the plan lacks, or for a value outside the domain of the plan's transform.
    """
    known = {its.name for its in plan.arms}
    strange = sorted({*values, *failures} - known)
    if strange and plan.design.kind != "path":
        raise Mistake(f"the design has no arm {strange[0]!r} (arms: {', '.join(its.name for its in plan.arms)})")
    chosen = set(plan.seeds)
    found: dict[str, dict[int, float]] = {}
    lost: dict[str, dict[int, str]] = {}
    for arm in (its.name for its in plan.arms):
        mine = {seed: value for seed, value in sorted(values.get(arm, {}).items()) if seed in chosen}
        lost[arm] = {seed: kind for seed, kind in sorted(failures.get(arm, {}).items()) if seed in chosen}
        lost[arm] |= {s: DIVERGED for s, value in mine.items() if value is not None and not math.isfinite(value)}
        found[arm] = {
            seed: transformed(plan.design.transform, value, f"{arm} on seed {seed}")
            for seed, value in mine.items()
            if value is not None and math.isfinite(value)
        }
    return Runs(plan.seeds, found, lost)


def transformed(transform: str, value: float, where: str) -> float:
    """The value on the scale on which effects are estimated. Raises Mistake outside the transform's domain."""
    if transform == "none":
        return value
    if value <= 0 or (transform == "logit" and value >= 1):
        domain = "strictly between 0 and 1" if transform == "logit" else "above 0"
        raise Mistake(f"design.transform: {transform} needs values {domain}, but {where} has {value:g}")
    return math.log(value) if transform == "log" else math.log(value / (1 - value))


def over_strata(
    values: Sequence[Mapping[str, Values]],
) -> dict[str, dict[int, float | None]]:
    """The mean over strata (data sets in the same units) by arm and seed, None where one of them has no value.

    A contrast of these means is the mean of the contrasts within the strata.
    """
    arms = dict.fromkeys(arm for its in values for arm in its)
    made: dict[str, dict[int, float | None]] = {}
    for arm in arms:
        seeds = sorted({seed for its in values for seed in its.get(arm, {})})
        each = {seed: [its.get(arm, {}).get(seed) for its in values] for seed in seeds}
        made[arm] = {
            seed: None if None in found else sum(its for its in found if its is not None) / len(values)
            for seed, found in each.items()
        }
    return made


def estimate(contrast: Contrast, runs: Runs, seeds: Sequence[int], alpha: float) -> Estimate:
    """A contrast on the seeds planned for it, its t-interval at 1 - alpha."""
    plus, minus = side(contrast.side(1), runs, seeds), side(contrast.side(-1), runs, seeds)
    d = [plus.values[seed] - minus.values[seed] for seed in seeds if seed in plus.values and seed in minus.values]
    known = plus.outcomes.keys() & minus.outcomes.keys()
    return Estimate(contrast, tuple(seeds), plus, minus, paired(d, alpha) if d else None, len(known))


def side(shares: Mapping[str, float], runs: Runs, seeds: Sequence[int]) -> Side:
    """One side of a contrast: its arms and their shares."""
    ends = {arm: outcomes(runs.values[arm], runs.failures[arm]) for arm in shares}
    known = [seed for seed in seeds if all(seed in ends[arm] for arm in shares)]
    trained = [seed for seed in known if all(ends[arm][seed] is not None for arm in shares)]
    values = {seed: sum(share * runs.values[arm][seed] for arm, share in shares.items()) for seed in trained}
    return Side(
        together(runs.account(arm, seeds) for arm in shares), values, {seed: values.get(seed) for seed in known}
    )


def leading(contrast: Contrast, runs: Runs) -> int:
    """How many of the first seeds are settled in all arms of a contrast: nobody waits for them."""
    done = [settled(runs.seeds, runs.values[arm], runs.failures[arm]) for arm in contrast.weights]
    return next(
        (i for i, seed in enumerate(runs.seeds) if any(seed not in its for its in done)),
        len(runs.seeds),
    )


def study_rho(plan: Plan, runs: Runs) -> float | None:
    """The study's correlation over seeds: of all arms with the reference, without one of all arms with each other."""
    names = [its.name for its in plan.arms]
    if plan.reference is not None:
        reference = runs.values[plan.reference]
        return study_correlation(common(runs.values[name], reference) for name in names if name != plan.reference)
    able = [runs.values[name] for name in names if runs.values[name]]
    seeds = sorted(set.intersection(*(set(its) for its in able))) if able else []
    if len(able) < 2 or len(seeds) < 2:
        return None
    y = np.array([[its[seed] for seed in seeds] for its in able])  # (A, n)
    within = float(y.var(axis=1, ddof=1).sum())
    return (float(y.sum(0).var(ddof=1)) - within) / ((len(y) - 1) * within) if within else None


def common(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[list[float], list[float]]:
    """Values of two arms on the seeds that both have."""
    seeds = sorted(one.keys() & other.keys())
    return [one[seed] for seed in seeds], [other[seed] for seed in seeds]


def identical_arms(plan: Plan, runs: Runs) -> list[str]:
    """A sentence per arm whose values on two or more common seeds are all bit for bit those of an arm before it."""
    holders: dict[tuple[int, float], list[str]] = {}  # (seed, value) -> the arms before that have it
    sentences = []
    for name in (its.name for its in plan.arms):
        values = runs.values[name]
        shared = Counter(other for place in values.items() for other in holders.get(place, ()))
        same = [its for its, count in shared.items() if 1 < count == len(values.keys() & runs.values[its].keys())]
        if same:
            sentences.append(
                f"arm {name!r} has the same {plan.design.metric} as {same[0]!r} on every seed, bit for bit: "
                "it changes nothing"
            )
        else:
            for place in values.items():
                holders.setdefault(place, []).append(name)
    return sentences
