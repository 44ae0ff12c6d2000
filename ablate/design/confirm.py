"""Search, then confirm (statistics.md 7): what fresh seeds say of the best configurations, beside what the search said.

The family of tests is the k best configurations against the default, m = k. Baselines are a second, descriptive family:
paired effects with unadjusted intervals, but neither p nor verdict. They are yardsticks that the user brought along,
not findings of the search; in one family with the best, naming one more would change the verdicts on the search.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ablate.design.bootstrap import p_first
from ablate.design.failures import Seeds, Values, complete_pairs, count, outcomes
from ablate.design.paired import (
    Mode,
    Paired,
    Summary,
    Test,
    correlation,
    decide,
    holm,
    p_better,
    paired,
    seed_sd,
    study_correlation,
    summary,
    wins,
)
from ablate.design.power import expected_max, mde
from ablate.design.verdict import Verdict, verdict

Role = Literal["best", "default", "baseline"]


@dataclass(frozen=True)
class Arm:
    """One confirmed configuration and its runs on the fresh seeds."""

    name: str
    role: Role
    values: Values  # seed -> metric of the confirmation; None (or no entry) where the run gave none
    search_score: float | None = None  # what the search saw of it
    failures: Mapping[int, str] = field(default_factory=dict)  # seed -> class of failure, for seeds without a value
    selected: Values | None = None  # seed -> the search's own metric, where `values` are of another split
    signature: str = ""


@dataclass(frozen=True)
class Contrast:
    """Arm minus reference on their common seeds, in units of the metric."""

    arm: str
    reference: str
    effect: Paired | None  # None without a complete pair
    effect_sd: float | None  # in seed sds
    p_better: float | None  # diverged runs count as worst
    wins: int
    ties: int
    rho: float | None
    mde: float | None  # detectable with the power of the confirmation, at Holm's first step


@dataclass(frozen=True)
class Result:
    """The row of one arm. `contrast` is to the default; p, p_holm and verdict only for the family."""

    arm: Arm
    seeds: Seeds
    score: Summary
    optimism: float | None  # sign * (search score - mean of the same metric on fresh seeds)
    p_first: float | None
    contrast: Contrast | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Confirmation:
    """All rows in the order of the arms, and what they have in common."""

    results: tuple[Result, ...]
    against: tuple[Contrast, ...]  # best and default minus each baseline: descriptive
    reference: str
    mode: Mode
    alpha: float
    power: float
    seeds: tuple[int, ...]  # planned
    test: Test  # fixed by (number of seeds, m, alpha)
    m: int  # size of the family
    seed_sd: float | None  # pooled over all arms
    rho: float | None  # of the study
    searched: int  # K: trials of the search that got a score
    yardstick: float | None  # E[max of K] seed sds: the optimism that chance alone explains

    def __getitem__(self, name: str) -> Result:
        """The row of an arm; raises KeyError."""
        return {its.arm.name: its for its in self.results}[name]


def confirm(
    arms: Sequence[Arm],
    reference: str,
    mode: Mode = "max",
    alpha: float = 0.05,
    *,
    seeds: Sequence[int] | None = None,
    searched: int = 0,
    power: float = 0.8,
    test: Literal["auto", "sign_flip", "t", "wilcoxon"] = "auto",
) -> Confirmation:
    """The confirmation of `arms` against the arm named `reference` (the default) on the planned seeds.

    `seeds` defaults to all that any arm knows. Holm over the arms of role `best`; one with fewer than 3 complete pairs
    enters with p = 1. `auto` takes the exact sign flip where its smallest p passes Holm's first step, from the number
    of planned seeds alone. Raises ValueError for an unknown reference or a name given twice.
    """
    names = [arm.name for arm in arms]
    if reference not in names or len(set(names)) < len(names):
        raise ValueError(f"confirm needs distinct arms, {reference!r} among them, not {names}")
    planned = tuple(sorted(known_seeds(arms) if seeds is None else seeds))
    arms = [restrict(arm, planned) for arm in arms]
    default = next(arm for arm in arms if arm.name == reference)
    family = [arm for arm in arms if arm.role == "best" and arm.name != reference]
    decided = decide(test, len(planned), len(family), alpha)
    unit = seed_sd([finite(arm.values) for arm in arms])
    first_level = alpha / max(1, len(family))

    def against(arm: Arm, other: Arm) -> Contrast:
        return contrast(arm, other, mode, alpha, unit, first_level, power)

    effects = {arm.name: against(arm, default) for arm in arms if arm.name != reference}
    raw = {arm.name: p_value(effects[arm.name], decided) for arm in family}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    first = firsts(arms, mode)
    accounts = {arm.name: count(planned, arm.values, arm.failures) for arm in arms}
    results = []
    for arm in arms:
        its = effects.get(arm.name)
        judged = None
        if arm.name in raw and its is not None:
            at = adjusted[arm.name]
            settled = len(outcomes(arm.values, arm.failures).keys() & outcomes(default.values, default.failures))
            judged = verdict(its.effect, at, accounts[arm.name], accounts[reference], settled, mode, alpha)
        results.append(
            Result(
                arm,
                accounts[arm.name],
                summary(finite(arm.values), alpha),
                optimism(arm, mode),
                first.get(arm.name),
                its,
                raw.get(arm.name),
                adjusted.get(arm.name),
                judged,
            )
        )
    baselines = [arm for arm in arms if arm.role == "baseline" and arm.name != reference]
    return Confirmation(
        results=tuple(results),
        against=tuple(against(arm, other) for other in baselines for arm in arms if arm.role != "baseline"),
        reference=reference,
        mode=mode,
        alpha=alpha,
        power=power,
        seeds=planned,
        test=decided,
        m=len(family),
        seed_sd=unit,
        rho=rho_of(arms, default),
        searched=searched,
        yardstick=yardstick(arms, searched),
    )


def contrast(
    arm: Arm, reference: Arm, mode: Mode, alpha: float, unit: float | None, level: float, power: float
) -> Contrast:
    """Arm minus reference on the seeds where both finished; `unit` is the seed sd, `level` that of the mde."""
    pairs = complete_pairs(arm.values, reference.values)
    mine, its = [value for _, value, _ in pairs], [value for _, _, value in pairs]
    effect = paired([a - b for a, b in zip(mine, its, strict=True)], alpha) if pairs else None
    ours, theirs = outcomes(arm.values, arm.failures), outcomes(reference.values, reference.failures)
    won, tied = wins(ours, theirs, mode)
    return Contrast(
        arm=arm.name,
        reference=reference.name,
        effect=effect,
        effect_sd=effect.mean / unit if effect and unit else None,
        p_better=p_better(ours.values(), theirs.values(), mode),
        wins=won,
        ties=tied,
        rho=correlation(mine, its),
        mde=mde(effect.sd, effect.n, level, power) if effect and effect.sd is not None else None,
    )


def p_value(its: Contrast, test: Test) -> float:
    """The p with which a contrast enters its family."""
    return its.effect.p(test) if its.effect else 1.0


def optimism(arm: Arm, mode: Mode) -> float | None:
    """By how much the search flattered an arm: its score there against the mean of the same metric on fresh seeds.

    Where the confirmation is on the test split, the score is compared with the search's own metric on the fresh seeds
    (`selected`), so that the other level of another split is not taken for optimism.
    """
    seen = finite(arm.values if arm.selected is None else arm.selected)
    if arm.search_score is None or not seen:
        return None
    difference = arm.search_score - sum(seen) / len(seen)
    return difference if mode == "max" else -difference


def yardstick(arms: Sequence[Arm], searched: int) -> float | None:
    """E[max of K normals] times the seed sd of the search's metric."""
    unit = seed_sd([finite(arm.values if arm.selected is None else arm.selected) for arm in arms])
    return expected_max(searched) * unit if unit is not None and searched > 0 else None


