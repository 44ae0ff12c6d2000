"""KVAE, the Kalman variational autoencoder: frames become points that move linearly, their motion inferred exactly."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.models import lgssm
from ablate.models.lgssm import Dynamics, Filtered
from ablate.models.nets import GaussianHead, check_frames, dense
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import Cell, Chain, silence
from ablate.registry import MODELS
from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Gaussian, Output


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `dense_*` are widths of (Linear, tanh) layers and may be empty."""

    a_dim: int = 8  # of the point that a frame becomes
    z_dim: int = 4  # of the state that moves
    systems: int = 3  # linear systems that are mixed
    dense_x_a: tuple[int, ...] = (64, 64)
    dense_a_x: tuple[int, ...] = (64, 64)
    rnn_alpha: int = 32  # of the LSTM behind the mixture weights


_published = Sizes(8, 4, 3, (128, 128), (128, 128), 50)
PRESETS = {
    "small": Sizes(),
    "speech": _published,
    "motion": _published,
    "interspeech": Sizes(32, 16, 10, (256, 128), (128, 256), 50),
    "ali": Sizes(16, 4, 3, (128, 128), (128, 128), 50),
}


@dataclass(frozen=True)
class KVAEOptions:
    """Options of `kvae`; a size that is not given is the preset's. Variances are fixed, not learned."""

    preset: Literal["small", "speech", "motion", "interspeech", "ali"] = "small"
    lgssm: Literal["innovations", "sampled", "marginals"] = "innovations"  # how log p(a) is computed
    transition_variance: float = field(default=0.08, metadata={"gt": 0})  # Q
    emission_variance: float = field(default=0.03, metadata={"gt": 0})  # R
    start_variance: float = field(default=20.0, metadata={"gt": 0})  # of z_1
    a_dim: int | None = size()
    z_dim: int | None = size()
    systems: int | None = size()
    dense_x_a: tuple[int, ...] | None = None
    dense_a_x: tuple[int, ...] | None = None
    rnn_alpha: int | None = size()
    phases: tuple[int, int] = field(default=(0, 0), metadata={"ge": 0})  # epochs of the nets alone, then with A, B, C


