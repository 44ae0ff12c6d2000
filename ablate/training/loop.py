"""The training loop: plain PyTorch, deterministic, resumable at every epoch; knows neither Ray nor MLflow."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ablate.data.dataset import Data, Split
from ablate.errors import NonFinite
from ablate.metrics.evaluate import evaluate
from ablate.random import Draws, permutation, stream
from ablate.training import checkpoint
from ablate.training.gather import all_gather
from ablate.training.step import Step, elbo, objective
from ablate.training.usage import Usage
from ablate.trial import Trial
from ablate.types import Batch, alone

Report = dict[str, Any]
REPEATED = 4  # reports kept in a checkpoint and sent again after a restart
FINITE_EVERY = 25  # steps between two looks at the values: a look waits for the device


class WallLimit(Exception):
    """The run took longer than `train.wall_limit` allows."""


@dataclass
class Place:
    """Where this process stands among the workers of the trial, and where the trial's files are."""

    folder: Path
    cell: str
    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass
class Progress:
    """What a run must remember besides weights and optimiser state."""

    epoch: int = 0  # epochs completed
    best: float | None = None  # best value of the selected metric
    best_epoch: int = 0
    stop_best: float | None = None  # best value of the metric that patience watches
    stale: int = 0  # epochs since it improved
    seconds: float = 0.0  # training time so far, over restarts
    done: bool = False
    reports: list[Report] = field(default_factory=list)  # the last few, as sent


def fit(
    step: Step, data: Data, trial: Trial, place: Place, report: Callable[[Report], None], wrap: Callable
) -> Progress:
    """Train from the last checkpoint (or from the start) to the end, reporting once per epoch.

    Every rank calls `report` equally often. The report of the last epoch is left to the caller (it adds what the end of
    the run brings), unless the checkpoint says it has been sent. Raises NonFinite on all ranks, OSError on a full disk.
    """
    optimiser = make_optimiser(step, trial)
    progress = restore(step, optimiser, place)
    for old in progress.reports:
        report(old)
    wrapped = wrap(step) if progress.epoch < trial.train.epochs and not ended(progress, trial) else step
    usage = Usage(progress.seconds)
    while not ended(progress, trial):
        epoch = progress.epoch
        values = train_epoch(wrapped, step, optimiser, data, trial, place, epoch)
        values |= validate(step, data, trial, place, epoch + 1, usage)
        progress.seconds = values["system/wall_seconds"]
        advance(progress, values, trial)
        over = trial.train.wall_limit is not None and progress.seconds > trial.train.wall_limit
        last = ended(progress, trial)
        sent = {"epoch": progress.epoch, "objective": progress.best, "at": now()} | values
        progress.reports = [*progress.reports, sent][-REPEATED:]
        keep(step, optimiser, progress, place, improved=progress.best_epoch == progress.epoch)
        if not last:
            report(sent)
        if over and not last:
            raise WallLimit(
                f"{progress.seconds:.0f} s of training exceed train.wall_limit {trial.train.wall_limit:.0f} s"
            )
    return progress


def now() -> int:
    """Milliseconds since 1970: the time stamp of a report, the same in every later repetition."""
    return int(time.time() * 1000)


def ended(progress: Progress, trial: Trial) -> bool:
    """Whether the run has had all its epochs or its patience."""
    patience = trial.train.patience
    return progress.epoch >= trial.train.epochs or (patience is not None and progress.stale >= patience)


def make_optimiser(step: Step, trial: Trial) -> torch.optim.Optimizer:
    """Adam as the configuration says."""
    train = trial.train
    return torch.optim.Adam(
        step.parameters(),
        lr=train.lr,
        betas=(train.betas[0], train.betas[1]),
        weight_decay=train.weight_decay,
        fused=True,
    )


def restore(step: Step, optimiser: torch.optim.Optimizer, place: Place) -> Progress:
    """Load the last checkpoint of this cell into model and optimiser; a fresh Progress without one.

    Rank 0 reads and tells the others: a file that one rank passes over as damaged must not let the ranks start apart.
    """
    state = checkpoint.load(place.folder, place.cell) if place.rank == 0 else None
    if place.world > 1:
        found = [state]
        dist.broadcast_object_list(found, src=0)
        state = found[0]
    if state is None:
        return Progress()
    step.model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return Progress(**state["progress"])


def keep(step: Step, optimiser: torch.optim.Optimizer, progress: Progress, place: Place, improved: bool) -> None:
    """Write the checkpoint on rank 0; a failed write raises on all ranks."""
    failure: list[Exception | None] = [None]
    if place.rank == 0:
        state = {
            "cell": place.cell,
            "epoch": progress.epoch,
            "model": step.model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "progress": vars(progress),
        }
        try:
            for name in ("best", "last") if improved else ("last",):
                checkpoint.save(place.folder, name, state)
        except OSError as error:
            failure = [error]
    if place.world > 1:
        dist.broadcast_object_list(failure, src=0)
    if failure[0] is not None:
        raise failure[0]


