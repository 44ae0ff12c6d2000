"""Prior of the mean of a sequence, shared out over its segments."""

from typing import Any

from torch import Tensor

from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Gaussian, Output


@LOSSES("mu2_prior", needs={"sequences"}, bound=True, beta=False)
def mu2_prior(model: Any, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """-log N(mu2; 0, I) / N, the constant included, N the number of segments of the sequence (B,), in nats.

    The last part of FHVAE's bound of a segment (Hsu et al. 2017, arXiv 1709.07902): summed over all segments of a
    sequence it counts once.
    """
    assert batch.segments is not None  # told together with the sequences
    mu2 = model.prior_mean(batch)  # (B, z2_dim)
    return -Gaussian.standard(mu2).log_prob(mu2).sum(-1) / batch.segments
