"""FHVAE: one code for what a segment of speech says, one for the sequence that it was cut from."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.errors import Mistake
from ablate.models.nets import XavierLinear, XavierLSTM, check_frames, spread
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import gaussian
from ablate.registry import MODELS
from ablate.types import Batch, Gaussian, Output

VAR_Z2 = 0.25  # of the z2 of segments around the mu2 of their sequence; that of mu2 is 1
Net = Literal["lstm", "simple"]


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset."""

    net: Net = "lstm"
    z1_dim: int = 8
    z2_dim: int = 16
    hidden: int = 64  # lstm: of each layer
    layers: int = 1  # lstm: of both encoders and of the decoder
    widths: tuple[int, ...] = (64, 64)  # simple: of (Linear, ReLU) layers


PRESETS = {
    "small": Sizes(),
    "sfh": Sizes("lstm", 32, 32, 256, 2),
    "sfh_simple": Sizes("simple", 16, 16, widths=(128, 128)),
    "fh": Sizes("lstm", 32, 32, 256, 1),
}


@dataclass(frozen=True)
class FHVAEOptions:
    """Options of `fhvae`; a size that is not given is the preset's."""

    preset: Literal["small", "sfh", "sfh_simple", "fh"] = "small"
    net: Net | None = None
    z1_dim: int | None = size()
    z2_dim: int | None = size()
    hidden: int | None = size()
    layers: int | None = size()
    widths: tuple[int, ...] | None = None
    table: int = field(default=5000, metadata={"ge": 2})  # training sequences that have a mu2 at a time


@MODELS(
    "fhvae",
    options=FHVAEOptions,
    latents={"z1": "dynamic", "z2": "static"},
    decoder=True,
    segments=True,
    sequences=True,
    logvar=True,
)
class FHVAE(nn.Module):
    """Factorized hierarchical variational autoencoder (Hsu et al. 2017, arXiv 1709.07902).

    For the segments n of a sequence: p(mu2) = N(0, I), p(z2_n | mu2) = N(mu2, 0.25 I), p(z1_n) = N(0, I), and a
    Gaussian p(x_n | z1_n, z2_n) with mean and log-variance of every frame and feature. q(z2 | x), then q(z1 | x, z2)
    given the sampled z2. mu2 is a parameter, a row per training sequence. Segments are the windows of the data; z1
    stands as a dynamic code of one frame, (B, 1, z1_dim). recon + kl_z1 + kl_z2 + mu2_prior is the paper's bound of a
    segment; `disc` tells sequences apart. With more training sequences than `table`, its rows stand for so many at a
    time (hierarchical sampling, Hsu and Glass 2018, arXiv 1804.03201). An unseen sequence has its mu2 from `map_means`.
    `net: simple` reads the flattened segment. Presets `sfh` and `sfh_simple` are the published nets of the second
    paper, `fh` those of the first; forget gates start at a bias of 1, as in TensorFlow's cells. A published port
    maximises the error of `disc`, gives the decoder no gradient, and redraws mu2 at every pass.
    """

    latents: ClassVar[dict[str, str]] = {"z1": "dynamic", "z2": "static"}

    def __init__(self, frame: tuple[int, ...], options: FHVAEOptions, window: int, sequences: int):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("fhvae", frame)
        self.frame, self.z1_dim, self.z2_dim, self.length = frame, s.z1_dim, s.z2_dim, window
        self.any_length = s.net == "lstm"
        self.mu2 = nn.Embedding(min(options.table, sequences), s.z2_dim)  # starts as N(0, I)
        self.q_z1: LSTMCode | DenseCode
        self.q_z2: LSTMCode | DenseCode
        self.decoder: LSTMDecoder | DenseDecoder
        if s.net == "lstm":
            self.q_z2 = LSTMCode(x_dim, s, s.z2_dim)
            self.q_z1 = LSTMCode(x_dim + s.z2_dim, s, s.z1_dim)
            self.decoder = LSTMDecoder(s.z1_dim + s.z2_dim, s, x_dim)
        else:
            self.q_z2 = DenseCode(window * x_dim, s, s.z2_dim)
            self.q_z1 = DenseCode(window * x_dim + s.z2_dim, s, s.z1_dim)
            self.decoder = DenseDecoder(s.z1_dim + s.z2_dim, s, window, x_dim)

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per segment, of the standard normal noise that `encode` takes, whatever the length."""
        return {"z1": (1, self.z1_dim), "z2": (self.z2_dim,)}

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posteriors and samples (without noise the means) of z1 (B, 1, z1_dim), z2 (B, z2_dim); may raise Mistake."""
        q_z2 = self.encode_static(x)
        z2 = q_z2.mean if noise is None else q_z2.sample(noise["z2"])
        flat = self.q_z1(x, z2)
        q_z1 = Gaussian(flat.mean.unsqueeze(1), flat.logvar.unsqueeze(1))
        z1 = q_z1.mean if noise is None else q_z1.sample(noise["z1"])
        return {"z1": q_z1, "z2": q_z2}, {"z1": z1, "z2": z2}

    def encode_static(self, x: Tensor) -> Gaussian:
        """q(z2 | x) alone, (B, z2_dim). Raises Mistake for other frames or lengths."""
        check_frames(x, self.frame)
        self._check_length(x.shape[1])
        q: Gaussian = self.q_z2(x)
        return q

    def decode(self, sample: dict[str, Tensor], length: int | None = None) -> Tensor:
        """Mean of p(x | z1, z2), (B, T, D); T is the data's window unless given. May raise Mistake."""
        return self.emit(sample, length or self.length).mean

    def emit(self, sample: dict[str, Tensor], length: int) -> Gaussian:
        """p(x | z1, z2) of z1 (B, 1, z1_dim) and z2 (B, z2_dim), (B, T, D). Raises Mistake for a length it has not."""
        self._check_length(length)
        p: Gaussian = self.decoder(torch.cat([sample["z1"][:, 0], sample["z2"]], dim=-1), length)
        return p

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """z1 from N(0, I): the noise of one frame, (B, 1, z1_dim); behind a `start` the code stays what it was."""
        return noise[:, :1] if start is None else start[:, :1]

    def sample_static(self, noise: Tensor) -> Tensor:
        """z2 of a sequence whose mu2 is not known, from N(0, 1.25 I), with noise (B, z2_dim)."""
        return math.sqrt(1 + VAR_Z2) * noise

    def means(self, batch: Batch) -> Tensor:
        """mu2 of the sequences among which a batch is, (S, z2_dim): those it brings, else the learned ones."""
        return self.mu2.weight if batch.table is None else batch.table

    def prior_mean(self, batch: Batch) -> Tensor:
        """mu2 of the sequence of each segment, (B, z2_dim). Raises Mistake for a batch that names no sequences."""
        if batch.sequence is None:
            raise Mistake("model fhvae needs to know which sequence each segment was cut from; the batch does not say")
        return functional.embedding(batch.sequence, self.means(batch))

    def map_means(self, totals: Tensor, counts: Tensor) -> Tensor:
        """The mu2 of highest posterior density, (S, z2_dim), of sequences that were not trained on.

        `totals` (S, z2_dim): sums of the posterior means of z2 over the `counts` (S,) segments of each sequence.
        """
        return totals / (counts.unsqueeze(-1) + VAR_Z2)

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None, mu2: Tensor | None = None) -> Output:
        """x (B, T, D) and mu2 (B, z2_dim) of the sequence of each segment; without it p(z2) = N(0, 1.25 I)."""
        q, sample = self.encode(x, noise)
        z2 = sample["z2"]
        mean, var = (torch.zeros_like(z2), 1 + VAR_Z2) if mu2 is None else (mu2, VAR_Z2)
        p = {"z1": Gaussian.standard(sample["z1"]), "z2": Gaussian(mean, torch.full_like(z2, math.log(var)))}
        y = self.emit(sample, x.shape[1])
        return Output(q, p, sample, y.mean, x_logvar=y.logvar)

    def _check_length(self, length: int) -> None:
        if length != self.length and not self.any_length:
            raise Mistake(
                f"the model was built for segments of {self.length} frames, not {length}: give data.window that length "
                "or take net: lstm"
            )


