"""Whether the values of training are finite, and which of them failed first, without waiting for the device."""

import torch
import torch.distributed as dist
from torch import Tensor

from ablate.errors import NonFinite
from ablate.training.batches import Place


class Watch:
    """Sums of the values of an epoch, kept on the device, and the first step at which each was not finite."""

    def __init__(self, names: list[str], place: Place):
        self.names = [*names, "gradient", "total"]
        self.place = place
        self.sums = torch.zeros(len(self.names), dtype=torch.float64, device=place.device)
        self.first_bad = torch.full((len(self.names),), 2**62, device=place.device)
        self.steps = 0

    def see(self, values: dict[str, Tensor], total: Tensor, norm: Tensor) -> None:
        """Add one step."""
        row = torch.stack([*(values[name].detach().mean() for name in self.names[:-2]), norm, total]).double()
        bad = ~row.isfinite()
        self.first_bad = torch.where(bad, self.first_bad.clamp(max=self.steps), self.first_bad)
        self.sums += row
        self.steps += 1

    def check(self, epoch: int) -> None:
        """Raise NonFinite, naming the value that failed first (the first of several); alike on all ranks."""
        if self.place.world > 1:
            dist.all_reduce(self.first_bad, dist.ReduceOp.MIN)
        steps = self.first_bad.tolist()
        if min(steps) < 2**62:
            raise NonFinite(self.names[steps.index(min(steps))], epoch)

    def means(self) -> dict[str, float]:
        """Mean of each value over the steps and ranks."""
        sums = self.sums
        if self.place.world > 1:
            dist.all_reduce(sums)
        return dict(zip(self.names, (sums / (self.steps * self.place.world)).tolist(), strict=True))
