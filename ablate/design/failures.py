"""Seeds of an arm: how many were planned, finished, diverged or are missing, and which form pairs (statistics.md 6)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

DIVERGED = "diverged"  # the one failure that is an outcome of the configuration; all others are missing values
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

    def __str__(self) -> str:
        """`5/5`, `3/5 (2 diverged)`, `2/5 (1 infra, 2 pending)`."""
        parts = {DIVERGED: self.diverged, **self.missing, "pending": self.pending}
        why = ", ".join(f"{count} {kind}" for kind, count in parts.items() if count)
        return f"{self.finished}/{self.planned}" + (f" ({why})" if why else "")


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
