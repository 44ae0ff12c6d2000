"""The training loop: plain PyTorch, deterministic, resumable at every epoch; knows neither Ray nor MLflow."""

import time
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ablate.data.dataset import Data
from ablate.random import reseed, stream
from ablate.training import checkpoint
from ablate.training.batches import Place, shares
from ablate.training.progress import Progress, Report, advance, ended
from ablate.training.stages import begin_stage, patient, rest
from ablate.training.step import Step, objective
from ablate.training.tables import redraw
from ablate.training.usage import Usage
from ablate.training.validation import per_frame, validate
from ablate.training.watch import Watch
from ablate.trial import Trial

REPEATED = 4  # reports kept in a checkpoint and sent again after a restart
FINITE_EVERY = 25  # steps between two looks at the values: a look waits for the device


class WallLimit(Exception):
    """The run took longer than `train.wall_limit` allows."""


def fit(
    step: Step, data: Data, trial: Trial, place: Place, report: Callable[[Report], None], wrap: Callable
) -> tuple[Progress, torch.optim.Optimizer]:
    """Train from the last checkpoint (or from the start) to the end, reporting once per epoch.

    Every rank calls `report` equally often. The report of the last epoch is left to the caller (it adds what the end of
    the run brings), unless the checkpoint says it has been sent. Raises NonFinite on all ranks, OSError on a full disk.
    """
    optimiser = make_optimiser(step, trial)
    progress = restore(step, optimiser, place)
    for old in sent_before(progress, trial):
        report(old)
    wrapped = wrap(step) if progress.epoch < trial.train.epochs and not ended(progress, trial) else step
    usage = Usage(progress.seconds)
    while not ended(progress, trial):
        epoch = progress.epoch
        begin_stage(step.model, optimiser, progress)
        values = train_epoch(wrapped, step, optimiser, data, trial, place, epoch)
        values |= validate(step, data, trial, place, epoch + 1, usage)
        progress.seconds = values["system/wall_seconds"]
        advance(progress, values, trial, patient(step.model, epoch))
        over = trial.train.wall_limit is not None and progress.seconds > trial.train.wall_limit
        last = ended(progress, trial)
        best = {"objective": progress.best, "best_epoch": progress.best_epoch}
        sent = {"epoch": progress.epoch, "at": now()} | best | values
        progress.reports = [*progress.reports, sent][-REPEATED:]
        keep(step, optimiser, progress, place, improved=progress.best_epoch == progress.epoch)
        if not last:
            report(sent)
        if over and not last:
            raise WallLimit(
                f"{progress.seconds:.0f} s of training exceed train.wall_limit {trial.train.wall_limit:.0f} s"
            )
    return progress, optimiser


def sent_before(progress: Progress, trial: Trial) -> list[Report]:
    """The last reports of the run before. Of a run that had all its epochs and no end, the last was never sent."""
    return progress.reports[:-1] if ended(progress, trial) and not progress.done else progress.reports


def now() -> int:
    """Milliseconds since 1970: the time stamp of a report, the same in every later repetition."""
    return int(time.time() * 1000)


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
    batches = shares(data.train, trial, place, epoch)
    watch = Watch([term.name for term in step.terms if term.weight > 0], place)
    for i, batch in enumerate(batches):
        optimiser.zero_grad(set_to_none=True)
        if batch.drawn is not None:
            redraw(step.model, optimiser, data.train, batch.drawn, trial, place)
        reseed(stream(trial.train.seed, "dropout", *batch.draw.index, place.rank), place.device)
        values = wrapped(batch)
        loss = objective(values, step.terms, epoch + i / len(batches))
        loss.backward()
        rest(step.model, epoch)
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


def gradient_norm(step: Step, clip: float | None) -> Tensor:
    """Norm of the whole gradient before clipping; clips in place where asked."""
    gradients = [p.grad for p in step.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if clip is not None:
        nn.utils.clip_grads_with_norm_(step.parameters(), clip, norm)
    return norm
