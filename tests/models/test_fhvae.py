import math
from dataclasses import replace

import pytest
import torch
from model_cases import CASES, Case, batch, frames, noise, run
from sameness import assert_learns, reached
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.stats import norm
from torch import tensor

from ablate.errors import Mistake
from ablate.losses.kl_z import KLOptions
from ablate.losses.kl_z2 import kl_z2
from ablate.losses.mu2_prior import mu2_prior
from ablate.models.fhvae import FHVAE, FHVAEOptions
from ablate.random import Draws
from ablate.registry import LOSSES, NoOptions
from ablate.training.step import Step, build_terms, elbo
from ablate.trial import Loss, Term
from ablate.types import Batch

NAMES = [name for name in CASES if name.startswith("fhvae")]
BOUND = ("recon", "kl_z1", "kl_z2", "mu2_prior")


@pytest.mark.parametrize(
    ("preset", "x_dim", "count"),
    [
        ("sfh", 80, 2_740_512),
        ("sfh", 200, 3_047_952),
        ("sfh", 201, 3_050_514),
        ("fh", 80, 1_128_736),
        ("fh", 200, 1_436_176),
        ("sfh_simple", 80, 886_720),
        ("sfh_simple", 200, 2_120_320),
        ("sfh_simple", 201, 2_130_600),
    ],
)
def test_published_parameter_counts_without_the_table(preset, x_dim, count):
    with torch.device("meta"):
        model = FHVAE((x_dim,), FHVAEOptions(preset), 20, 100)
    assert sum(p.numel() for name, p in model.named_parameters() if name != "mu2.weight") == count
    assert model.mu2.weight.shape == (100, 16 if preset == "sfh_simple" else 32)


@pytest.mark.parametrize(("table", "rows"), [(5000, 5000), (2, 2), (10**6, 200_000)])
def test_the_table_is_no_larger_than_asked_whatever_the_number_of_sequences(table, rows):
    with torch.device("meta"):
        model = FHVAE((80,), FHVAEOptions(table=table), 20, 200_000)
    assert len(model.mu2.weight) == rows


def by_hand() -> FHVAE:
    """Frames of one number, segments of two: q(z2) = N((x1 + x2) / 2, 1 / 2), q(z1) = N(x1 - x2 + z2, 1 / 5).

    p(x1) = N(z1, 1), p(x2) = N(z2, 2).
    """
    model = FHVAE((1,), FHVAEOptions(net="simple", z1_dim=1, z2_dim=1, widths=()), 2, 2).double()
    layers = (model.q_z2.net[0], model.q_z1.net[0], model.decoder.net[0])
    weights = ([[0.5, 0.5], [0, 0]], [[1, -1, 1], [0, 0, 0]], [[1, 0], [0, 1], [0, 0], [0, 0]])
    biases = ([0, math.log(0.5)], [0, math.log(0.2)], [0, 0, 0, math.log(2)])
    with torch.no_grad():
        for layer, weight, bias in zip(layers, weights, biases, strict=True):
            layer.weight.copy_(tensor(weight))
            layer.bias.copy_(tensor(bias))
        model.mu2.weight.copy_(tensor([[9.0], [1.5]]))
    return model


class Given(Draws):
    """Noise that is 1 for z2 and -2 for z1."""

    def normal(self, name, *shape):
        return torch.full((1, *shape), {"posterior/z1": -2.0, "posterior/z2": 1.0}[name])


def divergence(q, p) -> float:
    """KL by numerical integration."""
    return quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), q.mean() - 9 * q.std(), q.mean() + 9 * q.std())[0]


def test_the_bound_of_a_segment_by_hand():
    x, N = tensor([[[1.0], [3.0]]]).double(), 4
    b = Batch(x, tensor([0]), 8, Given(0, (0,), 1, slice(0, 1)), sequence=tensor([1]), segments=tensor([N]))
    terms = build_terms(Loss(terms={name: Term(options=LOSSES[name].options()) for name in BOUND}))
    values = {name: its.item() for name, its in Step(by_hand(), terms)(b).items()}
    z2 = 2 + math.sqrt(0.5)
    z1 = 1 - 3 + z2 - 2 * math.sqrt(0.2)
    expected = {
        "recon": -(norm(z1, 1).logpdf(1) + norm(z2, math.sqrt(2)).logpdf(3)),
        "kl_z1": divergence(norm(-2 + z2, math.sqrt(0.2)), norm(0, 1)),
        "kl_z2": divergence(norm(2, math.sqrt(0.5)), norm(1.5, 0.5)),
        "mu2_prior": -norm(0, 1).logpdf(1.5) / N,
    }
    assert values == pytest.approx(expected, abs=1e-6)
    assert elbo(values, terms) == pytest.approx(-sum(expected.values()), abs=1e-6)


