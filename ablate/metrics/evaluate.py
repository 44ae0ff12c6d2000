"""Validation metrics of a model on one split: encode every window once, then ask every metric."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ablate.models.feedback import Likelihood, mean_of
from ablate.registry import METRICS, Entry

if TYPE_CHECKING:
    from ablate.data.dataset import Data, Split

POOLED = 8  # raw pictures are mean-pooled to POOLED x POOLED pixels before they are probed


@dataclass(frozen=True)
class Codes:
    """Posterior means of all windows of a split, float64."""

    latents: dict[str, np.ndarray]  # (n, D) if static, (n, T, D) if dynamic, (n, 1, D) if one for the window
    roles: dict[str, str]  # latent -> "static" | "dynamic"
    item: np.ndarray  # (n,) item row of each window
    window: int = 1  # frames of a window

    def of(self, role: str) -> np.ndarray | None:
        """The first latent of that role, or None."""
        name = next((name for name, its in self.roles.items() if its == role), None)
        return None if name is None else self.latents[name]

    @property
    def dynamic(self) -> np.ndarray:
        """z, (n, T, D), the same in every frame where there is one for the window; LookupError for a model without."""
        z = self.of("dynamic")
        if z is None:
            raise LookupError("these codes have no dynamic latent")
        return z if z.shape[1] > 1 else np.repeat(z, self.window, axis=1)

    @property
    def static(self) -> np.ndarray:
        """f, (n, D). The time mean of z stands for it in a model without a static latent."""
        f = self.of("static")
        return self.dynamic.mean(axis=1) if f is None else f

    @property
    def infinite(self) -> list[str]:
        """Latents that hold a NaN or an infinity."""
        return [name for name, code in self.latents.items() if not np.isfinite(code).all()]


@dataclass(frozen=True)
class View:
    """What a metric sees. `model` is None where the codes are raw features (see `baselines`)."""

    model: Any
    data: Data
    split: Split
    codes: Codes
    seed: int = 0
    device: torch.device | str = "cpu"
    batch_size: int = 256
    likelihood: Likelihood = "gaussian"  # of the reconstruction term: says how `x_hat` is to be read

    def batches(self) -> Iterator[np.ndarray]:
        """Rows of the split in order, `batch_size` at a time."""
        return batches(self.split.n, self.batch_size)

    def sample(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Posterior means of these windows, as `decode` takes them."""
        return {name: self.tensor(code[rows]) for name, code in self.codes.latents.items()}

    def tensor(self, array: np.ndarray) -> Tensor:
        """The array on the device, in the precision of the model."""
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device, precision(self.model))

    def decode(self, sample: dict[str, Tensor]) -> np.ndarray:
        """Mean of p(x | sample) in normalised units, (B, T, *frame)."""
        return decode(self.model, sample, self.likelihood)

    def reconstruct(self, rows: np.ndarray, x: Tensor) -> np.ndarray:
        """Mean of p(x | .) at the posterior means of these windows, which hold x, in normalised units."""
        return reconstruct(self.model, self.sample(rows), x, self.likelihood)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the mode that was is restored."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def precision(model: nn.Module) -> torch.dtype:
    """Type of the model's numbers."""
    return next((p.dtype for p in model.parameters()), torch.get_default_dtype())


