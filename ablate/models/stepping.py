"""Recurrent nets taken apart: what all frames share is computed at once, the rest is stepped frame by frame.

A recurrence must be stepped only where its input holds a latent that is sampled in the same loop. Loops append to lists
and stack them; everything about a frame that is known beforehand enters as a tensor (B, T, ...) cut along time.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Gaussian


class Chain(nn.Module):
    """(Linear, tanh) for every width, then a last Linear; its first layer can be applied to parts of the input."""

    def __init__(self, width: int, widths: Sequence[int], out: int):
        super().__init__()
        sizes = [width, *widths, out]
        self.out = out
        self.first = nn.Linear(sizes[0], sizes[1])
        self.later = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes[1:]))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., out)."""
        return self.rest(self.first(x))

    def ahead(self, x: Tensor, start: int = 0) -> Tensor:
        """First layer, bias included, on the part of the input that begins at this column. (..., part) -> (..., W)."""
        return functional.linear(x, self.first.weight[:, start : start + x.shape[-1]], self.first.bias)

    def columns(self, start: int, stop: int | None = None) -> Tensor:
        """Weight of the first layer for these inputs, ready for addmm: (stop - start, W)."""
        return self.first.weight[:, start:stop].t()

    def rest(self, y: Tensor) -> Tensor:
        """All that follows the first layer. (..., W) -> (..., out)."""
        for layer in self.later:
            y = layer(y.tanh())
        return y


class Cell:
    """One direction of an `nn.LSTM` of one layer, stepped by hand with its input's share of the gates given."""

    def __init__(self, lstm: nn.LSTM):
        self.inputs = lstm.get_parameter("weight_ih_l0").t()  # (D, 4H)
        self.recurrent = lstm.get_parameter("weight_hh_l0").t()  # (H, 4H)
        self.bias = lstm.get_parameter("bias_ih_l0") + lstm.get_parameter("bias_hh_l0")  # (4H,)

    def ahead(self, x: Tensor, start: int = 0) -> Tensor:
        """Share of the gates, biases included, of the input columns from `start`. (B, T, part) -> (B, T, 4H)."""
        return x @ self.inputs[start : start + x.shape[-1]] + self.bias

    def columns(self, start: int, stop: int | None = None) -> Tensor:
        """Weights of these inputs above those of the last state h, ready for addmm: (stop - start + H, 4H)."""
        return torch.cat([self.inputs[start:stop], self.recurrent])

    def start(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The state before any input: h and c of zeros, (B, H) for B sequences of `like`."""
        zeros = like.new_zeros(len(like), len(self.recurrent))
        return zeros, zeros

    def step(self, known: Tensor, rest: Tensor, columns: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Known share of the gates (B, 4H), the other inputs (B, part), their `columns`, the last state -> h and c."""
        gates = torch.addmm(known, torch.cat([rest, h], dim=1), columns)
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.addcmul(f.sigmoid() * c, i.sigmoid(), g.tanh())
        return o.sigmoid() * c.tanh(), c


def gaussian(stats: Tensor) -> Gaussian:
    """[mean, logvar] side by side (..., 2D) -> Gaussian of (..., D), the log-variance clamped."""
    mean, logvar = stats.chunk(2, dim=-1)
    return Gaussian(mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))


def backward(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """A forward LSTM run from the last frame to the first. (B, T, D) -> (B, T, H)."""
    h, _ = lstm(x.flip(1))
    return h.flip(1)


def silence(noise: dict[str, Tensor] | None, x: Tensor, name: str, dim: int) -> Tensor:
    """The noise of that name, or zeros (B, T, dim) where there is none: samples are then the means."""
    return x.new_zeros(*x.shape[:2], dim) if noise is None else noise[name]
