"""Whether a configuration suits its data and will report what a study selects on; asked before anything starts."""

from collections.abc import Iterable
from typing import Any

import torch

from ablate.data.dataset import Data
from ablate.errors import Mistake
from ablate.metrics.evaluate import baselines
from ablate.models.frames import Emission
from ablate.registry import LOSSES, METRICS, MODELS, build
from ablate.training.step import build_terms
from ablate.training.validation import likelihood
from ablate.trial import Trial

NAMES = {"valid": "validation", "test": "test"}
LOOKED_AT = 64  # validation windows whose range is checked
MEANT = {"itakura_saito": "a log-power", "bernoulli": "a logit"}
BOUNDS = {"sigmoid": (0, 1), "tanh": (-1, 1)}
SLACK = 1e-3  # roundings of pictures


def check_measures(trial: Trial, data: Data, metrics: Iterable[str], key: str = "search.metric") -> None:
    """Raise Mistake if the model cannot take the frames or the likelihood the values, or the data lack a metric."""
    check_named(trial, data)
    with torch.device("meta"):
        model = build_model(trial, data)
    build_terms(trial.loss)
    check_values(trial, data)
    check_range(trial, data, model)
    check_rows(trial, data)
    chosen = list(metrics)
    splits = {name: baselines(data, name) for name in dict.fromkeys(its.partition("/")[0] for its in chosen)}
    for metric in chosen:
        split, _, name = metric.partition("/")
        measured = splits[split]
        if name not in measured and name in of_codes():
            known = ", ".join(f"{split}/{its}" for its in measured)
            raise Mistake(
                f"{key} {metric} is not defined on the {NAMES[split]} split of {trial.data.name} "
                f"(factors: {factors(data)}); take one of {known or f'{split}/r2'}"
            )


def check_named(trial: Trial, data: Data) -> None:
    """The data must define the metrics that are measured only where they are named."""
    asked = {name: METRICS[name].meta.get("undefined") for name in trial.metrics.chosen}
    reasons = [f"metrics.{name} {why}" for name, undefined in asked.items() if undefined and (why := undefined(data))]
    if reasons:
        raise Mistake(*reasons)


def build_model(trial: Trial, data: Data) -> Any:
    """The model of a configuration for its data; raises Mistake where it cannot take them."""
    check_sequences(trial, data)
    entry, sequences = MODELS[trial.model.name], len(data.train.items)
    model = build(entry, data.frame, trial.model.options, data.train.window, sequences)
    squash, its = squash_of(model), likelihood(trial)
    if squash != "linear" and its in ("itakura_saito", "bernoulli"):
        raise Mistake(
            f"likelihood {its} reads the decoder's output as {MEANT[its]}, and model {trial.model.name} sends it "
            f"through {squash}; set model.output to linear"
        )
    return model


def squash_of(model: Any) -> str:
    """The function at the end of the decoder."""
    return next((its.squash for its in model.modules() if isinstance(its, Emission)), "linear")


def check_range(trial: Trial, data: Data, model: Any) -> None:
    """An output that has bounds must reach the data."""
    squash = squash_of(model)
    if squash == "linear":
        return
    least, most = BOUNDS[squash]
    x = data.valid.x(slice(0, min(LOOKED_AT, data.valid.n)))
    low, high = float(x.min()), float(x.max())
    if low < least - SLACK or high > most + SLACK:
        raise Mistake(
            f"the output of model {trial.model.name} lies in [{least}, {most}] ({squash}), and {trial.data.name} gives "
            f"{low:.3g} to {high:.3g}; set model.output to linear"
        )


def check_rows(trial: Trial, data: Data) -> None:
    """Terms that compare windows need more than one of them in validation too."""
    asked = [name for name, term in trial.loss.terms.items() if LOSSES[name].meta.get("compares") and term.weight]
    if asked and data.valid.n < 2:
        raise Mistake(
            f"loss term {asked[0]} compares windows with each other, and the validation split has {data.valid.n}; "
            "raise data.valid_share or lower data.window"
        )


def check_sequences(trial: Trial, data: Data) -> None:
    """For a model that tells a sequence from its segments, some must be as long as two segments."""
    split, told = data.train, MODELS[trial.model.name].meta.get("sequences")
    longest = split.starts.max(initial=0) + split.window
    if told and longest < 2 * split.window:
        raise Mistake(
            f"model {trial.model.name} learns what the segments of a sequence share, and the longest training sequence "
            f"of {trial.data.name} has {longest} frames, less than two segments of data.window {split.window}; lower "
            "data.window"
        )


def check_values(trial: Trial, data: Data) -> None:
    """The likelihood must be one of such values."""
    if "recon" not in trial.loss.terms:
        return
    x = data.valid.x(slice(0, min(LOOKED_AT, data.valid.n)))
    low, high, its = float(x.min()), float(x.max()), likelihood(trial)
    if its == "bernoulli" and (low < 0 or high > 1):
        raise Mistake(f"likelihood bernoulli needs data in [0, 1]; {trial.data.name} gives {low:.3g} to {high:.3g}")
    if its == "mpjpe" and not data.joints:
        raise Mistake(
            f"likelihood mpjpe needs positions of joints, and {trial.data.name} as it is set up gives none; "
            "take gaussian, or h36m in representation xyz or kpts13"
        )
    if its == "itakura_saito" and low < 0:
        raise Mistake(
            f"likelihood itakura_saito needs power spectra, never negative; {trial.data.name} gives {low:.3g} "
            "(set data.features: power)"
        )


def of_codes() -> set[str]:
    """Keys of the metrics that look at codes alone, and so are defined by the data or not at all."""
    entries = [entry for entry in METRICS if "decoder" not in entry.meta.get("needs", ())]
    return {key for entry in entries for key in entry.meta.get("keys", ())}


def factors(data: Data) -> str:
    """`speaker (static, 10 classes), vowel (frame, 5 classes)`."""
    classes = {name: len(data.labels.get(name, ())) for name in data.factors}
    return ", ".join(f"{name} ({kind}, {classes[name]} classes)" for name, kind in data.factors.items()) or "none"
