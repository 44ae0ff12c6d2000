"""Dynamic factor prediction: the dynamic code must tell how much there is to hear or to see moving in its frame."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ablate.losses.recon import FLOOR, negative_log_likelihood
from ablate.models.feedback import Likelihood
from ablate.models.s3vae import GRID
from ablate.registry import LOSSES
from ablate.types import Batch, Output


@dataclass(frozen=True)
class DFPOptions:
    """Options of `dfp`."""

    variance: float = field(default=1.0, metadata={"gt": 0})  # of the signal around its prediction
    likelihood: Likelihood = "gaussian"  # that of recon: itakura_saito says that the frames are power spectra


@LOSSES("dfp", options=DFPOptions, needs={"predictor"}, bound=False, beta=False)
def dfp(model: Any, batch: Batch, out: Output, *, options: DFPOptions) -> Tensor:
    """Dynamic factor prediction: what the data say of a frame, told from its z_t (Zhu et al. 2020, arXiv 2005.11437).

    -log N(signal_t; predictor(z_t), variance), summed over frames and cells, (B,), in nats; z_t is a posterior sample.
    The paper predicts the output of other networks; `signal` is computed from the frames. No gradient reaches f or the
    decoder.
    """
    target = signal(batch.x, options.likelihood)  # (B, S, K), the last S frames
    told = model.predict(out.sample["z"])[:, batch.x.shape[1] - target.shape[1] :]
    return negative_log_likelihood(target, told, "gaussian", options.variance).flatten(1).sum(1)


def signal(x: Tensor, likelihood: Likelihood = "gaussian") -> Tensor:
    """What is to be predicted. Vectors (B, T, D) -> (B, T, 1); pictures (B, T, C, H, W) -> (B, T - 1, 9), t = 2..T."""
    return energy(x, likelihood) if x.dim() == 3 else movement(x)


def energy(x: Tensor, likelihood: Likelihood = "gaussian") -> Tensor:
    """Energy of every frame, (B, T, D) -> (B, T, 1): the mean over bins, which are levels on a logarithmic scale.

    Of power spectra (`itakura_saito`) the logarithm of the mean power, floored at 1e-10.
    """
    mean = x.mean(-1, keepdim=True)
    return mean.clamp_min(FLOOR).log() if likelihood == "itakura_saito" else mean


def movement(x: Tensor) -> Tensor:
    """Mean squared difference to the picture before in each cell of a 3 x 3 grid, (B, T, C, H, W) -> (B, T - 1, 9).

    Cells go row by row. Where a side is no multiple of 3, neighbouring cells share a row or column of pixels.
    """
    difference = ((x[:, 1:] - x[:, :-1]) ** 2).mean(2)  # (B, T - 1, H, W)
    return nn.functional.adaptive_avg_pool2d(difference, GRID).flatten(2)
