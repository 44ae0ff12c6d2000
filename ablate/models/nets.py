"""Building blocks shared by the models: Gaussian heads, tanh networks, LSTM ends, layers with other starts."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ablate.errors import Mistake
from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Gaussian


def dense(width: int, widths: Sequence[int]) -> tuple[nn.Sequential, int]:
    """The e(.) of the papers: (Linear, tanh) per width, and its output width. An empty list is the identity."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([width, *widths]):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers), [width, *widths][-1]


class GaussianHead(nn.Module):
    """Mean and log-variance by one fused linear layer; the log-variance is clamped to [LOGVAR_MIN, LOGVAR_MAX]."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.linear = nn.Linear(width, 2 * dim)

    def forward(self, h: Tensor) -> Gaussian:
        """(..., width) -> Gaussian of (..., dim)."""
        mean, logvar = self.linear(h).chunk(2, dim=-1)
        return Gaussian(mean, logvar.clamp(LOGVAR_MIN, LOGVAR_MAX))


def ends(lstm: nn.LSTM, x: Tensor) -> Tensor:
    """The two states of a bidirectional LSTM that have read all: forward at T, backward at 1. (B, T, D) -> (B, 2H)."""
    _, (h, _) = lstm(x)  # (2, B, H)
    return torch.cat([h[0], h[1]], dim=-1)


def shift(z: Tensor) -> Tensor:
    """z_{t-1} in the place of z_t, with z_0 = 0. (B, T, D)."""
    return torch.cat([torch.zeros_like(z[:, :1]), z[:, :-1]], dim=1)


def spread(f: Tensor, length: int) -> Tensor:
    """A static code beside every frame: (B, D) -> (B, T, D)."""
    return f.unsqueeze(1).expand(-1, length, -1)


def check_frames(x: Tensor, frame: tuple[int, ...]) -> None:
    """Raise Mistake unless x is (B, T, *frame)."""
    if tuple(x.shape[2:]) != frame:
        raise Mistake(f"the model was built for frames of shape {frame}, the data have {tuple(x.shape[2:])}")


class KaimingLinear(nn.Linear):
    """Linear layer that starts kaiming-normal."""

    def reset_parameters(self) -> None:
        """Bias as in torch."""
        super().reset_parameters()
        nn.init.kaiming_normal_(self.weight)


class XavierLinear(nn.Linear):
    """Linear layer that starts xavier-uniform, with a bias of 0."""

    def reset_parameters(self) -> None:
        """Weights of variance 2 / (in + out)."""
        nn.init.xavier_uniform_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class XavierLSTM(nn.LSTM):
    """LSTM of one direction that starts xavier-uniform, with biases of 0 but 1 in the forget gates."""

    def reset_parameters(self) -> None:
        """One bound for the weights of input and state together, as where a cell holds them in one matrix."""
        H = self.hidden_size
        for layer in range(self.num_layers):
            w_in, w_state, b_in, b_state = self.all_weights[layer]
            bound = math.sqrt(6 / (w_in.shape[1] + H + 4 * H))
            for weight in (w_in, w_state):
                nn.init.uniform_(weight, -bound, bound)
            nn.init.zeros_(b_state)
            with torch.no_grad():
                b_in.zero_()
                b_in[H : 2 * H] = 1


class KaimingConv2d(nn.Conv2d):
    """Convolution that starts kaiming-normal."""

    def reset_parameters(self) -> None:
        """Bias as in torch."""
        super().reset_parameters()
        nn.init.kaiming_normal_(self.weight)


class KaimingConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution that starts kaiming-normal."""

    def reset_parameters(self) -> None:
        """Bias as in torch."""
        super().reset_parameters()
        nn.init.kaiming_normal_(self.weight)


class XavierConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution that starts xavier-normal with the gain of tanh."""

    def reset_parameters(self) -> None:
        """Bias as in torch."""
        super().reset_parameters()
        nn.init.xavier_normal_(self.weight, nn.init.calculate_gain("tanh"))


class QuietConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution that starts at a tenth of torch's weights and no bias: what is added to it shows first."""

    def reset_parameters(self) -> None:
        """A start near 0."""
        super().reset_parameters()
        with torch.no_grad():
            self.weight.mul_(0.1)
            if self.bias is not None:
                self.bias.zero_()


class UnitBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation whose weight and bias both start at 1 (the published nets)."""

    def reset_parameters(self) -> None:
        """Weight and bias 1."""
        super().reset_parameters()
        nn.init.ones_(self.bias)


class UnitBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation whose weight and bias both start at 1 (the published nets)."""

    def reset_parameters(self) -> None:
        """Weight and bias 1."""
        super().reset_parameters()
        nn.init.ones_(self.bias)
