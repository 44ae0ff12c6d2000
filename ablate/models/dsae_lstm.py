"""LSTM-f and LSTM-c: DSAE with its path of codes replaced by an LSTM without noise, behind one code per sequence."""

from dataclasses import dataclass, fields, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ablate.models import frames
from ablate.models.dsae import (
    NETS,
    PRESETS,
    DSAEOptions,
    Preset,
    Sizes,
    check_kind,
    draws_per_worker,
    frame_nets,
    size,
)
from ablate.models.nets import GaussianHead, check_frames, dense, ends, spread
from ablate.registry import MODELS
from ablate.types import Gaussian, Output

LATENTS = {"f": "static", "z": "dynamic"}


@dataclass(frozen=True)
class LSTMFOptions:
    """Options of `lstm_f`; a size that is not given is that of the preset of `dsae`."""

    preset: Preset = "small"
    z_dim: int | None = size()
    f_dim: int | None = size()
    hidden: int | None = size()  # of each direction of both encoders
    dense_x: tuple[int, ...] | None = None
    dense_f: tuple[int, ...] | None = None  # in front of the heads of q(f) and of q(z)
    decoder: tuple[int, ...] | None = None
    channels: int | None = size()
    feature: int | None = size()
    output: frames.Squash | None = None


@dataclass(frozen=True)
class LSTMCOptions(LSTMFOptions):
    """Options of `lstm_c`; a size that is not given is that of the preset of `dsae`."""

    rnn_h: int | None = size()  # of the LSTM that is fed z; as that of dsae's prior unless given


