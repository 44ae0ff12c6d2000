import pytest
import torch
from model_cases import CASES, frames, noise
from sameness import (
    ENDS_AND_MIDDLE,
    EVERYTHING,
    PRECISIONS,
    assert_equals_naive,
    assert_learns,
    leaves,
    parameters_on_meta,
    reached,
)

from ablate.models.dkf import DKF, DKFOptions, GatedPrior
from ablate.types import LOGVAR_MIN

NAMES = [name for name in CASES if name.startswith("dkf")]


@pytest.mark.parametrize(
    ("x_dim", "preset", "count"),
    [
        (257, "speech", 385_313),
        (513, "speech", 516_641),
        (96, "motion", 52_856),
        (257, "interspeech", 397_729),
        (80, "ali", 157_392),
    ],
)
def test_published_parameter_counts(x_dim, preset, count):
    assert parameters_on_meta(DKF, x_dim, DKFOptions(preset)) == count


def test_published_parameter_counts_part_by_part():
    with torch.device("meta"):
        model = DKF((513,), DKFOptions("speech"))
    prior = [model.prior.gate, model.prior.proposal, model.prior.mean, model.prior.variance]
    parts = [model.x_g, model.rnn_g, model.z_g, model.q, *prior, model.out]
    expected = [131_584, 197_632, 4_768, 4_128 + 2 * 528, 544, 544, 272, 272, 44_000 + 131_841]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", ENDS_AND_MIDDLE)
def test_dependence(name, t):
    model, x, z = leaves(CASES[name])
    before, q = ([t - 1] if t else []), model.posterior(x, z)
    for y in (q.mean[:, t], q.logvar[:, t]):
        assert reached(y, x) == (EVERYTHING if "bidirectional" in name else EVERYTHING[t:])
        assert reached(y, z) == before
    assert reached(model.encode(x, noise(model, x))[0]["z"].mean[:, t], x) == EVERYTHING
    torch.nn.init.ones_(model.prior.proposal[-1].bias)  # above 0, where the variance can see it
    p = model.prior_z(z)
    for y in (p.mean[:, t], p.logvar[:, t]):
        assert reached(y, z) == before
    assert reached(model.decode({"z": z})[:, t], z) == [t]


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_samples_from_the_posterior_of_its_own_path(name):
    model, x = CASES[name].build(dtype=torch.float64), frames(CASES[name], dtype=torch.float64)
    q, sample = model.encode(x, noise(model, x))
    again = model.posterior(x, sample["z"])
    assert torch.allclose(q["z"].mean, again.mean, atol=1e-12)
    assert torch.allclose(q["z"].logvar, again.logvar, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_equals_the_naive_frame_by_frame_model_gradients_included(name, dtype, tolerance):
    assert_equals_naive(CASES[name], dtype, tolerance)


def test_rolled_prior_is_the_prior_of_its_own_path():
    model = CASES["dkf"].build(dtype=torch.float64)
    eps, later = (torch.randn(2, T, 3, dtype=torch.float64) for T in (5, 3))
    z = model.sample_prior(eps)
    path = torch.cat([z, model.sample_prior(later, start=z)], dim=1)
    assert torch.allclose(model.prior_z(path).sample(torch.cat([eps, later], dim=1)), path, atol=1e-12)


def test_gated_prior_by_hand():
    prior = GatedPrior(1)
    with torch.no_grad():
        for p in prior.parameters():
            p.fill_(1.0)
    # z = 1: gate sigmoid(2 + 1), proposal 2 + 1, linear map 1 + 1, variance softplus(3 + 1)
    p = prior(torch.ones(1, 1))
    assert p.mean.item() == pytest.approx(2 + 0.9525741 * (3 - 2))
    assert p.logvar.exp().item() == pytest.approx(4.0181500)


def test_a_variance_that_vanishes_has_a_finite_gradient():
    prior = GatedPrior(1)
    with torch.no_grad():
        prior.variance.bias.fill_(-300.0)
    p = prior(torch.ones(1, 1))
    assert p.logvar.item() == pytest.approx(LOGVAR_MIN)
    p.logvar.sum().backward()
    assert all(its.grad is None or its.grad.isfinite().all() for its in prior.parameters())


@pytest.mark.long
@pytest.mark.parametrize("bidirectional", [False, True])
def test_learns_eight_sequences(bidirectional):
    assert_learns("dkf", bidirectional=bidirectional)
