"""Annealed capacity: the codes are to hold so many nats, a number that grows during training."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ablate.registry import LOSSES
from ablate.types import Batch, Output


@dataclass(frozen=True)
class CapacityOptions:
    """Options of `capacity`."""

    nats: float = field(default=25.0, metadata={"ge": 0})  # per sequence, in the end
    steps: int = field(default=1000, metadata={"ge": 1})  # of the optimiser, until then


@LOSSES("capacity", options=CapacityOptions, needs=set(), bound=False, beta=False)
def capacity(model: Any, batch: Batch, out: Output, *, options: CapacityOptions) -> Tensor:
    """|KL - C| with C = min(nats i / steps, nats) at optimiser step i (Burgess et al. 2018, arXiv 1804.03599), (B,).

    KL is that of all latents together, in nats per sequence. The absolute value is that of the mean over the global
    batch: (KL_b - C) times the sign of mean KL - C, the mean of which is the term. In evaluation C = nats. It stands in
    for the KLs, whose weights are then 0.
    """
    kl = total_kl(out)  # (B,)
    C = at_step(options, batch.step) if model.training else options.nats
    return (kl - C) * (batch.gather(kl.detach()).mean() - C).sign()


def at_step(options: CapacityOptions, step: int) -> float:
    """C at an optimiser step, counted from 0 over the whole run."""
    return min(options.nats * step / options.steps, options.nats)


def total_kl(out: Output) -> Tensor:
    """Sum over latents, frames and dimensions, (B,); one sample of it where a prior is not diagonal."""
    parts = [
        q.log_prob(out.sample[name]).flatten(1).sum(1) - out.log_p[name]
        if name in out.log_p
        else q.kl(out.p[name]).flatten(1).sum(1)
        for name, q in out.q.items()
    ]
    return sum(parts[1:], parts[0])