class LSTMDSAE(nn.Module):
    """What `lstm_f` and `lstm_c` share: q(f | x), q(z | x), p(x_t | h_t, f); `path` makes h_1..h_T of z.

    z is drawn once for a sequence and stands as a dynamic code of one frame, (B, 1, z_dim).
    """

    latents: ClassVar[dict[str, str]] = LATENTS

    def __init__(self, frame: tuple[int, ...], preset: Preset, s: Sizes, window: int, path: "Started | Fed"):
        super().__init__()
        self.frame, self.z_dim, self.f_dim, self.length = frame, s.z_dim, s.f_dim, window
        self.encoder, feature, self.decoder = frame_nets(frame, DSAEOptions(preset), replace(s, z_dim=path.h_dim))
        dropout = NETS[preset].dropout if preset in NETS else 0.0
        self.q_f = EndsCode(feature, s, s.f_dim, dropout)
        self.q_z = EndsCode(feature, s, s.z_dim, dropout)
        self.path = path

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes, whatever the length."""
        return {"f": (self.f_dim,), "z": (1, self.z_dim)}

    def start_from(self, mean_frame: Tensor) -> None:
        """Start the learned mean frame (pictures) at the mean of the training frames, (*frame)."""
        self.decoder.start_from(mean_frame)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posteriors and samples (without noise the means) of f (B, f_dim), z (B, 1, z_dim); may raise Mistake."""
        check_frames(x, self.frame)
        e = self.encoder(x)  # (B, T, feature)
        q_f, of_z = self.q_f(e), self.q_z(e)
        q = {"f": q_f, "z": Gaussian(of_z.mean.unsqueeze(1), of_z.logvar.unsqueeze(1))}
        return q, {name: its.mean if noise is None else its.sample(noise[name]) for name, its in q.items()}

    def encode_static(self, x: Tensor) -> Gaussian:
        """q(f | x) alone, (B, f_dim)."""
        check_frames(x, self.frame)
        q: Gaussian = self.q_f(self.encoder(x))
        return q

    def decode(self, sample: dict[str, Tensor], length: int | None = None) -> Tensor:
        """f (B, f_dim) and z (B, 1, z_dim) to (B, T, *frame); T is the data's window unless given.

        More frames than were encoded are the prediction of those to come: the LSTM goes on.
        """
        h = self.path(sample["z"][:, 0], length or self.length)  # (B, T, H)
        x_hat: Tensor = self.decoder(torch.cat([spread(sample["f"], h.shape[1]), h], dim=-1))
        return x_hat

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """z from N(0, I): the noise of one frame, (B, 1, z_dim); behind a `start` the code stays what it was."""
        return noise[:, :1] if start is None else start[:, :1]

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, *frame)."""
        q, sample = self.encode(x, noise)
        p = {name: Gaussian.standard(code) for name, code in sample.items()}
        return Output(q, p, sample, self.decode(sample, x.shape[1]))


@MODELS("lstm_f", options=LSTMFOptions, latents=LATENTS, decoder=True, segments=True, workers_matter=draws_per_worker)
def lstm_f(frame: tuple[int, ...], options: LSTMFOptions, window: int) -> LSTMDSAE:
    """DSAE with deterministic dynamics that start at z: h_0 = z (Li and Mandt 2018, arXiv 1803.02991).

    p(f) p(z) prod p(x_t | h_t, f), h_t = LSTM(h_{t-1}) without input, so z is as large as h; q(z | x) is built like
    q(f | x). The decoder's inputs and c_0 = 0 are choices made here.
    """
    check_kind("lstm_f", frame, options.preset)
    s = sizes(options)
    return LSTMDSAE(frame, options.preset, s, window, Started(s.z_dim))


@MODELS("lstm_c", options=LSTMCOptions, latents=LATENTS, decoder=True, segments=True, workers_matter=draws_per_worker)
def lstm_c(frame: tuple[int, ...], options: LSTMCOptions, window: int) -> LSTMDSAE:
    """DSAE with deterministic dynamics that are fed z at every frame (Li and Mandt 2018, arXiv 1803.02991).

    p(f) p(z) prod p(x_t | h_t, f), h_0 = 0, h_t = LSTM(h_{t-1}, z); q(z | x) is built like q(f | x). The decoder's
    inputs are a choice made here.
    """
    check_kind("lstm_c", frame, options.preset)
    s = sizes(options)
    return LSTMDSAE(frame, options.preset, s, window, Fed(s.z_dim, options.rnn_h or s.rnn_prior or s.hidden))


def sizes(options: LSTMFOptions) -> Sizes:
    """The sizes of `dsae` that these models have: those given, the others of the preset."""
    names = {its.name for its in fields(Sizes)} & {its.name for its in fields(options)}
    given = {name: getattr(options, name) for name in names}
    return replace(PRESETS[options.preset], **{name: value for name, value in given.items() if value is not None})


class EndsCode(nn.Module):
    """One code for a sequence, from the ends of a bidirectional LSTM."""

    def __init__(self, feature: int, s: Sizes, dim: int, dropout: float):
        super().__init__()
        self.rnn = nn.LSTM(feature, s.hidden, batch_first=True, bidirectional=True)
        self.dense, width = dense(2 * s.hidden, s.dense_f)
        self.dropout = nn.Dropout(dropout)
        self.head = GaussianHead(width, dim)

    def forward(self, e: Tensor) -> Gaussian:
        """(B, T, feature) -> Gaussian of (B, dim)."""
        q: Gaussian = self.head(self.dropout(self.dense(ends(self.rnn, e))))
        return q


class Started(nn.Module):
    """h_0 = z, h_t = LSTM(h_{t-1}): an LSTM without input. The weight of a constant input is its bias."""

    def __init__(self, z_dim: int):
        super().__init__()
        self.h_dim = z_dim
        self.lstm = nn.LSTM(1, z_dim, bias=False, batch_first=True)

    def forward(self, z: Tensor, length: int) -> Tensor:
        """(B, z_dim) -> h_1..h_T, (B, T, z_dim)."""
        h, _ = self.lstm(z.new_ones(len(z), length, 1), (z.unsqueeze(0).contiguous(), torch.zeros_like(z).unsqueeze(0)))
        return h


class Fed(nn.Module):
    """h_0 = 0, h_t = LSTM(h_{t-1}, z)."""

    def __init__(self, z_dim: int, h_dim: int):
        super().__init__()
        self.h_dim = h_dim
        self.lstm = nn.LSTM(z_dim, h_dim, batch_first=True)

    def forward(self, z: Tensor, length: int) -> Tensor:
        """(B, z_dim) -> h_1..h_T, (B, T, h_dim)."""
        h, _ = self.lstm(spread(z, length))
        return h
