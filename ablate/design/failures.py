"""Seeds of an arm: how many were planned, finished, diverged or are missing, and which form pairs (statistics.md 6)."""

import math
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field

from scipy.special import bdtr, ndtri

DIVERGED = "diverged"  # the one failure that is an outcome of the configuration; all others are missing values
CLASSES = (DIVERGED, "infra", "memory", "timeout", "code", "stopped")  # of failures
PENDING = ("", "stopped")  # not run yet, or to be continued

Values = Mapping[int, float | None]  # seed -> primary metric; None if the seed has no value


@dataclass(frozen=True)
class Seeds:
    """Account of the planned seeds of one arm; the four kinds add up to `planned`."""

    planned: int
    finished: int
    diverged: int = 0
    missing: dict[str, int] = field(default_factory=dict)  # class of failure -> seeds
    pending: int = 0

    @property
    def tried(self) -> int:
        """Seeds that tell something of the configuration."""
        return self.finished + self.diverged

    @property
    def absent(self) -> int:
        """Seeds without an outcome, for whatever reason but divergence."""
        return sum(self.missing.values()) + self.pending

    @property
    def reasons(self) -> str:
        """`1 infra, 2 pending`; empty if all finished."""
        parts = {DIVERGED: self.diverged, **self.missing, "pending": self.pending}
        return ", ".join(f"{count} {kind}" for kind, count in parts.items() if count)

    def __str__(self) -> str:
        """`5/5`, `3/5 (2 diverged)`, `2/5 (1 infra, 2 pending)`."""
        return f"{self.finished}/{self.planned}" + (f" ({self.reasons})" if self.reasons else "")


def count(planned: Iterable[int], values: Values, failures: Mapping[int, str]) -> Seeds:
    """Account of the planned seeds, from their values and from the class of failure of those without one."""
    seeds = set(planned)
    finished = {seed for seed in seeds if values.get(seed) is not None}
    kinds = Counter(failures.get(seed, "") for seed in seeds - finished)
    pending = sum(kinds.pop(kind, 0) for kind in PENDING)
    diverged = kinds.pop(DIVERGED, 0)
    return Seeds(len(seeds), len(finished), diverged, dict(sorted(kinds.items())), pending)


def outcomes(values: Values, failures: Mapping[int, str]) -> dict[int, float | None]:
    """Seeds with an outcome: their value, or None where the run diverged; by seed."""
    found = {seed: value for seed, value in values.items() if value is not None or failures.get(seed) == DIVERGED}
    found |= {seed: None for seed, kind in failures.items() if kind == DIVERGED and seed not in found}
    return dict(sorted(found.items()))


def complete_pairs(arm: Values, reference: Values) -> list[tuple[int, float, float]]:
    """(seed, value of the arm, value of the reference) for the seeds on which both finished, by seed.

    Dropping incomplete pairs keeps the tests exact, but survivors flatter an arm that fails often.
    """
    return [
        (seed, value, other)
        for seed, value in sorted(arm.items())
        if value is not None and (other := reference.get(seed)) is not None
    ]


def together(accounts: Iterable[Seeds]) -> Seeds:
    """One account for the cells of several arms: the sum of theirs."""
    several = list(accounts)
    missing: Counter[str] = Counter()
    for its in several:
        missing.update(its.missing)
    return Seeds(
        sum(its.planned for its in several),
        sum(its.finished for its in several),
        sum(its.diverged for its in several),
        dict(sorted(missing.items())),
        sum(its.pending for its in several),
    )


def settled(seeds: Iterable[int], values: Values, failures: Mapping[int, str]) -> set[int]:
    """The seeds that nobody waits for: with a value, diverged, or given up after retries."""
    return {seed for seed in seeds if values.get(seed) is not None or failures.get(seed, "") not in PENDING}


def wilson(hits: int, n: int, alpha: float = 0.05) -> tuple[float, float] | None:
    """Interval at 1 - alpha for a rate of `hits` in n runs (Wilson 1927); exact at 0 and n; None without runs."""
    if not n:
        return None
    z, rate = float(ndtri(1 - alpha / 2)), hits / n
    middle, scale = rate + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (0.0 if hits == 0 else (middle - half) / scale, 1.0 if hits == n else (middle + half) / scale)


@dataclass(frozen=True)
class Rate:
    """How often the runs of an arm diverged."""

    diverged: int
    tried: int
    lo: float | None  # Wilson interval; None without a run
    hi: float | None
    p: float | None  # exact McNemar against the reference, descriptive; None for the reference, or without one


def rate(
    account: Seeds, arm: Mapping[int, float | None], reference: Mapping[int, float | None] | None, alpha: float = 0.05
) -> Rate:
    """The failure rate of an arm from its account and `outcomes`, against the outcomes of the reference."""
    lo, hi = wilson(account.diverged, account.tried, alpha) or (None, None)
    p = None if reference is None else mcnemar(*discordant(arm, reference))
    return Rate(account.diverged, account.tried, lo, hi, p)


def mcnemar(only_arm: int, only_reference: int) -> float:
    """Exact two-sided p that two arms fail alike, from the seeds on which only one of them failed; descriptive."""
    discordant = only_arm + only_reference
    return min(1.0, 2 * float(bdtr(min(only_arm, only_reference), discordant, 0.5))) if discordant else 1.0


def discordant(arm: Mapping[int, float | None], reference: Mapping[int, float | None]) -> tuple[int, int]:
    """(seeds on which only the arm diverged, only the reference), of two `outcomes`."""
    common = arm.keys() & reference.keys()
    return (
        sum(arm[seed] is None and reference[seed] is not None for seed in common),
        sum(arm[seed] is not None and reference[seed] is None for seed in common),
    )


def by_level(accounts: Mapping[str, Seeds], arms_on: Container[str]) -> tuple[Seeds, Seeds]:
    """(account of the arms in which a component is on, account of the others)."""
    on = [its for arm, its in accounts.items() if arm in arms_on]
    return together(on), together(its for arm, its in accounts.items() if arm not in arms_on)
