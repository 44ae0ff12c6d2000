"""Response surfaces with known answers, in place of training: they drive a study end to end in seconds."""

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from scipy.special import ndtri

from ablate.random import stream

BLOCK, NOISE = 0.02, 0.012  # standard deviations: of a seed, and of one run within it


@dataclass(frozen=True)
class Surface:
    """y = mu + sum E_i x_i / 2 + sum I_ij x_i x_j / 2 with x = +1 on, -1 off; components in study order."""

    mu: float
    main: Mapping[str, float]  # component -> E
    pair: Mapping[tuple[str, str], float] = field(default_factory=dict)  # two components -> I

    def value(self, on: Collection[str]) -> float:
        """The metric without noise when these components are on."""
        level = {name: 1 if name in on else -1 for name in self.main}
        mains = sum(effect * level[name] for name, effect in self.main.items())
        pairs = sum(effect * level[one] * level[other] for (one, other), effect in self.pair.items())
        return self.mu + (mains + pairs) / 2

    def measured(self, on: Collection[str], seed: int) -> float:
        """The metric of one run: a block effect that all arms of the seed share, and noise of this configuration."""
        digits = "".join(str(int(name in on)) for name in self.main)
        noise = BLOCK * normal(seed, "surface/block") + NOISE * normal(seed, f"surface/noise/{digits}")
        return self.value(on) + noise

    def gap(self, name: str) -> float:
        """Twice the sum of a component's two-way effects: its leave-one-out loss less its add-one-in gain."""
        return 2 * sum(effect for both, effect in self.pair.items() if name in both)

    def subsets(self) -> list[frozenset[str]]:
        """All states of the components, the first one fastest."""
        states = itertools.product((False, True), repeat=len(self.main))
        return [frozenset(name for name, on in zip(self.main, reversed(state), strict=True) if on) for state in states]


EXAMPLE = Surface(
    0.6,
    {"scc": 0.04, "cyclic": 0.01, "mi": 0.02, "kl_f": 0.0},
    {("scc", "mi"): -0.02, ("cyclic", "kl_f"): 0.006},
)  # statistics.md 9.10


def normal(seed: int, name: str) -> float:
    """A standard normal number of the stream `name`."""
    return float(ndtri((stream(seed, name) + 0.5) / 2**63))