class LSTMCode(nn.Module):
    """A Gaussian from the last states of all layers of an LSTM."""

    def __init__(self, width: int, s: Sizes, dim: int):
        super().__init__()
        self.lstm = XavierLSTM(width, s.hidden, s.layers, batch_first=True)
        self.head = XavierLinear(s.layers * s.hidden, 2 * dim)

    def forward(self, x: Tensor, z2: Tensor | None = None) -> Gaussian:
        """x (B, T, D), with z2 (B, z2_dim) beside every frame -> (B, dim)."""
        _, (h, _) = self.lstm(x if z2 is None else torch.cat([x, spread(z2, x.shape[1])], dim=-1))  # (layers, B, H)
        return gaussian(self.head(h.transpose(0, 1).flatten(1)))


class LSTMDecoder(nn.Module):
    """An LSTM that is fed the codes at every frame and none of the frames before, and a Gaussian of each frame."""

    def __init__(self, width: int, s: Sizes, x_dim: int):
        super().__init__()
        self.lstm = XavierLSTM(width, s.hidden, s.layers, batch_first=True)
        self.head = XavierLinear(s.hidden, 2 * x_dim)

    def forward(self, codes: Tensor, length: int) -> Gaussian:
        """(B, width) -> (B, T, D)."""
        h, _ = self.lstm(spread(codes, length))  # (B, T, H)
        return gaussian(self.head(h))


class DenseCode(nn.Module):
    """A Gaussian from the flattened segment."""

    def __init__(self, width: int, s: Sizes, dim: int):
        super().__init__()
        self.net = rectified([width, *s.widths], 2 * dim)

    def forward(self, x: Tensor, z2: Tensor | None = None) -> Gaussian:
        """x (B, T, D), with z2 (B, z2_dim) behind it -> (B, dim)."""
        flat = x.flatten(1)
        return gaussian(self.net(flat if z2 is None else torch.cat([flat, z2], dim=-1)))


class DenseDecoder(nn.Module):
    """The Gaussian of a whole segment, of the length that it is built for."""

    def __init__(self, width: int, s: Sizes, length: int, x_dim: int):
        super().__init__()
        self.net = rectified([width, *s.widths], 2 * length * x_dim)
        self.x_dim = x_dim

    def forward(self, codes: Tensor, length: int) -> Gaussian:
        """(B, width) -> (B, T, D)."""
        y = gaussian(self.net(codes))
        return Gaussian(y.mean.unflatten(1, (length, self.x_dim)), y.logvar.unflatten(1, (length, self.x_dim)))


def rectified(widths: Sequence[int], out: int) -> nn.Sequential:
    """(Linear, ReLU) for every two widths, then a last Linear."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [XavierLinear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, XavierLinear(widths[-1], out))
