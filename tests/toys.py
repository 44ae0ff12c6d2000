"""A small world for tests of configurations: registries that hold these entries and nothing else."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from ablate.registry import DATASETS, LOSSES, METRICS, MODELS

STUDY = """\
name: toy
data: {name: sines, window: 10}
model:
  name: sequence
  z_dim: {choice: [2, 4], default: 4}
  inference: full
loss:
  beta: {loguniform: [0.1, 10], default: 1}
  recon: {weight: 1, options: {variance: 0.3}}
  kl_z: {weight: 1}
  scc: {weight: {choice: [0, 1, 10]}}
train: {epochs: 8, batch_size: 32}
search:
  algorithm: tpe
  trials: 6
  metric: valid/gap
  mode: max
  scheduler: {name: asha, grace: 3}
"""

DESIGN = """\
name: toy
data: {name: sines, window: 10}
model: {name: sequence, z_dim: 4, inference: full}
loss:
  recon: {weight: 1, options: {variance: 0.3}}
  kl_z: {weight: 1}
  scc: {weight: 10}
train: {epochs: 8, batch_size: 32}
design:
  kind: leave_one_out
  components:
    - scc
    - inference: [full, factorised]
  seeds: 5
  metric: test/gap
  mode: max
  margin: 0.01
"""

PLAIN = """\
name: plain
data: {name: sines}
model: {name: frames}
loss: {recon: 1, kl_z: 1}
"""


@dataclass(frozen=True)
class SinesOptions:
    """Options of the toy data."""

    root: str = field(default="here", metadata={"identity": False})  # folder of the waves
    window: int = field(default=20, metadata={"ge": 1})
    hop_ms: float = field(default=10.0, metadata={"gt": 0})


@dataclass(frozen=True)
class SequenceOptions:
    """Options of the toy sequence model."""

    z_dim: int = field(default=8, metadata={"ge": 1, "le": 64})  # size of z
    f_dim: int = field(default=8, metadata={"ge": 1})
    hidden: tuple[int, ...] = field(default=(64, 64), metadata={"ge": 1})
    inference: Literal["full", "factorised"] = "full"
    causal: bool = False
    dropout: float | None = field(default=None, metadata={"gt": 0, "lt": 1})

    def __post_init__(self) -> None:
        if self.z_dim > self.f_dim:
            raise ValueError(f"z_dim ({self.z_dim}) must not exceed f_dim ({self.f_dim})")


@dataclass(frozen=True)
class FramesOptions:
    """Options of the toy frame model."""

    z_dim: int = field(default=8, metadata={"ge": 1})


@dataclass(frozen=True)
class ReconOptions:
    """Options of the toy reconstruction."""

    variance: float = field(default=1.0, metadata={"gt": 0})


@dataclass(frozen=True)
class FolderOptions:
    """Options of toy data that must be told where they are."""

    root: str = field(metadata={"identity": False})


def entry(*_: Any, **__: Any) -> None:
    """A toy."""


def dropped(options: SequenceOptions) -> bool:
    """Whether the toy model draws per worker."""
    return options.dropout is not None


def fill(patch: pytest.MonkeyPatch) -> None:
    """Put the toys, and only them, into the registries."""
    patch.setattr("ablate.search.plan.load_data", lambda named: SimpleNamespace(digest="d" * 64))  # waves, all alike
    for registry in (DATASETS, MODELS, LOSSES, METRICS):
        patch.setattr(registry, "_entries", {})
        patch.setattr(registry, "_complete", True)
    DATASETS("sines", options=SinesOptions)(entry)
    DATASETS("folder", options=FolderOptions)(entry)
    both = {"f": "static", "z": "dynamic"}
    MODELS("sequence", options=SequenceOptions, latents=both, decoder=True, workers_matter=dropped)(entry)
    MODELS("frames", options=FramesOptions, latents={"z": "dynamic"}, decoder=True)(entry)
    MODELS("encoder", options=FramesOptions, latents={"s": "static"})(entry)
    LOSSES("recon", options=ReconOptions, needs={"decoder"}, bound=True)(entry)
    LOSSES("kl_f", needs={"latent:f"}, bound=True, beta=True)(entry)
    LOSSES("kl_z", needs={"latent:z"}, bound=True, beta=True)(entry)
    LOSSES("scc", needs={"static"})(entry)
    METRICS("probes", options=ReconOptions, needs={"dynamic"}, keys=("gap", "*_from_z"))(entry)
    METRICS("swap", needs={"static", "decoder"}, keys=("swap",))(entry)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The toy registries; gives an empty folder, which is the working directory."""
    fill(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return tmp_path
