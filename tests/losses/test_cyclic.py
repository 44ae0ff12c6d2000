import pytest
import torch
from model_cases import CASES, batch, frames, noise
from torch import nn

from ablate.losses.cyclic import CyclicOptions, cyclic
from ablate.types import Gaussian, Output

PUBLISHED = CyclicOptions("uniform", detach_codes=True, detach_target=False)


class Linear(nn.Module):
    """x_t = [f, z_t]; the encoder returns a and b times what went in, without noise."""

    latents = {"f": "static", "z": "dynamic"}  # noqa: RUF012

    def __init__(self, a: float, b: float):
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(torch.tensor(its, dtype=torch.float64)) for its in (a, b, 1.0))

    def encode(self, x, eps):
        q = {"f": self.a * x[..., :1].mean(1), "z": self.b * x[..., 1:]}
        gaussians = {name: Gaussian(mean, torch.full_like(mean, -30.0)) for name, mean in q.items()}
        return gaussians, {name: g.sample(eps[name]) if eps else g.mean for name, g in gaussians.items()}

    def decode(self, codes):
        f, z = codes["f"], codes["z"]
        return self.c * torch.cat([f.unsqueeze(1).expand(-1, z.shape[1], -1), z], dim=-1)


def run(model, f, z):
    codes = {"f": f, "z": z}
    x_hat = model.decode(codes)
    return batch(x_hat.detach()), Output({}, {}, codes, x_hat)


def codes(B=3, T=4):
    torch.manual_seed(0)
    return torch.randn(B, 1, dtype=torch.float64), torch.randn(B, T, 1, dtype=torch.float64)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
def test_linear_model_by_hand(kind):
    # back - target is (a - 1)(f + e_f) in the first feature of every frame and (b - 1)(z_t + e_t) in the second
    f, z = codes()
    model, (a, b) = Linear(0.5, 3.0), (0.5, 3.0)
    its, out = run(model, f, z)
    draw = getattr(its.draw, kind)
    e_f, e_z = draw("term:cyclic/f", 1).double(), draw("term:cyclic/z", 4, 1).double()
    by_hand = 4 * ((a - 1) * (f + e_f))[:, 0] ** 2 + (((b - 1) * (z + e_z)) ** 2).sum((1, 2))
    values = cyclic(model, its, out, options=CyclicOptions(kind))
    assert values.tolist() == pytest.approx(by_hand.tolist(), abs=1e-4)
    if kind == "uniform":
        assert e_f.min() >= 0 and e_f.max() < 1


def test_a_perfect_encoder_costs_nothing():
    model = Linear(1.0, 1.0)
    values = cyclic(model, *run(model, *codes()), options=CyclicOptions())
    assert values.tolist() == pytest.approx([0] * 3, abs=1e-9)


def gradient_flags(options):
    """Does the term give a gradient to the codes, the encoder, the decoder, and through the reconstruction?"""
    f, z = (its.requires_grad_() for its in codes())
    model = Linear(0.5, 3.0)
    its, out = run(model, f, z)
    target = out.x_hat.detach().clone().requires_grad_()
    cyclic(model, its, Output({}, {}, out.sample, target), options=options).sum().backward()
    return [its.grad is not None and bool(its.grad.any()) for its in (f, model.a, model.c, target)]


def test_which_way_the_gradient_goes():
    assert gradient_flags(CyclicOptions()) == [True, True, True, False]
    assert gradient_flags(CyclicOptions(detach_codes=True)) == [False, False, True, False]
    assert gradient_flags(PUBLISHED) == [False, False, True, True]


def test_published_variant_reaches_the_encoder_only_by_pulling_the_reconstruction():
    model, x = CASES["dsae"].build(), frames(CASES["dsae"])
    b, out = batch(x), model(x, noise(model, x))
    encoder = list(model.f_rnn.parameters())
    pulled = torch.autograd.grad(cyclic(model, b, out, options=PUBLISHED).sum(), encoder)
    fixed = CyclicOptions("uniform", detach_codes=True, detach_target=True)
    other = torch.autograd.grad(cyclic(model, b, out, options=fixed).sum(), encoder, allow_unused=True)
    assert all(g.any() for g in pulled) and other == (None,) * len(encoder)


def test_the_encoder_reads_data_not_the_decoders_output():
    class Spy(Linear):
        def encode(self, x, eps):
            self.seen.append(x)
            return super().encode(x, eps)

    f, z = codes()
    for likelihood, mean in (("gaussian", lambda y: y), ("bernoulli", torch.sigmoid), ("itakura_saito", torch.exp)):
        model = Spy(1.0, 1.0)
        model.seen = []
        b, out = run(model, f, z)
        cyclic(model, b, out, options=CyclicOptions(likelihood=likelihood))
        e = {"f": b.draw.normal("term:cyclic/f", 1), "z": b.draw.normal("term:cyclic/z", 4, 1)}
        assert torch.allclose(model.seen[0], mean(model.decode({"f": f + e["f"], "z": z + e["z"]})))
