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


@dataclass(frozen=True)
class Share:
    """One global batch before it is read: what this worker takes of it."""

    index: np.ndarray  # (B,) this worker's windows
    at: tuple[int, ...]  # index of its random streams
    size: int  # windows of the global batch
    rows: slice  # those of this worker
    row: np.ndarray  # (n_items,) where the model's table has each sequence
    drawn: np.ndarray | None = None  # sequences that the table holds from this batch on


class Shares:
    """This worker's share of each global batch of an epoch, read one after the other; how many there are is known."""

    def __init__(self, planned: list[Share], split: Split, trial: Trial, place: Place, epoch: int):
        self.planned, self.split, self.trial, self.place, self.epoch = planned, split, trial, place, epoch
        self.before = steps_before(split, trial, place, epoch, len(planned))

    def __len__(self) -> int:
        return len(self.planned)

    def __iter__(self) -> Iterator[Batch]:
        return (self._read(i, its) for i, its in enumerate(self.planned))

    def _read(self, i: int, its: Share) -> Batch:
        split, trial, place, epoch = self.split, self.trial, self.place, self.epoch
        draw = Draws(trial.train.seed, its.at, its.size, its.rows, place.device)
        x, index = read(split, its.index, trial, place), torch.from_numpy(its.index).to(place.device)
        told: dict[str, Any] = origin(split, its.index, its.row, place) | {"drawn": its.drawn}
        gather = all_gather if place.world > 1 else alone
        return Batch(x, index, split.n, draw, gather, epoch, step=self.before + i, **told)


def shares(split: Split, trial: Trial, place: Place, epoch: int) -> Shares:
    """This worker's share of each global batch. An incomplete last batch is left out, unless it is the only one.

    A model whose table holds K of more training sequences gets them K at a time: the windows of K sequences drawn
    without replacement, then those of the next. The first batch of each says which they are (`drawn`); fewer than K
    that are left over wait for another epoch. Raises Mistake where there is less than a window for each worker.
    """
    return Shares(list(plan(split, trial, place, epoch)), split, trial, place, epoch)


def steps_before(split: Split, trial: Trial, place: Place, epoch: int, steps: int) -> int:
    """Optimiser steps of all epochs before this one, which has `steps`; a function of the epoch alone.

    Epochs differ in length only where a table holds some of the sequences at a time, each with its own windows.
    """
    rows = table_rows(trial, split)
    if rows is None:
        return epoch * steps
    total = 0
    for earlier in range(epoch):
        for drawn in groups(split, trial, earlier, rows):
            n = int(split.segments[drawn].sum())
            total += n // global_size(n, trial, place)
    return total


def groups(split: Split, trial: Trial, epoch: int, rows: int) -> np.ndarray:
    """The sequences that a table of so many rows holds in an epoch, (times, rows)."""
    sequences = permutation(len(split.items), trial.train.seed, "sequences", epoch)
    return sequences[: len(sequences) // rows * rows].reshape(-1, rows)


def global_size(n: int, trial: Trial, place: Place) -> int:
    """Windows of a global batch, of n that there are. Raises Mistake where that is less than one for each worker."""
    size = min(trial.train.batch_size, n // place.world * place.world)
    if size == 0:
        raise Mistake(f"{n} training window for {place.world} workers; lower resources.workers")
    return size


def plan(split: Split, trial: Trial, place: Place, epoch: int) -> Iterator[Share]:
    """Which windows go into which batch."""
    seed, rows = trial.train.seed, table_rows(trial, split)
    if rows is None:
        order, row = permutation(split.n, seed, "order", epoch), np.arange(len(split.items))
        yield from passed(order, row, trial, place, epoch)
        return
    for number, drawn in enumerate(groups(split, trial, epoch, rows)):
        row = np.full(len(split.items), -1)
        row[drawn] = np.arange(rows)
        windows = np.flatnonzero(row[split.sequence] >= 0)
        order = windows[permutation(len(windows), seed, "order", epoch, number)]
        for i, its in enumerate(passed(order, row, trial, place, epoch, number)):
            yield its if i else replace(its, drawn=drawn)


def passed(order: np.ndarray, row: np.ndarray, trial: Trial, place: Place, epoch: int, *part: int) -> Iterator[Share]:
    """Batches of the windows `order`, once through; `row`: where the table has each sequence."""
    n = len(order)
    size = global_size(n, trial, place)
    local = size // place.world
    rows = slice(place.rank * local, (place.rank + 1) * local)
    steps = n // size
    for i in range(steps):
        at = (epoch, *part, i) if part else (epoch * steps + i,)
        yield Share(order[i * size : (i + 1) * size][rows], at, size, rows, row)


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
