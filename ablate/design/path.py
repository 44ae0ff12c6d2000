"""From one configuration to another, one component at a time: which few changes carry the gain (statistics.md 3.5).

Fawcett & Hoos 2016. The steps are chosen on the seeds that measure them, so their intervals flatter; and a greedy path
cannot see two components that help only together: it never replaces a factorial.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from ablate.design.failures import Values, complete_pairs
from ablate.design.paired import MIN_PAIRS, Mode, Paired, paired

RACE = 0.05  # error rate of a round of the race
On = frozenset[str]  # components that are on


@dataclass(frozen=True)
class Step:
    """One flip that was kept."""

    name: str  # component
    on: On  # what is on after it
    value: float  # mean over the seeds that finished
    gain: float  # on common seeds with the configuration before
    effect: Paired  # selected on the same seeds: not a claim
    share: float | None = None  # cumulative, of the total gain; None while unfinished or without a gain


@dataclass(frozen=True)
class Walk:
    """How far the path has come, from the values there are."""

    steps: tuple[Step, ...]
    wanted: tuple[tuple[On, int], ...]  # (configuration, seed) to run next; empty when done or stuck
    evaluated: tuple[On, ...]  # distinct configurations that were asked for, in order
    stuck: str = ""  # why it cannot go on

    @property
    def done(self) -> bool:
        """Whether the other end is reached."""
        return not self.wanted and not self.stuck


def walk(
    components: Sequence[str], seeds: Sequence[int], values: Mapping[On, Values], mode: Mode, race: bool = False
) -> Walk:
    """The path from all off to all on, as far as the values reach.

    In each round every remaining flip is evaluated on the same seeds and the best is kept, even if it loses; ties go to
    the component listed first. `values` maps a configuration to seed -> metric, None for a run that ended without one.
    A flip that failed on more seeds ranks below one that failed on fewer. With `race`, a flip that is clearly behind
    after 3 or more seeds is dropped from its round.
    """
    sign = 1 if mode == "max" else -1
    at: On = frozenset()
    steps: list[Step] = []
    asked: dict[On, None] = {at: None}
    missing = [(at, seed) for seed in seeds if seed not in values.get(at, {})]
    while len(at) < len(components):
        flips = [name for name in components if name not in at]
        candidates = {name: at | {name} for name in flips}
        asked |= dict.fromkeys(candidates.values())
        if race:
            ahead, open_ = raced(candidates, seeds, values, sign)
            missing += open_
            candidates = {name: candidates[name] for name in ahead}
        else:
            missing += [(on, seed) for seed in seeds for on in candidates.values() if seed not in values.get(on, {})]
        if missing:
            return Walk(shared(steps, False), tuple(missing), tuple(asked))
        best = best_of({name: values[on] for name, on in candidates.items()}, seeds, sign)
        pairs = complete_pairs(values[candidates[best]], values[at])
        if not pairs:
            why = f"no seed on which {best} and the configuration before it both finished"
            return Walk(shared(steps, False), (), tuple(asked), why)
        effect = paired([after - before for _, after, before in pairs])
        finished = [value for value in values[candidates[best]].values() if value is not None]
        at = candidates[best]
        steps.append(Step(best, at, sum(finished) / len(finished), effect.mean, effect))
    return Walk(shared(steps, not missing), tuple(missing), tuple(asked))


def best_of(flips: Mapping[str, Values], seeds: Sequence[int], sign: int) -> str:
    """The flip with the fewest failed seeds; of several, the best mean on the seeds that they all finished.

    Without such a seed each counts on its own. Ties go to the one listed first.
    """
    finished = {name: [seed for seed in seeds if its.get(seed) is not None] for name, its in flips.items()}
    most = max(map(len, finished.values()))
    able = {name: mine for name, mine in finished.items() if len(mine) == most}
    common = set(seeds).intersection(*able.values())

    def mean(name: str) -> float:
        mine = flips[name]
        found = [its for seed in able[name] if (seed in common or not common) and (its := mine[seed]) is not None]
        return round(sign * sum(found) / len(found), 12) if found else 0.0

    return max(able, key=mean)


def raced(
    candidates: Mapping[str, On], seeds: Sequence[int], values: Mapping[On, Values], sign: int
) -> tuple[list[str], list[tuple[On, int]]]:
    """(flips still in the race, runs that the next seed needs), seed after seed.

    After each seed from the third on, flips leave whose one-sided paired t-test against the best so far has
    p < .05 / flips of the round.
    """
    ahead = list(candidates)
    for count, seed in enumerate(seeds, 1):
        open_ = [(candidates[name], seed) for name in ahead if seed not in values.get(candidates[name], {})]
        if open_:
            return ahead, open_
        seen = {name: {s: values[candidates[name]][s] for s in seeds[:count]} for name in ahead}
        best = best_of({name: seen[name] for name in ahead}, seeds[:count], sign)
        ahead = [
            name for name in ahead if name == best or behind(seen[best], seen[name], sign) >= RACE / len(candidates)
        ]
    return ahead, []


def behind(best: Values, other: Values, sign: int) -> float:
    """One-sided p that the best is no better than the other, on common seeds; 1 with fewer than 3."""
    d = [sign * (mine - theirs) for _, mine, theirs in complete_pairs(best, other)]
    if len(d) < MIN_PAIRS:
        return 1.0
    its = paired(d)
    return float(stdtr(its.df, -its.t)) if its.sd and its.t is not None else float(its.mean <= 0)


def shared(steps: Sequence[Step], done: bool) -> tuple[Step, ...]:
    """The steps with their cumulative share of the total gain, once the path is complete.

    Without shares where steps were measured on different numbers of seeds: their gains do not add up.
    """
    total = sum(its.gain for its in steps)
    if not done or abs(total) < 1e-12 or len({its.effect.n for its in steps}) > 1:
        return tuple(steps)
    reached, made = 0.0, []
    for its in steps:
        reached += its.gain
        made.append(Step(its.name, its.on, its.value, its.gain, its.effect, reached / total))
    return tuple(made)
