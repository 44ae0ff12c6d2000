"""VRNN, the variational recurrent network: one state, driven by frames and codes, behind all three nets."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.models.feedback import Likelihood, Loop, Mode, mean_of, share
from ablate.models.nets import check_frames, dense, shift
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import Cell, Chain, gaussian, silence
from ablate.registry import MODELS
from ablate.types import Gaussian, Output


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `dense_*` are widths of (Linear, tanh) layers and may be empty."""

    z_dim: int = 8
    dense_x: tuple[int, ...] = (64,)  # features of a frame
    dense_z: tuple[int, ...] = (32,)  # features of a code
    dense_hx_z: tuple[int, ...] = ()  # in front of the heads of q(z)
    dense_hz_x: tuple[int, ...] = (64,)  # in front of the output
    dense_h_z: tuple[int, ...] = ()  # in front of the heads of p(z)
    rnn: int = 32


PRESETS = {
    "small": Sizes(),
    "speech": Sizes(16, (256,), (32, 64), (), (), (), 128),
    "interspeech": Sizes(16, (256,), (32, 64), (64, 32), (256,), (64, 32), 128),
    "motion": Sizes(10, (64,), (16, 32), (), (), (), 64),
    "ali": Sizes(32, (128,), (128,), (128,), (128,), (128,), 128),
}


@dataclass(frozen=True)
class VRNNOptions:
    """Options of `vrnn`; a size that is not given is the preset's."""

    preset: Literal["small", "speech", "motion", "interspeech", "ali"] = "small"
    mode: Mode = "teacher"
    likelihood: Likelihood = "gaussian"  # that of recon: how an output becomes the next input
    ss_step: int = field(default=50, metadata={"ge": 1})  # mode scheduled: epochs between two rises of the share
    z_dim: int | None = size()
    dense_x: tuple[int, ...] | None = None
    dense_z: tuple[int, ...] | None = None
    dense_hx_z: tuple[int, ...] | None = None
    dense_hz_x: tuple[int, ...] | None = None
    dense_h_z: tuple[int, ...] | None = None
    rnn: int | None = size()


