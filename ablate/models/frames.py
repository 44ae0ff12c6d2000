"""What reads and writes single frames: the small and the published convolutional nets, and their end."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ablate.errors import Mistake
from ablate.models import nets

Squash = Literal["linear", "tanh", "sigmoid"]
SMALLEST = 4  # side of the last feature map where the depth is not given


@dataclass(frozen=True)
class FrameNet:
    """A stack of equally wide layers (convolutions for pictures, linear for vectors), linear layers to the feature.

    The decoder is the mirror image. All layers start kaiming-normal: under torch's own start the signal fades in the
    small net, and whether it ever leaves the mean picture depends on the seed. Batch normalisation: weight = bias = 1.
    """

    slope: float = 0.2  # of the leaky ReLU
    depth: int | None = None  # layers of the stack; None halves pictures to a side of about 4
    kernel: int = 4
    first_stride: int = 2  # of the encoder's first layer and the decoder's last; all others halve or double
    dense: tuple[int, ...] = ()  # widths between the flattened stack and the feature
    norm: bool = False  # batch normalisation
    norm_first: bool = False  # also behind the encoder's first layer
    norm_unfold: bool = False  # also behind the decoder's linear layers
    dropout: float = 0.0  # behind the stack's layers but the encoder's first and the decoder's last, and linear ones
    xavier_last: bool = False  # the decoder's last layer starts xavier-normal
    mean_frame: bool = False  # a learned mean frame is added to the output, whose last layer starts near 0


SMALL = FrameNet(mean_frame=True)
PAPER = FrameNet(depth=4, kernel=5, first_stride=1, dense=(4096,), norm=True, norm_first=True)
ALI = FrameNet(slope=0.1, depth=4, norm=True, norm_unfold=True, dropout=0.5, xavier_last=True)


class PerFrame(nn.Module):
    """A net on single frames, applied to all frames of a batch at once."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, ...) -> (B, T, ...)."""
        y: Tensor = self.net(x.flatten(0, 1))
        return y.unflatten(0, x.shape[:2])


class Emission(nn.Module):
    """A decoder's end: the net, plus a learned mean frame where there is one, through the output function."""

    def __init__(self, net: nn.Module, squash: Squash, mean: tuple[int, ...] | None = None):
        super().__init__()
        self.net, self.squash = net, squash
        self.mean = nn.Parameter(torch.zeros(mean)) if mean else None

    def reset_parameters(self) -> None:
        """The mean frame starts at 0 (before the output function) until `start_from`."""
        if self.mean is not None:
            nn.init.zeros_(self.mean)

    def start_from(self, mean_frame: Tensor) -> None:
        """Let the mean frame be this one, (*frame), in the units of the data; does nothing where none is learned."""
        if self.mean is None:
            return
        if self.squash == "tanh":
            mean_frame = mean_frame.clamp(-0.99, 0.99).atanh()
        elif self.squash == "sigmoid":
            mean_frame = mean_frame.clamp(0.01, 0.99).logit()
        with torch.no_grad():
            self.mean.copy_(mean_frame)

    def forward(self, code: Tensor) -> Tensor:
        """(B, T, code) -> (B, T, *frame)."""
        y: Tensor = self.net(code)
        if self.mean is not None:
            y = y + self.mean
        if self.squash == "linear":
            return y
        return y.tanh() if self.squash == "tanh" else y.sigmoid()


