import math

import numpy as np
import pytest
import torch

from ablate.losses.recon import ReconOptions, distances, negative_log_likelihood, recon
from ablate.random import Draws
from ablate.types import Batch, Output


def value(x, y, **options) -> list[float]:
    """`recon` of data x (B, T, D) and decoder output y."""
    x, y = torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)
    batch = Batch(x, torch.arange(len(x)), 10, Draws(0, (0,), len(x), slice(0, len(x))))
    return recon(None, batch, Output({}, {}, {}, y), options=ReconOptions(**options)).tolist()


def test_gaussian_by_hand():
    # (1 - 0)^2 + (2 - 0)^2 = 5; variance 1: 5 / 2 + ln(2 pi); variance .3: 5 / .6 + ln(.6 pi)
    x, y = [[[1.0, 2.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]
    assert value(x, y) == pytest.approx([2.5 + 1.8378770664, 1.8378770664])
    assert value(x, y, variance=0.3) == pytest.approx([8.3333333333 + 0.6339042623, 0.6339042623])


def test_gaussian_of_variance_one_half_is_the_squared_error_up_to_a_constant():
    x, y = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    by_hand = ((x - y) ** 2).sum((1, 2)) + 20 * math.log(math.pi) / 2
    assert value(x, y, variance=0.5) == pytest.approx(by_hand.tolist())


def test_bernoulli_by_hand():
    # x = 1, y = 0: ln 2. x = .25, y = 2: ln(1 + e^2) - .5 = 1.6269280110
    assert value([[[1.0, 0.25]]], [[[0.0, 2.0]]], likelihood="bernoulli") == pytest.approx(
        [0.6931471806 + 1.6269280110]
    )


def test_itakura_saito_by_hand():
    # x / y^ = 2 / 4: .5 - ln .5 - 1 = .1931471806; a zero bin counts as 1e-10: 1e-10 + 10 ln 10 - 1 = 22.0258509301
    assert value(
        [[[2.0]], [[0.0]], [[3.0]]], [[[math.log(4)]], [[0.0]], [[math.log(3)]]], likelihood="itakura_saito"
    ) == (pytest.approx([0.1931471806, 22.0258509301, 0.0], abs=1e-9))


def test_itakura_saito_is_the_complex_gaussian_up_to_terms_in_the_data():
    power = torch.tensor([0.3, 2.0, 7.0], dtype=torch.float64)
    offsets = []
    for y in (torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([3.0, 0.0, -0.5])):
        divergence = negative_log_likelihood(power, y.double(), "itakura_saito", 1.0)
        offsets.append(divergence - (math.log(math.pi) + y + power / y.double().exp()))
    assert torch.allclose(offsets[0], offsets[1])
    assert torch.allclose(offsets[0], -power.log() - 1 - math.log(math.pi))


def test_pictures_are_summed_over_all_but_the_batch():
    x = torch.zeros(2, 3, 3, 4, 4)
    batch = Batch(x, torch.arange(2), 10, Draws(0, (0,), 2, slice(0, 2)))
    values = recon(None, batch, Output({}, {}, {}, x + 1), options=ReconOptions(variance=0.5))
    assert values.tolist() == pytest.approx([144 * (1 + math.log(math.pi) / 2)] * 2)


def test_gaussian_with_the_log_variance_that_the_model_tells():
    # variances 4 and 1/2: 1 / 8 + 4 + (2 ln(2 pi) + ln 2) / 2; variance .3 of them: (1 / 8 + 4) / .3 + that + ln .3
    x, y = (torch.tensor(its, dtype=torch.float64) for its in ([[[1.0, 2.0]]], [[[0.0, 0.0]]]))
    logvar = torch.tensor([[[4.0, 0.5]]], dtype=torch.float64).log().requires_grad_()
    batch = Batch(x, torch.arange(1), 10, Draws(0, (0,), 1, slice(0, 1)))
    out, constant = Output({}, {}, {}, y, x_logvar=logvar), math.log(2 * math.pi) + math.log(2) / 2
    assert recon(None, batch, out, options=ReconOptions()).tolist() == pytest.approx([4.125 + constant])
    scaled = recon(None, batch, out, options=ReconOptions(variance=0.3))
    assert scaled.tolist() == pytest.approx([4.125 / 0.3 + constant + math.log(0.3)])
    (gradient,) = torch.autograd.grad(recon(None, batch, out, options=ReconOptions()).sum(), logvar)
    assert gradient.flatten().tolist() == pytest.approx([(1 - 1 / 4) / 2, (1 - 8) / 2])


def test_distances_of_joints_by_hand():
    # frame 1: 5 mm and 13 mm, mean 9; frame 2: 0 and 2 mm, mean 1. A joint in place has no slope
    x = [[[0.003, 0.004, 0, 0, 0, 0], [0.1, 0.2, 0.3, 0, 0, 0]]]
    y = [[[0, 0, 0, 0.005, 0.012, 0], [0.1, 0.2, 0.3, 0, 0, 0.002]]]
    assert value(x, y, likelihood="mpjpe") == pytest.approx([10])
    moved = torch.tensor(y, dtype=torch.float64, requires_grad=True)
    distances(torch.tensor(x, dtype=torch.float64), moved).sum().backward()
    assert moved.grad is not None and torch.isfinite(moved.grad).all() and moved.grad[0, 1, :3].abs().sum() == 0
    assert moved.grad[0, 1, 5] == pytest.approx(1000)
