import pytest
import torch
from model_cases import CASES, frames, noise

from ablate.errors import Mistake
from ablate.models.vae import VAE, VAEOptions


@pytest.mark.parametrize(
    ("x_dim", "options", "count"),
    [
        (257, VAEOptions(16, (128,)), 72_481),
        (513, VAEOptions(16, (128,)), 138_273),
        (96, VAEOptions(10, (32,)), 7_284),
        (257, VAEOptions(16, (256, 128, 64, 32)), 220_385),
    ],
)
def test_published_parameter_counts(x_dim, options, count):
    with torch.device("meta"):
        model = VAE((x_dim,), options)
    assert sum(p.numel() for p in model.parameters()) == count


def test_no_hidden_layer_works():
    model = VAE((5,), VAEOptions(2, ()))
    assert model(torch.rand(2, 3, 5), None).x_hat.shape == (2, 3, 5)


def test_other_frame_shapes_are_the_users_mistake():
    with pytest.raises(Mistake, match=r"vectors \(D\) or pictures"):
        VAE((5, 5), VAEOptions())


@pytest.mark.parametrize("name", ["vae", "vae-pictures"])
@pytest.mark.parametrize("t", [0, 3, 5])
def test_each_frame_depends_on_itself_alone(name, t):
    model = CASES[name].build()
    x = frames(CASES[name], B=2, T=6).requires_grad_()
    out = model(x, noise(model, x))
    for y in (out.q["z"].mean[:, t], out.q["z"].logvar[:, t], out.x_hat[:, t]):
        (gradient,) = torch.autograd.grad((y * torch.randn_like(y)).sum(), x, retain_graph=True)
        assert [bool(g.any()) for g in gradient.transpose(0, 1)] == [s == t for s in range(6)]
    assert not out.p["z"].mean.requires_grad and not out.p["z"].logvar.requires_grad


def test_prior_samples_are_the_noise():
    eps = torch.randn(2, 3, 3)
    assert torch.equal(CASES["vae"].build().sample_prior(eps), eps)
