"""Scheduled sampling in training: which frames are decoded from own outputs, and that all workers agree on them."""

import pytest
import torch

from ablate.losses.kl_z import KLOptions
from ablate.losses.recon import ReconOptions
from ablate.models.srnn import SRNNOptions
from ablate.random import Draws, initialise
from ablate.registry import MODELS
from ablate.training.step import Step, build_terms
from ablate.trial import Loss, Term
from ablate.types import Batch

B, T = 6, 40


def step(mode: str) -> Step:
    model = MODELS["srnn"].make((5,), SRNNOptions(mode=mode, ss_step=2))  # type: ignore[arg-type]
    initialise(model, 0)
    return Step(
        model, build_terms(Loss(terms={"recon": Term(options=ReconOptions()), "kl_z": Term(options=KLOptions())}))
    )


def batch(epoch: int = 0, rows: slice = slice(0, B)) -> Batch:
    x = torch.rand(B, T, 5, generator=torch.Generator().manual_seed(0))[rows]
    return Batch(x, torch.arange(B)[rows], 50, Draws(0, (3,), B, rows), epoch=epoch)


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.1), (1, 0.1), (2, 0.2), (9, 0.5), (18, 1.0), (99, 1.0)])
def test_own_outputs_are_drawn_frame_by_frame_with_a_share_that_follows_the_epoch(epoch: int, share: float) -> None:
    its, b = step("scheduled").train(), batch(epoch)
    own = b.draw.common("feedback", T) <= share
    assert own.all() if share == 1 else 0 < own.sum() < T
    noise = {"z": b.draw.normal("posterior/z", T, 8)}
    assert torch.equal(its.output(b).x_hat, its.model(b.x, noise, own).x_hat)


def test_in_evaluation_all_outputs_are_fed_back() -> None:
    its, b = step("scheduled").eval(), batch()
    other = step("generation").eval()
    assert torch.equal(its.output(b).x_hat, other.output(b).x_hat)


def test_the_other_modes_draw_nothing() -> None:
    for mode in ("teacher", "generation"):
        its = step(mode)
        assert torch.equal(its.train().output(batch()).x_hat, its.eval().output(batch()).x_hat)


def test_all_workers_feed_back_the_same_frames() -> None:
    its = step("scheduled").train()
    whole = its.output(batch(4)).x_hat
    halves = [its.output(batch(4, rows)).x_hat for rows in (slice(0, 3), slice(3, 6))]
    assert torch.allclose(torch.cat(halves), whole, atol=1e-6)


def test_every_parameter_has_a_gradient() -> None:
    its = step("scheduled").train()
    values = its(batch(3))
    sum(value.mean() for value in values.values()).backward()
    assert all(p.grad is not None for p in its.parameters())
