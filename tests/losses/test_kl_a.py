import math

import pytest
import torch

from ablate.losses.kl_a import kl_a
from ablate.registry import NoOptions
from ablate.types import Gaussian, Output


def value(q, a, log_p):
    return kl_a(None, None, Output({"a": q}, {}, {"a": a}, None, {"a": log_p}), options=NoOptions())


def test_by_hand():
    # N(1; 0, 1) and N(0; 0, 4) in one frame, N(0; 0, 1) twice in the next
    q = Gaussian(torch.zeros(1, 2, 2), torch.tensor([[[0.0, math.log(4)], [0.0, 0.0]]]))
    a = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    log_q = -2 * math.log(2 * math.pi) - 0.5 - 0.5 * math.log(4)
    assert value(q, a, torch.tensor([-3.0])).tolist() == pytest.approx([log_q + 3])


def test_its_mean_is_the_divergence():
    g = torch.Generator().manual_seed(0)
    q = Gaussian(
        torch.tensor([[[1.0, -0.5]]]).expand(100_000, 1, 2), torch.tensor([[[0.3, -1.0]]]).expand(100_000, 1, 2)
    )
    p = Gaussian.standard(q.mean)
    a = q.sample(torch.randn(q.mean.shape, generator=g))
    values = value(q, a, p.log_prob(a).sum((1, 2)))
    exact = q.kl(p)[0].sum().item()
    assert values.mean().item() == pytest.approx(exact, abs=4 * values.std().item() / 100_000**0.5)


def test_zero_where_the_prior_is_the_posterior():
    q = Gaussian(torch.randn(3, 4, 2), torch.randn(3, 4, 2))
    a = q.sample(torch.randn(3, 4, 2))
    assert value(q, a, q.log_prob(a).sum((1, 2))).abs().max() < 1e-5
