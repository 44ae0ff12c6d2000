"""Stages of a training that a model asks for: what rests, and when the run begins to be judged anew."""

from typing import Any

import torch

from ablate.training.progress import Progress


def own_share(model: Any, epoch: int) -> float | None:
    """Share of the frames that are decoded from own outputs in this epoch; None outside scheduled sampling."""
    return model.share(epoch) if getattr(model, "mode", None) == "scheduled" else None


def begins(model: Any, epoch: int) -> bool:
    """Whether the share of own outputs jumps where so many epochs are done."""
    return epoch > 0 and own_share(model, epoch) != own_share(model, epoch - 1)


def begin_stage(model: Any, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    """Where the share of own outputs jumps, forget the optimiser's moments, the best epoch and the patience so far.

    A larger share is a harder task: its values do not compare with those before. A pure function of the epoch, so that
    a run that is killed at the jump and one that is not do the same.
    """
    if begins(model, progress.epoch):
        optimiser.state.clear()
        progress.best, progress.best_epoch = None, 0
        progress.stop_best, progress.stop_epoch, progress.stale = None, 0, 0


def patient(model: Any, epoch: int) -> bool:
    """Whether this epoch may count against the patience: not while the share of own outputs still grows."""
    share = own_share(model, epoch)
    return share is None or share >= 1


def rest(model: Any, epoch: int) -> None:
    """Take the gradients from what the model lets rest in this epoch (`resting`: beginnings of parameters' names).

    They are computed all the same, so that data-parallel workers agree on which there are.
    """
    names: tuple[str, ...] = model.resting(epoch) if hasattr(model, "resting") else ()
    for name, parameter in model.named_parameters() if names else ():
        if name.startswith(names):
            parameter.grad = None
