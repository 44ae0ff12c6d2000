"""Reconstruction: negative log-likelihood of the data under the decoder's output, or a distance from it."""

import math
from dataclasses import dataclass, field

from torch import Tensor, nn

from ablate.models.feedback import Likelihood
from ablate.registry import LOSSES
from ablate.types import Batch, Gaussian, Output

FLOOR = 1e-10  # of a power spectrum, so that a zero bin has a logarithm


@dataclass(frozen=True)
class ReconOptions:
    """Options of `recon`."""

    likelihood: Likelihood = "gaussian"
    variance: float = field(
        default=1.0, metadata={"gt": 0}
    )  # of the Gaussian; 1/2 gives the squared error up to a constant


@LOSSES("recon", options=ReconOptions, needs={"decoder"}, bound=True, beta=False)
def recon(model: nn.Module, batch: Batch, out: Output, *, options: ReconOptions) -> Tensor:
    """-log p(x | x_hat), summed over frames and features.

    gaussian: x_hat is the mean, full constant; where a model tells the log-variance too (fhvae), `variance` multiplies
    it. bernoulli: x in [0, 1], x_hat logits. itakura_saito: x a power spectrum, x_hat log-power; the divergence is -log
    of the complex Gaussian of the transform up to terms in x alone (Leglaive et al. 2020, arXiv 1910.10942). x is
    floored at 1e-10, which published code does not do. mpjpe: x and x_hat positions of joints in metres, the mean
    distance over the joints in mm, summed over frames: no likelihood, so that the ELBO is a surrogate in which beta
    carries a unit, as in the review of Girin et al. (arXiv 2008.12595).
    """
    assert out.x_hat is not None
    if options.likelihood == "mpjpe":
        return distances(batch.x, out.x_hat).mean(dim=-1).sum(dim=-1)
    if options.likelihood == "gaussian" and out.x_logvar is not None:
        p = Gaussian(out.x_hat, out.x_logvar + math.log(options.variance))
        return -p.log_prob(batch.x).flatten(1).sum(1)
    return negative_log_likelihood(batch.x, out.x_hat, options.likelihood, options.variance).flatten(1).sum(1)


def distances(x: Tensor, y: Tensor) -> Tensor:
    """Of joints whose positions in metres make up a frame, (B, T, 3 J) -> (B, T, J) in mm."""
    return (1000 * (x - y)).unflatten(-1, (-1, 3)).norm(dim=-1)


def negative_log_likelihood(x: Tensor, y: Tensor, likelihood: Likelihood, variance: float) -> Tensor:
    """Per element, in nats; of all likelihoods but mpjpe."""
    if likelihood == "gaussian":
        return 0.5 * ((x - y) ** 2 / variance + math.log(2 * math.pi * variance))
    if likelihood == "bernoulli":
        return nn.functional.softplus(y) - x * y
    r = x.clamp_min(FLOOR).log() - y
    return r.exp() - r - 1
