"""Worked examples of statistics.md 9 and a toy configuration for them."""

from typing import Any

from ablate.design.options import Design
from ablate.design.plan import Plan, plan

NAMES = ("scc", "cyclic", "mi", "kl_f")
FIVE = (*NAMES, {"inference": ["full", "factorised"]})
SEEDS = tuple(range(9))

B = {
    "full": (0.6163, 0.6283, 0.6172, 0.6046, 0.6062, 0.6020, 0.6253, 0.6361, 0.6084),
    "no_scc": (0.5672, 0.5799, 0.5630, 0.5711, 0.5666, 0.5754, 0.5930, 0.6119, 0.5509),
    "no_cyclic": (0.6183, 0.6261, 0.6166, 0.5973, 0.6104, 0.5983, 0.6180, 0.6504, 0.6081),
    "no_mi": (0.6294, 0.6513, 0.6146, 0.6120, 0.6238, 0.6133, 0.6090, 0.6555, 0.6456),
    "no_kl_f": (0.6226, 0.6520, 0.6343, 0.6156, 0.6498, 0.6278, 0.6271, 0.6629, 0.6349),
}  # 9.2
C = (
    (0.5404, 0.6032, 0.5316, 0.6130, 0.5754, 0.6457, 0.5985, 0.6116),
    (0.4505, 0.5059, 0.4512, 0.5192, 0.4997, 0.5110, 0.5154, 0.5215),
    (0.5137, 0.5919, 0.5299, 0.5773, 0.5512, 0.5798, 0.5866, 0.5801),
    (0.4907, 0.5657, 0.4930, 0.5601, 0.5442, 0.5606, 0.5447, 0.5717),
)  # 9.3: seeds x cells, the first component fastest
D = (
    (0.5166, 0.5483, 0.4965, 0.5952, 0.5302, 0.5867, 0.5559, 0.5732),
    (0.5464, 0.5826, 0.5261, 0.6142, 0.5609, 0.6138, 0.5956, 0.5860),
    (0.5500, 0.5675, 0.5124, 0.6177, 0.5491, 0.5891, 0.5880, 0.5808),
)  # 9.4


def base(**weights: float) -> dict[str, Any]:
    """A configuration in plain form; all terms at 10 unless told otherwise."""
    terms = {name: {"weight": weights.get(name, 10), "warmup": None, "options": {}} for name in NAMES}
    return {
        "data": {"name": "toy", "window": 20},
        "model": {"name": "dsae", "inference": "full", "prior": "lstm", "z_dim": 8, "f_dim": 16, "causal": False},
        "loss": {"beta": 1, "recon": {"weight": 1, "warmup": None, "options": {}}, **terms},
        "train": {"epochs": 8, "lr": 0.002, "seed": 0},
        "metrics": {"every": 1},
    }


def design(kind: str, components: Any = NAMES, seeds: Any = SEEDS, **more: Any) -> Design:
    """A design judged by a metric where more is better."""
    seeds = tuple(seeds) if isinstance(seeds, range) else seeds
    metric = more.pop("metric", "test/score")
    return Design(kind, tuple(components), metric, more.pop("mode", "max"), seeds=seeds, **more)  # type: ignore[arg-type]


def planned(kind: str, components: Any = NAMES, seeds: Any = SEEDS, **more: Any) -> Plan:
    """Its plan around the toy configuration."""
    return plan(design(kind, components, seeds, **more), base())


def by_seed(*values: float | None) -> dict[int, float | None]:
    """Values on seeds 0, 1, ..."""
    return dict(enumerate(values))


def cells(its: Plan, y: Any) -> dict[str, dict[int, float | None]]:
    """Values (seeds, arms) by arm and seed."""
    return {arm.name: {seed: row[i] for seed, row in enumerate(y)} for i, arm in enumerate(its.arms)}
