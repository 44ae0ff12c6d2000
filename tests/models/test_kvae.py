import pytest
import torch
from model_cases import CASES, frames, noise, run
from sameness import (
    ENDS_AND_MIDDLE,
    EVERYTHING,
    LENGTH,
    PRECISIONS,
    assert_equals_naive,
    assert_learns,
    parameters_on_meta,
    reached,
    waves,
)

from ablate.losses.kl_a import kl_a
from ablate.models import lgssm
from ablate.models.kvae import KVAE, KVAEOptions
from ablate.registry import NoOptions

NAMES = [name for name in CASES if name.startswith("kvae")]


def stir(matrices, sd):
    """Other matrices than the start's, which are alike or weak."""
    torch.nn.init.normal_(matrices, std=sd, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("x_dim", "preset", "count"),
    [
        (257, "speech", 114_818),
        (513, "speech", 180_610),
        (96, "motion", 73_441),
        (257, "interspeech", 240_639),
        (80, "ali", 74_217),
    ],
)
def test_published_parameter_counts(x_dim, preset, count):
    assert parameters_on_meta(KVAE, x_dim, KVAEOptions(preset)) == count


def test_published_parameter_counts_part_by_part():
    with torch.device("meta"):
        model = KVAE((513,), KVAEOptions("speech"))
    parts = [model.encoder, model.head, model.out, model.rnn_alpha, model.alpha, model.systems]
    expected = [82_304, 2 * 1_032, 17_664 + 66_177, 12_000, 153, 48 + 96 + 96 + 8]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == expected


def test_variances_are_fixed_and_go_with_the_model():
    model = CASES["kvae"].build(dtype=torch.float64)
    assert torch.allclose(model.Q, 0.08 * torch.eye(3).double(), atol=1e-8)
    assert model.R.shape == (4, 4) and model.S0[0, 0].item() == 20
    assert {its.dtype for its in (model.Q, model.R, model.S0)} == {torch.float64}
    assert not {"Q", "R", "S0"} & set(model.state_dict())


@pytest.mark.parametrize("t", ENDS_AND_MIDDLE)
def test_dependence(t):
    model = CASES["kvae"].build()
    stir(model.systems.A, 0.5)
    x = frames(CASES["kvae"], 2, LENGTH).requires_grad_()
    a = torch.randn(2, LENGTH, 4).requires_grad_()
    q, _ = model.encode(x, None)
    assert reached(q["a"].mean[:, t], x) == reached(q["a"].logvar[:, t], x) == [t]
    its = model.dynamics(a)
    for y in (its.A[:, t], its.u[:, t], its.C[:, t]):
        assert reached(y, a) == EVERYTHING[:t]
    seen = lgssm.kalman(a, its)
    assert reached(seen.mean[:, t], a) == EVERYTHING[: t + 1]
    for y in (seen.ahead_mean[:, t], seen.innovation[:, t] - a[:, t], seen.chol[:, t]):
        assert reached(y, a) == EVERYTHING[:t]
    mean, cov = model.smooth(a)
    assert reached(mean[:, t], a) == EVERYTHING and reached(cov[:, t], a) == EVERYTHING[:-1]
    assert reached(model.decode({"a": a})[:, t], a) == [t]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_equals_the_naive_frame_by_frame_model_gradients_included(dtype, tolerance):
    assert_equals_naive(CASES["kvae"], dtype, tolerance)


def test_the_three_forms_of_the_bound():
    out = {}
    for form in ("innovations", "sampled", "marginals"):
        its = CASES["kvae-sampled"]
        model = KVAE(its.frame, type(its.options)(**{**vars(its.options), "lgssm": form})).double().eval()
        model.load_state_dict(its.build(dtype=torch.float64).state_dict())
        x = frames(its, dtype=torch.float64)
        eps = noise(CASES["kvae-sampled"].build(), x)
        out[form] = model(x, eps).log_p["a"]
        assert set(model.noise_shapes(3)) == ({"a"} if form == "innovations" else {"a", "z"})
    assert torch.allclose(out["innovations"], out["sampled"], atol=1e-9)
    assert not torch.allclose(out["innovations"], out["marginals"], atol=1e-3)


def test_smoothing_equals_a_dense_solve():
    model = CASES["kvae"].build(dtype=torch.float64)
    stir(model.systems.A, 0.5)
    stir(model.systems.C, 1.0)
    a = torch.randn(1, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    its = model.dynamics(a)

    def minus_log_p(z):  # quadratic in z: its minimum is the smoothed mean, its curvature the inverse covariance
        return -lgssm.log_joint(a, z.reshape(1, 5, 3), its).squeeze()

    origin = torch.zeros(15, dtype=torch.float64)
    slope = torch.func.grad(minus_log_p)(origin)
    cov = torch.linalg.inv(torch.func.hessian(minus_log_p)(origin))
    mean, covs = model.smooth(a)
    assert torch.allclose(mean.flatten(), -cov @ slope, atol=1e-10)
    for t in range(5):
        assert torch.allclose(covs[0, t], cov[3 * t : 3 * t + 3, 3 * t : 3 * t + 3], atol=1e-10)


def test_the_smoothed_reconstruction_moves_with_the_frames():
    """The published smoother put out one constant frame."""
    model, x = CASES["kvae"].build(), frames(CASES["kvae"], T=LENGTH)
    stir(model.systems.C, 1.0)
    y = model.reconstruct(model.encode(x, None)[1], x)
    assert y.shape == x.shape and y.std(1).mean() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_learns_from_the_prior_alone(name):
    model, b, out = run(CASES[name])
    kl_a(model, b, out, options=NoOptions()).mean().backward()
    still = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert still == {n for n, _ in model.named_parameters() if n.startswith("out.")}


def test_rolled_prior_is_the_prior_of_its_own_path():
    model = CASES["kvae"].build(dtype=torch.float64)
    eps, later = (torch.randn(2, n, 4, dtype=torch.float64) for n in (5, 3))
    a = model.sample_prior(eps)
    path = torch.cat([a, model.sample_prior(later, start=a)], dim=1)
    seen = lgssm.kalman(path, model.dynamics(path))
    assert torch.allclose(lgssm.times(seen.chol, torch.cat([eps, later], dim=1)), seen.innovation, atol=1e-10)


@pytest.mark.long
def test_learns_eight_sequences_and_the_motion_in_them():
    model, x = assert_learns("kvae", variance=0.005), waves()
    smoothed = ((model.reconstruct(model.encode(x, None)[1], x) - x) ** 2).sum()
    assert smoothed < 0.8 * ((x - x.mean(1, keepdim=True)) ** 2).sum()  # any constant output is worse
