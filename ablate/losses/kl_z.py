"""KL divergence of the dynamic code's posterior from its prior."""

from torch import Tensor, nn

from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Output


@LOSSES("kl_z", needs={"latent:z"}, bound=True, beta=True)
def kl_z(model: nn.Module, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """KL(q(z_t | .) || p(z_t | .)), summed over frames and dimensions; the prior sees posterior samples."""
    return out.q["z"].kl(out.p["z"]).flatten(1).sum(1)
