"""DSAE, the disentangled sequential autoencoder: a static code f per sequence and a dynamic code z per frame."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.errors import Mistake
from ablate.models import frames
from ablate.models.nets import GaussianHead, check_frames, dense, ends, shift, spread
from ablate.registry import MODELS
from ablate.types import Gaussian, Output

Preset = Literal["small", "tiny", "speech", "motion", "interspeech", "ali_speech", "paper", "ali_video", "ali_audio"]


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; `e(.)` lists are widths of (Linear, tanh) layers and may be empty."""

    z_dim: int = 8
    f_dim: int = 16
    hidden: int = 32  # of each direction of both bidirectional LSTMs
    rnn_z: int = 0  # of the RNN in front of q(z); 0: as hidden
    rnn_prior: int = 0  # of the prior LSTM; 0: as hidden
    dense_x: tuple[int, ...] = ()  # vectors: in front of both encoders
    dense_f: tuple[int, ...] = ()  # in front of the heads of q(f)
    dense_xf: tuple[int, ...] = ()  # on [e(x_t), f]
    dense_z: tuple[int, ...] = ()  # in front of the RNN
    decoder: tuple[int, ...] = (64, 64)  # vectors: on [f, z_t]
    channels: int = 16  # pictures: of every convolution
    feature: int = 64  # pictures: width of e(x_t)
    output: frames.Squash = "linear"


_speech = Sizes(16, 16, 128, decoder=(32, 64, 128, 256))
_published = Sizes(32, 64, 512, channels=256, feature=1024)
PRESETS: dict[str, Sizes] = {
    "small": Sizes(),
    "tiny": Sizes(3, 4, 8, decoder=(16,), channels=16, feature=24),
    "speech": _speech,
    "motion": Sizes(10, 10, 64, decoder=(32, 64)),
    "interspeech": replace(
        _speech, rnn_z=32, rnn_prior=32, dense_x=(256,), dense_f=(64, 32), dense_xf=(256,), dense_z=(64,)
    ),
    "ali_speech": replace(_speech, rnn_prior=16, decoder=(128, 128)),
    "paper": replace(_published, f_dim=256, feature=2048, output="tanh"),
    "ali_video": replace(_published, output="tanh"),
    "ali_audio": replace(_published, output="sigmoid"),
}
NETS = {"paper": frames.PAPER, "ali_video": frames.ALI, "ali_audio": frames.ALI}
KIND = {"paper": "pictures", "ali_video": "pictures"} | dict.fromkeys(
    ["speech", "motion", "interspeech", "ali_speech", "ali_audio"], "vectors"
)


def size(low: int = 1) -> Any:
    """A size left to the preset unless given."""
    return field(default=None, metadata={"ge": low})


@dataclass(frozen=True)
class DSAEOptions:
    """Options of `dsae`; a size that is not given is the preset's."""

    preset: Preset = "small"
    inference: Literal["full", "factorised"] = "full"
    prior: Literal["lstm", "normal"] = "lstm"
    z_dim: int | None = size()
    f_dim: int | None = size()
    hidden: int | None = size()
    rnn_z: int | None = size(0)
    rnn_prior: int | None = size(0)
    dense_x: tuple[int, ...] | None = None
    dense_f: tuple[int, ...] | None = None
    dense_xf: tuple[int, ...] | None = None
    dense_z: tuple[int, ...] | None = None
    decoder: tuple[int, ...] | None = None
    channels: int | None = size()
    feature: int | None = size()
    output: frames.Squash | None = None
    reference_output: bool = (
        False  # `paper`: batch normalisation on the output as in the reference, for parameter counts
    )

    def __post_init__(self) -> None:
        if self.reference_output and self.preset != "paper":
            raise ValueError("reference_output belongs to preset paper")

    def sizes(self) -> Sizes:
        """All sizes, the preset's where none was given."""
        given = {its.name: getattr(self, its.name) for its in fields(Sizes)}
        return replace(PRESETS[self.preset], **{name: value for name, value in given.items() if value is not None})


