"""KL divergence of the posterior of a segment's static code from its prior around the mean of the sequence."""

from torch import Tensor, nn

from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Output


@LOSSES("kl_z2", needs={"latent:z2"}, bound=True, beta=True)
def kl_z2(model: nn.Module, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """KL(q(z2 | x) || p(z2 | mu2)), summed over dimensions; mu2 is that of the segment's sequence."""
    return out.q["z2"].kl(out.p["z2"]).sum(-1)
