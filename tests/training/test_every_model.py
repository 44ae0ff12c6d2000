"""Every model with every loss term that it can carry, all at once, on two ranks (gloo): what one process trains."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from model_cases import CASES, frames
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ablate.losses.capacity import CapacityOptions
from ablate.random import Draws, initialise
from ablate.registry import LOSSES, MODELS
from ablate.rules import offers
from ablate.training.gather import all_gather
from ablate.training.step import Step, build_terms, objective
from ablate.trial import Loss, Term
from ablate.types import Batch, alone

B, STEPS = 6, 3
DYNAMICAL = ("vae", "dkf", "kvae", "storn", "vrnn", "srnn", "rvae", "kvae-sampled", "srnn-generation", "rvae-noncausal")
OTHERS = ("dsae", "fhvae", "speech_vae", "lstm_f", "lstm_c", "s3vae", "dsae-pictures", "s3vae-pictures")
NAMES = DYNAMICAL + OTHERS
OPTIONS = {"capacity": CapacityOptions(nats=3, steps=2)}


def every_term(name: str) -> Loss:
    """All terms that the model can carry, trained."""
    able = offers(MODELS[CASES[name].model])
    fitting = [entry for entry in LOSSES if set(entry.meta["needs"]) <= able]
    return Loss(2.0, {entry.name: Term(0.5, options=OPTIONS.get(entry.name, entry.options())) for entry in fitting})


def trained(name: str, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
    """Weights after some steps of Adam, of the rows of one rank out of `world`."""
    model = CASES[name].make()
    initialise(model, 0)
    step = Step(model.double(), build_terms(every_term(name))).train()
    wrapped: nn.Module = DistributedDataParallel(step, find_unused_parameters=True) if world > 1 else step
    optimiser = torch.optim.Adam(step.parameters(), lr=0.01)
    rows = slice(rank * B // world, (rank + 1) * B // world)
    x, at = frames(CASES[name], B, dtype=torch.float64)[rows], torch.arange(B)[rows]
    for i in range(STEPS):
        optimiser.zero_grad()
        draw, gather = Draws(0, (i,), B, rows), all_gather if world > 1 else alone
        batch = Batch(x, at, 50, draw, gather, sequence=at, segments=torch.full_like(at, 7))
        objective(wrapped(batch), step.terms, 1.0).backward()
        optimiser.step()
    return {key: value.clone() for key, value in model.state_dict().items()}


def rank_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save({name: trained(name, rank, 2) for name in NAMES}, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


def test_all_models_are_here_and_all_terms_are_carried_by_one() -> None:
    assert {CASES[name].model for name in NAMES} == set(MODELS.names())
    assert {term for name in NAMES for term in every_term(name).terms} == set(LOSSES.names())


@pytest.mark.slow
def test_two_ranks_train_what_one_process_trains(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(rank_of_two, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    for name in NAMES:
        expected = trained(name)
        assert all(torch.equal(first[name][key], second[name][key]) for key in expected), name
        apart = max(float((first[name][key] - value).abs().max()) for key, value in expected.items())
        assert apart < 1e-9, (name, apart)
        start = CASES[name].make()
        initialise(start, 0)
        moved = [key for key, value in start.state_dict().items() if not torch.equal(value.double(), expected[key])]
        assert len(moved) > len(expected) / 2, name