def encode(model: Any, x: Tensor, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Posterior means of x (B, T, *frame): encoded without noise, in evaluation mode, without gradient."""
    with evaluating(model):
        sample: dict[str, Tensor] = model.encode(x.to(device, precision(model)), None)[1]
    return sample


def decode(model: Any, sample: dict[str, Tensor], likelihood: Likelihood = "gaussian") -> np.ndarray:
    """Mean of p(x | sample) in normalised units and in the precision of the model, (B, T, *frame)."""
    with evaluating(model):
        return mean_of(model.decode(sample), likelihood).cpu().numpy()


def reconstruct(model: Any, sample: dict[str, Tensor], x: Tensor, likelihood: Likelihood = "gaussian") -> np.ndarray:
    """Mean of p(x | .) at the posterior means `sample` of x, in normalised units, (B, T, *frame).

    What they decode to, or what the model's own `reconstruct(sample, x)` makes of them: an autoregressive model reads
    the true frames before, as far as its mode says; KVAE follows the smoothed motion.
    """
    if not hasattr(model, "reconstruct"):
        return decode(model, sample, likelihood)
    with evaluating(model):
        y = model.reconstruct(sample, x.to(next(iter(sample.values()))))
        return mean_of(y, likelihood).cpu().numpy()


def batches(n: int, batch_size: int) -> Iterator[np.ndarray]:
    """0..n-1 in order, `batch_size` at a time."""
    for start in range(0, n, batch_size):
        yield np.arange(start, min(start + batch_size, n))


def codes(model: Any, split: Split, device: torch.device | str = "cpu", batch_size: int = 256) -> Codes:
    """Posterior means of all windows of a split."""
    parts: dict[str, list[np.ndarray]] = {name: [] for name in model.latents}
    for rows in batches(split.n, batch_size):
        sample = encode(model, split.x(rows), device)
        for name, part in parts.items():
            part.append(sample[name].double().cpu().numpy())
    latents = {name: np.concatenate(part) for name, part in parts.items()}
    return Codes(latents, dict(model.latents), np.asarray(split.sequence), split.window)


def evaluate(
    model: Any,
    data: Data,
    split_name: str,
    metrics: dict[str, Any] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    batch_size: int = 256,
    likelihood: Likelihood = "gaussian",
) -> dict[str, float]:
    """Values of the named metrics (name -> options) on the split; None: the usual ones that suit the model.

    A metric that the data do not define is left out. Codes that are not finite give `posterior_<latent>` = NaN and
    nothing else, so that the caller can name what diverged. Raises Mistake for an unknown metric.
    """
    split = getattr(data, split_name)
    its_codes = codes(model, split, device, batch_size)
    if its_codes.infinite:
        return {f"posterior_{name}": math.nan for name in its_codes.infinite}
    view = View(model, data, split, its_codes, seed, device, batch_size, likelihood)
    return ask(view, chosen(view, metrics))


def baselines(data: Data, split_name: str) -> dict[str, float]:
    """The probes and the EER of the raw features: the frame stands for z_t and the mean over the window for f.

    Pictures are mean-pooled to 8 x 8 pixels. The other baseline, the untrained encoder, is `evaluate` on a fresh model.
    """
    split = getattr(data, split_name)
    view = View(None, data, split, raw_codes(split))
    return ask(view, chosen(view, None))


def raw_codes(split: Split, batch_size: int = 256) -> Codes:
    """Normalised features as codes: z = frames (n, T, D), f = their time mean (n, D)."""
    frames = np.concatenate([flat(split.x(rows)).double().numpy() for rows in batches(split.n, batch_size)])
    roles = {"f": "static", "z": "dynamic"}
    return Codes({"f": frames.mean(axis=1), "z": frames}, roles, np.asarray(split.sequence))


def flat(x: Tensor) -> Tensor:
    """(B, T, D) as it is; pictures (B, T, C, H, W) pooled and flattened to (B, T, C*64)."""
    if x.ndim == 3:
        return x
    pooled = nn.functional.adaptive_avg_pool2d(x.flatten(0, 1), POOLED)  # (B*T, C, 8, 8)
    return pooled.reshape(*x.shape[:2], -1)


def chosen(view: View, metrics: dict[str, Any] | None) -> list[tuple[Entry, Any]]:
    """The metrics to ask with their options; those whose needs are not met are left out of the list."""
    if metrics is None:
        asked = [(entry, entry.options()) for entry in METRICS if not entry.meta.get("named")]
    else:
        asked = [(METRICS[name], options) for name, options in metrics.items()]
    return [(entry, options) for entry, options in asked if set(entry.meta.get("needs", ())) <= offers(view)]


def offers(view: View) -> set[str]:
    """What the view has to offer: roles of latents, `decoder`."""
    decoder = {"decoder"} if hasattr(view.model, "decode") else set()
    return set(view.codes.roles.values()) | decoder


def ask(view: View, metrics: list[tuple[Entry, Any]]) -> dict[str, float]:
    """All values of these metrics as plain floats."""
    values: dict[str, float] = {}
    for entry, options in metrics:
        values |= {name: float(value) for name, value in entry.make(view, options=options).items()}
    return values
