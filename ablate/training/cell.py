"""One cell: one configuration on one seed, from its resolved form to its final report."""

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ablate.data.dataset import Data, load_data
from ablate.errors import Mistake
from ablate.metrics.pictures import draw
from ablate.random import initialise
from ablate.training import checkpoint
from ablate.training.batches import Place
from ablate.training.loop import fit, keep, now
from ablate.training.measures import build_model
from ablate.training.progress import Progress, Report
from ablate.training.step import Step, build_terms
from ablate.training.validation import likelihood, score
from ablate.trial import Trial

log = logging.getLogger(__name__)
ARTIFACTS = "artifacts"  # what a trial leaves for the record, inside its checkpoint folder


def run_cell(
    config: dict[str, Any],
    report: Callable[[Report], None],
    rank: int = 0,
    world: int = 1,
    wrap: Callable[[Step], nn.Module] = lambda step: step,
    device: torch.device | None = None,
) -> None:
    """Train one cell from where it stands to its end; every rank calls this (both executors, and `ablate train`).

    config: `trial` (plain resolved configuration, seed included), `cell` (its key), `folder` (of its checkpoints), and
    optionally `test` (score the best weights on the test split at the end) and `pictures` (draw them).
    Raises NonFinite, OSError (disk full) and whatever the code raises; the caller decides what that means.
    """
    trial = Trial.from_plain(config["trial"])
    device = device or local_device(trial)
    prepare_process(trial)
    place = Place(Path(config["folder"]), config["cell"], rank, world, device)
    report = with_objectives(report, config.get("objectives", []))
    try:
        with noted(report) as send, writing(place):
            if rank == 0:
                checkpoint.describe(place.folder, place.cell, trial.plain())
            data = load_data((trial.data.name, trial.data.options))
            step = build_step(trial, data, device)
            progress, optimiser = fit(step, data, trial, place, send, wrap)
            final = finish(step, optimiser, data, trial, place, progress, bool(config.get("test")))
            if config.get("pictures") and rank == 0:
                draw_best(step, data, trial, place)
            if final is not None:
                send(final)
    finally:
        tidy(device)


def tidy(device: torch.device) -> None:
    """Free what a trial leaves in a reused process."""
    gc.collect()
    freeze()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@cache
def freeze() -> None:
    """Once per process, set aside what its imports left: to search all of it takes a quarter of a second per trial."""
    gc.freeze()


def writing(place: Place) -> contextlib.AbstractContextManager[None]:
    """The folder's lock, which rank 0 holds."""
    return checkpoint.only_writer(place.folder) if place.rank == 0 else contextlib.nullcontext()


def with_objectives(report: Callable[[Report], None], names: list[str]) -> Callable[[Report], None]:
    """Add `objective/<k>`, the latest values of several searched metrics."""
    latest: Report = {}

    def send(values: Report) -> None:
        latest.update({f"objective/{k}": values[name] for k, name in enumerate(names) if name in values})
        report(values | latest)

    return send


@contextlib.contextmanager
def noted(report: Callable[[Report], None]) -> Iterator[Callable[[Report], None]]:
    """Reports that carry, as `notes`, the warnings since the one before: nobody reads a trial process's own output."""
    notes: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    ours = logging.getLogger("ablate")
    ours.addHandler(handler)

    def send(values: Report) -> None:
        waiting, notes[:] = list(notes), []
        report(values | ({"notes": waiting} if waiting else {}))

    try:
        yield send
    finally:
        ours.removeHandler(handler)


def local_device(trial: Trial) -> torch.device:
    """The GPU this process was given, if the trial asks for one; else the CPU."""
    return torch.device("cuda" if trial.resources.gpus_per_worker > 0 and torch.cuda.is_available() else "cpu")


