"""RVAE, the recurrent VAE: independent codes, a decoder that remembers them, an encoder that reads ahead."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.models.nets import check_frames, dense, shift
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import Cell, Chain, backward, gaussian, silence
from ablate.registry import MODELS
from ablate.types import Gaussian, Output


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `dense_*` are widths of (Linear, tanh) layers and may be empty."""

    z_dim: int = 8
    dense_x_gx: tuple[int, ...] = (64,)  # x_t in front of the encoder's LSTM over x
    rnn_gx: int = 32  # of each direction
    dense_z_gz: tuple[int, ...] = ()  # z_{t-1} in front of the encoder's LSTM over z
    rnn_gz: int = 32
    dense_g_z: tuple[int, ...] = ()  # in front of the heads of q(z)
    dense_z_h: tuple[int, ...] = ()  # z_t in front of the decoder's LSTM
    rnn_h: int = 32  # of each direction
    dense_h_x: tuple[int, ...] = (64,)  # in front of the output


PRESETS = {
    "small": Sizes(),
    "speech": Sizes(16, (), 128, (), 128, (), (), 128, ()),
    "interspeech": Sizes(16, (256,), 128, (32, 64), 128, (64, 32), (32, 64), 128, (256,)),
    "motion": Sizes(10, (), 64, (), 64, (), (), 64, ()),
    "ali": Sizes(32, (), 128, (), 128, (128,), (), 128, ()),
}


@dataclass(frozen=True)
class RVAEOptions:
    """Options of `rvae`; a size that is not given is the preset's."""

    preset: Literal["small", "speech", "motion", "interspeech", "ali"] = "small"
    causal: bool = True  # of the decoder; the encoder reads the frames to come in either case
    z_dim: int | None = size()
    dense_x_gx: tuple[int, ...] | None = None
    rnn_gx: int | None = size()
    dense_z_gz: tuple[int, ...] | None = None
    rnn_gz: int | None = size()
    dense_g_z: tuple[int, ...] | None = None
    dense_z_h: tuple[int, ...] | None = None
    rnn_h: int | None = size()
    dense_h_x: tuple[int, ...] | None = None


@MODELS("rvae", options=RVAEOptions, latents={"z": "dynamic"}, decoder=True)
class RVAE(nn.Module):
    """Recurrent variational autoencoder (Leglaive et al. 2020, arXiv 1910.10942).

    p(z_t) = N(0, I). `causal`: p(x_t | z_{<=t}) by a forward LSTM and q(z_t | z_{<t}, x_{t..T}); else p(x_t | z_{1..T})
    and q(z_t | z_{<t}, x_{1..T}) by bidirectional ones. q: heads on [g^x_t, g^z_t], g^x the states over x (causal: from
    the last frame to the first), g^z those of an LSTM over z_{t-1}, which alone is stepped. Causal is the decoder, not
    the model: z_1 has seen the whole sequence.
    """

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: RVAEOptions):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("rvae", frame)
        self.frame, self.z_dim, self.causal = frame, s.z_dim, options.causal
        both = not options.causal
        self.x_g, width = dense(x_dim, s.dense_x_gx)
        self.rnn_x = nn.LSTM(width, s.rnn_gx, batch_first=True, bidirectional=both)
        self.z_g, width = dense(s.z_dim, s.dense_z_gz)
        self.rnn_z = nn.LSTM(width, s.rnn_gz, batch_first=True)
        self.x_width = s.rnn_gx * (1 + both)
        self.q = Chain(self.x_width + s.rnn_gz, s.dense_g_z, 2 * s.z_dim)
        self.z_h, width = dense(s.z_dim, s.dense_z_h)
        self.rnn_h = nn.LSTM(width, s.rnn_h, batch_first=True, bidirectional=both)
        self.out = Chain(s.rnn_h * (1 + both), s.dense_h_x, x_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"z": (length, self.z_dim)}

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, T, z_dim). Raises Mistake for other frames."""
        known = self.q.ahead(self._states(x))  # (B, T, W)
        cell, columns = Cell(self.rnn_z), self.q.columns(self.x_width)
        z_columns = cell.columns(0)
        h, c = cell.start(x)
        z, path, stats = x.new_zeros(len(x), self.z_dim), [], []
        eps = silence(noise, x, "z", self.z_dim)
        for known_t, eps_t in zip(known.unbind(1), eps.unbind(1), strict=True):
            h, c = cell.step(cell.bias, self.z_g(z), z_columns, h, c)
            stat = self.q.rest(torch.addmm(known_t, h, columns))
            z = gaussian(stat).sample(eps_t)
            path.append(z)
            stats.append(stat)
        return {"z": gaussian(torch.stack(stats, dim=1))}, {"z": torch.stack(path, dim=1)}

    def posterior(self, x: Tensor, z: Tensor) -> Gaussian:
        """q(z_t | z_{<t}, x) of every frame, given the path z (B, T, z_dim)."""
        g, _ = self.rnn_z(self.z_g(shift(z)))
        return gaussian(self.q(torch.cat([self._states(x), g], dim=-1)))

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        """z (B, T, z_dim) -> (B, T, D)."""
        h, _ = self.rnn_h(self.z_h(sample["z"]))
        x_hat: Tensor = self.out(h)
        return x_hat

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """z from N(0, I): the noise itself, (B, T, z_dim), whatever came before."""
        return noise

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, D)."""
        q, sample = self.encode(x, noise)
        return Output(q, {"z": Gaussian.standard(sample["z"])}, sample, self.decode(sample))

    def _states(self, x: Tensor) -> Tensor:
        """g^x: the encoder's states over x, (B, T, G)."""
        check_frames(x, self.frame)
        e = self.x_g(x)
        if self.causal:
            return backward(self.rnn_x, e)
        g, _ = self.rnn_x(e)
        states: Tensor = g
        return states
