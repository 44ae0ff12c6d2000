"""Autoregressive decoders that read their own outputs in the place of the true frames before."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ablate.models.stepping import Cell, Chain

Mode = Literal["teacher", "scheduled", "generation"]  # x_{t-1} is the true frame, one or the other, the own output
Likelihood = Literal["gaussian", "bernoulli", "itakura_saito", "mpjpe"]  # the last is a distance, no likelihood


def mean_of(y: Tensor, likelihood: Likelihood) -> Tensor:
    """Mean of the data that a decoder output stands for, in the units of x."""
    if likelihood in ("gaussian", "mpjpe"):
        return y
    return y.sigmoid() if likelihood == "bernoulli" else y.exp()


def share(epoch: int, step: int) -> float:
    """Share of frames decoded from own outputs: a tenth, from then on a tenth more every `step` epochs, at most 1."""
    return min(1.0, (1 + epoch // step) / 10)


def follows_data(mode: Mode, own: Tensor | None) -> bool:
    """Whether the decoder's states along the true frames are asked for. Mode scheduled: where `own` chooses frames."""
    return mode == "teacher" or (mode == "scheduled" and own is not None)


@dataclass(frozen=True)
class Loop:
    """h_t = LSTM([known, e(x_{t-1})]), x_t = out([known, h_t]), the `known` parts computed before for all frames."""

    features: nn.Module  # e(.), (B, D) -> (B, E)
    cell: Cell
    x_at: int  # first column of e(x_{t-1}) in the cell's input, to the last
    out: Chain
    h_at: int  # first column of h_t in the input of `out`, to the last
    likelihood: Likelihood

    def run(
        self,
        gates: Tensor,
        pre: Tensor,
        own: Tensor | None = None,
        states: Tensor | None = None,
        given: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, D) and the states h (B, T, H) that were driven by the outputs before, x_hat_0 = 0.

        `gates` (B, T, 4H): what is known gives this share of the gates; with one frame less, h_1 = 0. `pre` (B, T, W):
        the same of the first layer of `out`. Where `own` (T,) or (B, T) is False, the frame is decoded from `states`
        (B, T, H), those of the true frames. First frames that are `given` (B, K, D) are fed back in the place of their
        outputs. Outputs that are fed back carry no gradient.
        """
        columns, h_columns = self.cell.columns(self.x_at), self.out.columns(self.h_at)
        h, c = self.cell.start(pre)
        x = pre.new_zeros(len(pre), self.out.out)
        steps: list[Tensor | None] = [*gates.unbind(1)]
        if len(steps) < pre.shape[1]:
            steps = [None, *steps]
        chosen, taught = self._choices(pre, own, states)
        known = [] if given is None else [*given.unbind(1)]
        outputs, path = [], []
        for t, (step, pre_t, own_t, taught_t) in enumerate(zip(steps, pre.unbind(1), chosen, taught, strict=True)):
            if step is not None:
                h, c = self.cell.step(step, self.features(x), columns, h, c)
            first = torch.addmm(pre_t, h, h_columns)
            y = self.out.rest(first if own_t is None else torch.where(own_t, first, taught_t))
            x = known[t] if t < len(known) else mean_of(y, self.likelihood).detach()
            outputs.append(y)
            path.append(h)
        return torch.stack(outputs, dim=1), torch.stack(path, dim=1)

    def _choices(self, pre: Tensor, own: Tensor | None, states: Tensor | None) -> tuple[list, list]:
        """Frame by frame, whether to decode from the own path (B, 1), and the first layer on the true states (B, W)."""
        if own is None or states is None:
            return [None] * pre.shape[1], [None] * pre.shape[1]
        taught = pre + states @ self.out.columns(self.h_at)  # (B, T, W)
        return [*own.expand(pre.shape[:2]).unsqueeze(-1).unbind(1)], [*taught.unbind(1)]
