"""Seeds where they are needed: group-sequential paired sign flips, Holm across contrasts, budget (statistics.md 8).

Lan & DeMets 1983 for the spending of error over looks; Maurer & Bretz 2013 for the graphical form of Holm's procedure.
Exact given |d|: looking early costs nothing, and what an early look cannot spend for want of seeds is spent later.
"""

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from ablate.design.options import Sequential, Spending
from ablate.design.paired import EXACT, MIN_PAIRS, TIE, drawn_signs, holm, paired, tost
from ablate.design.power import floor
from ablate.errors import Mistake

State = Literal["open", "rejected", "equivalent", "exhausted", "budget"]
Decision = Literal["go on", "reject", "equivalent", "undecided", "undecided (budget)"]
DECISIONS: dict[State, Decision] = {
    "open": "go on",
    "rejected": "reject",
    "equivalent": "equivalent",
    "exhausted": "undecided",
    "budget": "undecided (budget)",
}
ROUNDING = 1e-9  # of a number of sign vectors that is meant as whole


@dataclass(frozen=True)
class Series:
    """The values of one contrast on the planned seeds, by position 0, 1, ..."""

    d: Mapping[int, float]  # on the seeds where all its arms trained
    settled: int  # the first so many seeds have an outcome in all its arms


@dataclass(frozen=True)
class Rule:
    """When is looked, and how the error rate is spent over the looks."""

    looks: tuple[int, ...]  # numbers of seeds
    alpha: float = 0.05
    spending: Spending = "linear"
    margin: float | None = None

    def alphas(self, level: float, k: int) -> list[float]:
        """Cumulative error rates of the first k looks at a level."""
        return [spent(self.spending, level, n / self.looks[-1]) for n in self.looks[:k]]

    def conf(self, k: int) -> float:
        """Confidence of a t-interval at look k, so that the intervals of all looks hold at once."""
        ends = [0.0, *self.alphas(self.alpha, k)]
        return 1 - (ends[-1] - ends[-2])


@dataclass(frozen=True)
class Crossing:
    """One contrast at the last of its looks, at one level."""

    stat: float  # |sum d|
    boundary: float  # rejected above it
    spent: float  # error rate used up to here, with what this look uses
    p_nominal: float  # as if this were the only look
    p_seq: float
    any_look: bool  # crosses here or did at an earlier look


@dataclass(frozen=True)
class Look:
    """One line of the log: what was seen and decided."""

    contrast: str
    look: int  # 1, 2, ...
    n: int  # planned seeds
    level: float  # alpha / contrasts not rejected yet
    cum_alpha: float  # what may be spent up to here at that level
    found: Crossing
    decision: Decision


@dataclass(frozen=True)
class Standing:
    """Where a contrast ended, or stands."""

    state: State = "open"
    stopped_at: int | None = None  # planned seeds at which it ended
    p_seq: float | None = None
    level: float | None = None  # of its decision
    conf: float | None = None  # of an interval that holds at all looks at once
    equivalent: bool = False  # a rejected one may also be below the margin


@dataclass(frozen=True)
class Course:
    """All that the looks have decided so far."""

    log: tuple[Look, ...]
    standing: dict[str, Standing]
    next_look: int | None = None  # 1, 2, ...; None when everything is decided

    @property
    def open(self) -> list[str]:
        """Contrasts that need more seeds."""
        return names_open(self.standing)


def spent(spending: Spending, alpha: float, t: float) -> float:
    """Error rate that may be used up to the share t in (0, 1] of the seeds.

    linear: alpha t; obf: 2 (1 - Phi(z_(1-alpha/2) / sqrt t)); pocock: alpha ln(1 + (e - 1) t).
    """
    match spending:
        case "linear":
            return alpha * t
        case "obf":
            return float(2 * ndtr(ndtri(alpha / 2) / math.sqrt(t)))
        case "pocock":
            return alpha * math.log(1 + (math.e - 1) * t)


