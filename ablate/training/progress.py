"""What a run remembers between its epochs: how far it is, its best epoch, and whether it has ended."""

import fnmatch
from dataclasses import dataclass, field
from typing import Any

from ablate.errors import Mistake
from ablate.registry import LOSSES, METRICS
from ablate.trial import Trial

Report = dict[str, Any]
AT_FULL_WEIGHTS = ("valid/elbo", "valid/total")
CLAMPED = "clamped"  # log-variances at their bounds


@dataclass
class Progress:
    """What a run must remember besides weights and optimiser state."""

    epoch: int = 0  # epochs completed
    best: float | None = None  # best value of the selected metric
    best_epoch: int = 0
    stop_best: float | None = None  # best value of the metric that patience watches
    stop_epoch: int = 0  # of that value
    stale: int = 0  # epochs since it improved
    seconds: float = 0.0  # training time so far, over restarts
    done: bool = False
    reports: list[Report] = field(default_factory=list)  # the last few, as sent


def ended(progress: Progress, trial: Trial) -> bool:
    """Whether the run has had all its epochs or its patience."""
    patience = trial.train.patience
    return progress.epoch >= trial.train.epochs or (patience is not None and progress.stale >= patience)


def advance(progress: Progress, values: Report, trial: Trial, patient: bool = True) -> None:
    """Count the epoch; update the best value and, unless it is too early for that, the patience."""
    train = trial.train
    progress.epoch += 1
    value = values.get(train.select)
    if progress.epoch == 1:
        check_measured(values, trial)
    if value is not None and improves(
        value, progress.best, progress.best_epoch, train.select, train.select_mode, trial
    ):
        progress.best, progress.best_epoch = value, progress.epoch
    watched = values.get(train.stop_on)
    if train.patience is None or watched is None:
        return
    mode = train.select_mode if train.stop_on == train.select else direction(train.stop_on)
    if improves(watched, progress.stop_best, progress.stop_epoch, train.stop_on, mode, trial):
        progress.stop_best, progress.stop_epoch, progress.stale = watched, progress.epoch, 0
    elif patient and progress.epoch >= warm_at(trial):
        progress.stale += 1


def check_measured(values: Report, trial: Trial) -> None:
    """Raise Mistake if the first epoch, which has all metrics, lacks what a run is judged by."""
    train = trial.train
    needed = {"the best epoch is chosen by": train.select}
    if train.patience is not None:
        needed["patience watches"] = train.stop_on
    for purpose, name in needed.items():
        if name not in values:
            measured = ", ".join(its for its in values if its.startswith("valid/"))
            raise Mistake(f"{name}, which {purpose}, is not measured here (measured: {measured})")


def warm_at(trial: Trial) -> float:
    """Epochs after which every term that is trained has its full weight."""
    return max((its.warmup.end for its in trial.loss.terms.values() if its.warmup and its.weight > 0), default=0)


def improves(value: float, best: float | None, best_epoch: int, metric: str, mode: str, trial: Trial) -> bool:
    """Whether a value takes the place of the best one so far.

    Always that of an epoch in which a weight was still growing: it is of another objective, and a model without its KL
    would win by reconstruction. The ELBO and the total are measured at the full weights in every epoch.
    """
    growing = best_epoch > 0 and best_epoch - 1 < warm_at(trial) and metric not in AT_FULL_WEIGHTS
    return growing or better(value, best, mode)


def better(value: float, best: float | None, mode: str) -> bool:
    """Whether `value` improves on `best`."""
    return best is None or (value > best if mode == "max" else value < best)


def direction(metric: str) -> str:
    """`min` for loss terms and for what a metric says is better when it is lower (`lower=`), else `max`."""
    name = metric.rpartition("/")[2]
    lower = [key for entry in METRICS for key in entry.meta.get("lower", ())]
    falls = name in (*LOSSES.names(), "total", CLAMPED) or any(fnmatch.fnmatchcase(name, key) for key in lower)
    return "min" if falls else "max"
