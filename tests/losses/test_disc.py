import math
from dataclasses import replace

import pytest
import torch
from model_cases import CASES, batch, run
from torch import tensor

from ablate.losses.disc import cross_entropy, disc
from ablate.models.fhvae import FHVAE, FHVAEOptions
from ablate.registry import LOSSES, MODELS, NoOptions
from ablate.rules import lacking
from ablate.training.step import build_terms, objective
from ablate.trial import Loss, Term
from ablate.types import Gaussian, Output

MU2 = tensor([[1.0, 1.0], [0.0, 0.0], [-1.0, 2.0]]).double()
Z2 = tensor([[1.0, 0.0]]).double()  # squared distances 1, 1 and 8, so exponents -2, -2 and -16
NORM = 2 + math.exp(-14)


def hand() -> FHVAE:
    model = FHVAE((5,), FHVAEOptions(z2_dim=2), 3, 3).double()
    with torch.no_grad():
        model.mu2.weight.copy_(MU2)
    return model


def value(model: FHVAE, z2: torch.Tensor, sequence: list[int]) -> torch.Tensor:
    its = replace(batch(torch.zeros(len(z2), 3, 5)), sequence=tensor(sequence))
    return disc(model, its, Output({"z2": Gaussian(z2, z2)}, {}, {}, None), options=NoOptions())


@pytest.mark.parametrize(("row", "expected"), [(0, math.log(NORM)), (1, math.log(NORM)), (2, 14 + math.log(NORM))])
def test_value_by_hand(row, expected):
    assert value(hand(), Z2, [row]).tolist() == pytest.approx([expected])


def test_gradients_by_hand():
    """(sum_j p_j mu2_j - mu2_i) / 0.25 for z2, (p_j - [j = i]) (z2 - mu2_j) / 0.25 for row j."""
    model, z2 = hand(), Z2.clone().requires_grad_()
    value(model, z2, [0]).sum().backward()
    p = [1 / NORM, 1 / NORM, math.exp(-14) / NORM]
    expected = [4 * (p[0] - p[2] - 1), 4 * (p[0] + 2 * p[2] - 1)]
    assert z2.grad[0].tolist() == pytest.approx(expected)
    rows = [0.0, -4 * (p[0] - 1), 4 * p[1], 0.0, 8 * p[2], -8 * p[2]]
    assert model.mu2.weight.grad.flatten().tolist() == pytest.approx(rows)


def test_a_step_against_the_gradient_makes_the_right_sequence_likelier():
    """The published port had the sign turned: there the same step makes it less likely."""
    model, z2 = hand(), Z2.clone().requires_grad_()
    before = value(model, z2, [0])
    (gradient,) = torch.autograd.grad(before.sum(), z2)
    moved = (z2 - 0.1 * gradient).detach()
    assert (moved - MU2[0]).norm() < (Z2 - MU2[0]).norm() and (moved - MU2[1]).norm() > (Z2 - MU2[1]).norm()
    assert value(model, moved, [0]).item() < before.item()


def test_the_posterior_mean_is_what_tells_not_a_sample():
    model, b, out = run(CASES["fhvae"])
    other = Output(out.q, out.p, {name: its + 1 for name, its in out.sample.items()}, out.x_hat)
    assert torch.equal(disc(model, b, out, options=NoOptions()), disc(model, b, other, options=NoOptions()))
    disc(model, b, out, options=NoOptions()).mean().backward()
    learns = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {"q_z2", "mu2"} and model.mu2.weight.grad.any(dim=1).all()  # other sequences are pushed off


def test_agrees_with_squared_distances():
    z2, mu2 = torch.randn(6, 9).double(), torch.randn(20, 9).double()
    labels = torch.randint(20, (6,))
    logits = -(torch.cdist(z2, mu2) ** 2) / 0.5
    assert torch.allclose(
        cross_entropy(z2, mu2, labels), torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    )


def test_memory_is_that_of_segments_by_sequences():
    """Nothing of (segments, sequences, dimensions) is made or kept for the way back."""
    B, S, D = 8, 300, 32
    z2, mu2 = torch.randn(B, D).requires_grad_(), torch.randn(S, D).requires_grad_()
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
        cross_entropy(z2, mu2, torch.arange(B)).sum().backward()
    assert kept and max(kept) <= max(B * S, S * D)


def test_the_total_holds_it_with_its_weight_and_without_beta():
    terms = build_terms(Loss(beta=3.0, terms={"disc": Term(weight=10.0)}))
    assert objective({"disc": tensor([0.5, 1.5])}, terms, 0.0).item() == pytest.approx(10.0)


def test_of_unseen_sequences_the_batch_brings_the_means():
    model, b, out = run(CASES["fhvae"])
    table = out.q["z2"].mean.detach()
    told = disc(model, replace(b, table=table), out, options=NoOptions())
    assert torch.allclose(told, cross_entropy(table, table, b.sequence)) and (told < math.log(4)).all()


def test_only_a_model_of_sequences_carries_it():
    assert lacking("loss term", LOSSES["disc"], MODELS["fhvae"]) is None
    assert lacking("loss term", LOSSES["disc"], MODELS["vae"]) == (
        "loss term 'disc' needs a mean of every sequence; model 'vae' has z (dynamic), a decoder"
    )
