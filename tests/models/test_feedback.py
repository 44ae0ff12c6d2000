"""What the three autoregressive models do with their own outputs."""

from dataclasses import replace

import pytest
import torch
from model_cases import CASES, frames, noise
from sameness import EVERYTHING, LENGTH, PRECISIONS, assert_equals_naive, leaves, reached

from ablate.models.feedback import follows_data, mean_of, share

NAMES = ["storn", "vrnn", "vrnn-empty", "srnn", "srnn-empty"]
EVERY = pytest.mark.parametrize("name", NAMES)
OWN = torch.tensor([True, False, True, False, False])


def case(name, mode, likelihood="gaussian"):
    its = CASES[name]
    return replace(its, options=replace(its.options, mode=mode, likelihood=likelihood))


def test_mean_of_the_output():
    y = torch.tensor([0.0, 1.0])
    assert mean_of(y, "gaussian").tolist() == [0, 1]
    assert mean_of(y, "bernoulli").tolist() == pytest.approx([0.5, 0.7310586])
    assert mean_of(y, "itakura_saito").tolist() == pytest.approx([1, 2.7182818])


def test_the_share_of_own_outputs_rises_by_a_tenth_to_1():
    assert [share(epoch, 50) for epoch in (0, 49, 50, 449, 450, 9999)] == [0.1, 0.1, 0.2, 0.9, 1.0, 1.0]
    assert share(3, 1) == 0.4


def test_whose_states_are_needed():
    assert [follows_data(mode, None) for mode in ("teacher", "scheduled", "generation")] == [True, False, False]
    assert [follows_data(mode, OWN) for mode in ("teacher", "scheduled", "generation")] == [True, True, False]


@EVERY
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "itakura_saito"])
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_every_mode_equals_the_naive_form_gradients_included(name, likelihood, dtype, tolerance):
    assert_equals_naive(case(name, "generation", likelihood), dtype, tolerance)
    assert_equals_naive(case(name, "scheduled", likelihood), dtype, tolerance)
    assert_equals_naive(case(name, "scheduled", likelihood), dtype, tolerance, own=OWN)


@EVERY
def test_a_teacher_forced_model_loads_into_the_other_modes(name):
    teacher = case(name, "teacher").build()
    x = frames(case(name, "teacher"), T=5)
    eps = noise(teacher, x)
    forced = teacher(x, eps)
    for mode in ("scheduled", "generation"):
        model = case(name, mode).build(seed=1)
        model.load_state_dict(teacher.state_dict())
        out = model(x, eps)
        assert torch.equal(out.q["z"].mean, forced.q["z"].mean)  # inference reads the true frames in every mode
        assert torch.equal(out.sample["z"], forced.sample["z"])
        assert not torch.allclose(out.x_hat[:, 1:], forced.x_hat[:, 1:])
        assert torch.allclose(out.x_hat[:, 0], forced.x_hat[:, 0], atol=1e-6)  # nothing was put out before


@EVERY
def test_the_schedule_lies_between_teacher_and_generation(name):
    teacher, model, free = (case(name, mode).build() for mode in ("teacher", "scheduled", "generation"))
    x = frames(case(name, "teacher"), T=5)
    eps, never, always = noise(model, x), torch.zeros(5, dtype=torch.bool), torch.ones(5, dtype=torch.bool)
    assert torch.allclose(model(x, eps, never).x_hat, teacher(x, eps).x_hat, atol=1e-6)
    assert torch.equal(model(x, eps, always).x_hat, free(x, eps).x_hat)
    assert torch.equal(model(x, eps).x_hat, free(x, eps).x_hat)  # as it is evaluated
    mixed = model(x, eps, OWN).x_hat
    assert torch.allclose(mixed[:, ~OWN], teacher(x, eps).x_hat[:, ~OWN], atol=1e-6)
    assert torch.equal(mixed[:, :1], free(x, eps).x_hat[:, :1])
    by_row = torch.stack([never, always, never, always])
    rows = model(x, eps, by_row).x_hat
    assert torch.allclose(rows[0::2], teacher(x, eps).x_hat[0::2], atol=1e-6)
    assert torch.allclose(rows[1::2], free(x, eps).x_hat[1::2], atol=1e-6)


@EVERY
def test_own_outputs_carry_no_gradient_and_no_data(name):
    its = case(name, "generation")
    model, x, z = leaves(its)
    y = model.decode({"z": z}, x)
    for t in (0, 3, LENGTH - 1):
        assert reached(y[:, t], x) == []
        assert t in reached(y[:, t], z)
    bias = [its for its in model.out.modules() if isinstance(its, torch.nn.Linear)][-1].bias
    (gradient,) = torch.autograd.grad(y[:, -1].sum(), bias)
    assert torch.equal(gradient, torch.full_like(bias, float(len(x))))  # of the last frame alone


@EVERY
def test_an_output_moves_all_later_ones_and_no_earlier(name):
    its = case(name, "generation")
    model, _, z = leaves(its)
    moved = z.detach().clone()
    moved[:, 2] += 1
    a, b = model.decode({"z": z.detach()}), model.decode({"z": moved})
    changed = [t for t in EVERYTHING if not torch.equal(a[:, t], b[:, t])]
    assert changed == EVERYTHING[2:]


@EVERY
def test_without_the_data_a_teacher_forced_model_decodes_from_own_outputs(name):
    teacher, free = case(name, "teacher").build(), case(name, "generation").build()
    _, _, z = leaves(case(name, "teacher"))
    assert torch.equal(teacher.decode({"z": z}), free.decode({"z": z}))
    assert teacher.share(1) == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["vrnn", "srnn"])
def test_rolled_prior_is_the_prior_of_its_own_path_and_outputs(name):
    model = case(name, "generation").build(dtype=torch.float64)
    eps, later = (torch.randn(2, T, 3, dtype=torch.float64) for T in (5, 3))
    z = model.sample_prior(eps)
    path = torch.cat([z, model.sample_prior(later, start=z)], dim=1)
    forced = case(name, "teacher").build(dtype=torch.float64)
    outputs = model.decode({"z": path})  # fed back, they are what a forced model would have to be told
    p = forced.prior_z(path, outputs)
    assert torch.allclose(p.sample(torch.cat([eps, later], dim=1)), path, atol=1e-12)


@EVERY
@pytest.mark.parametrize("mode", ["teacher", "generation"])
def test_a_prediction_is_what_a_forced_model_says_that_is_told_the_prefix_and_then_the_outputs(name, mode):
    model = case(name, mode).build(dtype=torch.float64)
    x = frames(case(name, mode), 2, 4, dtype=torch.float64)
    noise = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    sample, y = model.forecast(x, noise)
    forced = case(name, "teacher").build(dtype=torch.float64)
    told = torch.cat([x, y[:, 4:]], dim=1)
    assert torch.allclose(y, forced.decode(sample, told), atol=1e-12)
    assert torch.equal(sample["z"][:, :4], model.encode(x, None)[1]["z"])
    if hasattr(forced, "prior_z"):
        later = forced.prior_z(sample["z"], told).sample(torch.cat([torch.zeros(2, 4, 3), noise], dim=1))
        assert torch.allclose(later[:, 4:], sample["z"][:, 4:], atol=1e-12)
    else:
        assert torch.equal(sample["z"][:, 4:], noise)
