"""|KL - C| by hand, growing with the optimiser's steps, over all latents, and on one worker as on several."""

from dataclasses import replace

import pytest
import torch
from model_cases import CASES, run

from ablate.losses.capacity import CapacityOptions, at_step, capacity, total_kl
from ablate.losses.kl_a import kl_a
from ablate.random import Draws
from ablate.registry import NoOptions
from ablate.types import Batch, Gaussian, Output


def of_kls(
    kls: list[float], step: int, options: CapacityOptions, training: bool = True
) -> tuple[list[float], torch.Tensor]:
    """Values for sequences with these KLs, and the gradient of their mean with respect to the posterior means."""
    mean = torch.tensor(kls, dtype=torch.float64).mul(2).sqrt().unsqueeze(1).requires_grad_()  # m^2 / 2 is the KL
    q = Gaussian(mean, torch.zeros_like(mean))
    out = Output({"f": q}, {"f": Gaussian.standard(mean)}, {"f": mean}, None)
    batch = Batch(mean, torch.arange(len(kls)), 9, Draws(0, (0,), len(kls), slice(0, len(kls))), step=step)
    values = capacity(torch.nn.Module().train(training), batch, out, options=options)
    values.mean().backward()
    assert mean.grad is not None
    return values.tolist(), mean.grad[:, 0]


def test_above_and_below_by_hand():
    options = CapacityOptions(nats=20, steps=100)
    assert [at_step(options, step) for step in (0, 25, 100, 1000)] == [0, 5, 20, 20]
    values, gradient = of_kls([1, 2, 6], 50, options)  # C = 10, mean KL 3: below, so (C - KL)
    assert values == pytest.approx([9, 8, 4]) and (gradient < 0).all()
    values, gradient = of_kls([1, 2, 6], 5, options)  # C = 1: above, so (KL - C); |mean KL - C| = 2
    assert values == pytest.approx([0, 1, 5]) and sum(values) / 3 == pytest.approx(2) and (gradient > 0).all()


def test_evaluation_sees_the_whole_capacity():
    assert of_kls([1, 2, 6], 5, CapacityOptions(nats=20, steps=100), training=False)[0] == pytest.approx([19, 18, 14])


@pytest.mark.parametrize("name", ["vae", "dsae", "kvae", "fhvae", "vrnn"])
def test_the_kl_is_that_of_all_latents(name):
    model, b, out = run(CASES[name], torch.float64)
    if name == "kvae":
        expected = kl_a(model, b, out, options=NoOptions())
    else:
        expected = sum(
            torch.distributions.kl_divergence(
                *(torch.distributions.Normal(g.mean, (g.logvar / 2).exp()) for g in (q, out.p[k]))
            )
            .flatten(1)
            .sum(1)
            for k, q in out.q.items()
        )
    assert torch.allclose(total_kl(out), expected, rtol=1e-9)


def test_the_sign_is_that_of_the_global_batch():
    """A worker whose own mean is below C pushes down with the others, whose mean is above it."""
    model, b, out = run(CASES["dsae"], torch.float64)
    mine = total_kl(out)
    model.train()
    options = CapacityOptions(nats=float(mine.detach().mean()) + 1, steps=1)
    several = replace(b, gather=lambda kl: torch.cat([kl, kl + 10]), step=5)
    assert torch.allclose(capacity(model, several, out, options=options), mine - options.nats)
    alone = replace(b, step=5)
    assert torch.allclose(capacity(model, alone, out, options=options), options.nats - mine)
