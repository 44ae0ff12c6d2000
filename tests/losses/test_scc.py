import pytest
import torch
from model_cases import batch

from ablate.errors import Mistake
from ablate.losses.scc import SCCOptions, active_share, distances, scc
from ablate.types import Gaussian, Output


class First:
    """A toy whose static code, named as in FHVAE, is the first frame: the order of frames matters to it."""

    latents = {"z1": "dynamic", "z2": "static"}  # noqa: RUF012

    def encode_static(self, x):
        return Gaussian(x[:, 0], torch.full_like(x[:, 0], -30.0))


class Mean(First):
    """A toy that does not see the order."""

    def encode_static(self, x):
        return Gaussian(x.mean(1), torch.full_like(x[:, 0], -30.0))


def run(model, x):
    q = model.encode_static(x)
    return batch(x), Output({"z2": q}, {}, {"z2": q.mean}, None)


X = torch.tensor([[[0.0], [1.0], [4.0]], [[10.0], [10.0], [10.0]], [[10.5], [10.5], [10.5]]])


def test_triplet_by_hand():
    b, out = run(First(), X)
    near, far = distances(First(), b, out)
    first = b.draw.orders("term:scc/frames", 3)[:, 0]
    assert near.tolist() == [{0: 0.0, 1: 1.0, 2: 16.0}[int(first[0])], 0.0, 0.0]
    codes, other = [0.0, 10.0, 10.5], b.draw.derangement("term:scc/negative").tolist()
    assert sorted(other) == [0, 1, 2] and all(i != j for i, j in enumerate(other))
    assert far.tolist() == [(codes[i] - codes[j]) ** 2 for i, j in enumerate(other)]
    for margin in (1.0, 0.0, 300.0):
        by_hand = [max(n - f + margin, 0) for n, f in zip(near.tolist(), far.tolist(), strict=True)]
        assert scc(First(), b, out, options=SCCOptions(margin=margin)).tolist() == pytest.approx(by_hand)


def test_the_hinge_is_zero_without_gradient_where_the_codes_are_far_apart():
    x = (torch.arange(4.0).reshape(4, 1, 1) * 10).expand(4, 3, 1).clone().requires_grad_()
    b, out = run(Mean(), x)
    values = scc(Mean(), b, out, options=SCCOptions())
    values.sum().backward()
    assert values.tolist() == [0] * 4 and not x.grad.any()
    assert active_share(Mean(), b, out) == 0 and active_share(Mean(), b, out, margin=1e4) == 1


def test_equal_sequences_cost_the_margin():
    b, out = run(Mean(), torch.ones(3, 2, 1))
    assert scc(Mean(), b, out, options=SCCOptions(margin=2.5)).tolist() == [2.5] * 3


def test_pulls_on_the_positive_and_pushes_the_negative():
    x = torch.tensor([[[0.0], [1.0]], [[0.2], [1.3]]]).requires_grad_()
    b, out = run(First(), x)
    scc(First(), b, out, options=SCCOptions()).sum().backward()
    assert x.grad.abs().sum() > 0


def test_one_sequence_has_no_negative():
    b, out = run(Mean(), X[:1])
    with pytest.raises(Mistake, match="batch_size must be at least 2"):
        scc(Mean(), b, out, options=SCCOptions())


def test_published_variant_by_hand():
    x = torch.tensor([[[0.0, 1.0]], [[2.0, 3.0]], [[4.0, 9.0]]])
    b, out = run(Mean(), x)
    other = x[b.draw.permutation("term:scc/other"), 0]
    by_hand = [((a - c) ** 2).mean().item() + 1 for a, c in zip(x[:, 0], other, strict=True)]
    assert scc(Mean(), b, out, options=SCCOptions("ali")).tolist() == pytest.approx(by_hand, abs=1e-4)


def test_published_variant_draws_a_second_sample():
    class Wide(Mean):
        def encode_static(self, x):
            return Gaussian(x.mean(1), torch.zeros_like(x[:, 0]))

    x = torch.zeros(2000, 1, 1)
    values = scc(Wide(), *run(Wide(), x), options=SCCOptions("ali"))
    assert values.mean().item() == pytest.approx(2.0, abs=0.15)  # mean code against N(0, 1): 1 + 1
