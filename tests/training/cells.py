"""Small cells for tests: a second of SimVowels, a tiny model, runs that are killed, and what two runs must share."""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ablate.data.dataset import Data, load_data
from ablate.models.vae import VAE, VAEOptions
from ablate.registry import LOSSES, MODELS, NoOptions
from ablate.training import checkpoint
from ablate.training.batches import Place
from ablate.training.cell import run_cell
from ablate.trial import Trial

DATA = {"name": "simvowels", "utterances": [16, 10, 10], "segments": 8, "n_mels": 12, "hop_ms": 20, "window": 10}
BOUND = {"recon": {"weight": 1.0}, "kl_f": {"weight": 1.0}, "kl_z": {"weight": 1.0}}
EXTRA = {"scc": {"weight": 0.5}, "cyclic": {"weight": 0.1}, "mi": {"weight": 0.5}}
CELL = "c" * 64
UNEQUAL = ("at", "notes", "system/wall_seconds", "system/cpu_seconds", "system/peak_memory_mb")  # from run to run
CPU = torch.device("cpu")
Report = dict[str, Any]
Register = Callable[[str, Callable[..., Tensor]], None]  # of the fixture `term`


def plain(loss: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **train: Any) -> dict[str, Any]:
    """A configuration as plain values."""
    return copy.deepcopy(
        {
            "data": DATA,
            "model": model or {"name": "dsae", "preset": "tiny"},
            "loss": loss or BOUND,
            "train": {"epochs": 4, "batch_size": 16} | train,
        }
    )


def trial(loss: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **train: Any) -> Trial:
    return Trial.from_plain(plain(loss, model, **train))


def data() -> Data:
    """The prepared data that all cells here see."""
    return load_data((trial().data.name, trial().data.options))


def place(rank: int = 0, world: int = 1) -> Place:
    """A process that keeps no files."""
    return Place(Path(), CELL, rank, world)


class Killed(BaseException):
    """The process dies."""


@dataclass
class Cut:
    """Dies when the report of this epoch is sent: its checkpoint has been written."""

    epoch: int

    def __call__(self, report: Report) -> None:
        if report["epoch"] == self.epoch:
            raise Killed


def cell(values: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
    """What `run_cell` takes."""
    return {"trial": values, "cell": CELL, "folder": str(folder)} | more


def run(config: dict[str, Any], before: Callable[[Report], None] = lambda _: None) -> list[Report]:
    """The reports of a cell that is run here, until it ends or `before` one of them it is killed."""
    sent: list[Report] = []

    def report(values: Report) -> None:
        before(values)
        sent.append(values)

    with contextlib.suppress(Killed):
        run_cell(config, report)
    return sent


def common(report: Report) -> Report:
    """What two runs of one cell must share to the last bit."""
    return {key: value for key, value in report.items() if key not in UNEQUAL}


def state(folder: Path, name: str = "last") -> dict[str, Any]:
    """The checkpoint without what differs from run to run."""
    found = checkpoint.load(folder, CELL, (name,))
    assert found is not None
    progress = found["progress"]
    progress["reports"] = [common(report) for report in progress["reports"]]
    del progress["seconds"]
    return found


def same(one: Any, other: Any) -> bool:
    """Equal bit by bit, tensors in nested containers included."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


class Dropping(VAE):
    """A frame-wise VAE with dropout in front of its encoder."""

    def __init__(self, frame: tuple[int, ...], options: VAEOptions):
        super().__init__(frame, options)
        self.encoder = nn.Sequential(nn.Dropout(0.5), self.encoder)


@pytest.fixture
def dropping(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A model with dropout, registered for one test; gives how a configuration names it."""
    MODELS.names()
    monkeypatch.setattr(MODELS, "_entries", dict(MODELS._entries))
    MODELS("dropping", options=VAEOptions, latents={"z": "dynamic"}, decoder=True, workers_matter=True)(Dropping)
    return {"name": "dropping", "z_dim": 3, "dense": [8]}


@pytest.fixture
def term(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Registers a loss term for one test: `term(name, value)`."""
    LOSSES.names()
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES._entries))

    def register(name: str, value: Callable[..., Tensor]) -> None:
        LOSSES(name, options=NoOptions, needs={"latent:z"}, bound=False, beta=False)(value)

    return register
