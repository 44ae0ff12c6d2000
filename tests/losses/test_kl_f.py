import math

import pytest
import torch

from ablate.losses.kl_f import kl_f
from ablate.losses.kl_z import KLOptions
from ablate.types import Gaussian, Output


def gaussian(mean, variance) -> Gaussian:
    return Gaussian(torch.tensor(mean, dtype=torch.float64), torch.tensor(variance, dtype=torch.float64).log())


def value(q: Gaussian, p: Gaussian) -> list[float]:
    return kl_f(None, None, Output({"f": q}, {"f": p}, {}, None), options=KLOptions()).tolist()


def test_by_hand():
    # N(1, 1) from N(0, 1): 1 / 2. N(0, 4) from N(0, 1): (4 - 1 - ln 4) / 2.
    # N(1, 4) from N(3, 2): (ln(2 / 4) + (4 + 4) / 2 - 1) / 2. N(3, 2) from itself: 0
    q, p = (
        gaussian([[1.0, 0.0], [1.0, 3.0]], [[1.0, 4.0], [4.0, 2.0]]),
        gaussian([[0.0, 0.0], [3.0, 3.0]], [[1.0, 1.0], [2.0, 2.0]]),
    )
    assert value(q, p) == pytest.approx([0.5 + (3 - math.log(4)) / 2, (3 - math.log(2)) / 2])


def test_zero_for_equal_distributions_to_the_last_bit():
    torch.manual_seed(0)
    q = Gaussian(torch.randn(5, 16), 4 * torch.randn(5, 16))
    assert value(q, Gaussian(q.mean.clone(), q.logvar.clone())) == [0] * 5


def test_published_formula_is_larger_by_half_per_dimension():
    torch.manual_seed(0)
    q, p = (Gaussian(torch.randn(3, 16).double(), torch.randn(3, 16).double()) for _ in range(2))
    published = -0.5 * (q.logvar - p.logvar - (q.logvar.exp() + (q.mean - p.mean) ** 2) / p.logvar.exp()).sum(-1)
    assert (published - torch.tensor(value(q, p))).tolist() == pytest.approx([8.0] * 3)


def test_monte_carlo():
    q, p = gaussian([[1.0, -0.5]], [[0.5, 2.0]]), gaussian([[0.0, 0.5]], [[1.0, 1.5]])
    x = q.sample(torch.randn(200_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    estimate = (q.log_prob(x) - p.log_prob(x)).sum(-1)
    assert value(q, p)[0] == pytest.approx(estimate.mean().item(), abs=4 * estimate.std().item() / 200_000**0.5)
