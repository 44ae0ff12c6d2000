"""STORN, the stochastic recurrent network: independent codes, a decoder that remembers them and the frames before."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.models.feedback import Likelihood, Loop, Mode, follows_data, share
from ablate.models.nets import check_frames, dense, shift
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import Cell, Chain, gaussian, silence
from ablate.registry import MODELS
from ablate.types import Gaussian, Output


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `dense_*` are widths of (Linear, tanh) layers and may be empty."""

    z_dim: int = 8
    dense_x_g: tuple[int, ...] = (64,)  # x_t in front of the encoder's LSTM
    rnn_g: int = 32
    dense_g_z: tuple[int, ...] = (32,)  # in front of the heads of q(z)
    dense_z_h: tuple[int, ...] = (32,)  # z_t in front of the decoder's LSTM
    dense_xtm1_h: tuple[int, ...] = (64,)  # x_{t-1} in front of the decoder's LSTM
    rnn_h: int = 32
    dense_h_x: tuple[int, ...] = (64,)  # in front of the output


_speech = Sizes(16, (256,), 128, (64, 32), (32, 64), (256,), 128, (256,))
PRESETS = {
    "small": Sizes(),
    "speech": _speech,
    "interspeech": _speech,
    "motion": Sizes(10, (64,), 64, (32,), (32,), (64,), 64, ()),
    "ali": Sizes(32, (128,), 128, (128,), (128,), (128,), 128, (128,)),
}


@dataclass(frozen=True)
class STORNOptions:
    """Options of `storn`; a size that is not given is the preset's."""

    preset: Literal["small", "speech", "motion", "interspeech", "ali"] = "small"
    mode: Mode = "teacher"
    likelihood: Likelihood = "gaussian"  # that of recon: how an output becomes the next input
    ss_step: int = field(default=50, metadata={"ge": 1})  # mode scheduled: epochs between two rises of the share
    z_dim: int | None = size()
    dense_x_g: tuple[int, ...] | None = None
    rnn_g: int | None = size()
    dense_g_z: tuple[int, ...] | None = None
    dense_z_h: tuple[int, ...] | None = None
    dense_xtm1_h: tuple[int, ...] | None = None
    rnn_h: int | None = size()
    dense_h_x: tuple[int, ...] | None = None


@MODELS("storn", options=STORNOptions, latents={"z": "dynamic"}, decoder=True, autoregressive=True)
class STORN(nn.Module):
    """Stochastic recurrent network, independent codes (Bayer and Osendorfer 2014, arXiv 1411.7610).

    p(z_t) = N(0, I), p(x_t | x_{<t}, z_{<=t}) by h = LSTM([e(z_t), e(x_{t-1})]); q(z_t | x_{<=t}) by an LSTM on e(x_t).
    The encoder reads x_t, as in the review of Girin et al. (arXiv 2008.12595); the paper's reads x_{t-1}. Both LSTMs
    run over the whole sequence at once; only outputs that are fed back (modes scheduled, generation) need a loop.
    """

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: STORNOptions):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("storn", frame)
        self.frame, self.z_dim, self.mode, self.ss_step = frame, s.z_dim, options.mode, options.ss_step
        self.likelihood = options.likelihood
        self.x_g, width = dense(x_dim, s.dense_x_g)
        self.rnn_g = nn.LSTM(width, s.rnn_g, batch_first=True)
        self.q = Chain(s.rnn_g, s.dense_g_z, 2 * s.z_dim)
        self.z_h, z_width = dense(s.z_dim, s.dense_z_h)
        self.x_h, x_width = dense(x_dim, s.dense_xtm1_h)
        self.rnn_h = nn.LSTM(z_width + x_width, s.rnn_h, batch_first=True)
        self.out = Chain(s.rnn_h, s.dense_h_x, x_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"z": (length, self.z_dim)}

    def share(self, epoch: int) -> float:
        """Share of the frames that are decoded from own outputs in this epoch of mode scheduled."""
        return share(epoch, self.ss_step)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, T, z_dim). Raises Mistake for other frames."""
        q = self.posterior(x)
        return {"z": q}, {"z": q.sample(silence(noise, x, "z", self.z_dim))}

    def posterior(self, x: Tensor) -> Gaussian:
        """q(z_t | x_{<=t}) of every frame, (B, T, z_dim)."""
        check_frames(x, self.frame)
        g, _ = self.rnn_g(self.x_g(x))  # (B, T, G)
        return gaussian(self.q(g))

    def decode(self, sample: dict[str, Tensor], x: Tensor | None = None) -> Tensor:
        """z (B, T, z_dim) -> (B, T, D), in mode teacher from the true frames before in `x`, else from own outputs."""
        return self._emit(sample["z"], x, None)

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None, own: Tensor | None = None) -> Output:
        """x (B, T, D). `own` (T,) or (B, T) bool, mode scheduled: frames decoded from own outputs (None: all)."""
        q, sample = self.encode(x, noise)
        return Output(q, {"z": Gaussian.standard(sample["z"])}, sample, self._emit(sample["z"], x, own))

    def reconstruct(self, sample: dict[str, Tensor], x: Tensor) -> Tensor:
        """How x is evaluated, from its codes: with the true frames before in mode teacher. (B, T, D)."""
        return self.decode(sample, x)

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """z from N(0, I): the noise itself, (B, T, z_dim), whatever came before."""
        return noise

    def forecast(self, x: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Codes (B, T, z_dim) and outputs (B, T, D) of x (B, K, D) and of the T - K frames that follow it.

        z of x are posterior means that see no more than x, the later ones are rolled from their prior with `noise`
        (B, T - K, z_dim). The states read x, and from then on the outputs, in every mode.
        """
        z = torch.cat([self.posterior(x).mean, noise], dim=1)
        return {"z": z}, self._loop(self.z_h(z), given=x)

    def _emit(self, z: Tensor, x: Tensor | None, own: Tensor | None) -> Tensor:
        e, states = self.z_h(z), None  # (B, T, E)
        if x is not None and follows_data(self.mode, own):
            states, _ = self.rnn_h(torch.cat([e, self.x_h(shift(x))], dim=-1))  # (B, T, H)
        if self.mode == "teacher" and states is not None:
            x_hat: Tensor = self.out(states)
            return x_hat
        return self._loop(e, own, states)

    def _loop(
        self, e: Tensor, own: Tensor | None = None, states: Tensor | None = None, given: Tensor | None = None
    ) -> Tensor:
        """Outputs from features of the codes, own outputs fed back but for the frames that are `given`."""
        cell = Cell(self.rnn_h)
        loop = Loop(self.x_h, cell, e.shape[-1], self.out, 0, self.likelihood)
        pre = self.out.first.bias.expand(*e.shape[:2], -1)  # (B, T, W)
        return loop.run(cell.ahead(e), pre, own, states, given)[0]
