"""Terms that look across the batch give the same values and gradients on one worker and on two."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from model_cases import CASES, frames, noise

from ablate.losses.beta_tc import BetaTCOptions
from ablate.losses.capacity import CapacityOptions
from ablate.losses.hessian import HessianOptions
from ablate.losses.kl_z import KLOptions
from ablate.losses.mi import MIOptions
from ablate.losses.scc import SCCOptions
from ablate.random import Draws
from ablate.registry import LOSSES
from ablate.training.gather import all_gather
from ablate.types import Batch, alone

B = 6
TERMS = [
    ("scc", SCCOptions(margin=5)),
    ("scc", SCCOptions("ali")),
    ("mi", MIOptions()),
    ("mi", MIOptions(frames="mean")),
    ("mi", MIOptions(estimator="mss")),
    ("mi", MIOptions("ali")),
    ("beta_tc", BetaTCOptions()),
    ("beta_tc", BetaTCOptions(2, 3, 0.5, "mss")),
    ("capacity", CapacityOptions(nats=3)),
    ("kl_z", KLOptions(free_bits=0.05)),
    ("hessian", HessianOptions()),
]


def share(term, options, rows, gather):
    """Values of these rows of the global batch, and the gradients of their mean as one vector."""
    model, x = CASES["dsae"].build(dtype=torch.float64).train(), frames(CASES["dsae"], B, dtype=torch.float64)
    eps = {name: e[rows] for name, e in noise(model, x).items()}
    batch = Batch(x[rows], torch.arange(B)[rows], 50, Draws(0, (0,), B, rows), gather)
    values = LOSSES[term].make(model, batch, model(x[rows], eps), options=options)
    values.mean().backward()
    gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    return values.detach(), torch.cat([g.flatten() for g in gradients])


def worker(rank: int, folder: str) -> None:
    """One of two ranks: values of its rows, gradients averaged as DDP does."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    results = []
    for term, options in TERMS:
        values, gradients = share(term, options, slice(rank * B // 2, (rank + 1) * B // 2), all_gather)
        dist.all_reduce(gradients)
        results.append((all_gather(values), gradients / 2))
    if rank == 0:
        torch.save(results, f"{folder}/results.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_one_worker_and_two_agree(tmp_path: Path):
    torch.multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
    results = torch.load(tmp_path / "results.pt")
    for (term, options), (values, gradients) in zip(TERMS, results, strict=True):
        expected = share(term, options, slice(0, B), alone)
        assert torch.allclose(values, expected[0], rtol=1e-10, atol=1e-12), (term, options)
        assert expected[1].any()
        assert torch.allclose(gradients, expected[1], rtol=1e-9, atol=1e-12), (term, options)
