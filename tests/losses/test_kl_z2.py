import math

import pytest
import torch
from model_cases import CASES, batch, frames, noise, run
from torch import tensor

from ablate.losses.kl_z import KLOptions
from ablate.losses.kl_z2 import kl_z2
from ablate.types import Gaussian, Output


def test_by_hand():
    q = Gaussian(tensor([[1.0, 0.5]]).double(), tensor([[0.5, 0.25]]).double().log())
    p = Gaussian(tensor([[0.0, 0.5]]).double(), torch.full((1, 2), 0.25).double().log())
    # (ln(0.25 / 0.5) + (0.5 + 1) / 0.25 - 1) / 2, and 0
    value = kl_z2(None, None, Output({"z2": q}, {"z2": p}, {}, None), options=KLOptions())
    assert value.tolist() == pytest.approx([(5 - math.log(2)) / 2])


def test_gradient_pulls_mu2_to_its_segments_and_leaves_other_rows_alone():
    model, b, out = run(CASES["fhvae"], torch.float64)
    kl_z2(model, b, out, options=KLOptions()).sum().backward()
    difference = model.mu2.weight[:4] - out.q["z2"].mean
    assert torch.allclose(model.mu2.weight.grad[:4], difference / 0.25) and not model.mu2.weight.grad[4:].any()


def test_of_an_unknown_sequence_mu2_is_integrated_out():
    model, x = CASES["fhvae"].build(), frames(CASES["fhvae"])
    out = model(x, noise(model, x))
    assert not out.p["z2"].mean.any() and torch.allclose(out.p["z2"].logvar, tensor(1.25).log())
    known = kl_z2(*run(CASES["fhvae"]), options=KLOptions())
    assert (kl_z2(model, batch(x), out, options=KLOptions()) < known).all()  # mu2 starts far from its segments
