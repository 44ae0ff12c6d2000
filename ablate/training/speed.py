"""What leaving the time loop saves: steps of the dynamical models against their per-frame forms, and memory."""

import importlib.util
import math
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import ablate
from ablate.losses.recon import ReconOptions
from ablate.random import Draws, initialise
from ablate.registry import LOSSES, MODELS
from ablate.training.bench import carried
from ablate.types import Batch, Output

X_DIM, FRAMES, BATCH, LARGE = 513, 50, 32, 128  # speech sizes
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "storn": ("storn", {}),
    "dkf": ("dkf", {}),
    "rvae": ("rvae", {}),
    "rvae non-causal": ("rvae", {"causal": False}),
    "vrnn": ("vrnn", {}),
    "srnn": ("srnn", {}),
    "srnn generation": ("srnn", {"mode": "generation"}),
    "kvae": ("kvae", {}),
    "dsae": ("dsae", {}),
}
Naive = dict[str, Callable[..., Output]]  # model -> its per-frame form, (model, x, noise) -> output


def naive_forms() -> Naive:
    """The per-frame forms that the tests of a checkout compare the models with; empty in an installed package."""
    file = Path(ablate.__file__).parents[1] / "tests" / "models" / "naive.py"
    if not file.is_file():
        return {}
    spec = importlib.util.spec_from_file_location("ablate_naive_forms", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    found: Naive = module.NAIVE
    return found


class Stepper:
    """Training steps (forward, Itakura-Saito bound, backward, Adam) of a model, or of its per-frame form."""

    def __init__(self, variant: str, size: int, naive: Callable[..., Output] | None = None):
        name, options = VARIANTS[variant]
        self.model = MODELS[name].make((X_DIM,), MODELS[name].options(preset="speech", **options))
        initialise(self.model, 0)
        self.forward = (lambda x, eps: naive(self.model, x, eps)) if naive else self.model
        terms, _ = carried(MODELS[name])
        self.terms = {term: LOSSES[term].options() for term in terms} | {"recon": ReconOptions("itakura_saito")}
        self.x = torch.rand(size, FRAMES, X_DIM, generator=torch.Generator().manual_seed(0))
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-5, fused=True)

    def step(self, index: int) -> float:
        """Milliseconds of process time."""
        shapes, size = self.model.noise_shapes(FRAMES), len(self.x)
        draw = Draws(0, (index,), size, slice(0, size))
        eps: dict[str, Tensor] = {key: draw.normal(f"posterior/{key}", *shape) for key, shape in shapes.items()}
        started = time.process_time()
        out, its = self.forward(self.x, eps), Batch(self.x, torch.arange(size), 1000, draw)
        values = [LOSSES[term].make(self.model, its, out, options=options) for term, options in self.terms.items()]
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(values).sum(0).mean().backward()
        self.optimiser.step()
        return 1e3 * (time.process_time() - started)


def in_turn(variant: str, size: int, naive: Naive, repeats: int = 9) -> dict[str, float]:
    """Median milliseconds per training step, `hoisted` and, where there is one, `naive`, and the ratio of the two."""
    form = naive.get(VARIANTS[variant][0])
    both = [Stepper(variant, size), *([Stepper(variant, size, form)] if form else [])]
    taken = [[its.step(i) for its in both] for i in range(repeats + 1)][1:]  # the first warms up
    hoisted, *rest = (median(column) for column in zip(*taken, strict=True))
    return {"hoisted_ms": hoisted} | {key: value for its in rest for key, value in ratio(hoisted, its).items()}


def ratio(hoisted: float, naive: float) -> dict[str, float]:
    """The naive time, and how many times the hoisted one it is."""
    return {"naive_ms": naive, "ratio": naive / hoisted}


def loops(sizes: tuple[int, ...] = (BATCH,), memory: bool = True) -> dict[str, Any]:
    """Per variant and batch size what `in_turn` measures, with one thread; `peak_mb` of a step of 128 sequences."""
    threads, naive = torch.get_num_threads(), naive_forms()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as training does
    try:
        found: dict[str, Any] = {
            its: {"batch": {size: in_turn(its, size, naive) for size in sizes}} for its in VARIANTS
        }
    finally:
        torch.set_num_threads(threads)
    for variant in VARIANTS if memory else ():
        found[variant]["peak_mb"] = peak(variant)
    return found


def peak(variant: str, size: int = LARGE) -> float:
    """Largest resident memory of a fresh process that takes one training step, in MB, torch itself included.

    NaN where the system does not tell it in /proc.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (variant, size))


def _peak(variant: str, size: int) -> float:
    torch.set_num_threads(1)
    Stepper(variant, size).step(0)
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return math.nan
    return next((int(its.split()[1]) / 1024 for its in lines if its.startswith("VmHWM:")), math.nan)
