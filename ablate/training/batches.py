"""Where a process stands among the workers of its trial, and the training windows that are its share."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.data.dataset import Split
from ablate.errors import Mistake
from ablate.random import Draws, permutation
from ablate.registry import MODELS
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

    A model whose table holds K of more training sequences gets them K at a time: the windows of K sequences drawn
    without replacement, then those of the next. The first batch of each says which they are (`drawn`); fewer than K
    that are left over wait for another epoch. Raises Mistake where there is less than a window for each worker.
    """
    seed, rows = trial.train.seed, table_rows(trial, split)
    if rows is None:
        order, row = permutation(split.n, seed, "order", epoch), np.arange(len(split.items))
        yield from passed(split, order, row, trial, place, epoch)
        return
    sequences = permutation(len(split.items), seed, "sequences", epoch)
    for number, drawn in enumerate(sequences[: len(sequences) // rows * rows].reshape(-1, rows)):
        row = np.full(len(split.items), -1)
        row[drawn] = np.arange(rows)
        windows = np.flatnonzero(row[split.sequence] >= 0)
        order = windows[permutation(len(windows), seed, "order", epoch, number)]
        for i, batch in enumerate(passed(split, order, row, trial, place, epoch, number)):
            yield batch if i else replace(batch, drawn=drawn)


def passed(
    split: Split, order: np.ndarray, row: np.ndarray, trial: Trial, place: Place, epoch: int, *part: int
) -> Iterator[Batch]:
    """Batches of the windows `order`, once through; `row`: where the table has each sequence."""
    n = len(order)
    size = min(trial.train.batch_size, n // place.world * place.world)
    local = size // place.world
    if local == 0:
        raise Mistake(f"{n} training window for {place.world} workers; lower resources.workers")
    rows = slice(place.rank * local, (place.rank + 1) * local)
    steps = n // size
    gather = all_gather if place.world > 1 else alone
    for i in range(steps):
        index = order[i * size : (i + 1) * size][rows]
        at = (epoch, *part, i) if part else (epoch * steps + i,)
        draw = Draws(trial.train.seed, at, size, rows, place.device)
        x, its = read(split, index, trial, place), torch.from_numpy(index).to(place.device)
        yield Batch(x, its, split.n, draw, gather, epoch, **origin(split, index, row, place))


def origin(split: Split, index: np.ndarray, row: np.ndarray, place: Place) -> dict[str, Any]:
    """Where windows were cut from, as a batch tells it; `row` as in `passed`."""
    sequence = split.sequence[index]
    told = {"sequence": row[sequence], "segments": split.segments[sequence]}
    return {name: torch.from_numpy(its).to(place.device) for name, its in told.items()}


def table_rows(trial: Trial, split: Split) -> int | None:
    """How many sequences the model's table holds at a time, where that is not all of them."""
    holds = MODELS[trial.model.name].meta.get("sequences") and trial.model.options.table < len(split.items)
    return trial.model.options.table if holds else None


def read(split: Split, index: np.ndarray, trial: Trial, place: Place) -> Tensor:
    """Windows as a tensor on the device, (B, T, *frame)."""
    dtype = torch.float64 if trial.train.precision == "float64" else torch.float32
    return split.x(index).to(place.device, dtype, non_blocking=True)