def firsts(arms: Sequence[Arm], mode: Mode) -> dict[str, float]:
    """p_first of the arms that finished at all, on the seeds that all of those finished; empty below 3 such seeds."""
    able = [arm for arm in arms if finite(arm.values)]
    common = sorted(seed for seed in known_seeds(able) if all(arm.values.get(seed) is not None for arm in able))
    if len(common) < 3 or len(able) < 2:
        return {}
    values = [[value for seed in common if (value := arm.values[seed]) is not None] for arm in able]  # (A, n)
    shares = dict(zip((arm.name for arm in able), p_first(values, mode), strict=True))
    return {arm.name: shares.get(arm.name, 0.0) for arm in arms}


def rho_of(arms: Sequence[Arm], default: Arm) -> float | None:
    """Correlation of the study over all arms against the default."""
    every = [complete_pairs(arm.values, default.values) for arm in arms if arm is not default]
    return study_correlation(([a for _, a, _ in pairs], [b for _, _, b in pairs]) for pairs in every)


def known_seeds(arms: Sequence[Arm]) -> set[int]:
    """All seeds that any arm knows."""
    return {seed for arm in arms for seed in (*arm.values, *arm.failures)}


def finite(values: Values) -> list[float]:
    """The values there are, by seed."""
    return [value for _, value in sorted(values.items()) if value is not None]


def restrict(arm: Arm, seeds: Sequence[int]) -> Arm:
    """The arm on the planned seeds only."""
    chosen = set(seeds)

    def keep(values: Values) -> dict[int, float | None]:
        return {seed: value for seed, value in values.items() if seed in chosen}

    failures = {seed: kind for seed, kind in arm.failures.items() if seed in chosen}
    selected = None if arm.selected is None else keep(arm.selected)
    return Arm(arm.name, arm.role, keep(arm.values), arm.search_score, failures, selected, arm.signature)
