"""Mutual information of the static and the dynamic code, estimated from the posteriors of one batch."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ablate.errors import Mistake
from ablate.registry import LOSSES, latent
from ablate.types import Batch, Gaussian, Output


@dataclass(frozen=True)
class MIOptions:
    """Options of `mi`."""

    variant: Literal["mws", "ali"] = "mws"
    estimator: Literal["mws", "mss"] = "mws"  # minibatch-weighted or -stratified sampling
    frames: Literal["joint", "mean"] = "joint"  # I(f; z_1..T), or the mean over t of I(f; z_t)
    clips: int = field(default=6680, metadata={"ge": 1})  # variant ali: its count of training clips


@LOSSES("mi", options=MIOptions, needs={"static", "dynamic"}, bound=False, beta=False, compares=True)
def mi(model: Any, batch: Batch, out: Output, *, options: MIOptions) -> Tensor:
    """I(f; z) by sampling from the batch (Chen et al. 2018, arXiv 1802.04942; for f and z as in C-DSVAE), nats, (B,).

    With B rows and N training sequences: F[i,j] = log q(f_i | x_j), Z[i,j] = sum_t log q(z_i,t | x_j) and
    lq(M)_i = logsumexp_j M[i,j] - log(N B), the value is lq(F + Z) - lq(F) - lq(Z). It is log N (not 0) where all
    posteriors agree and log N + log B where they are far apart; gradients do not depend on N. `estimator: mss` weighs
    the rows instead and gives 0 and log N. `frames: joint` saturates where T z_dim is large. The published variant
    `ali` is information of [f, z] about the row, not of f about z, with its weights counted once per dimension.
    """
    f, z = latent(model, "static"), latent(model, "dynamic")
    if options.variant == "ali":
        return _ali(batch, out, f, z, options.clips)
    F = pairwise(out.sample[f].unsqueeze(1), gathered(batch, out.q[f]))[..., 0]  # (B, J)
    Z = pairwise(with_time(out.sample[z]), gathered(batch, out.q[z]))  # (B, J, T)
    Z = Z.sum(-1, keepdim=True) if options.frames == "joint" else Z
    F = F.unsqueeze(-1)
    if options.estimator == "mss":
        log_w = stratified(rows_of(batch), F.shape[1], batch.n_train, "mi").to(F).log().unsqueeze(-1)  # (B, J, 1)
        joint, lq_f, lq_z = ((M + log_w).logsumexp(1) for M in (F + Z, F, Z))
        return (joint - lq_f - lq_z).mean(-1)
    joint, lq_f, lq_z = (M.logsumexp(1) for M in (F + Z, F, Z))
    return (joint - lq_f - lq_z).mean(-1) + math.log(batch.n_train * F.shape[1])


def pairwise(x: Tensor, q: Gaussian) -> Tensor:
    """log q_j(x_i), summed over dimensions: x (I, T, D) and q (J, T, D) -> (I, J, T)."""
    scaled = (x.unsqueeze(1) - q.mean) * (-0.5 * q.logvar).exp()  # (I, J, T, D)
    constant = (q.logvar + math.log(2 * math.pi)).sum(-1)  # (J, T)
    return -0.5 * ((scaled**2).sum(-1) + constant)


def rows_of(batch: Batch) -> Tensor:
    """This worker's rows of the global batch, (B,)."""
    return torch.arange(batch.draw.batch)[batch.draw.rows]


def stratified(rows: Tensor, count: int, N: int, term: str) -> Tensor:
    """Weights W[i, j] of minibatch-stratified sampling, `rows` (B,) of `count`: (B, count); each row sums to 1.

    Raises Mistake, in the name of the term, for a batch of one or one that is larger than the N that train.
    """
    if not 2 <= count <= N:
        raise Mistake(
            f"loss term {term} with estimator mss needs a batch of 2 to {N} rows (all that train), not {count}"
        )
    local = torch.arange(len(rows))
    W = torch.full((len(rows), count), 1 / (count - 1), dtype=torch.float64)
    W[local, rows] = 1 / N
    W[local, (rows + 1) % count] = (N - count + 1) / (N * (count - 1))
    return W


def gathered(batch: Batch, q: Gaussian) -> Gaussian:
    """Posteriors of the global batch as (J, T, D); T = 1 for a static code."""
    mean, logvar = batch.gather(torch.stack([q.mean, q.logvar], dim=1)).unbind(1)
    return Gaussian(with_time(mean), with_time(logvar))


def with_time(z: Tensor) -> Tensor:
    """(B, T, D), with T = 1 for a code that has no frames."""
    return z if z.dim() == 3 else z.unsqueeze(1)


def _ali(batch: Batch, out: Output, f: str, z: str, clips: int) -> Tensor:
    """Mean over a sequence's frames of log q(f | x) + log q(z_t | x) - log weighted mixture at [f, z_t], (B,)."""
    w, own = _rows(out.sample[f], out.sample[z]), _joint(out.q[f], out.q[z])
    mixture = gathered(batch, own)
    mixture = Gaussian(mixture.mean.flatten(0, 1).unsqueeze(1), mixture.logvar.flatten(0, 1).unsqueeze(1))  # (R, 1, D)
    R, (B, T, D) = len(mixture.mean), w.shape
    if not 2 <= R <= clips:
        raise Mistake(
            f"loss term mi, variant ali: {R} frames of a batch do not fit into clips = {clips}; lower train.batch_size"
        )
    log_w = _ali_weights(R, clips).to(w).log()  # (R, R)
    at = slice(batch.draw.rows.start * T, (batch.draw.rows.start + B) * T)
    density = pairwise(w.flatten(0, 1).unsqueeze(1), mixture)[..., 0]  # (B T, R)
    log_q = (density + D * log_w[at]).logsumexp(1).unflatten(0, (B, T))
    return (own.log_prob(w).sum(-1) - log_q).mean(-1)


def _ali_weights(R: int, S: int) -> Tensor:
    """The published importance weights: special values in columns 0 and 1 instead of beside the diagonal."""
    second = (S - R + 1) / (S * (R - 1))
    W = torch.full((R, R), 1 / (R - 1), dtype=torch.float64)
    W[:, 0], W[:, 1] = 1 / S, second
    W[R - 2, 0] = second
    return W


def _rows(f: Tensor, z: Tensor) -> Tensor:
    """[f, z_t] of every frame, (B, T, F + Z)."""
    z = with_time(z)
    return torch.cat([f.unsqueeze(1).expand(-1, z.shape[1], -1), z], dim=-1)


def _joint(q_f: Gaussian, q_z: Gaussian) -> Gaussian:
    """Posterior of [f, z_t], (B, T, F + Z)."""
    return Gaussian(_rows(q_f.mean, q_z.mean), _rows(q_f.logvar, q_z.logvar))