def first_look(maximum: int, m: int, alpha: float = 0.05, spending: Spending = "linear") -> int | None:
    """Fewest seeds at which one of m contrasts can be decided at all; None if not even `maximum` can."""
    level = alpha / max(1, m)
    reachable = (n for n in range(1, maximum + 1) if floor(n) <= spent(spending, level, n / maximum))
    return next(reachable, None)


def looks_of(its: Sequential, m: int, alpha: float = 0.05) -> tuple[int, ...]:
    """Numbers of seeds at which is looked: min, min + step, ..., max. Raises Mistake where nothing could be decided."""
    first = first_look(its.max, m, alpha, its.spending)
    if first is None:
        enough = next(n for n in range(its.max, 64) if first_look(n, m, alpha, its.spending))
        raise Mistake(
            f"design.seeds.max: {its.max} seeds can never decide among {m} contrasts, "
            f"the smallest p is {floor(its.max):g}; {enough} can"
        )
    start = first if its.min == "auto" else its.min
    return (*range(start, its.max, its.step), its.max)


@functools.lru_cache(maxsize=4)
def half_of_all_signs(n: int) -> np.ndarray:
    """The sign vectors that start with +1, (2^(n-1), n), all +1 first; the others mirror them."""
    return 1.0 - 2.0 * (np.arange(2 ** (n - 1))[:, None] >> np.arange(n)[::-1] & 1)


