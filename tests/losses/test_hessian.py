"""Curvature of decoders whose Hessian is known."""

import pytest
import torch
from torch import Tensor, nn

from ablate.losses.hessian import HessianOptions, hessian
from ablate.random import Draws
from ablate.types import Batch, Output

H = torch.tensor([[2.0, 0.7, 0.0], [0.7, -1.0, 0.4], [0.0, 0.4, 3.0]], dtype=torch.float64)


class Quadratic(nn.Module):
    """G(c) = c'Hc / 2 as the second of two outputs of one frame; the first is linear."""

    def __init__(self, h: Tensor):
        super().__init__()
        self.h = h

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        c = torch.cat([sample["f"], sample["z"][:, 0]], dim=-1)  # (B, 3)
        return torch.stack([c.sum(-1), 0.5 * (c @ self.h * c).sum(-1)], dim=-1).unsqueeze(1)


def values(h: Tensor, rows: int, options: HessianOptions, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    sample = {"f": torch.randn(rows, 2, generator=generator, dtype=torch.float64)}
    sample["z"] = torch.randn(rows, 1, 1, generator=generator, dtype=torch.float64)
    batch = Batch(
        torch.zeros(rows, 1, 2, dtype=torch.float64), torch.arange(rows), 9, Draws(seed, (0,), rows, slice(0, rows))
    )
    return hessian(Quadratic(h), batch, Output({}, {}, sample, None), options=options)


def test_a_diagonal_hessian_costs_nothing_wherever_the_codes_are():
    assert values(torch.diag(H.diagonal()), 50, HessianOptions()).max() < 1e-20


@pytest.mark.parametrize("options", [HessianOptions(), HessianOptions(5, 0.3)])
def test_its_expectation_is_twice_the_squared_off_diagonal(options):
    """2 sum over i != j of H_ij^2 = 4 (.49 + .16) = 2.6; the mean of 20000 draws lies within 4 standard errors."""
    drawn = values(H, 20000, options)
    assert abs(float(drawn.mean()) - 2.6) < 4 * float(drawn.std()) / 20000**0.5


def test_by_hand_for_two_directions():
    """v'Hv = 4 + 2 (.7 a + .4 b) signs a, b: 6.2, 4.6, 3.4, 1.8; the variance of two: half their difference squared."""
    seen = {round(float(its), 9) for its in values(H, 300, HessianOptions())}
    seconds = [4 + 2 * (0.7 * a + 0.4 * b) for a in (-1, 1) for b in (-1, 1)]
    assert seen == {round((one - other) ** 2 / 2, 9) for one in seconds for other in seconds}


def test_the_mean_over_outputs_counts_the_straight_one():
    largest, mean = values(H, 40, HessianOptions()), values(H, 40, HessianOptions(reduce="mean"))
    assert torch.allclose(mean, largest / 2, atol=1e-12)


def test_the_gradient_reaches_the_decoder():
    h = H.clone().requires_grad_()
    values(h, 500, HessianOptions()).mean().backward()
    assert h.grad is not None and h.grad.diagonal().abs().max() < 1e-9 and h.grad[0, 1].abs() > 0.1


class Dropping(Quadratic):
    """The same behind dropout and batch normalisation."""

    def __init__(self, h: Tensor):
        super().__init__(h)
        self.dropout, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(2, dtype=torch.float64)

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        return self.dropout(self.norm(super().decode(sample)[:, 0])).unsqueeze(1)


def test_dropout_and_batches_are_no_curvature():
    model = Dropping(H)
    batch = Batch(torch.zeros(40, 1, 2).double(), torch.arange(40), 9, Draws(0, (0,), 40, slice(0, 40)))
    generator = torch.Generator().manual_seed(1)
    sample = {"f": torch.randn(40, 2, generator=generator, dtype=torch.float64)}
    sample["z"] = torch.randn(40, 1, 1, generator=generator, dtype=torch.float64)
    out, options = Output({}, {}, sample, None), HessianOptions(epsilon=1e-3)
    trained = hessian(model.train(), batch, out, options=options)
    assert model.training and model.dropout.training and model.norm.training
    assert model.norm.num_batches_tracked == 0  # perturbed codes leave no trace
    assert torch.allclose(trained, hessian(model.eval(), batch, out, options=options))
    assert torch.allclose(trained, values(H, 40, HessianOptions(epsilon=1e-3)), rtol=1e-3)
