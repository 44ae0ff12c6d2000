import math

import numpy as np
import pytest
import torch
from model_cases import draws

from ablate.errors import Mistake
from ablate.losses.mi import MIOptions, _ali_weights, mi, pairwise, rows_of, stratified
from ablate.random import Draws
from ablate.types import Batch, Gaussian, Output


class Latents:
    latents = {"z1": "dynamic", "z2": "static"}  # noqa: RUF012


def case(B=3, T=2, spread=1.0, n_train=20, seed=0, logvar=0.0):
    """Posteriors, and samples of them, at random places of this spread. Static (B, 2), dynamic (B, T, 3)."""
    g = torch.Generator().manual_seed(seed)
    q = {
        name: Gaussian(
            spread * torch.randn(*shape, generator=g, dtype=torch.float64),
            logvar * torch.rand(*shape, generator=g, dtype=torch.float64),
        )
        for name, shape in {"z2": (B, 2), "z1": (B, T, 3)}.items()
    }
    sample = {
        name: its.sample(torch.randn(its.mean.shape, generator=g, dtype=torch.float64)) for name, its in q.items()
    }
    x = torch.zeros(B, T, 1, dtype=torch.float64)
    return Batch(x, torch.arange(B), n_train, draws(B)), Output(q, {}, sample, None)


def value(its, **options):
    return mi(Latents(), *its, options=MIOptions(**options))


def density(x, mean, logvar):
    """log N summed over all dimensions, numpy."""
    return float(np.sum(-0.5 * (np.log(2 * np.pi) + logvar + (x - mean) ** 2 / np.exp(logvar))))


def numpy_of(out):
    s, q = out.sample, out.q
    return [its.numpy() for n in ("z2", "z1") for its in (s[n], q[n].mean, q[n].logvar)]


def by_loops(b, out, frames, weights):
    """The definition, one logarithm at a time. `weights[i][j]` multiplies the density of row j."""
    f, fm, fv, z, zm, zv = numpy_of(out)
    B, T = z.shape[:2]
    pieces = [slice(0, T)] if frames == "joint" else [slice(t, t + 1) for t in range(T)]
    values = []
    for i in range(B):
        parts = []
        for t in pieces:
            F = [density(f[i], fm[j], fv[j]) for j in range(B)]
            Z = [density(z[i, t], zm[j, t], zv[j, t]) for j in range(B)]
            lq = [
                math.log(sum(w * math.exp(m) for w, m in zip(weights[i], M, strict=True))) for M in (np.add(F, Z), F, Z)
            ]
            parts.append(lq[0] - lq[1] - lq[2])
        values.append(sum(parts) / len(parts))
    return values


@pytest.mark.parametrize("frames", ["joint", "mean"])
@pytest.mark.parametrize("estimator", ["mws", "mss"])
def test_against_loops(frames, estimator):
    b, out = case(B=4, n_train=20, logvar=1.5)
    mss = stratified(rows_of(b), 4, 20, "mi").tolist()
    weights = mss if estimator == "mss" else [[1 / 80] * 4] * 4
    assert value((b, out), estimator=estimator, frames=frames).tolist() == pytest.approx(
        by_loops(b, out, frames, weights)
    )


@pytest.mark.parametrize("frames", ["joint", "mean"])
def test_limits(frames):
    B, N = 5, 40
    equal = case(B, spread=0.0, n_train=N)
    assert value(equal, frames=frames).tolist() == pytest.approx([math.log(N)] * B)
    assert value(equal, frames=frames, estimator="mss").tolist() == pytest.approx([0] * B, abs=1e-9)
    apart = case(B, spread=1e4, n_train=N)
    assert value(apart, frames=frames).tolist() == pytest.approx([math.log(N) + math.log(B)] * B)
    assert value(apart, frames=frames, estimator="mss").tolist() == pytest.approx([math.log(N)] * B)


