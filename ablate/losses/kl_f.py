"""KL divergence of the static code's posterior from its prior."""

from torch import Tensor, nn

from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Output


@LOSSES("kl_f", needs={"latent:f"}, bound=True, beta=True)
def kl_f(model: nn.Module, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """KL(q(f | x) || p(f)), summed over dimensions."""
    return out.q["f"].kl(out.p["f"]).sum(-1)
