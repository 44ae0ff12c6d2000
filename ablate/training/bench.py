"""What each loss term costs: training steps of every model in its default size, alone and with each that it carries."""

import time
from statistics import median
from typing import Any

import torch
from torch import Tensor

from ablate.errors import Mistake
from ablate.random import Draws, initialise
from ablate.registry import LOSSES, MODELS, Entry, build
from ablate.training.loop import gradient_norm
from ablate.training.step import Step, build_terms, objective
from ablate.trial import Loss, Term
from ablate.types import Batch

FRAME, FRAMES, BATCH, N_TRAIN, SEQUENCES = (80,), 20, 32, 2368, 64  # as the default study has them
WARM_UP = 3  # steps that are not counted


class Stepper:
    """Training steps of one model with some terms at weight 1, as the loop takes them, on drawn data."""

    def __init__(self, model: Entry, terms: list[str], device: torch.device):
        """Raises Mistake for a model that does not take vectors."""
        net = build(model, FRAME, model.options(), FRAMES, SEQUENCES)
        initialise(net, 0)
        chosen = {name: Term(options=LOSSES[name].options()) for name in terms}
        self.step = Step(net.to(device), build_terms(Loss(terms=chosen))).train()
        self.optimiser = torch.optim.Adam(self.step.parameters(), lr=1e-3, fused=True)
        self.device, self.done = device, 0
        self.x = torch.randn(BATCH, FRAMES, *FRAME, generator=torch.Generator().manual_seed(0)).to(device)
        self.index = torch.arange(BATCH, device=device)
        self.segments = torch.full_like(self.index, N_TRAIN // SEQUENCES)

    @property
    def parameters(self) -> int:
        """How many numbers the model learns."""
        return sum(p.numel() for p in self.step.parameters())

    def run(self, steps: int) -> Tensor:
        """So many steps; the last total."""
        for _ in range(steps):
            draw = Draws(0, (self.done,), BATCH, slice(0, BATCH), self.device)
            self.optimiser.zero_grad(set_to_none=True)
            batch = Batch(self.x, self.index, N_TRAIN, draw, sequence=self.index, segments=self.segments)
            values = self.step(batch)
            total = objective(values, self.step.terms, 0.0)
            total.backward()
            gradient_norm(self.step, None)
            self.optimiser.step()
            self.done += 1
        return total.detach()


def step_times(repeats: int = 7, steps: int = 10, device: str = "cpu") -> dict[str, Any]:
    """Milliseconds per training step on batches (32, 20, 80): model -> {parameters, ms, terms: {term: ms with it}}.

    Median of `repeats` runs of `steps` steps, all models and terms in turn, so that a slow moment meets all of them.
    On the CPU process time with one thread, else wall time. `ms` is the model with the terms of its bound; models that
    do not take vectors are named under `skipped`.
    """
    place = torch.device(device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as training does
    try:
        ways, skipped = _ways(place)
        taken: dict[tuple[str, str], list[float]] = {key: [] for key in ways}
        for its in ways.values():
            its.run(WARM_UP)
        for _ in range(repeats):
            for key, its in ways.items():
                taken[key].append(1e3 * _seconds(its, steps) / steps)
    finally:
        torch.set_num_threads(threads)
    models: dict[str, Any] = {}
    for (model, term), values in taken.items():
        if not term:
            models[model] = {"parameters": ways[model, term].parameters, "ms": median(values), "terms": {}}
        else:
            models[model]["terms"][term] = median(values)
    return {"device": place.type, "models": models, "skipped": skipped}


def _ways(device: torch.device) -> tuple[dict[tuple[str, str], Stepper], dict[str, str]]:
    """(model, "") for its bound alone, (model, term) for the bound and that term; and why models were left out."""
    ways: dict[tuple[str, str], Stepper] = {}
    skipped: dict[str, str] = {}
    for model in MODELS:
        bound, others = carried(model)
        try:
            ways[model.name, ""] = Stepper(model, bound, device)
        except Mistake as mistake:
            skipped[model.name] = str(mistake)
            continue
        ways |= {(model.name, term): Stepper(model, [*bound, term], device) for term in others}
    return ways, skipped


def carried(model: Entry) -> tuple[list[str], list[str]]:
    """Names of the terms that a model can carry: those of its bound, and the others."""
    latents = model.meta["latents"]
    offers = {*latents.values(), *(f"latent:{name}" for name in latents)}
    offers |= {part for part in ("decoder", "predictor", "sequences") if model.meta.get(part)}
    its = [entry for entry in LOSSES if set(entry.meta.get("needs", ())) <= offers]
    return [e.name for e in its if e.meta.get("bound")], [e.name for e in its if not e.meta.get("bound")]


def _seconds(stepper: Stepper, steps: int) -> float:
    """Process CPU time of some steps; wall time on a device that works beside the process."""
    started = clock(stepper.device)
    stepper.run(steps)
    return clock(stepper.device) - started


def clock(device: torch.device) -> float:
    """Seconds of this process on the CPU; of the wall once a GPU has done its work."""
    if device.type != "cuda":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
