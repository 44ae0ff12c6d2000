"""Divergence of the posterior of points from a prior that has no diagonal form, at the sampled path."""

from torch import Tensor, nn

from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Output


@LOSSES("kl_a", needs={"latent:a"}, bound=True, beta=True)
def kl_a(model: nn.Module, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """log q(a | x) - log p(a) at the sampled path, summed over frames and dimensions: one sample of the KL.

    p(a) of KVAE (Fraccaro et al. 2017, arXiv 1710.05741) couples all frames; single values may be negative. One number
    for the whole path has no parts per dimension that could have a floor: there are no `free_bits`.
    """
    log_q = out.q["a"].log_prob(out.sample["a"])
    return log_q.flatten(1).sum(1) - out.log_p["a"]
