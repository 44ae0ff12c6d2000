"""What a trained model makes, mode by mode: from codes, drawn or read from sequences, to frames; knows no file."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate.errors import Mistake
from ablate.metrics.evaluate import encode, evaluating, precision
from ablate.metrics.pictures import swappable, swapped
from ablate.models.feedback import Likelihood, mean_of
from ablate.random import Draws
from ablate.registry import unknown

Sample = dict[str, Tensor]  # codes by latent, as `decode` takes them
SPAN = 2.0  # of a traversal to either side, as in published figures
GRIDS = ("swap", "replacement")  # modes that make every sequence with every other


@dataclass(frozen=True)
class Made:
    """Frames in normalised units, and the codes behind them."""

    x_hat: np.ndarray  # (N, T, *frame); of grids (N, N, T, *frame), f of the first index and z of the second
    codes: dict[str, np.ndarray]  # (N, D) if static, (N, T, D) if dynamic; of swaps those that were swapped


@dataclass(frozen=True)
class Maker:
    """A model and how its outputs are read; the noise of every latent comes from a stream of its own."""

    model: Any
    likelihood: Likelihood = "gaussian"
    seed: int = 0
    whole: tuple[Tensor, ...] = ()  # all windows (W, T, *frame) of each sequence that a replacement reads

    def noise(self, latent: str, count: int, length: int) -> Tensor:
        """Standard normal noise of a latent of `count` sequences, from the stream `generate/<latent>`."""
        draw = Draws(self.seed, (), count, slice(0, count), prefix="generate/")
        shape = self.model.noise_shapes(length)[latent]
        return draw.normal(latent, *shape).to(precision(self.model))

    def prior(self, latent: str, count: int, length: int) -> Tensor:
        """A latent drawn from its prior: static (N, D), dynamic (N, T, D), which an autoregressive model rolls."""
        noise = self.noise(latent, count, length)
        if self.model.latents[latent] == "dynamic":
            rolled: Tensor = self.model.sample_prior(noise)
            return rolled
        sample = getattr(self.model, "sample_static", None)  # N(0, I) where the model does not say otherwise
        return sample(noise) if sample else noise

    def decode(self, sample: Sample, length: int) -> Tensor:
        """Decoder output for these codes alone, (N, length, *frame); an autoregressive model reads its own outputs."""
        segments = hasattr(self.model, "length")
        y: Tensor = self.model.decode(sample, length) if segments else self.model.decode(sample)
        return y

    def made(self, sample: Sample, y: Tensor) -> Made:
        """Means of the data and codes, as arrays."""
        x_hat = mean_of(y, self.likelihood).cpu().numpy()
        return Made(x_hat, {name: code.cpu().numpy() for name, code in sample.items()})


def unconditional(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """Codes from their priors, means of p(x | codes): (count, length, *frame)."""
    sample = {name: maker.prior(name, count, length) for name in maker.model.latents}
    return maker.made(sample, maker.decode(sample, length))


def conditional_f(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """The static code of x (1, T, *frame) with `count` paths of dynamic codes from their prior."""
    return conditional(maker, x, count, length, "static")


def conditional_z(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """The dynamic codes of x (1, T, *frame) with `count` static codes from their prior."""
    return conditional(maker, x, count, length, "dynamic")


def conditional(maker: Maker, x: Tensor, count: int, length: int, kept: str) -> Made:
    """Latents of the role `kept` as x has them, the others drawn."""
    read, roles = encode(maker.model, x), maker.model.latents
    sample = {
        name: read[name].expand(count, *read[name].shape[1:]) if role == kept else maker.prior(name, count, length)
        for name, role in roles.items()
    }
    return maker.made(sample, maker.decode(sample, length))


def swap(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """Every f with every z of x (N, T, *frame); the diagonal is what the codes of each sequence decode to."""
    read = encode(maker.model, x)
    codes = {name: code.cpu().numpy() for name, code in read.items()}
    return Made(swapped(maker.model, read, maker.likelihood), codes)


def replacement(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """Every segment of x (N, T, *frame) as each sequence would have said it: z2 of it less its mu2 plus the other's.

    mu2 of a sequence is estimated from all its segments (Hsu et al. 2017, arXiv 1709.07902, s-vector replacement).
    """
    model, read = maker.model, encode(maker.model, x)
    name = next(name for name, role in model.latents.items() if role == "static")
    totals = torch.stack([encode(model, its)[name].sum(0) for its in maker.whole])  # (N, D)
    mu2 = model.map_means(totals, torch.tensor([len(its) for its in maker.whole], dtype=totals.dtype))
    rest = read[name] - mu2
    rows = []
    for mine in mu2:  # (D,)
        sample = read | {name: rest + mine}
        rows.append(maker.made(sample, maker.decode(sample, length)).x_hat)
    codes = {key: code.cpu().numpy() for key, code in (read | {"mu2": mu2}).items()}
    return Made(np.stack(rows), codes)


def traversal_f(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """The static code of x (1, T, *frame) moved in `count` steps from -2 to 2, the dynamic ones as they are."""
    return traversal(maker, x, count, length, "static")


def traversal_z(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """The dynamic codes of x (1, T, *frame) moved in `count` steps from -2 to 2, the static one as it is."""
    return traversal(maker, x, count, length, "dynamic")


def traversal(maker: Maker, x: Tensor, count: int, length: int, moved: str) -> Made:
    """One offset is added to all dimensions of the latents of the role `moved`, in all frames."""
    read, roles = encode(maker.model, x), maker.model.latents
    way = torch.linspace(-SPAN, SPAN, count, dtype=precision(maker.model))
    sample = {
        name: code + way.view(-1, *[1] * (code.ndim - 1))
        if roles[name] == moved
        else code.expand(count, *code.shape[1:])
        for name, code in read.items()
    }
    return maker.made(sample, maker.decode(sample, length))


def interpolation(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """`count` points on the line between all codes of x (2, T, *frame); the ends are what each one decodes to."""
    read = encode(maker.model, x)
    way = torch.linspace(0, 1, count, dtype=precision(maker.model))
    sample = {k: torch.lerp(code[:1], code[1:], way.view(-1, *[1] * (code.ndim - 1))) for k, code in read.items()}
    return maker.made(sample, maker.decode(sample, length))


def prediction(maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """x (N, K, *frame) and the frames that may follow it, `length` in all; of a model for segments one code tells both.

    Codes of x are posterior means that see no more than x; those behind it are drawn from the prior, given the path.
    """
    model, x = maker.model, x.to(precision(maker.model))
    name = next(name for name, role in model.latents.items() if role == "dynamic")
    noise = maker.noise(name, len(x), length - x.shape[1])
    if hasattr(model, "forecast"):
        return maker.made(*model.forecast(x, noise))
    sample = model.encode(x, None)[1]
    if not hasattr(model, "length"):
        sample = sample | {name: torch.cat([sample[name], model.sample_prior(noise, start=sample[name])], dim=1)}
    return maker.made(sample, maker.decode(sample, length))


def has(model: Any, role: str) -> bool:
    """Whether there is a latent of this role to be moved and decoded."""
    return hasattr(model, "decode") and role in model.latents.values()


def has_prior(model: Any) -> bool:
    """Whether codes can be drawn and decoded."""
    return hasattr(model, "decode") and hasattr(model, "sample_prior")


@dataclass(frozen=True)
class Mode:
    """How a mode is asked of a model."""

    make: Callable[[Maker, Tensor, int, int], Made]
    offered: Callable[[Any], bool]  # whether a model has it
    needs: str  # what one that has not lacks
    reads: int | None = None  # sequences it starts from; None: as many as it makes
    count: int = field(default=4)  # made by default
    lengths: bool = False  # whether it makes sequences of other lengths than the window
    least: int = 1  # sequences made at least


MODES: dict[str, Mode] = {
    "unconditional": Mode(unconditional, has_prior, "a decoder and a prior that can be drawn from", 0, lengths=True),
    "conditional-f": Mode(
        conditional_f, lambda its: has_prior(its) and swappable(its), "a static and a dynamic latent", 1, lengths=True
    ),
    "conditional-z": Mode(
        conditional_z, lambda its: has_prior(its) and swappable(its), "a static and a dynamic latent", 1
    ),
    "swap": Mode(swap, lambda its: hasattr(its, "decode") and swappable(its), "a static and a dynamic latent", least=2),
    "replacement": Mode(
        replacement,
        lambda its: hasattr(its, "map_means"),
        "a code of the sequence behind those of its segments",
        least=2,
    ),
    "traversal-f": Mode(traversal_f, lambda its: has(its, "static"), "a static latent", 1, 11, least=2),
    "traversal-z": Mode(traversal_z, lambda its: has(its, "dynamic"), "a dynamic latent", 1, 11, least=2),
    "interpolation": Mode(interpolation, lambda its: hasattr(its, "decode"), "a decoder", 2, 8, least=2),
    "prediction": Mode(
        prediction,
        lambda its: has_prior(its) and getattr(its, "any_length", True),
        "a net that reads a part of the window",
        lengths=True,
    ),
}


def mode_of(name: str, model: Any = None, model_name: str = "") -> Mode:
    """The mode of that name; raises Mistake for one that there is not, or that the model, where given, has not."""
    if name not in MODES:
        raise Mistake("--mode: " + unknown("mode", name, list(MODES)))
    if model is not None and not MODES[name].offered(model):
        there = ", ".join(its for its, mode in MODES.items() if mode.offered(model)) or "none"
        raise Mistake(
            f"model {model_name} as it was trained has no mode {name}, which asks for {MODES[name].needs}; "
            f"the modes it has: {there}"
        )
    return MODES[name]


def make(name: str, maker: Maker, x: Tensor, count: int, length: int) -> Made:
    """What the mode makes from x, in evaluation mode and without gradient. Raises Mistake where it is not finite."""
    with evaluating(maker.model):
        made = MODES[name].make(maker, x, count, length)
    good = np.isfinite(made.x_hat)
    if not good.all():
        share = 1 - good.mean()
        raise Mistake(
            f"{share:.0%} of the numbers that the model made are not finite, since its outputs, fed back, grow without "
            "bound; a run trained with mode scheduled or generation bears them"
            if hasattr(maker.model, "share")
            else f"{share:.0%} of the numbers that the model made are not finite; take another run"
        )
    return made
