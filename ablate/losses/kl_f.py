"""KL divergence of the static code's posterior from its prior."""

from torch import Tensor, nn

from ablate.losses.kl_z import KLOptions, floored
from ablate.registry import LOSSES
from ablate.types import Batch, Output


@LOSSES("kl_f", options=KLOptions, needs={"latent:f"}, bound=True, beta=True)
def kl_f(model: nn.Module, batch: Batch, out: Output, *, options: KLOptions) -> Tensor:
    """KL(q(f | x) || p(f)), summed over dimensions."""
    return floored(model, batch, out.q["f"].kl(out.p["f"]), options).sum(-1)
