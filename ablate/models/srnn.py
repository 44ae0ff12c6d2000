"""SRNN, the stochastic recurrent network with separate layers: deterministic states under a Markov chain of codes."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.models.feedback import Likelihood, Loop, Mode, mean_of, share
from ablate.models.nets import check_frames, dense, shift
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import Cell, Chain, backward, gaussian, silence
from ablate.registry import MODELS
from ablate.types import Gaussian, Output


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `dense_*` are widths of (Linear, tanh) layers and may be empty."""

    z_dim: int = 8
    dense_x_h: tuple[int, ...] = (64,)  # x_{t-1} in front of the forward LSTM
    rnn_h: int = 32
    dense_hx_g: tuple[int, ...] = (64,)  # [h_t, x_t] in front of the backward LSTM
    rnn_g: int = 32
    dense_gz_z: tuple[int, ...] = ()  # in front of the heads of q(z)
    dense_hz_z: tuple[int, ...] = ()  # in front of the heads of p(z)
    dense_hz_x: tuple[int, ...] = (64,)  # in front of the output


_speech = Sizes(16, (256,), 128, (256,), 128, (64, 32), (64, 32), (256,))
PRESETS = {
    "small": Sizes(),
    "speech": _speech,
    "interspeech": _speech,
    "motion": Sizes(10, (64,), 64, (64,), 64, (32,), (32,), (64,)),
    "ali": Sizes(32, (), 128, (), 128, (128, 128), (128, 128), (128, 128)),
}


@dataclass(frozen=True)
class SRNNOptions:
    """Options of `srnn`; a size that is not given is the preset's."""

    preset: Literal["small", "speech", "motion", "interspeech", "ali"] = "small"
    mode: Mode = "teacher"
    likelihood: Likelihood = "gaussian"  # that of recon: how an output becomes the next input
    ss_step: int = field(default=50, metadata={"ge": 1})  # mode scheduled: epochs between two rises of the share
    z_dim: int | None = size()
    dense_x_h: tuple[int, ...] | None = None
    rnn_h: int | None = size()
    dense_hx_g: tuple[int, ...] | None = None
    rnn_g: int | None = size()
    dense_gz_z: tuple[int, ...] | None = None
    dense_hz_z: tuple[int, ...] | None = None
    dense_hz_x: tuple[int, ...] | None = None


