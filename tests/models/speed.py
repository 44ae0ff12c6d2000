"""How much faster the hoisted models are than their naive forms: `python tests/models/speed.py [batch ...]`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]

from model_cases import batch, draws
from naive import NAIVE
from torch import Tensor

from ablate.losses.recon import ReconOptions
from ablate.random import initialise
from ablate.registry import LOSSES, MODELS
from ablate.training.bench import carried
from ablate.types import Output

X_DIM, FRAMES = 513, 50  # speech sizes
VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "storn": ("storn", {}),
    "dkf": ("dkf", {}),
    "rvae": ("rvae", {}),
    "rvae non-causal": ("rvae", {"causal": False}),
    "vrnn": ("vrnn", {}),
    "srnn": ("srnn", {}),
    "srnn generation": ("srnn", {"mode": "generation"}),
    "kvae": ("kvae", {}),
}


class Stepper:
    """Training steps (forward, Itakura-Saito bound, backward, Adam) of a model in one of its two forms."""

    def __init__(self, name: str, options: dict[str, object], size: int, naive: bool):
        self.model = MODELS[name].make((X_DIM,), MODELS[name].options(preset="speech", **options))
        initialise(self.model, 0)
        self.forward: Callable[..., Output] = self.model
        if naive:
            self.forward = lambda x, eps: NAIVE[name](self.model, x, eps)
        terms, _ = carried(MODELS[name])
        self.terms = {term: LOSSES[term].options() for term in terms} | {"recon": ReconOptions("itakura_saito")}
        self.x = torch.rand(size, FRAMES, X_DIM, generator=torch.Generator().manual_seed(0))
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-5, fused=True)

    def step(self, index: int) -> float:
        """Milliseconds of process time."""
        shapes, draw = self.model.noise_shapes(FRAMES), draws(len(self.x), index)
        eps: dict[str, Tensor] = {key: draw.normal(f"posterior/{key}", *shape) for key, shape in shapes.items()}
        started = time.process_time()
        out, its = self.forward(self.x, eps), batch(self.x)
        values = [LOSSES[term].make(self.model, its, out, options=options) for term, options in self.terms.items()]
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(values).sum(0).mean().backward()
        self.optimiser.step()
        return 1e3 * (time.process_time() - started)


def step_times(variant: str, size: int, repeats: int = 7) -> tuple[float, float, float]:
    """Milliseconds per training step of (T 50, x_dim 513), hoisted and naive in turn, and the ratio of the medians."""
    name, options = VARIANTS[variant]
    both = [Stepper(name, options, size, naive) for naive in (False, True)]
    taken = [[its.step(i) for its in both] for i in range(repeats + 1)][1:]  # the first warms up
    hoisted, naive = (median(column) for column in zip(*taken, strict=True))
    return hoisted, naive, naive / hoisted


def main(sizes: list[int]) -> None:
    """A line per model and batch size."""
    torch.set_num_threads(1)
    sys.stdout.write(f"{'model':16} {'batch':>5} {'hoisted ms':>10} {'naive ms':>10} {'ratio':>6}\n")
    for variant in VARIANTS:
        for size in sizes:
            hoisted, naive, ratio = step_times(variant, size)
            sys.stdout.write(f"{variant:16} {size:5} {hoisted:10.1f} {naive:10.1f} {ratio:6.2f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main([int(its) for its in sys.argv[1:]] or [1, 8, 32, 128])
