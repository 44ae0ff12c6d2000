"""Discrimination: the static code of a segment must tell from which sequence it was cut."""

from typing import Any

import torch
from torch import Tensor

from ablate.models.fhvae import VAR_Z2
from ablate.registry import LOSSES, NoOptions
from ablate.types import Batch, Output


@LOSSES("disc", needs={"sequences"}, bound=False, beta=False)
def disc(model: Any, batch: Batch, out: Output, *, options: NoOptions) -> Tensor:
    """-log q(y = i | E[z2]), i the sequence of the segment, (B,), in nats (Hsu et al. 2017, arXiv 1709.07902).

    log q is the log-softmax over the sequences j of -|E[z2] - mu2_j|^2 / (2 * 0.25), of the posterior mean, not of a
    sample. The paper's objective adds alpha log q to the bound with alpha 0 or 10, which is this term's weight; it is
    log q that grows. The sequences are those of the model's table in training, those of the split in evaluation.
    """
    assert batch.sequence is not None  # the model has refused it otherwise
    return cross_entropy(out.q["z2"].mean, model.means(batch), batch.sequence)


def cross_entropy(z2: Tensor, mu2: Tensor, sequence: Tensor) -> Tensor:
    """-log softmax_j(-|z2 - mu2_j|^2 / 0.5) at j = `sequence`: z2 (B, D) and mu2 (S, D) -> (B,).

    |z2|^2 is common to all j and left out, so that no more than (B, S) numbers are made.
    """
    logits = (z2 @ mu2.t() - 0.5 * (mu2**2).sum(-1)) / VAR_Z2  # (B, S)
    return logits.logsumexp(-1) - torch.gather(logits, 1, sequence.unsqueeze(1)).squeeze(1)