def test_the_mean_of_an_unseen_sequence_is_the_maximum_of_its_bound():
    """Against a search for the mu2 that minimises the terms that know it, of sequences with 3 and 1 segments."""
    model, b, out = run(CASES["fhvae"], torch.float64)
    counts, rows = tensor([3.0, 1.0]), tensor([0, 0, 0, 1])
    z2 = out.q["z2"].mean.detach()

    def cost(flat) -> tuple[float, object]:
        mu2 = torch.from_numpy(flat).reshape(2, 4).requires_grad_()
        its = replace(b, sequence=rows, segments=counts[rows], table=mu2)
        told = model(b.x, None, model.prior_mean(its))
        total = (kl_z2(model, its, told, options=KLOptions()) + mu2_prior(model, its, told, options=NoOptions())).sum()
        total.backward()
        return total.item(), mu2.grad.flatten().numpy()

    found = minimize(cost, torch.randn(8).double().numpy(), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    totals = torch.zeros(2, 4).double().index_add_(0, rows, z2)
    means = model.map_means(totals, counts.double())
    assert means.flatten().tolist() == pytest.approx(found.tolist(), abs=1e-7)
    assert torch.allclose(means[1], z2[3] / 1.25)


@pytest.mark.parametrize("name", NAMES)
def test_dependence(name):
    case = CASES[name]
    model, x = case.build(), frames(case, B=2).requires_grad_()
    everything, b = list(range(x.shape[1])), batch(x)
    mu2 = model.prior_mean(b)
    out = model(x, noise(model, x.detach()), mu2)
    assert reached(out.q["z2"].mean, x) == reached(out.q["z2"].logvar, x) == everything
    assert torch.equal(out.p["z2"].mean, mu2) and not out.p["z2"].logvar.requires_grad
    assert not out.p["z1"].mean.any() and not out.p["z1"].mean.requires_grad
    (gradient,) = torch.autograd.grad(out.p["z2"].mean[0].sum(), model.mu2.weight, retain_graph=True)
    assert gradient.any(dim=1).tolist() == [True] + [False] * (len(gradient) - 1)
    z2 = torch.randn(2, model.z2_dim).requires_grad_()
    q_z1 = model.q_z1(x, z2)  # of the segment and of z2
    assert reached(q_z1.mean, x) == reached(q_z1.logvar, x) == everything
    assert torch.autograd.grad(q_z1.mean.sum(), z2)[0].any(dim=1).all()
    z1 = torch.randn(2, 1, model.z1_dim).requires_grad_()
    p = model.emit({"z1": z1, "z2": z2}, case.length)
    for t in everything:
        for its in (p.mean[:, t], p.logvar[:, t]):
            assert all(g.any() for g in torch.autograd.grad(its.sum(), [z1, z2], retain_graph=True))


def test_z1_sees_the_sampled_z2_and_the_decoder_learns_from_the_likelihood():
    case = CASES["fhvae"]
    model, x = case.build(), frames(case)
    eps = noise(model, x)
    moved = {"z1": eps["z1"], "z2": eps["z2"] + 1}
    one, other = model(x, eps), model(x, moved)
    assert torch.equal(one.q["z2"].mean, other.q["z2"].mean) and not torch.allclose(
        one.q["z1"].mean, other.q["z1"].mean
    )
    LOSSES["recon"].make(model, batch(x), one, options=LOSSES["recon"].options()).sum().backward()
    assert all(p.grad.any() for p in model.decoder.parameters())


def test_states_of_all_layers_make_the_codes():
    model = CASES["fhvae"].build(dtype=torch.float64)
    x = frames(CASES["fhvae"], T=4, dtype=torch.float64)
    _, (h, _) = model.q_z2.lstm(x)
    expected = torch.cat([h[0], h[1]], dim=1) @ model.q_z2.head.weight.T + model.q_z2.head.bias
    q = model.encode_static(x)
    assert torch.allclose(torch.cat([q.mean, q.logvar], dim=1), expected, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("net", ["lstm", "simple"])
def test_explains_eight_sequences(net):
    assert_learns("fhvae", 300, 1.0, bar=False, net=net)  # another likelihood: its variance is learned


def test_the_recurrent_nets_take_any_length_and_the_others_their_own():
    model = CASES["fhvae"].build()
    sample = {"z1": torch.randn(2, 1, 3), "z2": torch.randn(2, 4)}
    assert model.decode(sample).shape[1] == CASES["fhvae"].length
    assert torch.allclose(model.decode(sample, 9)[:, :4], model.decode(sample, 4), atol=1e-6)
    simple = CASES["fhvae-simple"].build()
    with pytest.raises(Mistake, match=r"built for segments of 3 frames, not 5: give data\.window that length"):
        simple(torch.rand(2, 5, 5), None)
    with pytest.raises(Mistake, match="built for segments of 3 frames, not 9"):
        simple.decode(sample, 9)


def test_prior_samples_are_the_noise_and_last():
    model, eps = CASES["fhvae"].build(), torch.randn(2, 6, 3)
    assert torch.equal(model.sample_prior(eps), eps[:, :1])
    assert torch.equal(model.sample_prior(eps, start=eps[:, 3:4]), eps[:, 3:4])
    assert torch.allclose(model.sample_static(eps[:, 0]) ** 2, 1.25 * eps[:, 0] ** 2)  # 1 of mu2, .25 around it


def test_mu2_starts_standard_normal_and_forget_gates_open():
    model = Case("fhvae", FHVAEOptions("fh"), (80,)).build()
    bias = model.q_z1.lstm.bias_ih_l0 + model.q_z1.lstm.bias_hh_l0
    assert bias.tolist() == [0.0] * 256 + [1.0] * 256 + [0.0] * 512
    table = FHVAE((5,), FHVAEOptions(), 3, 3000).mu2.weight
    assert table.mean().item() == pytest.approx(0, abs=0.02) and table.std().item() == pytest.approx(1, abs=0.02)


def test_bad_input_is_the_users_mistake():
    with pytest.raises(Mistake, match=r"model fhvae takes frames that are vectors \(D\), not of shape \(3, 8, 8\)"):
        FHVAE((3, 8, 8), FHVAEOptions(), 20, 10)
    model, b, _ = run(CASES["fhvae"])
    with pytest.raises(Mistake, match="needs to know which sequence each segment was cut from"):
        Step(model, [])(replace(b, sequence=None))
    with pytest.raises(Mistake, match=r"frames of shape \(5,\), the data have \(4,\)"):
        model(torch.rand(2, 6, 4), None)
