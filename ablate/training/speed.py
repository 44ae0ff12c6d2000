"""How long a training step of every model takes at speech sizes, against its per-frame form, and its memory."""

import importlib.util
import math
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, get_args, get_type_hints

import torch
from torch import Tensor

import ablate
from ablate.errors import Mistake
from ablate.losses.recon import ReconOptions
from ablate.random import Draws, initialise
from ablate.registry import LOSSES, MODELS, Entry, build
from ablate.training.bench import carried, clock
from ablate.types import Batch, Output

CPU = torch.device("cpu")
RECON = ReconOptions("itakura_saito")
X_DIM, FRAMES, BATCH, LARGE = 513, 50, 32, 128  # speech sizes
SEQUENCES = 64  # that a model with a table of them is built for
SIZES: dict[str, dict[str, object]] = {"vae": {"dense": (128,), "z_dim": 16}, "fhvae": {"preset": "sfh"}}
MODES: dict[str, tuple[str, dict[str, object]]] = {
    "rvae non-causal": ("rvae", {"causal": False}),
    "srnn generation": ("srnn", {"mode": "generation"}),
}
Naive = dict[str, Callable[..., Output]]  # model -> its per-frame form, (model, x, noise) -> output


def variants() -> dict[str, tuple[Entry, dict[str, object]]]:
    """What is measured: every model in its published speech size, in its default one where it has none; and modes."""
    every: dict[str, tuple[str, dict[str, object]]] = {name: (name, {}) for name in MODELS.names()} | MODES
    return {
        variant: (MODELS[name], published(MODELS[name]) | options) for variant, (name, options) in sorted(every.items())
    }


def published(model: Entry) -> dict[str, object]:
    """The options that make the published speech size."""
    presets = get_args(get_type_hints(model.options).get("preset"))
    return SIZES.get(model.name, {"preset": "speech"} if "speech" in presets else {})


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

    def __init__(self, variant: str, size: int, naive: Callable[..., Output] | None = None, device: torch.device = CPU):
        """Raises Mistake for a model that does not take vectors."""
        entry, options = variants()[variant]
        self.model = build(entry, (X_DIM,), entry.options(**options), FRAMES, SEQUENCES)
        initialise(self.model, 0)
        self.model.to(device)
        self.forward = (lambda x, eps: naive(self.model, x, eps)) if naive else self.model
        self.terms = {term: LOSSES[term].options() for term in carried(entry)[0]} | {"recon": RECON}
        self.x = torch.rand(size, FRAMES, X_DIM, generator=torch.Generator().manual_seed(0)).to(device)
        self.index = torch.arange(size, device=device)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-5, fused=True)

    def step(self, number: int) -> float:
        """Milliseconds of process time; of wall time on a device that works beside the process."""
        shapes, size, device = self.model.noise_shapes(FRAMES), len(self.x), self.x.device
        draw = Draws(0, (number,), size, slice(0, size), device)
        eps: dict[str, Tensor] = {key: draw.normal(f"posterior/{key}", *shape) for key, shape in shapes.items()}
        rows, ones = self.index % SEQUENCES, torch.ones_like(self.index)
        started = clock(device)
        out, its = self.forward(self.x, eps), Batch(self.x, self.index, 1000, draw, sequence=rows, segments=ones)
        values = [LOSSES[term].make(self.model, its, out, options=options) for term, options in self.terms.items()]
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(values).sum(0).mean().backward()
        self.optimiser.step()
        return 1e3 * (clock(device) - started)


def in_turn(variant: str, size: int, naive: Naive, repeats: int = 9, device: torch.device = CPU) -> dict[str, float]:
    """Median milliseconds per training step, `ms` and, where there is one, `naive_ms`, and the `ratio` of the two."""
    form = naive.get(variants()[variant][0].name)
    both = [Stepper(variant, size, device=device), *([Stepper(variant, size, form, device)] if form else [])]
    taken = [[its.step(i) for its in both] for i in range(repeats + 1)][1:]  # the first warms up
    hoisted, *rest = (median(column) for column in zip(*taken, strict=True))
    return {"ms": hoisted} | {key: value for its in rest for key, value in ratio(hoisted, its).items()}


def ratio(hoisted: float, naive: float) -> dict[str, float]:
    """The naive time, and how many times the hoisted one it is."""
    return {"naive_ms": naive, "ratio": naive / hoisted}


def speeds(
    sizes: Sequence[int] = (BATCH,), device: str = "cpu", memory: bool = True, repeats: int = 9
) -> dict[str, Any]:
    """Per variant and batch size what `in_turn` measures, with one thread; `peak_mb` of a step of 128 sequences.

    The peak is measured on the CPU only. Models that do not take vectors are named under `skipped`.
    """
    threads, naive, place = torch.get_num_threads(), naive_forms(), torch.device(device)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as training does
    found: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    try:
        for variant in variants():
            try:
                found[variant] = {"batch": {size: in_turn(variant, size, naive, repeats, place) for size in sizes}}
            except Mistake as mistake:
                skipped[variant] = str(mistake)
    finally:
        torch.set_num_threads(threads)
    for variant, its in found.items() if memory and device == "cpu" else ():
        its["peak_mb"] = peak(variant)
    return {"device": device, "models": found, "skipped": skipped}


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