def test_gradient_does_not_depend_on_the_number_of_training_sequences():
    gradients = []
    for N in (10, 10_000):
        b, out = case(n_train=N)
        f = out.sample["z2"].requires_grad_()
        value((b, out)).sum().backward()
        gradients.append(f.grad)
    assert torch.equal(*gradients)


def test_dynamic_code_without_frames_counts_as_one_frame():
    b, out = case(T=1)
    flat = Output(
        {"z2": out.q["z2"], "z1": Gaussian(out.q["z1"].mean[:, 0], out.q["z1"].logvar[:, 0])},
        {},
        {"z2": out.sample["z2"], "z1": out.sample["z1"][:, 0]},
        None,
    )
    for options in ({}, {"frames": "mean"}, {"variant": "ali"}):
        assert torch.allclose(value((b, flat), **options), value((b, out), **options))


def test_pairwise_density():
    _, out = case(B=2)
    z, zm, zv = numpy_of(out)[3:]
    log_q = pairwise(out.sample["z1"], out.q["z1"])
    assert log_q.shape == (2, 2, 2)
    assert log_q[0, 1, 1].item() == pytest.approx(density(z[0, 1], zm[1, 1], zv[1, 1]))


def test_stratified_weights_by_hand():
    # B = 3, N = 10: the row itself 1/10, the next one (10 - 3 + 1) / (10 * 2), all others 1/2
    b, _ = case(B=3, n_train=10)
    W = stratified(rows_of(b), 3, 10, "mi")
    assert W.numpy() == pytest.approx(np.array([[0.1, 0.4, 0.5], [0.5, 0.1, 0.4], [0.4, 0.5, 0.1]]))
    second = Batch(b.x[:1], b.index[:1], 10, Draws(0, (0,), 3, slice(1, 2)))
    assert torch.equal(stratified(rows_of(second), 3, 10, "mi"), W[1:2])
    assert torch.allclose(stratified(torch.arange(7), 7, 30, "mi").sum(1), torch.ones(7, dtype=torch.float64))


@pytest.mark.parametrize(("B", "N"), [(1, 20), (4, 3)])
def test_stratified_needs_a_batch_within_the_training_set(B, N):
    with pytest.raises(Mistake, match="estimator mss needs a batch of 2"):
        value(case(B, n_train=N), estimator="mss")


def test_published_weights():
    R, S = 4, 10
    W = _ali_weights(R, S)
    special, rest = (S - R + 1) / (S * (R - 1)), 1 / (R - 1)
    expected = [[1 / S, special, rest, rest] for _ in range(R)]
    expected[R - 2][0] = special
    assert W.numpy() == pytest.approx(np.array(expected))


def test_published_variant_against_loops():
    b, out = case(B=3, T=2, logvar=1.0)
    f, fm, fv, z, zm, zv = numpy_of(out)
    B, T, S = 3, 2, 50
    R = B * T
    W = _ali_weights(R, S).numpy()
    values = np.zeros((B, T))
    for i in range(R):
        si, ti = divmod(i, T)
        mixture = 0.0
        for j in range(R):
            sj, tj = divmod(j, T)
            total = 0.0
            for d in range(2):
                total += density(f[si, d], fm[sj, d], fv[sj, d]) + math.log(W[i, j])
            for d in range(3):
                total += density(z[si, ti, d], zm[sj, tj, d], zv[sj, tj, d]) + math.log(W[i, j])
            mixture += math.exp(total)
        own = density(f[si], fm[si], fv[si]) + density(z[si, ti], zm[si, ti], zv[si, ti])
        values[si, ti] = own - math.log(mixture)
    assert value((b, out), variant="ali", clips=S).tolist() == pytest.approx(values.mean(1).tolist())


def test_published_variant_fails_where_the_batch_has_more_frames_than_the_published_set_clips():
    with pytest.raises(Mistake, match="6 frames of a batch do not fit into clips = 5"):
        value(case(B=3, T=2), variant="ali", clips=5)