def crossing(d: Mapping[int, float], looks: Sequence[int], alphas: Sequence[float], planned: int) -> Crossing:
    """Whether the differences by position cross a boundary at the last of `looks`, or did at an earlier one.

    `looks` and `alphas` are the numbers of seeds and the cumulative error rates up to here. All sign vectors are
    followed through the looks; at each, those with the largest sums stop until the error rate is used up. Up to 16
    differences all vectors, above 99,999 drawn ones (over the `planned` seeds) and the observed one.
    """
    where = sorted(position for position in d if position < looks[-1])
    values = np.array([d[position] for position in where])
    if not len(values):
        return Crossing(0.0, 0.0, 0.0, 1.0, 1.0, False)
    if len(values) <= EXACT:
        signs, each = half_of_all_signs(len(values)), 2
    else:
        signs, each = np.vstack([np.ones(len(values)), drawn_signs(planned)[:, where]]), 1
    total, tie = each * len(signs), TIE * float(np.abs(values).sum())
    living = np.ones(len(signs), bool)
    for n, alpha in zip(looks, alphas, strict=True):
        count = sum(position < n for position in where)
        sums = np.abs(signs[:, :count] @ values[:count])  # (vectors,)
        before = total - each * int(living.sum())
        alive = np.sort(sums[living])[::-1]
        room = int((math.floor(alpha * total + ROUNDING) - before) // each)
        boundary = float(alive[room]) if room < len(alive) else -math.inf
        reached = before + each * int(np.sum(living & (sums >= sums[0] - tie)))
        living &= sums <= boundary + tie
        if not living[0]:  # at an earlier look too, whose boundary a level that was raised since has lowered
            break
    stopped = total - each * int(living.sum())
    nominal = float(np.mean(sums >= sums[0] - tie))
    return Crossing(float(sums[0]), boundary, stopped / total, nominal, reached / total, not living[0])


def course(series: Mapping[str, Series], rule: Rule, given_up: Collection[str] = ()) -> Course:
    """What the looks decide of all contrasts, from the values there are; the same however often it is asked.

    Each open contrast is tested at alpha / (contrasts not rejected); a rejection raises the level of the rest at once.
    With a margin, equivalence is claimed at level alpha / number of looks. `given_up` are those that the budget ended:
    they keep what they reached and stay in the count.
    """
    standing = {name: Standing() for name in series}
    p_equal = dict.fromkeys(series, 1.0)
    log: list[Look] = []
    for k, n in enumerate(rule.looks, 1):
        late = [name for name in names_open(standing) if series[name].settled < n]
        if set(late) - set(given_up):
            return Course(tuple(log), standing, k)
        for name in late:
            standing[name] = replace(standing[name], state="budget", stopped_at=rule.looks[k - 2] if k > 1 else 0)
        found = tested(series, standing, rule, k)
        p_equal |= {name: p_equivalent(series[name], n, rule.margin) for name in found}
        equal = dict(zip(p_equal, holm(list(p_equal.values())), strict=True))
        for name, line in found.items():
            equivalent = rule.margin is not None and equal[name] <= rule.alpha / len(rule.looks)
            rejected = line.decision == "reject"
            state: State = "rejected" if rejected else "equivalent" if equivalent else "open"
            if k == len(rule.looks) and state == "open":
                state = "exhausted"
            standing[name] = Standing(
                state, None if state == "open" else n, line.found.p_seq, line.level, rule.conf(k), equivalent
            )
            log.append(replace(line, decision=DECISIONS[state]))
    return Course(tuple(log), standing)


def tested(series: Mapping[str, Series], standing: Mapping[str, Standing], rule: Rule, k: int) -> dict[str, Look]:
    """The line of every open contrast at look k; each rejection raises the level of the others at once."""
    left = names_open(standing)
    rejected = sum(its.state == "rejected" for its in standing.values())
    lines: dict[str, Look] = {}
    while left:
        level = rule.alpha / (len(standing) - rejected)
        alphas = rule.alphas(level, k)
        for name in left:
            found = crossing(series[name].d, rule.looks[:k], alphas, rule.looks[-1])
            lines[name] = Look(name, k, rule.looks[k - 1], level, alphas[-1], found, "go on")
        over = [name for name in left if lines[name].found.any_look]
        lines |= {name: replace(lines[name], decision="reject") for name in over}
        rejected += len(over)
        left = [name for name in left if name not in over] if over else []
    return {name: lines[name] for name in names_open(standing)}


def names_open(standing: Mapping[str, Standing]) -> list[str]:
    """Contrasts that are not decided."""
    return [name for name, its in standing.items() if its.state == "open"]


def p_equivalent(series: Series, n: int, margin: float | None) -> float:
    """The p of equivalence from the first n planned seeds; 1 with fewer than 3 values or without a margin."""
    d = [value for position, value in sorted(series.d.items()) if position < n]
    if margin is None or len(d) < MIN_PAIRS:
        return 1.0
    its = paired(d)
    if its.unchanged:  # the arm is no other configuration: a fault, no evidence
        return 1.0
    found = tost(its.mean, its.se, its.df, margin)
    return found.p if found else 1.0


def cells_to_run(
    names: Collection[str], arms: Mapping[str, Collection[str]], seeds: Sequence[int], done: Collection[tuple[str, int]]
) -> list[tuple[str, int]]:
    """(arm, seed) of the next batch: every seed for the arms of the named contrasts, without what is done; seed first.

    `arms` holds the arms of every contrast, `seeds` those up to the next look.
    """
    needed = list(dict.fromkeys(arm for name in arms if name in names for arm in arms[name]))
    return [(arm, seed) for seed in seeds for arm in needed if (arm, seed) not in done]


def within_budget(
    now: Course,
    arms: Mapping[str, Collection[str]],
    seeds: Sequence[int],
    done: Collection[tuple[str, int]],
    cost: Mapping[str, float],
    left: float,
) -> tuple[list[str], list[str]]:
    """(open contrasts that the next batch can be paid for, those that end for want of budget).

    In order of ascending current p until the budget is used up; `cost` is that of one run of each arm. Not running
    reduces power only, never validity.
    """
    p = {name: its.p_seq if its.p_seq is not None else 1.0 for name, its in now.standing.items()}
    kept: list[str] = []
    for name in sorted(now.open, key=lambda name: p[name]):
        batch = cells_to_run([*kept, name], arms, seeds, done)
        if sum(cost[arm] for arm, _ in batch) <= left:
            kept.append(name)
    return kept, [name for name in now.open if name not in kept]
