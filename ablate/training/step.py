"""One training step as a module: the model and its loss terms, so that DDP can wrap both together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ablate.registry import LOSSES
from ablate.trial import Loss, Warmup
from ablate.types import LOGVAR_MAX, LOGVAR_MIN, Batch, Output


@dataclass(frozen=True)
class Term:
    """A loss term of this run: what to call, with which options, how strongly and when."""

    name: str
    call: Callable[..., Tensor]
    options: Any
    weight: float
    warmup: Warmup | None
    bound: bool  # belongs to the ELBO
    beta: float  # the shared factor of the KLs, 1 for other terms

    def strength(self, epochs: float) -> float:
        """Factor of the raw value after `epochs` epochs (a fraction counts the steps of the running epoch)."""
        return self.weight * self.beta * (1.0 if self.warmup is None else self.warmup.at(epochs))

    @property
    def final(self) -> float:
        """Factor once every warm-up has ended."""
        return self.weight * self.beta


def build_terms(loss: Loss) -> list[Term]:
    """The terms a configuration names, in its order."""
    terms = []
    for name, its in loss.terms.items():
        entry = LOSSES[name]
        beta = loss.beta if entry.meta.get("beta") else 1.0
        bound = bool(entry.meta.get("bound"))
        terms.append(Term(name, entry.make, its.options, its.weight, its.warmup, bound, beta))
    return terms


class Step(nn.Module):
    """Raw value of every term per sequence. In training mode only terms of weight above 0 are computed."""

    def __init__(self, model: nn.Module, terms: list[Term]):
        super().__init__()
        self.model = model
        self.terms = terms

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """name -> (B,)."""
        out = self.output(batch)
        terms = [term for term in self.terms if term.weight > 0 or not self.training]
        values = {term.name: term.call(self.model, batch, out, options=term.options) for term in terms}
        if not self.training:
            values["clamped"] = clamped(out)
        return values

    def output(self, batch: Batch) -> Output:
        """The model's output with posterior noise from the streams `posterior/<latent>`.

        A model in mode scheduled is told, from the stream `feedback`, which frames to decode from its own outputs; in
        evaluation it decodes all of them so.
        """
        shapes: Mapping[str, tuple[int, ...]] = self.model.noise_shapes(batch.x.shape[1])  # type: ignore[operator]
        noise = {name: batch.draw.normal(f"posterior/{name}", *shape) for name, shape in shapes.items()}
        noise = {name: eps.to(batch.x.dtype) for name, eps in noise.items()}
        if hasattr(self.model, "prior_mean"):  # of the static code, by the sequence of each window
            mean: Tensor = self.model.prior_mean(batch)  # type: ignore[operator]
            of_sequences: Output = self.model(batch.x, noise, mean)
            return of_sequences
        if self.training and getattr(self.model, "mode", None) == "scheduled":
            share: float = self.model.share(batch.epoch)  # type: ignore[operator]
            own = batch.draw.common("feedback", batch.x.shape[1]) <= share
            scheduled: Output = self.model(batch.x, noise, own)
            return scheduled
        out: Output = self.model(batch.x, noise)
        return out


def clamped(out: Output) -> Tensor:
    """Number of log-variances that sit on their bounds, per sequence (B,); 0 in a healthy run."""
    logvars = [g.logvar for g in [*out.q.values(), *out.p.values()]]
    logvars += [] if out.x_logvar is None else [out.x_logvar]
    counts = [((its <= LOGVAR_MIN) | (its >= LOGVAR_MAX)).flatten(1).sum(1) for its in logvars]
    return torch.stack(counts).sum(0).to(torch.get_default_dtype())


def objective(values: Mapping[str, Tensor], terms: list[Term], epochs: float) -> Tensor:
    """What is minimised: the mean over sequences of each raw term times its strength, summed. Scalar."""
    return torch.stack([term.strength(epochs) * values[term.name].mean() for term in terms if term.weight > 0]).sum()


def elbo(values: Mapping[str, float], terms: list[Term]) -> float:
    """Evidence lower bound from raw terms at weight 1, in the units of `values`."""
    return -sum(values[term.name] for term in terms if term.bound)
