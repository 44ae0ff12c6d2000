"""Small hand-made data, codes and models in the shapes that the metrics see."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ablate.metrics.evaluate import Codes, View
from ablate.types import Gaussian


@dataclass
class FakeSplit:
    """Windows of one split; `every` (n, T, *frame) holds them all."""

    items: list[str]
    groups: list[str]
    sequence: np.ndarray
    every: np.ndarray
    static: dict[str, np.ndarray] = field(default_factory=dict)
    clip: dict[str, np.ndarray] = field(default_factory=dict)
    apart: dict[str, np.ndarray] = field(default_factory=dict)
    frame: dict[str, np.ndarray] = field(default_factory=dict)
    starts: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.starts is None:
            self.starts = np.zeros(self.n, dtype=np.int64)

    @property
    def n(self) -> int:
        return len(self.sequence)

    @property
    def window(self) -> int:
        return self.every.shape[1]

    def x(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self.every[rows]).float()

    def frame_labels(self, name: str, rows: np.ndarray) -> np.ndarray:
        return self.frame[name][rows]


@dataclass
class FakeData:
    """One split under every name."""

    valid: FakeSplit
    factors: dict[str, str]
    labels: dict[str, list[str]] = field(default_factory=dict)
    dataset: Any = field(default_factory=lambda: SimpleNamespace(options=None, unit="character"))

    @property
    def frame(self) -> tuple[int, ...]:
        return self.valid.every.shape[2:]

    def mean_frame(self) -> np.ndarray:
        return self.valid.every.mean(axis=(0, 1))

    def denormalise(self, x: Any) -> np.ndarray:
        return (np.asarray(x, np.float32) + 1) / 2

    def sound(self, x: Any) -> None:
        return None


def view_of(data: FakeData, f: np.ndarray | None, z: np.ndarray | None, **options: Any) -> View:
    """A view with these codes and no model."""
    latents = {name: np.asarray(code, dtype=np.float64) for name, code in (("f", f), ("z", z)) if code is not None}
    roles = {name: {"f": "static", "z": "dynamic"}[name] for name in latents}
    return View(options.pop("model", None), data, data.valid, Codes(latents, roles, data.valid.sequence), **options)


class Parts(nn.Module):
    """f = time mean of the first numbers of a frame, z = the other numbers; the decoder puts them together again."""

    latents = {"f": "static", "z": "dynamic"}  # noqa: RUF012

    def __init__(self, static: int):
        super().__init__()
        self.static = static
        self.unused = nn.Parameter(torch.zeros(1))
        self.modes: list[bool] = []

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        assert noise is None and not torch.is_grad_enabled()
        self.modes.append(self.training)
        flat = x.flatten(2)  # (B, T, D)
        sample = {"f": flat[..., : self.static].mean(dim=1), "z": flat[..., self.static :]}
        return {name: Gaussian.standard(code) for name, code in sample.items()}, sample

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        f, z = sample["f"], sample["z"]
        flat = torch.cat([f[:, None].expand(-1, z.shape[1], -1), z], dim=-1)
        return flat if flat.shape[-1] != 12 else flat.unflatten(-1, (3, 2, 2))
