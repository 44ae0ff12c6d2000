"""DKF, the deep Kalman filter: a Markov chain of codes, read from the frames to come."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.models.nets import check_frames, dense, shift
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import Chain, backward, gaussian, silence
from ablate.registry import MODELS
from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Gaussian, Output


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `dense_*` are widths of (Linear, tanh) layers and may be empty."""

    z_dim: int = 8
    dense_x_gx: tuple[int, ...] = (64,)  # x_t in front of the encoder's LSTM
    rnn_gx: int = 32  # of each direction
    dense_ztm1_g: tuple[int, ...] = ()  # z_{t-1} in front of its layer of width rnn_gx
    dense_g_z: tuple[int, ...] = ()  # in front of the heads of q(z)
    dense_z_x: tuple[int, ...] = (64, 64)  # in front of the output


PRESETS = {
    "small": Sizes(),
    "speech": Sizes(16, (256,), 128, (32,), (32,), (32, 64, 128, 256)),
    "interspeech": Sizes(16, (256,), 128, (32, 64), (64, 32), (32, 64, 128, 256)),
    "motion": Sizes(10, (64,), 64, (16,), (32,), (32, 64)),
    "ali": Sizes(32, (), 128, (), (), (128, 128)),
}


@dataclass(frozen=True)
class DKFOptions:
    """Options of `dkf`; a size that is not given is the preset's."""

    preset: Literal["small", "speech", "motion", "interspeech", "ali"] = "small"
    bidirectional: bool = False  # the encoder reads the past of x, too
    z_dim: int | None = size()
    dense_x_gx: tuple[int, ...] | None = None
    rnn_gx: int | None = size()
    dense_ztm1_g: tuple[int, ...] | None = None
    dense_g_z: tuple[int, ...] | None = None
    dense_z_x: tuple[int, ...] | None = None


@MODELS("dkf", options=DKFOptions, latents={"z": "dynamic"}, decoder=True)
class DKF(nn.Module):
    """Deep Kalman filter, or deep Markov model (Krishnan et al. 2017, arXiv 1609.09869).

    p(z_t | z_{t-1}) by gated maps, p(x_t | z_t) per frame, z_0 = 0. q(z_t | z_{t-1}, x_{t..T}): heads on the mean of
    u_t = tanh(W e(z_{t-1})) and the state g_t of an LSTM that runs from the last frame to the first; `bidirectional`
    adds the state of a forward one (x_{1..T}). The LSTMs and g_t's part of the heads leave the loop over z.
    """

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: DKFOptions):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("dkf", frame)
        self.frame, self.z_dim, self.bidirectional = frame, s.z_dim, options.bidirectional
        self.x_g, width = dense(x_dim, s.dense_x_gx)
        self.rnn_g = nn.LSTM(width, s.rnn_gx, batch_first=True, bidirectional=options.bidirectional)
        self.z_g = Chain(s.z_dim, s.dense_ztm1_g, s.rnn_gx)
        self.q = Chain(s.rnn_gx, s.dense_g_z, 2 * s.z_dim)
        self.prior = GatedPrior(s.z_dim)
        self.out = Chain(s.z_dim, s.dense_z_x, x_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"z": (length, self.z_dim)}

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, T, z_dim). Raises Mistake for other frames."""
        g, part = self._states(x)
        columns = part * self.q.columns(0)  # (H, W)
        z, path, stats = x.new_zeros(len(x), self.z_dim), [], []
        eps = silence(noise, x, "z", self.z_dim)
        for pre, eps_t in zip(self.q.ahead(part * g).unbind(1), eps.unbind(1), strict=True):
            stat = self.q.rest(torch.addmm(pre, self.z_g(z).tanh(), columns))
            z = gaussian(stat).sample(eps_t)
            path.append(z)
            stats.append(stat)
        return {"z": gaussian(torch.stack(stats, dim=1))}, {"z": torch.stack(path, dim=1)}

    def posterior(self, x: Tensor, z: Tensor) -> Gaussian:
        """q(z_t | z_{t-1}, x) of every frame, given the path z (B, T, z_dim)."""
        g, part = self._states(x)
        return gaussian(self.q(part * (self.z_g(shift(z)).tanh() + g)))

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        """z (B, T, z_dim) -> (B, T, D)."""
        x_hat: Tensor = self.out(sample["z"])
        return x_hat

    def prior_z(self, z: Tensor) -> Gaussian:
        """p(z_t | z_{t-1}) of every frame, given the path z (B, T, z_dim)."""
        p: Gaussian = self.prior(shift(z))
        return p

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """Roll z from its prior with noise (B, T, z_dim), behind the path `start` (B, k, z_dim): (B, T, z_dim)."""
        z = torch.zeros_like(noise[:, 0]) if start is None else start[:, -1]
        path = []
        for eps in noise.unbind(1):
            z = self.prior(z).sample(eps)
            path.append(z)
        return torch.stack(path, dim=1)

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, D)."""
        q, sample = self.encode(x, noise)
        return Output(q, {"z": self.prior_z(sample["z"])}, sample, self.decode(sample))

    def _states(self, x: Tensor) -> tuple[Tensor, float]:
        """Sum of the encoder's states, (B, T, H), and the share of each summand in the mean with u_t."""
        check_frames(x, self.frame)
        e = self.x_g(x)
        if not self.bidirectional:
            return backward(self.rnn_g, e), 1 / 2
        both, _ = self.rnn_g(e)  # (B, T, 2H)
        return both.unflatten(-1, (2, -1)).sum(-2), 1 / 3


class GatedPrior(nn.Module):
    """p(z_t | z_{t-1}): a gate between a linear map and a nonlinear proposal; the variance follows the proposal."""

    def __init__(self, z_dim: int):
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(z_dim, z_dim), nn.ReLU(), nn.Linear(z_dim, z_dim), nn.Sigmoid())
        self.proposal = nn.Sequential(nn.Linear(z_dim, z_dim), nn.ReLU(), nn.Linear(z_dim, z_dim))
        self.mean = nn.Linear(z_dim, z_dim)
        self.variance = nn.Linear(z_dim, z_dim)

    def forward(self, z: Tensor) -> Gaussian:
        """z_{t-1} (..., z_dim) -> Gaussian of z_t."""
        gate, proposal = self.gate(z), self.proposal(z)
        mean = self.mean(z).lerp(proposal, gate)
        raw = self.variance(proposal.relu()).clamp_min(LOGVAR_MIN)  # so that softplus, near exp there, is never 0
        return Gaussian(mean, functional.softplus(raw).log().clamp(LOGVAR_MIN, LOGVAR_MAX))
