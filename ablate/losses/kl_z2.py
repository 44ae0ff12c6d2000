"""KL divergence of the posterior of a segment's static code from its prior around the mean of the sequence."""

from torch import Tensor, nn

from ablate.losses.kl_z import KLOptions, floored
from ablate.registry import LOSSES
from ablate.types import Batch, Output


@LOSSES("kl_z2", options=KLOptions, needs={"latent:z2"}, bound=True, beta=True)
def kl_z2(model: nn.Module, batch: Batch, out: Output, *, options: KLOptions) -> Tensor:
    """KL(q(z2 | x) || p(z2 | mu2)), summed over dimensions; mu2 is that of the segment's sequence."""
    return floored(model, batch, out.q["z2"].kl(out.p["z2"]), options).sum(-1)
