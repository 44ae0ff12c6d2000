"""Tables of sequences: the mean of the static code of each, learned, drawn anew or found for unseen ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ablate.data.dataset import Split
from ablate.metrics.evaluate import batches, evaluating, precision
from ablate.registry import MODELS
from ablate.training.batches import Place, read
from ablate.trial import Trial


def unseen(model: Any, split: Split, trial: Trial, place: Place) -> Tensor | None:
    """Means of all sequences of a split that was not trained on, (S, D); None for a model without a table."""
    if not MODELS[trial.model.name].meta.get("sequences"):
        return None
    return map_means(model, split, np.arange(len(split.items)), trial, replace(place, rank=0, world=1))


def redraw(
    model: Any, optimiser: torch.optim.Optimizer, split: Split, drawn: np.ndarray, trial: Trial, place: Place
) -> None:
    """Let the table stand for other sequences, at the means that the encoder finds for them.

    What the optimiser has gathered about the rows belongs to the sequences before, and is forgotten.
    """
    table = model.mu2.weight
    with torch.no_grad():
        table.copy_(map_means(model, split, drawn, trial, place))
    optimiser.state.pop(table, None)


def map_means(model: Any, split: Split, drawn: np.ndarray, trial: Trial, place: Place) -> Tensor:
    """The model's `map_means` of these sequences of a split, (K, D), from the static codes of all their windows.

    Workers share the windows; all get the same numbers.
    """
    row = np.full(len(split.items), -1)
    row[drawn] = np.arange(len(drawn))
    windows = np.flatnonzero(row[split.sequence] >= 0)[place.rank :: place.world]
    sums = np.zeros((len(drawn), model.z2_dim))
    with evaluating(model):
        for part in batches(len(windows), trial.train.batch_size):
            its = windows[part]
            codes = model.encode_static(read(split, its, trial, place)).mean
            np.add.at(sums, row[split.sequence[its]], codes.double().cpu().numpy())  # in order, whatever the device
        totals = torch.from_numpy(sums).to(place.device)
        if place.world > 1:
            dist.all_reduce(totals)
        counts = torch.from_numpy(split.segments[drawn]).to(place.device)
        means: Tensor = model.map_means(totals, counts)
    return means.to(precision(model))