@MODELS("kvae", options=KVAEOptions, latents={"a": "dynamic"}, decoder=True, joint_prior=True)
class KVAE(nn.Module):
    """Kalman variational autoencoder (Fraccaro et al. 2017, arXiv 1710.05741).

    q(a_t | x_t), p(x_t | a_t), and p(a) of a linear Gaussian state-space model with states z_t whose matrices are mixed
    by weights softmax(LSTM(a_{<t})). z is integrated out exactly. `lgssm: innovations` takes log p(a) from the filter;
    `sampled` as log p(a, z) - log p(z | a) at a path z ~ p(z | a), the same number for every path; `marginals` does so
    with each z_t drawn for itself, as published code has it, which is only a lower bound in expectation.
    The published filter stores no means and its smoother subtracts the wrong ones; this one equals a dense solve.
    """

    latents: ClassVar[dict[str, str]] = {"a": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: KVAEOptions):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("kvae", frame)
        self.frame, self.a_dim, self.z_dim, self.form = frame, s.a_dim, s.z_dim, options.lgssm
        self.phases = options.phases
        self.encoder, width = dense(x_dim, s.dense_x_a)
        self.head = GaussianHead(width, s.a_dim)
        self.out = Chain(s.a_dim, s.dense_a_x, x_dim)
        self.rnn_alpha = nn.LSTM(s.a_dim, s.rnn_alpha, batch_first=True)
        self.alpha = nn.Linear(s.rnn_alpha, s.systems)
        self.systems = Systems(s.systems, s.z_dim, s.a_dim)
        self.register_buffer("Q", options.transition_variance * torch.eye(s.z_dim), persistent=False)
        self.register_buffer("R", options.emission_variance * torch.eye(s.a_dim), persistent=False)
        self.register_buffer("S0", options.start_variance * torch.eye(s.z_dim), persistent=False)

    def resting(self, epoch: int) -> tuple[str, ...]:
        """Beginnings of the names of parameters that are not trained in this epoch.

        Encoder and decoder train first, then the matrices and the first input join them, then what mixes the matrices;
        in older published recipes after 30 and 20 epochs. The loss is the whole one in all phases.
        """
        nets, joint = self.phases
        if epoch < nets:
            return ("systems.", "rnn_alpha.", "alpha.")
        return ("rnn_alpha.", "alpha.") if epoch < nets + joint else ()

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `forward` takes; that of z where z is drawn."""
        shapes: dict[str, tuple[int, ...]] = {"a": (length, self.a_dim)}
        return shapes if self.form == "innovations" else shapes | {"z": (length, self.z_dim)}

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of a, (B, T, a_dim). Raises Mistake for other frames."""
        check_frames(x, self.frame)
        q: Gaussian = self.head(self.encoder(x))
        return {"a": q}, {"a": q.sample(silence(noise, x, "a", self.a_dim))}

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        """a (B, T, a_dim) -> (B, T, D)."""
        x_hat: Tensor = self.out(sample["a"])
        return x_hat

    def dynamics(self, a: Tensor) -> Dynamics:
        """The system at every frame, given the path a (B, T, a_dim); that of frame t depends on a_{<t} alone."""
        before = torch.cat([self.systems.a_init.expand(len(a), 1, -1), a[:, :-1]], dim=1)
        h, _ = self.rnn_alpha(before)
        A, B, C = self.systems(self.alpha(h).softmax(-1))
        return Dynamics(A, lgssm.times(B, before), C, *self._covariances())

    def smooth(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """p(z_t | a_{1..T}): means (B, T, z_dim) and covariances (B, T, z_dim, z_dim)."""
        its = self.dynamics(a)
        seen = lgssm.kalman(a, its)
        return lgssm.smooth(seen, lgssm.look_back(seen, its))

    def reconstruct(self, sample: dict[str, Tensor], x: Tensor) -> Tensor:
        """Frames as the smoothed motion has them, decoded from C_t E[z_t | a] at the codes a. (B, T, D)."""
        mean, _ = self.smooth(sample["a"])
        return self.decode({"a": lgssm.times(self.dynamics(sample["a"]).C, mean)})

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """Roll a from its prior with noise (B, T, a_dim), behind the path `start` (B, k, a_dim): (B, T, a_dim)."""
        path: list[Tensor] = [] if start is None else [*start.unbind(1)]
        cell, (Q, R, S0) = Cell(self.rnn_alpha), self._covariances()
        columns, (h, c) = cell.columns(0), cell.start(noise)
        a = self.systems.a_init.expand(len(noise), -1)
        mean, cov = noise.new_zeros(len(noise), self.z_dim), S0.expand(len(noise), -1, -1)
        for t, eps in enumerate([*[None] * len(path), *noise.unbind(1)]):
            h, c = cell.step(cell.bias, a, columns, h, c)
            A, B, C = self.systems(self.alpha(h).softmax(-1))
            if t > 0:
                mean, cov = lgssm.predict(mean, cov, A, lgssm.times(B, a), Q)
            expected, chol = lgssm.observe(mean, cov, C, R)
            if eps is not None:
                path.append(expected + lgssm.times(chol, eps))
            a = path[t]
            mean, cov = lgssm.update(mean, cov, C, R, a - expected, chol)
        return torch.stack(path[-noise.shape[1] :], dim=1)

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, D). p holds the marginals of a_t given a_{<t}; `log_p` is log p(a), that of the whole path."""
        q, sample = self.encode(x, noise)
        a = sample["a"]
        its = self.dynamics(a)
        seen = lgssm.kalman(a, its)
        variance = (seen.chol**2).sum(-1)  # diagonal of S
        p = Gaussian(a - seen.innovation, variance.log().clamp(LOGVAR_MIN, LOGVAR_MAX))
        return Output(q, {"a": p}, sample, self.decode(sample), {"a": self._log_prior(a, its, seen, noise)})

    def _covariances(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.get_buffer("Q"), self.get_buffer("R"), self.get_buffer("S0")

    def _log_prior(self, a: Tensor, its: Dynamics, seen: Filtered, noise: dict[str, Tensor] | None) -> Tensor:
        """log p(a), (B,), in the form that the options ask for."""
        if self.form == "innovations":
            return seen.log_likelihood()
        chain, eps = lgssm.look_back(seen, its), silence(noise, a, "z", self.z_dim)
        if self.form == "sampled":
            z, log_q = lgssm.draw(seen, chain, eps)
        else:
            z, log_q = lgssm.draw_marginals(*lgssm.smooth(seen, chain), eps)
        return lgssm.log_joint(a, z, its) - log_q


class Systems(nn.Module):
    """The linear systems that are mixed, and the point before the first."""

    def __init__(self, count: int, z_dim: int, a_dim: int):
        super().__init__()
        self.A = nn.Parameter(torch.empty(count, z_dim, z_dim))
        self.B = nn.Parameter(torch.empty(count, z_dim, a_dim))
        self.C = nn.Parameter(torch.empty(count, a_dim, z_dim))
        self.a_init = nn.Parameter(torch.empty(a_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """States stay where they are, inputs and outputs are weak."""
        with torch.no_grad():
            self.A.copy_(torch.eye(self.A.shape[-1]))
        nn.init.normal_(self.B, std=0.05)
        nn.init.normal_(self.C, std=0.05)
        nn.init.zeros_(self.a_init)

    def forward(self, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights (..., K) -> A (..., Z, Z), B (..., Z, D) and C (..., D, Z)."""
        A, B, C = (torch.einsum("...k,kij->...ij", weights, M) for M in (self.A, self.B, self.C))
        return A, B, C
