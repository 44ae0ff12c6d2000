"""Where a process stands among the workers of its trial, and the training windows that are its share."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ablate.data.dataset import Split
from ablate.errors import Mistake
from ablate.random import Draws, permutation
from ablate.training.gather import all_gather
from ablate.trial import Trial
from ablate.types import Batch, alone


@dataclass
class Place:
    """Where this process stands among the workers of the trial, and where the trial's files are."""

    folder: Path
    cell: str
    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def shares(split: Split, trial: Trial, place: Place, epoch: int) -> Iterator[Batch]:
    """This worker's share of each global batch. An incomplete last batch is left out, unless it is the only one.

    Raises Mistake where there is less than a window for each worker.
    """
    order = permutation(split.n, trial.train.seed, "order", epoch)
    size = min(trial.train.batch_size, split.n // place.world * place.world)
    local = size // place.world
    if local == 0:
        raise Mistake(f"{split.n} training window for {place.world} workers; lower resources.workers")
    rows = slice(place.rank * local, (place.rank + 1) * local)
    steps = split.n // size
    gather = all_gather if place.world > 1 else alone
    for i in range(steps):
        index = order[i * size : (i + 1) * size][rows]
        draw = Draws(trial.train.seed, (epoch * steps + i,), size, rows, place.device)
        yield Batch(
            read(split, index, trial, place), torch.from_numpy(index).to(place.device), split.n, draw, gather, epoch
        )


def read(split: Split, index: np.ndarray, trial: Trial, place: Place) -> Tensor:
    """Windows as a tensor on the device, (B, T, *frame)."""
    dtype = torch.float64 if trial.train.precision == "float64" else torch.float32
    return split.x(index).to(place.device, dtype, non_blocking=True)
