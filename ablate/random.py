"""Named random streams: every source of randomness is a pure function of (seed, name, index), never continued.

Format: `ablate-rng 1`. Switching one source off cannot shift another, and resuming needs no generator state.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def stream(seed: int, name: str, *index: int) -> int:
    """Seed in [0, 2^63) of the stream `name` at `index`."""
    text = "\0".join(["ablate-rng 1", str(seed), name, ",".join(map(str, index))])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, name: str, *index: int) -> torch.Generator:
    """A fresh CPU generator of torch at the stream."""
    import torch

    return torch.Generator().manual_seed(stream(seed, name, *index))


def reseed(seed: int, device: torch.device | str = "cpu") -> None:
    """Seed torch's own generators of the CPU and of this device, for what draws without being given a generator.

    `torch.manual_seed` does the same for every kind of device there might be, and takes up to half a millisecond on a
    machine without any.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if torch.device(device).type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)


def uniforms(key: str, count: int) -> np.ndarray:
    """`count` uniforms in [0, 1) for statistics (seed 0, stream `stats:key`), from raw bits: alike in any numpy."""
    bits = np.random.PCG64(stream(0, "stats:" + key)).random_raw(count)
    return (bits >> np.uint64(11)) * 2.0**-53


def permutation(n: int, seed: int, name: str, *index: int) -> np.ndarray:
    """A permutation of 0..n-1 (int64)."""
    import torch

    return torch.randperm(n, generator=generator(seed, name, *index)).numpy()


def initialise(model: torch.nn.Module, seed: int) -> None:
    """Reset every module that owns parameters under `init/<its path>`: a layer more or less moves no other weight.

    Raises TypeError for a module with parameters of its own and no `reset_parameters`.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        for path, module in model.named_modules():
            if not any(True for _ in module.parameters(recurse=False)):
                continue
            if not hasattr(module, "reset_parameters"):
                raise TypeError(f"{type(module).__name__} at {path!r} owns parameters but has no reset_parameters()")
            reseed(stream(seed, f"init/{path}"))
            module.reset_parameters()


@dataclass(frozen=True)
class Draws:
    """The random numbers of one step. Drawn on the CPU for the global batch; this worker keeps its `rows`.

    `index` is (step,) in training; in evaluation `prefix` is `eval/` and `index` the number of the batch.
    """

    seed: int
    index: tuple[int, ...]
    batch: int  # sequences in the global batch
    rows: slice  # those of this worker
    device: torch.device | str = "cpu"
    prefix: str = ""

    def _generator(self, name: str) -> torch.Generator:
        return generator(self.seed, self.prefix + name, *self.index)

    def normal(self, name: str, *shape: int) -> torch.Tensor:
        """Standard normal numbers, (B, *shape)."""
        import torch

        return torch.randn(self.batch, *shape, generator=self._generator(name))[self.rows].to(self.device)

    def uniform(self, name: str, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1), (B, *shape)."""
        import torch

        return torch.rand(self.batch, *shape, generator=self._generator(name))[self.rows].to(self.device)

    def common(self, name: str, *shape: int) -> torch.Tensor:
        """Uniform numbers in [0, 1) that all sequences of the global batch share, (*shape)."""
        import torch

        return torch.rand(*shape, generator=self._generator(name)).to(self.device)

    def orders(self, name: str, length: int) -> torch.Tensor:
        """A permutation of 0..length-1 per sequence, (B, length)."""
        return self.uniform(name, length).argsort(dim=1)

    def derangement(self, name: str) -> torch.Tensor:
        """For each of this worker's sequences another one of the global batch, (B,); the batch must hold at least 2.

        A random cyclic order: nobody is its own successor, and all are used once.
        """
        import torch

        order = torch.randperm(self.batch, generator=self._generator(name))
        successor = torch.empty_like(order)
        successor[order] = order.roll(-1)
        return successor[self.rows].to(self.device)

    def permutation(self, name: str) -> torch.Tensor:
        """For each of this worker's sequences a row of the global batch, possibly itself, (B,)."""
        import torch

        return torch.randperm(self.batch, generator=self._generator(name))[self.rows].to(self.device)
