import pytest
import torch

from ablate.losses.kl_z import KLOptions, kl_z
from ablate.random import Draws
from ablate.registry import LOSSES
from ablate.types import Batch, Gaussian, Output


def test_sums_over_frames_and_dimensions_by_hand():
    # per dimension m^2 / 2 from N(0, 1): frames (1, 2), (3, 0) give (1 + 4 + 9 + 0) / 2; zeros give 0
    q = Gaussian(torch.tensor([[[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]), torch.zeros(2, 2, 2))
    out = Output({"z": q}, {"z": Gaussian.standard(q.mean)}, {}, None)
    assert kl_z(None, None, out, options=KLOptions()).tolist() == [7.0, 0.0]


def test_each_frame_against_its_own_prior():
    torch.manual_seed(0)
    q, p = (Gaussian(torch.randn(2, 3, 4), torch.randn(2, 3, 4)) for _ in range(2))
    values = kl_z(None, None, Output({"z": q}, {"z": p}, {}, None), options=KLOptions())
    normal = torch.distributions.Normal
    pairs = (normal(g.mean, (g.logvar / 2).exp()) for g in (q, p))
    assert values.tolist() == pytest.approx(torch.distributions.kl_divergence(*pairs).sum((1, 2)).tolist(), rel=1e-5)


def trained(options: KLOptions, training: bool = True) -> tuple[list[float], torch.Tensor]:
    """KLs per dimension (B 2, T 2, D 2) of m^2 / 2: means over batch and frames .75 and 2.5."""
    mean = torch.tensor(
        [[[1.0, 2.0], [0.0, 2.0]], [[1.0, 2.0], [2.0, 2**1.5]]], dtype=torch.float64, requires_grad=True
    )
    q = Gaussian(mean, torch.zeros_like(mean))
    batch = Batch(mean, torch.arange(2), 9, Draws(0, (0,), 2, slice(0, 2)))
    out = Output({"z": q}, {"z": Gaussian.standard(mean)}, {}, None)
    values = kl_z(torch.nn.Module().train(training), batch, out, options=options)
    values.mean().backward()
    return values.tolist(), mean.grad


def test_free_bits_by_hand():
    """KLs (.5, 2), (0, 2) and (.5, 2), (2, 4): means .75 and 2.5. A floor of 1 replaces the first."""
    assert trained(KLOptions())[0] == [4.5, 8.5]
    values, gradient = trained(KLOptions(free_bits=1))
    assert values == [1 + 2 + 1 + 2, 1 + 2 + 1 + 4]
    assert sum(values) / 2 == pytest.approx(2 * (max(1, 0.75) + max(1, 2.5)))  # two frames of each dimension
    assert gradient[..., 0].abs().max() == 0 and (gradient[..., 1] > 0).all()
    assert trained(KLOptions(free_bits=3))[1].abs().max() == 0


def test_evaluation_and_its_bound_see_the_kl_itself():
    assert trained(KLOptions(free_bits=3), training=False)[0] == [4.5, 8.5]


@pytest.mark.parametrize("term", ["kl_f", "kl_z", "kl_z1", "kl_z2"])
def test_every_kl_has_free_bits_in_training_only(term):
    """Of two dimensions whose mean KLs are .5 and 2, a floor of 1 replaces the first; one frame where there are any."""
    code, static = term.removeprefix("kl_"), term in ("kl_f", "kl_z2")
    mean = torch.tensor([[1.0, 2.0], [1.0, 2.0]], dtype=torch.float64)
    mean = (mean if static else mean.unsqueeze(1)).requires_grad_()
    q = Gaussian(mean, torch.zeros_like(mean))
    batch = Batch(mean, torch.arange(2), 9, Draws(0, (0,), 2, slice(0, 2)))
    out = Output({code: q}, {code: Gaussian.standard(mean)}, {}, None)
    call = LOSSES[term].make
    trained = call(torch.nn.Module().train(), batch, out, options=KLOptions(free_bits=1))
    assert trained.tolist() == [3, 3]
    assert call(torch.nn.Module().eval(), batch, out, options=KLOptions(free_bits=1)).tolist() == [2.5, 2.5]
    trained.sum().backward()
    assert mean.grad is not None and (mean.grad[..., 0] == 0).all() and (mean.grad[..., 1] == 2).all()
