"""The KL of a code taken apart: information about the data, total correlation, the rest dimension by dimension."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ablate.errors import Mistake
from ablate.registry import LOSSES
from ablate.types import Batch, Gaussian, Output


@dataclass(frozen=True)
class BetaTCOptions:
    """Options of `beta_tc`."""

    alpha: float = field(default=1.0, metadata={"ge": 0})  # of the information between code and data
    beta: float = field(default=4.0, metadata={"ge": 0})  # of the total correlation
    gamma: float = field(default=1.0, metadata={"ge": 0})  # of the KL dimension by dimension
    estimator: Literal["mws", "mss"] = "mws"  # minibatch-weighted or -stratified sampling


@LOSSES("beta_tc", options=BetaTCOptions, needs=set(), bound=False, beta=False)
def beta_tc(model: Any, batch: Batch, out: Output, *, options: BetaTCOptions) -> Tensor:
    """alpha I(c; x) + beta TC(c) + gamma sum_d KL(q(c_d) || p(c_d)) (Chen et al. 2018, arXiv 1802.04942), (B,), nats.

    c is the static code; where a model has none, the dynamic one with its frames as rows, summed over the frames. With
    R rows j of the global batch and N in the training set, log q(c) = logsumexp_j log q(c | x_j) - log(N R), for every
    dimension likewise; `mss` weighs the rows instead. At alpha = beta = gamma = 1 the value is log q(c | x) - log p(c),
    one sample of the KL, whatever the estimator: the term stands in for that KL, whose weight is then 0. Needs memory
    of R^2 times the dimensions.
    """
    name = next((name for name, role in model.latents.items() if role == "static"), next(iter(model.latents)))
    q, sample = rows_of(out.q[name]), with_rows(out.sample[name])  # (B, T, D), T = 1 for one code
    own = q.log_prob(sample).sum(-1)  # (B, T)
    joint, single = aggregated(batch, q, sample, options.estimator)
    log_p = out.log_p[name] if name in out.log_p else rows_of(out.p[name]).log_prob(sample).flatten(1).sum(1)
    mi, tc = (own - joint).sum(1), (joint - single).sum(1)
    return options.alpha * mi + options.beta * tc + options.gamma * (single.sum(1) - log_p)


def aggregated(batch: Batch, q: Gaussian, sample: Tensor, estimator: str) -> tuple[Tensor, Tensor]:
    """log q(c) and sum_d log q(c_d) of this worker's samples (B, T, D), by the posteriors of all rows; (B, T) both."""
    B, T, D = sample.shape
    mean, logvar = (batch.gather(its).flatten(0, 1) for its in (q.mean, q.logvar))  # (R, D)
    density = Gaussian(mean, logvar).log_prob(sample.reshape(B * T, 1, D))  # (B T, R, D)
    R, N = len(mean), batch.n_train * T
    if estimator == "mws":
        weight: Tensor | float = -math.log(N * R)
    else:
        first = batch.draw.rows.start * T
        weight = stratified(first, B * T, R, N).to(sample).log().unsqueeze(-1)  # (B T, R, 1)
    weighted = density + weight
    joint = (density.sum(-1, keepdim=True) + weight).logsumexp(1)[..., 0]
    return joint.view(B, T), weighted.logsumexp(1).sum(-1).view(B, T)


def stratified(first: int, count: int, R: int, N: int) -> Tensor:
    """Weights of minibatch-stratified sampling of `count` rows from the `first` on, (count, R); each adds up to 1.

    Raises Mistake for fewer than two rows, or more than N.
    """
    if not 2 <= R <= N:
        raise Mistake(f"loss term beta_tc with estimator mss needs a batch of 2 to {N} rows (all that train), not {R}")
    at = torch.arange(count)
    W = torch.full((count, R), 1 / (R - 1), dtype=torch.float64)
    W[at, first + at] = 1 / N
    W[at, (first + at + 1) % R] = (N - R + 1) / (N * (R - 1))
    return W


def rows_of(its: Gaussian) -> Gaussian:
    """As (B, T, D), with T = 1 for a code that has no frames."""
    return Gaussian(with_rows(its.mean), with_rows(its.logvar))


def with_rows(code: Tensor) -> Tensor:
    """(B, T, D), with T = 1 for a code that has no frames."""
    return code if code.dim() == 3 else code.unsqueeze(1)