def train_epoch(
    wrapped: nn.Module, step: Step, optimiser: torch.optim.Optimizer, data: Data, trial: Trial, place: Place, epoch: int
) -> Report:
    """One pass over the training windows; returns the means of the raw terms, the total, weights and gradient norm."""
    step.train()
    batches = list(shares(data.train, trial, place, epoch))
    watch = Watch([term.name for term in step.terms if term.weight > 0], place)
    for i, batch in enumerate(batches):
        optimiser.zero_grad(set_to_none=True)
        torch.manual_seed(stream(trial.train.seed, "dropout", *batch.draw.index, place.rank))
        values = wrapped(batch)
        loss = objective(values, step.terms, epoch + i / len(batches))
        loss.backward()
        norm = gradient_norm(step, trial.train.clip)
        optimiser.step()
        watch.see(values, loss.detach(), norm)
        if (i + 1) % FINITE_EVERY == 0 or i + 1 == len(batches):
            watch.check(epoch + 1)
    means = watch.means()
    frames = data.train.window
    result = {
        f"train/{term.name}": per_frame(means[term.name], term.bound, frames) for term in step.terms if term.weight > 0
    }
    result |= {"train/total": means["total"], "train/gradient_norm": means["gradient"]}
    result |= {f"weight/{term.name}": term.strength(epoch + 1) for term in step.terms}
    return result


def per_frame(value: float, bound: bool, frames: int) -> float:
    """Terms of the bound are logged in nats per frame, the others as they are, per sequence."""
    return value / frames if bound else value


def shares(split: Split, trial: Trial, place: Place, epoch: int) -> Iterator[Batch]:
    """This worker's share of each global batch. An incomplete last batch is left out, unless it is the only one."""
    order = permutation(split.n, trial.train.seed, "order", epoch)
    size = min(trial.train.batch_size, split.n // place.world * place.world)
    local = size // place.world
    rows = slice(place.rank * local, (place.rank + 1) * local)
    steps = split.n // size
    gather = all_gather if place.world > 1 else alone
    for i in range(steps):
        index = order[i * size : (i + 1) * size][rows]
        draw = Draws(trial.train.seed, (epoch * steps + i,), size, rows, place.device)
        yield Batch(read(split, index, trial, place), torch.from_numpy(index).to(place.device), split.n, draw, gather)


def read(split: Split, index: np.ndarray, trial: Trial, place: Place) -> Tensor:
    """Windows as a tensor on the device, (B, T, *frame)."""
    dtype = torch.float64 if trial.train.precision == "float64" else torch.float32
    return split.x(index).to(place.device, dtype, non_blocking=True)


def gradient_norm(step: Step, clip: float | None) -> Tensor:
    """Norm of the whole gradient before clipping; clips in place where asked."""
    gradients = [p.grad for p in step.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if clip is not None:
        nn.utils.clip_grads_with_norm_(step.parameters(), clip, norm)
    return norm


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


def validate(step: Step, data: Data, trial: Trial, place: Place, epoch: int, usage: Usage) -> Report:
    """Raw terms, ELBO and the study's metrics on the validation split, and what the run has cost so far.

    Computed by rank 0 and sent to all, so that the ranks agree on the best epoch, on patience and on the wall limit.
    """
    result: list[Any] = [None]
    if place.rank == 0:
        result = [score(step, data, trial, place, "valid", epoch) | usage.values()]
    if place.world > 1:
        dist.broadcast_object_list(result, src=0)
    values: Report = result[0]
    bad = [name for name, value in values.items() if not math.isfinite(value)]
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
    every = trial.metrics.every
    if epoch == 1 or epoch % every == 0 or epoch >= trial.train.epochs:
        seed, size, chosen = trial.train.seed, trial.train.batch_size, trial.metrics.chosen or None
        metrics = evaluate(step.model, data, split_name, chosen, seed, place.device, size, likelihood(trial))
        values |= {f"{split_name}/{name}": value for name, value in metrics.items()}
    return values


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
    sums: dict[str, float] = {}
    for i, index in enumerate(batches):
        everything = slice(0, len(index))
        draw = Draws(trial.train.seed, (i,), len(index), everything, place.device, "eval/")
        rows = torch.from_numpy(index).to(place.device)
        values = step(Batch(read(split, index, trial, place), rows, n_train, draw))
        for name, value in values.items():
            sums[name] = sums.get(name, 0.0) + float(value.double().sum())
    return {name: value / split.n for name, value in sums.items()}


def advance(progress: Progress, values: Report, trial: Trial) -> None:
    """Count the epoch; update the best value and the patience."""
    train = trial.train
    progress.epoch += 1
    value = values.get(train.select)
    if value is not None and better(value, progress.best, train.select_mode):
        progress.best, progress.best_epoch = value, progress.epoch
    watched = values.get(train.stop_on)
    if train.patience is None or watched is None:
        return
    mode = train.select_mode if train.stop_on == train.select else direction(train.stop_on)
    if better(watched, progress.stop_best, mode):
        progress.stop_best, progress.stale = watched, 0
    elif all(progress.epoch >= (term.warmup.end if term.warmup else 0) for term in trial.loss.terms.values()):
        progress.stale += 1


def better(value: float, best: float | None, mode: str) -> bool:
    """Whether `value` improves on `best`."""
    return best is None or (value > best if mode == "max" else value < best)


def direction(metric: str) -> str:
    """`max` for the ELBO and the accuracies, `min` for costs and error rates."""
    name = metric.rpartition("/")[2]
    costs = ("recon", "kl_", "scc", "cyclic", "mi", "total", "eer", "mse")
    return "min" if name.startswith(costs) else "max"
