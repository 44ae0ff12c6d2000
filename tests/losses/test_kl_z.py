import pytest
import torch

from ablate.losses.kl_z import kl_z
from ablate.registry import NoOptions
from ablate.types import Gaussian, Output


def test_sums_over_frames_and_dimensions_by_hand():
    # per dimension m^2 / 2 from N(0, 1): frames (1, 2), (3, 0) give (1 + 4 + 9 + 0) / 2; zeros give 0
    q = Gaussian(torch.tensor([[[1.0, 2.0], [3.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]), torch.zeros(2, 2, 2))
    out = Output({"z": q}, {"z": Gaussian.standard(q.mean)}, {}, None)
    assert kl_z(None, None, out, options=NoOptions()).tolist() == [7.0, 0.0]


def test_each_frame_against_its_own_prior():
    torch.manual_seed(0)
    q, p = (Gaussian(torch.randn(2, 3, 4), torch.randn(2, 3, 4)) for _ in range(2))
    values = kl_z(None, None, Output({"z": q}, {"z": p}, {}, None), options=NoOptions())
    normal = torch.distributions.Normal
    pairs = (normal(g.mean, (g.logvar / 2).exp()) for g in (q, p))
    assert values.tolist() == pytest.approx(torch.distributions.kl_divergence(*pairs).sum((1, 2)).tolist(), rel=1e-5)
