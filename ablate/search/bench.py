"""What a trial costs besides its training, against the least that Ray itself takes for an empty one."""

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from ablate.config import load_study
from ablate.search import cluster
from ablate.search.runner import Flags, open_record, sweep

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


def one_worker(rounds: int = 3, trials: int = 8) -> dict[str, Any]:
    """Seconds per trial of a real one-worker study besides training, and per empty trial of a reused Tune actor.

    One trial at a time, in rounds of a whole study and of as many empty trials. A trial lasts from the end of the one
    before to its own, so the first of a round is not counted.
    """
    with _bench(cpus=1) as folder:
        empty_trials(2)
        return _compare(rounds, lambda: empty_trials(trials), lambda n: study_trials(ONE, trials, n, folder), folder)


def two_workers(rounds: int = 3, trials: int = 3) -> dict[str, Any]:
    """The same with two workers per trial, against an empty `TorchTrainer.fit()` with two workers."""
    with _bench(cpus=2) as folder:
        empty_fits(1)
        return _compare(rounds, lambda: empty_fits(trials - 1), lambda n: study_trials(TWO, trials, n, folder), folder)


def _compare(
    rounds: int,
    empty: Callable[[], list[float]],
    study: Callable[[int], list[tuple[float, float]]],
    folder: Path,
) -> dict[str, Any]:
    """Rounds of both in turn; medians over all trials, and every single value."""
    bare: list[float] = []
    real: list[tuple[float, float]] = []
    for number in range(rounds):
        bare += empty()
        real += study(number)
    overhead = [wall - training for wall, training in real]
    return {
        "empty_s": median(bare),
        "overhead_s": median(overhead),
        "ratio": median(overhead) / median(bare),
        "training_s": median(training for _, training in real),
        "all": {"empty_s": bare, "overhead_s": overhead},
    }


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


def study_trials(workers: int, trials: int, number: int, folder: Path) -> list[tuple[float, float]]:
    """(wall, training) seconds of all trials but the first of a real study: sampler, callbacks, record and all."""
    name = f"bench_{workers}_{number}"
    file = folder / f"{name}.yaml"
    file.write_text(STUDY.format(name=name, trials=trials, seed=number, workers=workers, folder=folder))
    study = load_study(file)
    result = sweep(study, Flags(), Console(quiet=True))
    cells = sorted(open_record(study).cells(name), key=lambda its: its.ended or 0)
    if result.failed or len(cells) < trials:
        raise RuntimeError(f"{len(result.failed)} of {trials} trials of the bench failed: {result.failed[:1]}")
    ended = [(its.ended or 0) / 1e3 for its in cells]
    training = [its.metrics["system/wall_seconds"] for its in cells]
    return [(b - a, seconds) for (a, b), seconds in zip(pairwise(ended), training[1:], strict=True)]


def empty_trials(trials: int) -> list[float]:
    """Seconds of all but the first of so many Tune trials that report once, in one actor that is reused."""
    from ray import tune

    ended: list[float] = []

    class Clock(tune.Callback):
        """Notes when each trial has ended."""

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
            """The sweep process sees the end."""
            ended.append(time.monotonic())

    def report_once(config: dict[str, Any]) -> None:
        tune.report({"objective": 0.0})

    with tempfile.TemporaryDirectory() as scratch:
        tune.Tuner(
            tune.with_resources(report_once, {"CPU": 1}),
            param_space={"cell": tune.grid_search(list(range(trials)))},
            tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
            run_config=tune.RunConfig(name="empty", storage_path=scratch, callbacks=[Clock()], verbose=0),
        ).fit()
    return [b - a for a, b in pairwise(ended)]


def empty_fits(count: int) -> list[float]:
    """Seconds of so many `TorchTrainer.fit()` on two workers that report once."""
    return [_empty_fit() for _ in range(count)]


def _empty_fit() -> float:
    from ray import train
    from ray.train.torch import TorchConfig, TorchTrainer

    def report_once() -> None:
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
