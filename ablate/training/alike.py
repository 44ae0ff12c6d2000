"""Arms that would train the same: as they are built, and in their first steps (statistics.md 3.2)."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ablate.data.dataset import Data, load_data
from ablate.design.arms import BASE, FULL, switched
from ablate.design.fingerprint import Parameter, fingerprint, twins
from ablate.design.plan import Plan
from ablate.errors import Mistake
from ablate.registry import MODELS, build
from ablate.training.batches import Place
from ablate.training.cell import build_step, prepare_process
from ablate.training.loop import make_optimiser
from ablate.training.measures import check_sequences, check_values
from ablate.training.probe import endless, train_step
from ablate.training.step import Step
from ablate.trial import Trial
from ablate.types import Batch

STEPS = 3  # after which two runs that are not bit for bit the same are two arms
TRIED = 32  # arms of a large grid that are tried
FROM_BASE = ("add_one_in", "cumulative", "path")  # kinds that begin with everything off


def check_arms(plan: Plan, base: Trial, data: Data) -> None:
    """Raise Mistake for arms that do not suit their data, and for two that build the same model and objective."""

    def frame(trial: Trial) -> tuple[int, ...]:
        mine = data_of(trial, base, data)
        check_values(trial, mine)
        check_sequences(trial, mine)
        return mine.frame

    check_alike(plan, base, frame)


def check_alike(plan: Plan, base: Trial, frame: Callable[[Trial], tuple[int, ...]]) -> None:
    """The same for frames as `frame` gives them for the configuration of an arm; it may raise Mistake too."""
    sentences: list[str] = []
    prints: dict[str, str] = {}
    built: dict[str, list[Parameter]] = {}  # per data, model and reconstruction
    for arm in plan.arms:
        trial = base.replace(arm.leaves)
        plain = trial.plain()
        key = json.dumps([plain["data"], plain["model"], plain["loss"].get("recon")])
        try:
            if key not in built:
                built[key] = parameters(trial, frame(trial))
        except Mistake as error:
            sentences += [f"design: arm {arm.name!r}: {its}" for its in error.sentences]
            continue
        prints[arm.name] = fingerprint(plain, built[key])
    sentences += twins([arm for arm in plan.arms if arm.name in prints], prints, base.plain())
    if sentences:
        raise Mistake(*sentences)


def data_of(trial: Trial, base: Trial, data: Data) -> Data:
    """The data of an arm: those of the study unless the arm changes their options."""
    return data if trial.data == base.data else load_data((trial.data.name, trial.data.options))


def parameters(trial: Trial, frame: tuple[int, ...]) -> list[Parameter]:
    """What the model of a configuration has to train, built without memory. Raises Mistake where it does not fit."""
    with torch.device("meta"):
        model = build(MODELS[trial.model.name], frame, trial.model.options, trial.data.options.window)
    return [(name, tuple(p.shape), str(p.dtype), p.requires_grad) for name, p in model.named_parameters()]


@dataclass(frozen=True)
class Pair:
    """Two configurations that should differ: two arms, or full and full without a component."""

    name: str
    other: str
    trial: Trial
    reference: Trial


def check_steps(plan: Plan, base: Trial, data: Data) -> None:
    """Raise Mistake for an arm whose first three steps are bit for bit those of the one it is compared with."""
    done: dict[str, dict[str, torch.Tensor]] = {}

    def weights(name: str, trial: Trial) -> dict[str, torch.Tensor]:
        if name not in done:
            step, _ = first_steps(trial, data_of(trial, base, data))
            done[name] = {key: value.clone() for key, value in step.model.state_dict().items()}
        return done[name]

    sentences = [
        f"design: arm {its.name!r} trains exactly the same numbers as {its.other!r}: the change has no effect on this "
        "model"
        for its in pairs(plan, base)
        if equal(weights(its.name, its.trial), weights(its.other, its.reference))
    ]
    if sentences:
        raise Mistake(*sentences)


def pairs(plan: Plan, base: Trial) -> Iterator[Pair]:
    """Each component on and off while the others stay as the kind of the design has them; in a grid each cell."""
    if plan.design.kind == "grid":
        reference = plan.arm(plan.reference or plan.arms[0].name)
        for arm in [its for its in plan.arms if its is not reference][:TRIED]:
            yield Pair(arm.name, reference.name, base.replace(arm.leaves), base.replace(reference.leaves))
        return
    names = [its.name for its in plan.components]
    low = plan.design.kind in FROM_BASE
    reference = switched(plan.components, dict.fromkeys(names, not low), BASE if low else FULL)
    for its in plan.components:
        if its.probe:
            arm = switched(plan.components, {**dict.fromkeys(names, not low), its.name: low})
            name = arm.name if low else f"no_{its.name}"
            yield Pair(name, reference.name, base.replace(arm.leaves), base.replace(reference.leaves))


def first_steps(trial: Trial, data: Data, steps: int = STEPS) -> tuple[Step, Batch]:
    """The configuration after some optimiser steps on the CPU, every warm-up at its end, and the batch that follows."""
    alone = trial.replace({"resources.workers": 1, "resources.gpus_per_worker": 0})
    prepare_process(alone)
    step = build_step(alone, data, torch.device("cpu"))
    optimiser, batches = make_optimiser(step, alone), endless(data, alone, Place(Path(), ""))
    step.train()
    for batch in itertools.islice(batches, steps):
        train_step(step, optimiser, batch)
    return step, next(batches)


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two models hold the same numbers, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def pulls(trial: Trial, data: Data) -> dict[str, float]:
    """Norm of the gradient of each trained term, weight included, relative to that of recon, after 3 steps.

    A term that hardly pulls is hardly ablated. Empty without a reconstruction.
    """
    step, batch = first_steps(trial, data)
    weights = [p for p in step.parameters() if p.requires_grad]
    values = step(batch)
    norms = {}
    for term in step.terms:
        if term.weight > 0:
            scaled = term.final * values[term.name].mean()
            grads = torch.autograd.grad(scaled, weights, retain_graph=True, allow_unused=True)
            norms[term.name] = float(torch.stack([g.norm() for g in grads if g is not None]).norm())
    recon = norms.pop("recon", 0.0)
    return {name: norm / recon for name, norm in norms.items()} if recon else {}
