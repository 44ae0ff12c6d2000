"""What is measured on a split: raw terms, the bound, and the metrics of the study."""

import math
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from ablate.data.dataset import Data, Split
from ablate.errors import NonFinite
from ablate.metrics.evaluate import evaluate
from ablate.random import Draws
from ablate.training.batches import Place, origin, read
from ablate.training.progress import Report
from ablate.training.stages import begins
from ablate.training.step import Step, elbo
from ablate.training.tables import unseen
from ablate.training.usage import Usage
from ablate.trial import Trial
from ablate.types import Batch


def validate(step: Step, data: Data, trial: Trial, place: Place, epoch: int, usage: Usage) -> Report:
    """Raw terms, ELBO and the study's metrics on the validation split, and what the run has cost so far.

    Computed by rank 0 and sent to all, so that the ranks agree on the best epoch, on patience and on the wall limit.
    Raises NonFinite, but not for a term at weight 0 outside the bound: what is only watched must not end a run.
    """
    result: list[Any] = [None]
    if place.rank == 0:
        result = [score(step, data, trial, place, "valid", epoch) | usage.values()]
    if place.world > 1:
        dist.broadcast_object_list(result, src=0)
    values: Report = result[0]
    watched = {f"valid/{term.name}" for term in step.terms if term.weight == 0 and not term.bound}
    bad = [name for name, value in values.items() if not math.isfinite(value) and name not in watched]
    if bad:
        raise NonFinite(bad[0].removeprefix("valid/"), epoch)
    return values


def score(step: Step, data: Data, trial: Trial, place: Place, split_name: str, epoch: int) -> Report:
    """`<split>/<term>`, `<split>/elbo` and, where this epoch is one for metrics, `<split>/<metric>`."""
    step.eval()
    split: Split = getattr(data, split_name)
    terms = mean_terms(step, split, data.train.n, trial, place)
    frames = split.window
    units = {term.name: term.bound for term in step.terms}
    values = {f"{split_name}/{name}": per_frame(value, units.get(name, False), frames) for name, value in terms.items()}
    values[f"{split_name}/elbo"] = elbo(terms, step.terms) / frames
    values[f"{split_name}/total"] = sum(term.final * terms[term.name] for term in step.terms if term.weight > 0)
    if measures(trial, epoch) or begins(step.model, epoch - 1):  # a stage is judged from its first epoch on
        seed, size, chosen = trial.train.seed, trial.train.batch_size, trial.metrics.chosen or None
        metrics = evaluate(step.model, data, split_name, chosen, seed, place.device, size, likelihood(trial))
        values |= {f"{split_name}/{name}": value for name, value in metrics.items()}
    return values


def measures(trial: Trial, epoch: int) -> bool:
    """Whether metrics are measured after this epoch, counted from 1: the first, every so many, and the last."""
    return epoch == 1 or epoch % trial.metrics.every == 0 or epoch >= trial.train.epochs


def likelihood(trial: Trial) -> Any:
    """Of the reconstruction term: says how `x_hat` is to be read."""
    recon = trial.loss.terms.get("recon")
    return recon.options.likelihood if recon else "gaussian"


@torch.no_grad()
def mean_terms(step: Step, split: Split, n_train: int, trial: Trial, place: Place) -> dict[str, float]:
    """Mean of every raw term over the windows of a split, posterior noise from the `eval/` streams.

    Batches are as equal as can be, so that none is left with a single sequence.
    """
    batches = np.array_split(np.arange(split.n), math.ceil(split.n / trial.train.batch_size))
    row, table = np.arange(len(split.items)), unseen(step.model, split, trial, place)
    sums: dict[str, float] = {}
    for i, index in enumerate(batches):
        everything = slice(0, len(index))
        draw = Draws(trial.train.seed, (i,), len(index), everything, place.device, "eval/")
        rows = torch.from_numpy(index).to(place.device)
        told = origin(split, index, row, place)
        values = step(Batch(read(split, index, trial, place), rows, n_train, draw, table=table, **told))
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.double().sum())
    return {name: value / split.n for name, value in sums.items()}


def per_frame(value: float, bound: bool, frames: int) -> float:
    """Terms of the bound are logged in nats per frame, the others as they are, per sequence."""
    return value / frames if bound else value
