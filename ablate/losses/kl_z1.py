"""KL divergence of the posterior of what a segment says from its prior."""

from torch import Tensor, nn

from ablate.losses.kl_z import KLOptions, floored
from ablate.registry import LOSSES
from ablate.types import Batch, Output


@LOSSES("kl_z1", options=KLOptions, needs={"latent:z1"}, bound=True, beta=True)
def kl_z1(model: nn.Module, batch: Batch, out: Output, *, options: KLOptions) -> Tensor:
    """KL(q(z1 | x, z2) || p(z1)), summed over dimensions."""
    return floored(model, batch, out.q["z1"].kl(out.p["z1"]), options).flatten(1).sum(1)
