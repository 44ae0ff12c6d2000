"""SpeechVAE: one code for a whole segment of speech, by fully connected, convolutional or recurrent nets."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ablate.errors import Mistake
from ablate.models.nets import check_frames, spread
from ablate.models.presets import filled, size, vectors
from ablate.models.stepping import gaussian
from ablate.registry import MODELS
from ablate.types import Gaussian, Output

LAYERS, SLOPE = 2, 0.2  # of both LSTMs; of the leaky ReLU
Net = Literal["mlp", "conv", "gated_conv", "lstm"]


@dataclass(frozen=True)
class Sizes:
    """The sizes behind a preset; each net reads those that are named for it, all read `z_dim`."""

    z_dim: int = 16
    widths: tuple[int, ...] = (128, 64)  # mlp: from the flattened segment to the code
    channels: tuple[int, ...] = (16, 32, 64)  # conv, gated_conv: first of single frames, the others halve the frames
    dense: tuple[int, ...] = (64,)  # conv, gated_conv: from the last map to the code
    hidden: int = 64  # lstm: of each layer
    norm: bool = False  # all but lstm: batch normalisation


PRESETS = {"small": Sizes(), "ali": Sizes(32, (4096, 2048, 1024, 512), (64, 128, 256), (512,), 512, True)}


@dataclass(frozen=True)
class SpeechVAEOptions:
    """Options of `speech_vae`; a size that is not given is the preset's."""

    preset: Literal["small", "ali"] = "small"
    net: Net = "mlp"
    z_dim: int | None = size()
    widths: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    dense: tuple[int, ...] | None = None
    hidden: int | None = size()
    norm: bool | None = None
    dropout: float = field(default=0.0, metadata={"ge": 0, "lt": 1})  # in fully connected layers
    reference_output: bool = False  # the output passes normalisation and activation as in published code, for counts

    def __post_init__(self) -> None:
        if self.channels == ():
            raise ValueError("channels must name at least one layer")
        if self.reference_output and self.net == "lstm":
            raise ValueError("reference_output belongs to the nets mlp, conv and gated_conv")


def draws_per_worker(options: SpeechVAEOptions) -> bool:
    """Whether batch normalisation or dropout make the result depend on the number of workers."""
    return options.net != "lstm" and (filled(options, PRESETS).norm or options.dropout > 0)


