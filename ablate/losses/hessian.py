"""Curvature of the decoder: dimensions of the codes should act on the data one by one."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ablate.registry import LOSSES
from ablate.types import Batch, Output


@dataclass(frozen=True)
class HessianOptions:
    """Options of `hessian`."""

    directions: int = field(default=2, metadata={"ge": 2})  # k, over which the variance is taken
    epsilon: float = field(default=0.1, metadata={"gt": 0})  # step of the second difference
    reduce: Literal["max", "mean"] = "max"  # over the numbers of a decoded sequence


@LOSSES("hessian", options=HessianOptions, needs={"decoder"}, bound=False, beta=False)
def hessian(model: Any, batch: Batch, out: Output, *, options: HessianOptions) -> Tensor:
    """Off-diagonal Hessian of the decoder G at the codes c (Peebles et al. 2020, arXiv 2008.10599), (B,).

    Variance over k directions v of random signs of [G(c + eps v) - 2 G(c) + G(c - eps v)] / eps^2, all latents moved
    together, then the largest over the outputs. For G(c) = c'Hc / 2 its expectation is 2 sum_(i != j) H_ij^2: 0 where
    dimensions act apart. An autoregressive model decodes with the true frames before, as its mode says. Dropout rests
    and batch normalisation uses what it has learned: masks and batches that differ between the three decodes would be
    divided by eps^2.
    """
    with steady(model):
        middle = decoded(model, batch, out.sample)
        seconds = [
            (
                decoded(model, batch, moved(out.sample, v, 1))
                - 2 * middle
                + decoded(model, batch, moved(out.sample, v, -1))
            )
            / options.epsilon**2
            for v in signs(batch, out.sample, options)
        ]
    variance = torch.stack(seconds).var(dim=0).flatten(1)  # (B, T * frame)
    return variance.amax(dim=1) if options.reduce == "max" else variance.mean(dim=1)


@contextlib.contextmanager
def steady(model: Any) -> Iterator[None]:
    """Dropout and batch normalisation as in evaluation while the block runs; all else stays as it is."""
    changed = [its for its in model.modules() if isinstance(its, _DropoutNd | _BatchNorm) and its.training]
    for its in changed:
        its.training = False
    try:
        yield
    finally:
        for its in changed:
            its.training = True


def signs(batch: Batch, sample: dict[str, Tensor], options: HessianOptions) -> list[dict[str, Tensor]]:
    """k times epsilon or -epsilon for every number of the codes."""
    k = options.directions
    drawn = {name: batch.draw.uniform(f"term:hessian/{name}", k, *code.shape[1:]) for name, code in sample.items()}
    sized = {name: (u < 0.5).to(sample[name]) * 2 * options.epsilon - options.epsilon for name, u in drawn.items()}
    return [{name: v[:, i] for name, v in sized.items()} for i in range(k)]


def moved(sample: dict[str, Tensor], v: dict[str, Tensor], sign: int) -> dict[str, Tensor]:
    """The codes at the other end of a direction."""
    return {name: code + sign * v[name] for name, code in sample.items()}


def decoded(model: Any, batch: Batch, sample: dict[str, Tensor]) -> Tensor:
    """Decoder output, (B, T, *frame)."""
    if hasattr(model, "mode"):
        y: Tensor = model.decode(sample, batch.x)
    else:
        y = model.decode(sample, batch.x.shape[1]) if hasattr(model, "length") else model.decode(sample)
    return y
