"""The KL of a code taken apart: information about the data, total correlation, the rest dimension by dimension."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ablate.losses.mi import gathered, rows_of, stratified, with_time
from ablate.registry import LOSSES
from ablate.types import Batch, Gaussian, Output


@dataclass(frozen=True)
class BetaTCOptions:
    """Options of `beta_tc`."""

    alpha: float = field(default=1.0, metadata={"ge": 0})  # of the information between code and data
    beta: float = field(default=4.0, metadata={"ge": 0})  # of the total correlation
    gamma: float = field(default=1.0, metadata={"ge": 0})  # of the KL dimension by dimension
    estimator: Literal["mws", "mss"] = "mws"  # minibatch-weighted or -stratified sampling
    gamma_steps: int = field(default=0, metadata={"ge": 0})  # of the optimiser, until gamma has its value


@LOSSES("beta_tc", options=BetaTCOptions, needs={"priors"}, bound=False, beta=False)
def beta_tc(model: Any, batch: Batch, out: Output, *, options: BetaTCOptions) -> Tensor:
    """alpha I(c; x) + beta TC(c) + gamma sum_d KL(q(c_d) || p(c_d)) (Chen et al. 2018, arXiv 1802.04942), (B,), nats.

    c is the static code; where a model has none, the dynamic one with its frames as rows, summed over the frames. With
    R rows j of the global batch and N in the training set, log q(c) = logsumexp_j log q(c | x_j) - log(N R), for every
    dimension likewise; `mss` weighs the rows instead. At alpha = beta = gamma = 1 the value is log q(c | x) - log p(c),
    one sample of the KL, whatever the estimator: the term stands in for that KL, whose weight is then 0. gamma may rise
    during training, (i + 1) / gamma_steps of it at optimiser step i (published code begins anew in every epoch). Needs
    memory of R^2 times the dimensions.
    """
    name = next((name for name, role in model.latents.items() if role == "static"), next(iter(model.latents)))
    q, sample = out.q[name], with_time(out.sample[name])  # (B, T, D), T = 1 for one code
    own = q.log_prob(out.sample[name]).sum(-1).view(sample.shape[:2])  # (B, T)
    joint, single = aggregated(batch, q, sample, options.estimator)
    log_p = out.log_p[name] if name in out.log_p else out.p[name].log_prob(out.sample[name]).flatten(1).sum(1)
    mi, tc = (own - joint).sum(1), (joint - single).sum(1)
    gamma = options.gamma * (risen(options, batch.step) if model.training else 1.0)
    return options.alpha * mi + options.beta * tc + gamma * (single.sum(1) - log_p)


def risen(options: BetaTCOptions, step: int) -> float:
    """Share of gamma at an optimiser step, counted from 0 over the whole run."""
    return min((step + 1) / options.gamma_steps, 1.0) if options.gamma_steps else 1.0


def aggregated(batch: Batch, q: Gaussian, sample: Tensor, estimator: str) -> tuple[Tensor, Tensor]:
    """log q(c) and sum_d log q(c_d) of this worker's samples (B, T, D), by the posteriors of all rows; (B, T) both."""
    B, T, D = sample.shape
    every = gathered(batch, q)  # (global B, T, D)
    mean, logvar = every.mean.flatten(0, 1), every.logvar.flatten(0, 1)  # (R, D)
    density = Gaussian(mean, logvar).log_prob(sample.reshape(B * T, 1, D))  # (B T, R, D)
    R, N = len(mean), batch.n_train * T
    if estimator == "mws":
        weight: Tensor | float = -math.log(N * R)
    else:
        at = (rows_of(batch).unsqueeze(1) * T + torch.arange(T)).flatten()  # (B T,)
        weight = stratified(at, R, N, "beta_tc").to(sample).log().unsqueeze(-1)  # (B T, R, 1)
    weighted = density + weight
    joint = (density.sum(-1, keepdim=True) + weight).logsumexp(1)[..., 0]
    return joint.view(B, T), weighted.logsumexp(1).sum(-1).view(B, T)