@MODELS(
    "speech_vae",
    options=SpeechVAEOptions,
    latents={"z": "dynamic"},
    decoder=True,
    segments=True,
    workers_matter=draws_per_worker,
)
class SpeechVAE(nn.Module):
    """Variational autoencoder of speech segments, one code each (Hsu et al. 2017, arXiv 1704.04222).

    q(z | x_{1..T}), p(x_{1..T} | z), p(z) = N(0, I). z holds all that a segment is, and stands as a dynamic code of one
    frame, (B, 1, z_dim), since there is no static code beside it. `net: mlp` reads the flattened segment; `conv` single
    frames, whose number it then halves layer by layer; `gated_conv` does so with units A * sigmoid(B); `lstm` takes the
    last states of two layers, and its decoder is fed z at every frame. All but `lstm` are built for the data's window.
    `preset: ali` has the published widths and batch normalisation. Published code normalises its output as well
    (`reference_output`), and reads the frames of other clips in its `lstm`; not so here. Its dropout is not stated.
    """

    latents: ClassVar[dict[str, str]] = {"z": "dynamic"}

    def __init__(self, frame: tuple[int, ...], options: SpeechVAEOptions, window: int):
        super().__init__()
        s, x_dim = filled(options, PRESETS), vectors("speech_vae", frame)
        self.frame, self.z_dim, self.length = frame, s.z_dim, window
        self.any_length, self.normalises = options.net == "lstm", options.net != "lstm" and s.norm
        self.encoder: nn.Module
        self.decoder: SegmentDecoder | LSTMDecoder
        if options.net == "lstm":
            self.encoder, width = LSTMEncoder(x_dim, s.hidden), LAYERS * s.hidden
            self.decoder = LSTMDecoder(s.z_dim, s.hidden, x_dim)
        else:
            nets = mlp_nets if options.net == "mlp" else conv_nets
            self.encoder, width, decoder = nets(x_dim, window, s, options)
            self.decoder = SegmentDecoder(decoder)
        self.head = nn.Linear(width, 2 * s.z_dim, bias=biased(s, options))

    def noise_shapes(self, length: int) -> dict[str, tuple[int, ...]]:
        """Shape, per sequence, of the standard normal noise that `encode` takes, whatever the length."""
        return {"z": (1, self.z_dim)}

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        """Posterior and sample (mean without noise) of z, (B, 1, z_dim). Raises Mistake for other frames or lengths."""
        check_frames(x, self.frame)
        self._check_length(x.shape[1])
        if self.training and self.normalises and len(x) < 2:
            raise Mistake(
                "model speech_vae with batch normalisation needs 2 sequences per worker: raise train.batch_size"
            )
        q = gaussian(self.head(self.encoder(x)).unsqueeze(1))
        return {"z": q}, {"z": q.mean if noise is None else q.sample(noise["z"])}

    def decode(self, sample: dict[str, Tensor], length: int | None = None) -> Tensor:
        """z (B, 1, z_dim) -> (B, T, D); T is the data's window unless given. Raises Mistake for a length it has not."""
        length = length or self.length
        self._check_length(length)
        x_hat: Tensor = self.decoder(sample["z"][:, 0], length)
        return x_hat

    def sample_prior(self, noise: Tensor, start: Tensor | None = None) -> Tensor:
        """z from N(0, I): the noise of one frame, (B, 1, z_dim); behind a `start` the code stays what it was."""
        return noise[:, :1] if start is None else start[:, :1]

    def forward(self, x: Tensor, noise: dict[str, Tensor] | None) -> Output:
        """x (B, T, D)."""
        q, sample = self.encode(x, noise)
        return Output(q, {"z": Gaussian.standard(sample["z"])}, sample, self.decode(sample, x.shape[1]))

    def _check_length(self, length: int) -> None:
        if length != self.length and not self.any_length:
            raise Mistake(
                f"the model was built for segments of {self.length} frames, not {length}: give data.window that length "
                "or take net: lstm"
            )


class LSTMEncoder(nn.Module):
    """The last states of both layers of an LSTM."""

    def __init__(self, x_dim: int, hidden: int):
        super().__init__()
        self.lstm = nn.LSTM(x_dim, hidden, LAYERS, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, 2H)."""
        _, (h, _) = self.lstm(x)  # (2, B, H)
        return h.transpose(0, 1).flatten(1)


class LSTMDecoder(nn.Module):
    """An LSTM of two layers that is fed z at every frame, and a linear layer."""

    def __init__(self, z_dim: int, hidden: int, x_dim: int):
        super().__init__()
        self.lstm = nn.LSTM(z_dim, hidden, LAYERS, batch_first=True)
        self.out = nn.Linear(hidden, x_dim)

    def forward(self, z: Tensor, length: int) -> Tensor:
        """(B, z_dim) -> (B, T, D)."""
        h, _ = self.lstm(spread(z, length))  # (B, T, H)
        x_hat: Tensor = self.out(h)
        return x_hat


class SegmentDecoder(nn.Module):
    """A net from a code to a segment, without the frames that only made the strides fit."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, z: Tensor, length: int) -> Tensor:
        """(B, z_dim) -> (B, T, D)."""
        x_hat: Tensor = self.net(z)
        return x_hat[:, :length]


class Gated(nn.Module):
    """A * sigmoid(B) of two nets."""

    def __init__(self, value: nn.Module, gate: nn.Module):
        super().__init__()
        self.value, self.gate = value, gate

    def forward(self, x: Tensor) -> Tensor:
        """As both nets."""
        y: Tensor = self.value(x) * torch.sigmoid(self.gate(x))
        return y


