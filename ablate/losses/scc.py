"""Static consistency: the static code must not depend on the order of the frames, and must tell sequences apart."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ablate.errors import Mistake
from ablate.registry import LOSSES, latent
from ablate.types import Batch, Output


@dataclass(frozen=True)
class SCCOptions:
    """Options of `scc`."""

    variant: Literal["triplet", "ali"] = "triplet"
    margin: float = field(default=1.0, metadata={"ge": 0})  # of the triplet, in squared distance


@LOSSES("scc", options=SCCOptions, needs={"static"}, bound=False, beta=False, compares=True)
def scc(model: Any, batch: Batch, out: Output, *, options: SCCOptions) -> Tensor:
    """Static consistency constraint on the static code f (S3VAE, Zhu et al. 2020, arXiv 2005.11437), (B,).

    triplet: max(D(f, f+) - D(f, f-) + margin, 0), f+ of the same sequence with its frames in random order, f- of
    another sequence of the global batch; D (squared distance of posterior means) and margin 1 are choices made here.
    ali: mean over dimensions of (f - f+)^2 + 1 with f+ a second sample of the code of a sequence drawn from the batch.
    It pulls all static codes together and serves only to reproduce published runs.
    """
    if options.variant == "ali":
        return _ali(model, batch, out)
    near, far = distances(model, batch, out)
    return (near - far + options.margin).clamp_min(0)


def distances(model: Any, batch: Batch, out: Output) -> tuple[Tensor, Tensor]:
    """D(f, f+) and D(f, f-), (B,) each. Raises Mistake for a global batch of one sequence."""
    if batch.draw.batch < 2:
        raise Mistake("loss term scc compares sequences of a batch: train.batch_size must be at least 2")
    f = out.q[latent(model, "static")].mean  # (B, D)
    order = batch.draw.orders("term:scc/frames", batch.x.shape[1])  # (B, T)
    rows = torch.arange(len(order), device=order.device).unsqueeze(1)
    positive = model.encode_static(batch.x[rows, order]).mean
    negative = batch.gather(f)[batch.draw.derangement("term:scc/negative")]
    return ((f - positive) ** 2).sum(-1), ((f - negative) ** 2).sum(-1)


def active_share(model: Any, batch: Batch, out: Output, margin: float = 1.0) -> Tensor:
    """Share of this worker's triplets that the margin still pushes on, a scalar; 0 means that the term does nothing."""
    near, far = distances(model, batch, out)
    return (near - far + margin > 0).to(near.dtype).mean()


def _ali(model: Any, batch: Batch, out: Output) -> Tensor:
    f = out.sample[latent(model, "static")]
    noise = batch.draw.normal("term:scc/second", f.shape[-1]).to(f)
    second = batch.gather(model.encode_static(batch.x).sample(noise))  # (global B, D)
    other = second[batch.draw.permutation("term:scc/other")]
    return ((f - other) ** 2).mean(-1) + 1
