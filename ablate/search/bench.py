"""What a trial costs besides its training, against the least that Ray itself takes for an empty one."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console

from ablate.config import load_study
from ablate.lock import Lock
from ablate.search import cluster
from ablate.search.phases import Phases
from ablate.search.runner import Flags, Sweep, open_record, study_folder, usable_data

STUDY = """\
name: {name}
data: {{name: simvowels, utterances: [8, 6, 6], segments: 20}}
model: {{name: dsae}}
loss: {{recon: 1, kl_f: 1, kl_z: 1}}
train: {{epochs: 1, lr: {{loguniform: [1e-4, 1e-2]}}}}
search: {{algorithm: random, trials: {trials}, seed: {seed}, metric: valid/recon, mode: min}}
resources: {{workers: {workers}, cpus_per_worker: 1}}
tracking: {{folder: {folder}, optuna: {folder}/optuna.journal}}
"""
ONE, TWO = 1, 2  # workers


@dataclass(frozen=True)
class Round:
    """What one run of trials took."""

    mean: float  # s per trial, the start of the run and of its processes included
    later: list[float]  # s from the end of one trial to the end of the next
    training: float = 0.0  # s of training per trial, not part of the others


def one_worker(rounds: int = 3, trials: int = 24) -> dict[str, Any]:
    """Seconds per trial of a real one-worker search besides training, and per empty Tune trial in a reused actor.

    One trial at a time; rounds of a whole search and of as many empty trials in turn, on one running Ray. An empty
    trial makes an optimiser (torch takes two seconds of CPU until it has one); `bare_s` is that of one which does not.
    """
    with _bench(cpus=1) as folder:
        empty_trials(2)
        figures = _compare(rounds, lambda: empty_trials(trials), lambda n: searched_trials(ONE, trials, n, folder))
        return figures | {"bare_s": median(empty_trials(trials, bare=True).mean for _ in range(rounds))}


def two_workers(rounds: int = 3, trials: int = 3) -> dict[str, Any]:
    """The same with two workers per trial, against an empty `TorchTrainer.fit()` with two workers."""
    with _bench(cpus=2) as folder:
        empty_fits(1)
        figures = _compare(rounds, lambda: empty_fits(trials), lambda n: searched_trials(TWO, trials, n, folder))
        return figures | {"bare_s": median(empty_fits(1, bare=True).mean for _ in range(rounds))}


def _compare(rounds: int, empty: Callable[[], Round], search: Callable[[int], Round]) -> dict[str, Any]:
    """Medians over rounds of both in turn (`later`: over all trials), and the values of each round."""
    pairs = [(empty(), search(number)) for number in range(rounds)]
    bare, real = [its for its, _ in pairs], [its for _, its in pairs]
    means = {
        "empty_s": median(its.mean for its in bare),
        "overhead_s": median(its.mean for its in real),
        "later_empty_s": median(value for its in bare for value in its.later),
        "later_overhead_s": median(value for its in real for value in its.later),
        "training_s": median(its.training for its in real),
    }
    rounds_s = {"empty_s": [its.mean for its in bare], "overhead_s": [its.mean for its in real]}
    return means | {"ratio": means["overhead_s"] / means["empty_s"], "rounds": rounds_s}


@contextlib.contextmanager
def _bench(cpus: int) -> Iterator[Path]:
    """A Ray of our own with so many CPUs, and a folder for studies and prepared data that goes at the end."""
    before = os.environ.get("ABLATE_STORE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ABLATE_STORE"] = f"{folder}/store"
        try:
            with cluster.connected(None, "bench", cpus):
                yield Path(folder)
        finally:
            if before is None:
                del os.environ["ABLATE_STORE"]
            else:
                os.environ["ABLATE_STORE"] = before


def searched_trials(workers: int, trials: int, number: int, folder: Path) -> Round:
    """A real search: its sampler, callbacks, checkpoints and the record's writer. Nothing is confirmed or drawn."""
    name = f"bench_{workers}_{number}"
    file = folder / f"{name}.yaml"
    file.write_text(STUDY.format(name=name, trials=trials, seed=number, workers=workers, folder=folder))
    study = load_study(file)
    record, place = open_record(study), study_folder(study)
    with Lock(place / "spool", study.name, record) as lock:
        its = Sweep(
            study, Flags(fresh=True), Console(quiet=True), place, record, lock, lambda *_: [], usable_data(study)
        )
        phases = Phases(its.open())
        started = time.monotonic()
        phases.run_search()
        wall = time.monotonic() - started
        its.close("complete")
    training = [out.values["system/wall_seconds"] for _, out in its.result.found if out.status == "complete"]
    if len(training) < trials:
        raise RuntimeError(f"{trials - len(training)} of {trials} trials of the bench failed: {its.result.failed[:1]}")
    cells = sorted(record.cells(name), key=lambda cell: cell.ended or 0)
    ends = [(cell.ended or 0) / 1e3 for cell in cells]
    later = [
        b - a - cell.metrics["system/wall_seconds"] for (a, b), cell in zip(pairwise(ends), cells[1:], strict=True)
    ]
    return Round((wall - sum(training)) / trials, later, sum(training) / trials)


def empty_trials(trials: int, bare: bool = False) -> Round:
    """So many Tune trials that make an optimiser (a bare one does not) and report once, in turn in one actor."""
    from ray import tune

    ends: list[float] = []

    class Clock(tune.Callback):
        """Notes when each trial has ended."""

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            """The sweep process sees the end."""
            ends.append(time.monotonic())

    def report_once(config: dict[str, Any]) -> None:
        if not bare:
            import torch

            torch.optim.Adam([torch.zeros(1)])
        tune.report({"objective": 0.0})

    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        tune.Tuner(
            tune.with_resources(report_once, {"CPU": 1}),
            param_space={"cell": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
            run_config=tune.RunConfig(name="empty", storage_path=scratch, callbacks=[Clock()], verbose=0),
        ).fit()
        wall = time.monotonic() - started
    return Round(wall / trials, [b - a for a, b in pairwise(ends)])


def empty_fits(count: int, bare: bool = False) -> Round:
    """So many `TorchTrainer.fit()` in turn, on two workers that make an optimiser (bare: do not) and report once."""
    taken = [_empty_fit(bare) for _ in range(count)]
    return Round(mean(taken), taken)


def _empty_fit(bare: bool) -> float:
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    def report_once() -> None:
        if not bare:
            import torch

            torch.optim.Adam([torch.zeros(1)])
        train.report({"objective": 0.0})

    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        TorchTrainer(
            report_once,
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=train.ScalingConfig(num_workers=TWO, resources_per_worker={"CPU": 1}),
            run_config=train.RunConfig(name="empty", storage_path=scratch),
        ).fit()
        return time.monotonic() - started