@MODELS("srnn", options=SRNNOptions, latents={"z": "dynamic"}, decoder=True, autoregressive=True)
class SRNN(nn.Module):
    """Stochastic recurrent network, codes in a Markov chain (Fraccaro et al. 2016, arXiv 1605.07571).

    h = LSTM(e(x_{t-1})), g = LSTM(e([h_t, x_t])) from the last frame to the first. q(z_t | g_t, z_{t-1}),
    p(z_t | h_t, z_{t-1}), p(x_t | z_t, h_t), z_0 = 0. Both LSTMs and g's part of the posterior leave the loop over z.
    With own outputs fed back (modes scheduled, generation) inference still reads the true frames; prior and output then
    follow a second h that is driven by the outputs. The paper's residual posterior is left out, as in the review of
    Girin et al. (arXiv 2008.12595).
    """

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: SRNNOptions):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("srnn", frame)
        self.frame, self.z_dim, self.mode, self.ss_step = frame, s.z_dim, options.mode, options.ss_step
        self.likelihood, self.g_width = options.likelihood, s.rnn_g
        self.x_h, width = dense(x_dim, s.dense_x_h)
        self.rnn_h = nn.LSTM(width, s.rnn_h, batch_first=True)
        self.hx_g, width = dense(s.rnn_h + x_dim, s.dense_hx_g)
        self.rnn_g = nn.LSTM(width, s.rnn_g, batch_first=True)
        self.q = Chain(s.rnn_g + s.z_dim, s.dense_gz_z, 2 * s.z_dim)
        self.p = Chain(s.rnn_h + s.z_dim, s.dense_hz_z, 2 * s.z_dim)
        self.out = Chain(s.z_dim + s.rnn_h, s.dense_hz_x, x_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"z": (length, self.z_dim)}

    def share(self, epoch: int) -> float:
        """Share of the frames that are decoded from own outputs in this epoch of mode scheduled."""
        return share(epoch, self.ss_step)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, T, z_dim). Raises Mistake for other frames."""
        q, z, _ = self._infer(x, noise)
        return {"z": q}, {"z": z}

    def posterior(self, x: Tensor, z: Tensor) -> Gaussian:
        """q(z_t | z_{t-1}, x_{1..T}) of every frame, given the path z (B, T, z_dim)."""
        g = self._read(x, self._states(x))
        return gaussian(self.q(torch.cat([g, shift(z)], dim=-1)))

    def prior_z(self, z: Tensor, x: Tensor) -> Gaussian:
        """p(z_t | x_{<t}, z_{t-1}) of every frame, given the path z (B, T, z_dim) and the true frames."""
        return self._prior(self._states(x), z)

    def decode(self, sample: dict[str, Tensor], x: Tensor | None = None) -> Tensor:
        """z (B, T, z_dim) -> (B, T, D), in mode teacher from the true frames before in `x`, else from own outputs."""
        states = self._states(x) if x is not None and self.mode == "teacher" else None
        return self._emit(sample["z"], states, None)[0]

    def reconstruct(self, sample: dict[str, Tensor], x: Tensor) -> Tensor:
        """How x is evaluated, from its codes: with the true frames before in mode teacher. (B, T, D)."""
        return self.decode(sample, x)

    def sample_prior(self, noise: Tensor, start: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        """Roll z from its prior with noise (B, T, z_dim), behind the path `start` (B, k, z_dim).

        The states read own outputs, but the first frames where they are `given` (B, k, D).
        """
        path: list[Tensor] = [] if start is None else [*start.unbind(1)]
        known = [] if given is None else [*given.unbind(1)]
        cell = Cell(self.rnn_h)
        columns, (h, c) = cell.columns(0), cell.start(noise)
        x, last = noise.new_zeros(len(noise), self.out.out), torch.zeros_like(noise[:, 0])
        for t, eps in enumerate([*[None] * len(path), *noise.unbind(1)]):
            h, c = cell.step(cell.bias, self.x_h(x), columns, h, c)
            if eps is not None:
                path.append(gaussian(self.p(torch.cat([h, last], dim=-1))).sample(eps))
            last = path[t]
            x = known[t] if t < len(known) else mean_of(self.out(torch.cat([last, h], dim=-1)), self.likelihood)
        return torch.stack(path[-noise.shape[1] :], dim=1)

    def forecast(self, x: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Codes (B, T, z_dim) and outputs (B, T, D) of x (B, K, D) and of the T - K frames that follow it.

        z of x are posterior means that see no more than x, the later ones are rolled from their prior with `noise`
        (B, T - K, z_dim). The states read x, and from then on the outputs, in every mode.
        """
        z = self.encode(x, None)[1]["z"]
        z = torch.cat([z, self.sample_prior(noise, z, x)], dim=1)
        return {"z": z}, self._emit(z, None, None, x)[0]

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None, own: Tensor | None = None) -> Output:
        """x (B, T, D). `own` (T,) or (B, T) bool, mode scheduled: frames decoded from own outputs (None: all)."""
        q, z, states = self._infer(x, noise)
        x_hat, h = self._emit(z, states, own)
        return Output({"z": q}, {"z": self._prior(h, z)}, {"z": z}, x_hat)

    def _infer(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[Gaussian, Tensor, Tensor]:
        """q, z and the states h along the true frames, (B, T, ...) each."""
        states = self._states(x)
        known, columns = self.q.ahead(self._read(x, states)), self.q.columns(self.g_width)
        z, path, stats = x.new_zeros(len(x), self.z_dim), [], []
        eps = silence(noise, x, "z", self.z_dim)
        for known_t, eps_t in zip(known.unbind(1), eps.unbind(1), strict=True):
            stat = self.q.rest(torch.addmm(known_t, z, columns))
            z = gaussian(stat).sample(eps_t)
            path.append(z)
            stats.append(stat)
        return gaussian(torch.stack(stats, dim=1)), torch.stack(path, dim=1), states

    def _states(self, x: Tensor) -> Tensor:
        """h along the true frames, (B, T, H)."""
        check_frames(x, self.frame)
        h, _ = self.rnn_h(self.x_h(shift(x)))
        states: Tensor = h
        return states

    def _read(self, x: Tensor, states: Tensor) -> Tensor:
        """g, from the last frame to the first, (B, T, G)."""
        return backward(self.rnn_g, self.hx_g(torch.cat([states, x], dim=-1)))

    def _prior(self, states: Tensor, z: Tensor) -> Gaussian:
        return gaussian(self.p(torch.cat([states, shift(z)], dim=-1)))

    def _emit(
        self, z: Tensor, states: Tensor | None, own: Tensor | None, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x_hat (B, T, D) and the states that prior and output follow: `states` in mode teacher, else own outputs'."""
        if self.mode == "teacher" and states is not None:
            return self.out(torch.cat([z, states], dim=-1)), states
        cell = Cell(self.rnn_h)
        loop = Loop(self.x_h, cell, 0, self.out, self.z_dim, self.likelihood)
        return loop.run(cell.bias.expand(*z.shape[:2], -1), self.out.ahead(z), own, states, given)