@MODELS("vrnn", options=VRNNOptions, latents={"z": "dynamic"}, decoder=True, autoregressive=True)
class VRNN(nn.Module):
    """Variational recurrent network (Chung et al. 2015, arXiv 1506.02216).

    h_t = LSTM([e(z_{t-1}), e(x_{t-1})]), h_1 = 0. p(z_t | h_t), q(z_t | x_t, h_t), p(x_t | z_t, h_t), all of which thus
    see x_{<t} and z_{<t}. The state has to be stepped; features of x, their part of the heads and of the gates come
    before the loop, prior and output after it. With own outputs fed back (modes scheduled, generation) inference still
    reads the true frames; prior and output then follow a second state that is driven by the outputs.
    """

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: VRNNOptions):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("vrnn", frame)
        self.frame, self.z_dim, self.mode, self.ss_step = frame, s.z_dim, options.mode, options.ss_step
        self.likelihood = options.likelihood
        self.x_net, self.x_width = dense(x_dim, s.dense_x)
        self.z_net, self.z_width = dense(s.z_dim, s.dense_z)
        self.rnn = nn.LSTM(self.z_width + self.x_width, s.rnn, batch_first=True)
        self.q = Chain(self.x_width + s.rnn, s.dense_hx_z, 2 * s.z_dim)
        self.p = Chain(s.rnn, s.dense_h_z, 2 * s.z_dim)
        self.out = Chain(self.z_width + s.rnn, s.dense_hz_x, x_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"z": (length, self.z_dim)}

    def share(self, epoch: int) -> float:
        """Share of the frames that are decoded from own outputs in this epoch of mode scheduled."""
        return share(epoch, self.ss_step)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, T, z_dim). Raises Mistake for other frames."""
        q, z, _, _ = self._infer(x, noise)
        return {"z": q}, {"z": z}

    def posterior(self, x: Tensor, z: Tensor) -> Gaussian:
        """q(z_t | x_{<=t}, z_{<t}) of every frame, given the path z (B, T, z_dim)."""
        return gaussian(self.q(torch.cat([self.x_net(x), self._states(x, self.z_net(z))], dim=-1)))

    def prior_z(self, z: Tensor, x: Tensor) -> Gaussian:
        """p(z_t | x_{<t}, z_{<t}) of every frame, given the path z (B, T, z_dim) and the true frames."""
        return gaussian(self.p(self._states(x, self.z_net(z))))

    def decode(self, sample: dict[str, Tensor], x: Tensor | None = None) -> Tensor:
        """z (B, T, z_dim) -> (B, T, D), in mode teacher from the true frames before in `x`, else from own outputs."""
        e = self.z_net(sample["z"])
        states = self._states(x, e) if x is not None and self.mode == "teacher" else None
        return self._emit(e, states, None)[0]

    def reconstruct(self, sample: dict[str, Tensor], x: Tensor) -> Tensor:
        """How x is evaluated, from its codes: with the true frames before in mode teacher. (B, T, D)."""
        return self.decode(sample, x)

    def sample_prior(self, noise: Tensor, start: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        """Roll z from its prior with noise (B, T, z_dim), behind the path `start` (B, k, z_dim).

        The states read own outputs, but the first frames where they are `given` (B, k, D).
        """
        path: list[Tensor] = [] if start is None else [*start.unbind(1)]
        known = [] if given is None else [*given.unbind(1)]
        cell = Cell(self.rnn)
        columns, (h, c) = cell.columns(0), cell.start(noise)
        for t, eps in enumerate([*[None] * len(path), *noise.unbind(1)]):
            if eps is not None:
                path.append(gaussian(self.p(h)).sample(eps))
            e = self.z_net(path[t])
            x = known[t] if t < len(known) else mean_of(self.out(torch.cat([e, h], dim=-1)), self.likelihood)
            h, c = cell.step(cell.bias, torch.cat([e, self.x_net(x)], dim=-1), columns, h, c)
        return torch.stack(path[-noise.shape[1] :], dim=1)

    def forecast(self, x: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Codes (B, T, z_dim) and outputs (B, T, D) of x (B, K, D) and of the T - K frames that follow it.

        z of x are posterior means that see no more than x, the later ones are rolled from their prior with `noise`
        (B, T - K, z_dim). The states read x, and from then on the outputs, in every mode.
        """
        z = self.encode(x, None)[1]["z"]
        z = torch.cat([z, self.sample_prior(noise, z, x)], dim=1)
        return {"z": z}, self._emit(self.z_net(z), None, None, x)[0]

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None, own: Tensor | None = None) -> Output:
        """x (B, T, D). `own` (T,) or (B, T) bool, mode scheduled: frames decoded from own outputs (None: all)."""
        q, z, e, states = self._infer(x, noise)
        x_hat, h = self._emit(e, states, own)
        return Output({"z": q}, {"z": gaussian(self.p(h))}, {"z": z}, x_hat)

    def _infer(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[Gaussian, Tensor, Tensor, Tensor]:
        """q, z, e(z) and the states h along the true frames, (B, T, ...) each."""
        check_frames(x, self.frame)
        features, cell = self.x_net(x), Cell(self.rnn)  # (B, T, E)
        known, columns = self.q.ahead(features), self.q.columns(self.x_width)
        gates, z_columns = cell.ahead(features[:, :-1], start=self.z_width), cell.columns(0, self.z_width)
        h, c = cell.start(x)
        stats, path, codes, states = [], [], [], [h]
        eps = silence(noise, x, "z", self.z_dim)
        for known_t, eps_t, gate in zip(known.unbind(1), eps.unbind(1), [*gates.unbind(1), None], strict=True):
            stats.append(self.q.rest(torch.addmm(known_t, h, columns)))
            path.append(gaussian(stats[-1]).sample(eps_t))
            codes.append(self.z_net(path[-1]))
            if gate is not None:
                h, c = cell.step(gate, codes[-1], z_columns, h, c)
                states.append(h)
        q, z, e, h = (torch.stack(its, dim=1) for its in (stats, path, codes, states))
        return gaussian(q), z, e, h

    def _states(self, x: Tensor, e: Tensor) -> Tensor:
        """h along the true frames and a known path of codes, in one pass. (B, T, H)."""
        check_frames(x, self.frame)
        after, _ = self.rnn(torch.cat([e, self.x_net(x)], dim=-1))
        return shift(after)

    def _emit(
        self, e: Tensor, states: Tensor | None, own: Tensor | None, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x_hat (B, T, D) and the states that prior and output follow: `states` in mode teacher, else own outputs'."""
        if self.mode == "teacher" and states is not None:
            return self.out(torch.cat([e, states], dim=-1)), states
        cell = Cell(self.rnn)
        loop = Loop(self.x_net, cell, self.z_width, self.out, self.z_width, self.likelihood)
        return loop.run(cell.ahead(e[:, :-1]), self.out.ahead(e), own, states, given)