def shape_of(frame: tuple[int, ...], net: FrameNet) -> tuple[int, tuple[int, int] | None]:
    """Depth of the stack and sides of its last feature map (None for vectors); Mistake for pictures that do not fit."""
    if len(frame) == 1:
        return net.depth or 4, None
    sides = frame[1], frame[2]
    depth = net.depth or 0
    while net.depth is None and all(
        side % 2 ** (depth + 1) == 0 and side // 2 ** (depth + 1) >= SMALLEST for side in sides
    ):
        depth += 1
    factor = net.first_stride * 2 ** (depth - 1) if depth else 0
    if factor == 0 or any(side % factor for side in sides):
        need = f"a multiple of {factor}" if factor else f"even and at least {2 * SMALLEST}"
        raise Mistake(f"pictures of {sides[0]} x {sides[1]} pixels do not fit this net: each side must be {need}")
    return depth, (sides[0] // factor, sides[1] // factor)


def encoder(frame: tuple[int, ...], net: FrameNet, channels: int, feature: int) -> nn.Module:
    """(B, T, *frame) -> (B, T, feature)."""
    depth, sides = shape_of(frame, net)
    layers: list[nn.Module] = []
    for i in range(depth):
        width = channels if i else frame[0]
        layer = _layer(width, channels, net, net.first_stride if i == 0 else 2, sides is not None)
        layers += [layer, *_behind(channels, net, net.norm and (i > 0 or net.norm_first), i > 0, sides is not None)]
    flat = channels * (sides[0] * sides[1] if sides else 1)
    if sides:
        layers.append(nn.Flatten())
    for before, after in zip([flat, *net.dense], [*net.dense, feature], strict=True):
        layers += [nets.KaimingLinear(before, after), *_behind(after, net, net.norm, True, picture=False)]
    return PerFrame(nn.Sequential(*layers))


def decoder(
    code: int, frame: tuple[int, ...], net: FrameNet, channels: int, squash: Squash, reference_output: bool = False
) -> Emission:
    """(B, T, code) -> (B, T, *frame). `reference_output`: batch normalisation on the output, as a reference has it."""
    depth, sides = shape_of(frame, net)
    flat = channels * (sides[0] * sides[1] if sides else 1)
    layers: list[nn.Module] = []
    for before, after in zip([code, *net.dense[::-1]], [*net.dense[::-1], flat], strict=True):
        layers += [nets.KaimingLinear(before, after), *_behind(after, net, net.norm_unfold, False, picture=False)]
    if sides:
        layers.append(nn.Unflatten(1, (channels, *sides)))
    for _ in range(depth - 1):
        layers += [_back(channels, channels, net, 2, sides is not None)]
        layers += _behind(channels, net, net.norm, True, sides is not None)
    layers.append(_back(channels, frame[0], net, net.first_stride, sides is not None, last=True))
    if reference_output:
        layers.append(_norm(frame[0], sides is not None))
    return Emission(PerFrame(nn.Sequential(*layers)), squash, frame if net.mean_frame else None)


def _behind(width: int, net: FrameNet, norm: bool, dropout: bool, picture: bool) -> list[nn.Module]:
    """What follows a layer: normalisation, leaky ReLU, dropout."""
    layers: list[nn.Module] = [_norm(width, picture)] if norm else []
    layers.append(nn.LeakyReLU(net.slope))
    if dropout and net.dropout:
        layers.append(nn.Dropout2d(net.dropout) if picture else nn.Dropout(net.dropout))
    return layers


def _norm(width: int, picture: bool) -> nn.Module:
    return nets.UnitBatchNorm2d(width) if picture else nets.UnitBatchNorm1d(width)


def _layer(before: int, after: int, net: FrameNet, stride: int, picture: bool) -> nn.Module:
    """One layer of the encoder's stack; stride 2 halves even sides."""
    if not picture:
        return nets.KaimingLinear(before, after)
    return nets.KaimingConv2d(before, after, net.kernel, stride, padding=(net.kernel - 1) // 2)


def _back(before: int, after: int, net: FrameNet, stride: int, picture: bool, last: bool = False) -> nn.Module:
    """One layer of the decoder's stack; stride 2 doubles the sides."""
    if not picture:
        return nets.KaimingLinear(before, after)
    kind: type[nn.ConvTranspose2d] = nets.KaimingConvTranspose2d
    if last and net.xavier_last:
        kind = nets.XavierConvTranspose2d
    elif last and net.mean_frame:
        kind = nets.QuietConvTranspose2d
    odd = stride == 2 and net.kernel % 2 == 1  # an odd kernel needs one more row and column to double
    return kind(before, after, net.kernel, stride, padding=(net.kernel - 1) // 2, output_padding=int(odd))
