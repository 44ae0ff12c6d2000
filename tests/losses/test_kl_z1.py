import math

import pytest
from model_cases import CASES, run
from torch import tensor

from ablate.losses.kl_z import KLOptions
from ablate.losses.kl_z1 import kl_z1
from ablate.types import Gaussian, Output


def test_by_hand():
    q = Gaussian(tensor([[[1.0, 0.0]], [[0.0, 0.0]]]).double(), tensor([[[1.0, 4.0]], [[1.0, 1.0]]]).double().log())
    out = Output({"z1": q}, {"z1": Gaussian.standard(q.mean)}, {}, None)
    # N(1, 1) from N(0, 1): 1 / 2. N(0, 4) from N(0, 1): (4 - 1 - ln 4) / 2
    assert kl_z1(None, None, out, options=KLOptions()).tolist() == pytest.approx([0.5 + (3 - math.log(4)) / 2, 0.0])


def test_what_learns_from_it():
    """Encoders alone: q(z1) sees the sampled z2, so that of z2 learns too; neither mu2 nor the decoder does."""
    model, b, out = run(CASES["fhvae"])
    kl_z1(model, b, out, options=KLOptions()).mean().backward()
    learns = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learns == {"q_z1", "q_z2"}