def prepare_process(trial: Trial) -> None:
    """Set what a reused process may have inherited from the trial before: threads, default type, determinism.

    Numbers below 1e-38 are taken for 0: gradients of power spectra are full of them, and a processor that keeps them
    takes up to five times as long for a step. The setting is one of the calling thread.
    """
    torch.set_num_threads(max(1, int(trial.resources.cpus_per_worker)))
    torch.set_flush_denormal(True)
    torch.set_default_dtype(torch.float32)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def build_step(trial: Trial, data: Data, device: torch.device) -> Step:
    """Model and terms, initialised from the streams of the seed, or from the run of `train.init_from`."""
    model: nn.Module = build_model(trial, data)
    initialise(model, trial.train.seed)
    if hasattr(model, "start_from"):
        model.start_from(data.mean_frame())  # type: ignore[operator]
    if trial.train.precision == "float64":
        model = model.double()
    if trial.train.init_from is not None:
        start_from_run(model, Path(trial.train.init_from))
    return Step(model.to(device), build_terms(trial.loss))


def start_from_run(model: nn.Module, path: Path) -> None:
    """Load the weights of another run; raises Mistake where they are not this model's."""
    weights = checkpoint.weights(path)
    wrong = differing(model, weights)
    if wrong:
        raise Mistake(f"train.init_from: the weights in {path} are those of another model ({wrong[0]} differs)")
    model.load_state_dict(weights)


def differing(model: nn.Module, weights: dict[str, torch.Tensor]) -> list[str]:
    """Names of the weights that the model has not, lacks, or has in another shape."""
    shapes, own = ({name: its.shape for name, its in state.items()} for state in (weights, model.state_dict()))
    return sorted(name for name in shapes.keys() | own.keys() if shapes.get(name) != own.get(name))


def finish(
    step: Step,
    optimiser: torch.optim.Optimizer,
    data: Data,
    trial: Trial,
    place: Place,
    progress: Progress,
    test: bool,
) -> Report | None:
    """The last report, marked `complete`, with test scores of the best weights where asked; kept before it is sent.

    None if the run before has sent it already, with all that is asked now.
    """
    if progress.done and not (test and lacks_test(progress)):
        return None
    final = progress.reports[-1] | {"complete": True, "best_epoch": progress.best_epoch}
    last_weights = {name: value.clone() for name, value in step.model.state_dict().items()}
    if test and place.rank == 0:
        load_best(step, place)
        final |= score(step, data, trial, place, "test", trial.train.epochs)
        step.model.load_state_dict(last_weights)
    progress.reports[-1] = final
    progress.done = True
    keep(step, optimiser, progress, place, improved=False)
    return final


def lacks_test(progress: Progress) -> bool:
    """Whether the last report has no test scores."""
    return not any(name.startswith("test/") for name in progress.reports[-1])


def load_best(step: Step, place: Place) -> None:
    """Put the weights of the best epoch into the model."""
    step.model.load_state_dict(checkpoint.weights(place.folder))


def draw_best(step: Step, data: Data, trial: Trial, place: Place) -> None:
    """Pictures and sounds of the best weights, left in the cell's folder; a failure costs them, not the result."""
    load_best(step, place)
    folder = place.folder / ARTIFACTS
    folder.mkdir(exist_ok=True)
    try:
        draw(step.model, data, "valid", folder, trial.train.seed, place.device, likelihood(trial))
    except Exception:
        log.exception("no pictures of %s", place.folder)


def draw_cell(config: dict[str, Any]) -> Path:
    """Pictures of a finished cell, in this process; returns the folder that holds them."""
    trial = Trial.from_plain(config["trial"])
    prepare_process(trial)
    device = torch.device("cpu")
    place = Place(Path(config["folder"]), config["cell"], device=device)
    data = load_data((trial.data.name, trial.data.options))
    draw_best(build_step(trial, data, device), data, trial, place)
    return place.folder / ARTIFACTS


def verdict(config: dict[str, Any], kind: str, why: str) -> Report:
    """The report of a trial that ended by its own fault."""
    epoch = checkpoint.last_epoch(Path(config["folder"]), config["cell"])
    return {"epoch": epoch, "objective": float("nan"), "at": now(), "verdict": kind, "why": why}