def biased(s: Sizes, options: SpeechVAEOptions) -> bool:
    """Whether heads, the decoder's first layer and convolutions have a bias: published mlp and conv have none there."""
    return options.net in ("gated_conv", "lstm") or not s.norm


def dense_layers(widths: Sequence[int], s: Sizes, options: SpeechVAEOptions, bias: bool = True) -> list[nn.Module]:
    """Linear, dropout, normalisation, leaky ReLU for every two widths."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers.append(nn.Linear(before, after, bias=bias))
        layers += [nn.Dropout(options.dropout)] if options.dropout else []
        layers += [nn.BatchNorm1d(after)] if s.norm else []
        layers.append(nn.LeakyReLU(SLOPE))
    return layers


def mlp_nets(x_dim: int, length: int, s: Sizes, options: SpeechVAEOptions) -> tuple[nn.Module, int, nn.Module]:
    """Encoder (B, T, D) -> (B, width), that width, and the mirrored decoder (B, z_dim) -> (B, T, D)."""
    widths = [length * x_dim, *s.widths]
    encoder = nn.Sequential(nn.Flatten(), *dense_layers(widths, s, options))
    layers = [nn.Linear(s.z_dim, widths[-1], bias=biased(s, options)), *dense_layers(widths[:0:-1], s, options)]
    if s.widths:
        layers.append(nn.Linear(widths[1], widths[0]))
    if options.reference_output:
        layers += [nn.BatchNorm1d(widths[0]), nn.LeakyReLU(SLOPE)]
    return encoder, widths[-1], nn.Sequential(*layers, nn.Unflatten(1, (length, x_dim)))


def conv_nets(x_dim: int, length: int, s: Sizes, options: SpeechVAEOptions) -> tuple[nn.Module, int, nn.Module]:
    """As `mlp_nets`. A segment is padded with zeros to m 2^k + 2^k - 1 frames, which k layers of stride 2 make m."""
    bias, gated = biased(s, options), options.net == "gated_conv"
    first, last, factor = s.channels[0], s.channels[-1], 2 ** (len(s.channels) - 1)
    m = max(1, -(-(length - factor + 1) // factor))
    padded = (m + 1) * factor - 1
    widths = [last * m, *s.dense]

    def unit(make: Callable[[], nn.Module], channels: int, norm: bool = s.norm) -> nn.Module:
        def normed() -> nn.Module:
            return nn.Sequential(make(), nn.BatchNorm2d(channels)) if norm else make()

        return Gated(normed(), normed()) if gated else nn.Sequential(normed(), nn.LeakyReLU(SLOPE))

    down: list[nn.Module] = [unit(partial(nn.Conv2d, 1, first, (1, x_dim), bias=bias), first)]  # (B, C, T, 1)
    up: list[nn.Module] = []
    for a, b in itertools.pairwise(s.channels):
        down.append(unit(partial(nn.Conv2d, a, b, (3, 1), (2, 1), bias=bias), b))
        up.insert(0, unit(partial(nn.ConvTranspose2d, b, a, (3, 1), (2, 1), bias=bias), a))
    if options.reference_output:
        up.append(unit(partial(nn.ConvTranspose2d, first, 1, (1, x_dim), bias=bias), 1, norm=True))
    else:
        up.append(nn.ConvTranspose2d(first, 1, (1, x_dim)))
    encoder = nn.Sequential(
        nn.ZeroPad2d((0, 0, 0, padded - length)),
        nn.Unflatten(1, (1, padded)),
        *down,
        nn.Flatten(),
        *dense_layers(widths, s, options, bias),
    )
    decoder = nn.Sequential(
        nn.Linear(s.z_dim, widths[-1], bias=bias),
        *dense_layers(widths[::-1], s, options, bias),
        nn.Unflatten(1, (last, m, 1)),
        *up,
        nn.Flatten(1, 2),
    )
    return encoder, widths[-1], decoder
