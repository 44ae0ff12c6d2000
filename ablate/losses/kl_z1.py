"""KL divergence of the posterior of what a segment says from its prior."""

from torch import Tensor, nn

from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Output


@LOSSES("kl_z1", needs={"latent:z1"}, bound=True, beta=True)
def kl_z1(model: nn.Module, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """KL(q(z1 | x, z2) || p(z1)), summed over dimensions."""
    return out.q["z1"].kl(out.p["z1"]).flatten(1).sum(1)
