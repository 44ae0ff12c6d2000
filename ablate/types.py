"""What travels through the house: a batch of sequences, Gaussians, and what a model makes of a batch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ablate.random import Draws

LOGVAR_MIN, LOGVAR_MAX = -30.0, 20.0  # bounds of every log-variance; a healthy run never touches them


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian; `mean` and `logvar` are (..., D)."""

    mean: Tensor
    logvar: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """mean + sd * noise, with standard normal noise of the same shape."""
        return self.mean + (0.5 * self.logvar).exp() * noise

    def log_prob(self, x: Tensor) -> Tensor:
        """log N(x; mean, var) per dimension, in nats."""
        return -0.5 * (math.log(2 * math.pi) + self.logvar + (x - self.mean) ** 2 * (-self.logvar).exp())

    def kl(self, p: "Gaussian") -> Tensor:
        """KL(self || p) per dimension, in nats."""
        ratio, difference = self.logvar - p.logvar, (self.mean - p.mean) ** 2
        return 0.5 * (ratio.expm1() - ratio + difference * (-p.logvar).exp())  # exactly 0 for equal distributions

    @classmethod
    def standard(cls, like: Tensor) -> "Gaussian":
        """N(0, I) of the shape of `like`."""
        return cls(torch.zeros_like(like), torch.zeros_like(like))


def alone(codes: Tensor) -> Tensor:
    """The gather of a run with one worker: what there is."""
    return codes


@dataclass(frozen=True)
class Batch:
    """This worker's share of one global batch."""

    x: Tensor  # (B, T, *frame): frame is (D,) for vectors, (C, H, W) for pictures
    index: Tensor  # (B,) row of each sequence (window) in its split
    n_train: int  # training sequences (windows) in all: N of the mutual information estimators
    draw: Draws  # the random numbers of this step
    gather: Callable[[Tensor], Tensor] = alone  # (B, ...) -> (global B, ...), with gradient
    epoch: int = 0  # epochs that training has completed
    step: int = 0  # steps of the optimiser before this one, over all epochs
    sequence: Tensor | None = None  # (B,) row of the sequence that each window was cut from, in the table of sequences
    segments: Tensor | None = None  # (B,) windows in all that were cut from that sequence
    table: Tensor | None = None  # (S, D) mean of the static code of each sequence; None: those that the model holds
    drawn: np.ndarray | None = None  # (S,) sequences of the split that the model's table holds from this batch on


@dataclass(frozen=True)
class Output:
    """What a model makes of a batch, by latent: (B, D) if static, (B, T, D) if dynamic; T = 1 if one for all frames."""

    q: dict[str, Gaussian]  # posteriors
    p: dict[str, Gaussian]  # priors, at the posterior samples they are conditioned on
    sample: dict[str, Tensor]  # posterior samples; the means where no noise was given
    x_hat: Tensor | None  # (B, T, *frame): mean, logits or log-power, as the reconstruction term reads it
    log_p: dict[str, Tensor] = field(default_factory=dict)  # (B,) log p(sample) of latents whose prior is not diagonal
    x_logvar: Tensor | None = None  # (B, T, *frame): of p(x | .), where the model tells it beside the mean `x_hat`
