"""KL divergence of the dynamic code's posterior from its prior; the floor that all KLs may have."""

from dataclasses import dataclass, field

from torch import Tensor, nn

from ablate.registry import LOSSES
from ablate.types import Batch, Output


@dataclass(frozen=True)
class KLOptions:
    """Options of the KL of a code."""

    free_bits: float = field(default=0.0, metadata={"ge": 0})  # nats of each dimension (and frame) that cost nothing


@LOSSES("kl_z", options=KLOptions, needs={"latent:z"}, bound=True, beta=True)
def kl_z(model: nn.Module, batch: Batch, out: Output, *, options: KLOptions) -> Tensor:
    """KL(q(z_t | .) || p(z_t | .)), summed over frames and dimensions; the prior sees posterior samples."""
    return floored(model, batch, out.q["z"].kl(out.p["z"]), options).flatten(1).sum(1)


def floored(model: nn.Module, batch: Batch, kl: Tensor, options: KLOptions) -> Tensor:
    """A KL per dimension, (B, D) or (B, T, D), with `free_bits` as its floor (Kingma et al. 2016, arXiv 1606.04934).

    A dimension whose mean over the global batch (and the frames) is below the floor counts as the floor and has no
    gradient: the mean over sequences is sum_d max(free_bits, mean KL_d). In training only: evaluation, and with it the
    ELBO, sees the KL itself.
    """
    if not options.free_bits or not model.training:
        return kl
    mean = batch.gather(kl.detach()).flatten(0, -2).mean(0)  # (D,)
    return kl.where(mean > options.free_bits, kl.new_full((), options.free_bits))