def check_kind(model: str, frame: tuple[int, ...], preset: Preset) -> None:
    """Raise Mistake unless the preset reads frames of this shape."""
    kind = "vectors" if len(frame) == 1 else "pictures"
    if len(frame) not in (1, 3) or KIND.get(preset, kind) != kind:
        wanted = KIND.get(preset, "vectors (D) or pictures (C, H, W)")
        raise Mistake(f"model {model} with preset {preset} takes frames that are {wanted}, not of shape {frame}")


def draws_per_worker(options: Any) -> bool:
    """Whether batch normalisation or dropout make the result depend on the number of workers."""
    return options.preset in NETS


@MODELS(
    "dsae",
    options=DSAEOptions,
    latents={"f": "static", "z": "dynamic"},
    decoder=True,
    workers_matter=draws_per_worker,
)
class DSAE(nn.Module):
    """Disentangled sequential autoencoder (Li and Mandt 2018, arXiv 1803.02991).

    p(f) = N(0, I), p(z_t | z_{<t}) = N(heads(LSTM(z_{t-1}))) or N(0, I) (`prior: normal`), p(x_t | f, z_t) per frame.
    q(f | x) from the ends of a bidirectional LSTM. q(z | f, x), `inference: full`: bidirectional LSTM on [e(x_t), f], a
    forward tanh RNN, heads. `factorised`: q(z_t | x_t) from one hidden layer per frame.
    The prior is conditioned on posterior samples (one full-sequence LSTM on z shifted by one) and the heads are linear.
    Published code conditions it on a separately drawn path, or reads the backward half of q(f) at the wrong end.
    """

    latents: ClassVar[dict[str, str]] = {"f": "static", "z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: DSAEOptions):
        super().__init__()
        s = options.sizes()
        check_kind("dsae", frame, options.preset)
        self.frame, self.z_dim, self.f_dim = frame, s.z_dim, s.f_dim
        self.encoder, feature, self.decoder = frame_nets(frame, options, s)
        self.dropout = nn.Dropout(NETS[options.preset].dropout if options.preset in NETS else 0.0)
        self.f_rnn = nn.LSTM(feature, s.hidden, batch_first=True, bidirectional=True)
        self.f_dense, width = dense(2 * s.hidden, s.dense_f)
        self.f_head = GaussianHead(width, s.f_dim)
        self.q_z: FullZ | FactorisedZ
        if options.inference == "full":
            self.q_z = FullZ(feature, s)
        else:
            self.q_z = FactorisedZ(feature, s)
        self.prior = PriorLSTM(s) if options.prior == "lstm" else None

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes."""
        return {"f": (self.f_dim,), "z": (length, self.z_dim)}

    def start_from(self, mean_frame: Tensor) -> None:
        """Start the learned mean frame (pictures) at the mean of the training frames, (*frame)."""
        self.decoder.start_from(mean_frame)

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posteriors and samples (without noise the means) of f (B, f_dim), z (B, T, z_dim); may raise Mistake."""
        check_frames(x, self.frame)
        e = self.encoder(x)  # (B, T, feature)
        q_f = self._static(e)
        f = q_f.mean if noise is None else q_f.sample(noise["f"])
        q_z = self.q_z(e, f, self.dropout)
        z = q_z.mean if noise is None else q_z.sample(noise["z"])
        return {"f": q_f, "z": q_z}, {"f": f, "z": z}

    def encode_static(self, x: Tensor) -> Gaussian:
        """q(f | x) alone, (B, f_dim)."""
        check_frames(x, self.frame)
        return self._static(self.encoder(x))

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        """f (B, f_dim) and z (B, T, z_dim), from wherever they come, to (B, T, *frame)."""
        f, z = sample["f"], sample["z"]
        x_hat: Tensor = self.decoder(torch.cat([spread(f, z.shape[1]), z], dim=-1))
        return x_hat

    def prior_z(self, z: Tensor) -> Gaussian:
        """p(z_t | z_{<t}) of every frame, given the path z (B, T, z_dim)."""
        return Gaussian.standard(z) if self.prior is None else self.prior(z)

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """Roll z from its prior with noise (B, T, z_dim), behind the path `start` (B, k, z_dim): (B, T, z_dim)."""
        return noise if self.prior is None else self.prior.roll(noise, start)

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, *frame)."""
        q, sample = self.encode(x, noise)
        p = {"f": Gaussian.standard(sample["f"]), "z": self.prior_z(sample["z"])}
        return Output(q, p, sample, self.decode(sample))

    def _static(self, e: Tensor) -> Gaussian:
        h = self.f_dense(ends(self.f_rnn, e))  # (B, 2H)
        q: Gaussian = self.f_head(self.dropout(h))
        return q


class FullZ(nn.Module):
    """q(z | f, x): every z_t sees the whole sequence and the static code."""

    def __init__(self, feature: int, s: Sizes):
        super().__init__()
        self.dense_in, width = dense(feature + s.f_dim, s.dense_xf)
        self.lstm = nn.LSTM(width, s.hidden, batch_first=True, bidirectional=True)
        self.dense_out, width = dense(2 * s.hidden, s.dense_z)
        self.rnn = nn.RNN(width, s.rnn_z or s.hidden, batch_first=True)
        self.head = GaussianHead(s.rnn_z or s.hidden, s.z_dim)

    def forward(self, e: Tensor, f: Tensor, dropout: nn.Module) -> Gaussian:
        """e (B, T, feature), f (B, f_dim) -> (B, T, z_dim)."""
        ef = torch.cat([e, spread(f, e.shape[1])], dim=-1)
        h, _ = self.lstm(self.dense_in(ef))  # (B, T, 2H)
        g, _ = self.rnn(self.dense_out(h))  # (B, T, H)
        q: Gaussian = self.head(dropout(g))
        return q


class FactorisedZ(nn.Module):
    """q(z_t | x_t): one hidden layer per frame, no recurrence, no f."""

    def __init__(self, feature: int, s: Sizes):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(feature, s.hidden), nn.LeakyReLU(0.2))
        self.head = GaussianHead(s.hidden, s.z_dim)

    def forward(self, e: Tensor, f: Tensor, dropout: nn.Module) -> Gaussian:
        """e (B, T, feature) -> (B, T, z_dim)."""
        q: Gaussian = self.head(self.net(e))
        return q


class PriorLSTM(nn.Module):
    """p(z_t | z_{<t}) by an LSTM that is fed z_{t-1}, z_0 = 0."""

    def __init__(self, s: Sizes):
        super().__init__()
        self.lstm = nn.LSTM(s.z_dim, s.rnn_prior or s.hidden, batch_first=True)
        self.head = GaussianHead(s.rnn_prior or s.hidden, s.z_dim)

    def forward(self, z: Tensor) -> Gaussian:
        """Prior of each frame of a known path, (B, T, z_dim), in one pass."""
        h, _ = self.lstm(shift(z))  # (B, T, H)
        q: Gaussian = self.head(h)
        return q

    def roll(self, noise: Tensor, start: Tensor | None) -> Tensor:
        """Ancestral samples (B, T, z_dim), one frame after another, behind the path `start`."""
        state, last = None, torch.zeros_like(noise[:, :1])
        if start is not None:
            _, state = self.lstm(shift(start))
            last = start[:, -1:]
        path = []
        for eps in noise.split(1, dim=1):
            h, state = self.lstm(last, state)
            last = self.head(h).sample(eps)  # (B, 1, z_dim)
            path.append(last)
        return torch.cat(path, dim=1)


def frame_nets(frame: tuple[int, ...], options: DSAEOptions, s: Sizes) -> tuple[nn.Module, int, frames.Emission]:
    """Frame encoder, width of its feature, frame decoder on [f, z_t]."""
    code = s.f_dim + s.z_dim
    net = NETS.get(options.preset, frames.SMALL if len(frame) == 3 else None)
    if net is None:
        encoder, feature = dense(frame[0], s.dense_x)
        body, width = dense(code, s.decoder)
        return encoder, feature, frames.Emission(nn.Sequential(*body, nn.Linear(width, frame[0])), s.output)
    decoder = frames.decoder(code, frame, net, s.channels, s.output, options.reference_output)
    return frames.encoder(frame, net, s.channels, s.feature), s.feature, decoder
