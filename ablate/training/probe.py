"""How long a configuration takes, from ten training steps and one look at a part of the validation split."""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from ablate.data.dataset import Data, Split
from ablate.training.batches import Place, shares
from ablate.training.cell import build_step, local_device, prepare_process
from ablate.training.loop import make_optimiser
from ablate.training.step import Step, objective
from ablate.training.validation import measures, score
from ablate.trial import Trial
from ablate.types import Batch

WARM = 2  # steps that are not timed: the first ones also pay for memory and kernels
STEPS = 10
LOOKED_AT = 400  # validation windows that are scored; more only make the estimate slower


@dataclass(frozen=True)
class Pace:
    """Seconds of wall time in this process."""

    step: float
    steps: int  # per epoch
    look: float  # terms and metrics of the validation split
    terms: float | None = None  # terms alone, as in epochs without metrics; None: as long

    def run(self, trial: Trial) -> float:
        """All epochs of a run with their validation, of which only some measure metrics."""
        epochs = trial.train.epochs
        measured = sum(measures(trial, epoch) for epoch in range(1, epochs + 1))
        terms = self.look if self.terms is None else self.terms
        return epochs * self.step * self.steps + measured * self.look + (epochs - measured) * terms


def pace(trial: Trial, data: Data, steps: int = STEPS) -> Pace:
    """Time a configuration; its weights and its files are thrown away. Raises NonFinite and whatever the model raises.

    Of several workers one is timed, with its share of the batch.
    """
    workers = trial.resources.workers
    alone = trial.replace({"train.batch_size": max(1, trial.train.batch_size // workers), "resources.workers": 1})
    device = local_device(alone)
    prepare_process(alone)
    place = Place(Path(), "", device=device)
    step = build_step(alone, data, device)
    size = min(trial.train.batch_size, data.train.n)
    looks = (look_time(step, data, alone, place, measured) for measured in (True, False))
    return Pace(step_time(step, data, alone, place, steps), data.train.n // size, *looks)


def step_time(step: Step, data: Data, trial: Trial, place: Place, steps: int) -> float:
    """Median seconds of a training step."""
    optimiser = make_optimiser(step, trial)
    step.train()
    times = [
        timed(partial(train_step, step, optimiser, batch), place.device)
        for batch in itertools.islice(endless(data, trial, place), WARM + steps)
    ]
    return float(np.median(times[WARM:]))


def train_step(step: Step, optimiser: torch.optim.Optimizer, batch: Batch) -> None:
    """One step of the loop, every weight at its final strength."""
    optimiser.zero_grad(set_to_none=True)
    objective(step(batch), step.terms, float("inf")).backward()
    optimiser.step()


def endless(data: Data, trial: Trial, place: Place) -> Iterator[Batch]:
    """Training batches, epoch after epoch."""
    for epoch in itertools.count():
        yield from shares(data.train, trial, place, epoch)


def look_time(step: Step, data: Data, trial: Trial, place: Place, measured: bool) -> float:
    """Seconds of one validation, from the second of two looks at windows spread over the split."""
    part = some(data.valid, LOOKED_AT)
    seen = replace(data, valid=part)
    epoch = next((epoch for epoch in range(1, trial.train.epochs + 1) if measures(trial, epoch) == measured), 1)
    times = [timed(lambda: score(step, seen, trial, place, "valid", epoch), place.device) for _ in range(2)]
    return times[1] * data.valid.n / part.n


def some(split: Split, n: int) -> Split:
    """At most `n` windows of a split, evenly spread over it."""
    rows = np.unique(np.linspace(0, split.n - 1, min(n, split.n)).round().astype(int))
    return replace(split, sequence=split.sequence[rows], starts=split.starts[rows], first=split.first[rows])


def timed(action: Callable[[], object], device: torch.device) -> float:
    """Seconds that an action takes, the device included."""
    started = time.perf_counter()
    action()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started
