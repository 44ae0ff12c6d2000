import math
from dataclasses import replace

import pytest
import torch
from model_cases import CASES, run
from torch import tensor

from ablate.losses.mu2_prior import mu2_prior
from ablate.models.fhvae import FHVAE, FHVAEOptions
from ablate.registry import NoOptions


def small() -> FHVAE:
    """Rows (1, -2) and (0, 0)."""
    model = FHVAE((5,), FHVAEOptions(z2_dim=2), 3, 2).double()
    with torch.no_grad():
        model.mu2.weight.copy_(tensor([[1.0, -2.0], [0.0, 0.0]]))
    return model


def test_value_and_gradient_by_hand():
    model, (_, b, out) = small(), run(CASES["fhvae"], torch.float64)
    rows, counts = tensor([1, 0, 0, 1]), tensor([10, 5, 2, 1])
    value = mu2_prior(model, replace(b, sequence=rows, segments=counts), out, options=NoOptions())
    constant = math.log(2 * math.pi)  # of two dimensions
    expected = [constant / 10, (constant + 2.5) / 5, (constant + 2.5) / 2, constant]
    assert value.tolist() == pytest.approx(expected)
    value.sum().backward()
    assert model.mu2.weight.grad.flatten().tolist() == pytest.approx([1 / 5 + 1 / 2, -2 / 5 - 2 / 2, 0, 0])


def test_counts_once_in_all_segments_of_a_sequence():
    model, (_, b, out) = small(), run(CASES["fhvae"], torch.float64)
    same = replace(b, sequence=torch.zeros(4, dtype=torch.long), segments=torch.full((4,), 4))
    value = mu2_prior(model, same, out, options=NoOptions())
    assert value.sum().item() == pytest.approx(math.log(2 * math.pi) + 2.5)


def test_nothing_but_the_table_learns_from_it():
    model, b, out = run(CASES["fhvae"])
    mu2_prior(model, b, out, options=NoOptions()).mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["mu2.weight"]


def test_of_unseen_sequences_it_reads_the_means_that_the_batch_brings():
    model, (_, b, out) = small(), run(CASES["fhvae"], torch.float64)
    table = tensor([[3.0, 4.0]] * 4).double()
    value = mu2_prior(model, replace(b, segments=torch.ones(4), table=table), out, options=NoOptions())
    assert value.tolist() == pytest.approx([math.log(2 * math.pi) + 12.5] * 4)
