import pytest
import torch
from model_cases import CASES, frames, noise
from sameness import (
    ENDS_AND_MIDDLE,
    EVERYTHING,
    LENGTH,
    PRECISIONS,
    assert_equals_naive,
    assert_learns,
    leaves,
    parameters_on_meta,
    reached,
)

from ablate.models.vrnn import VRNN, VRNNOptions

NAMES = [name for name in CASES if name.startswith("vrnn")]
FORCED = ["vrnn", "vrnn-empty"]


@pytest.mark.parametrize(
    ("x_dim", "preset", "count"),
    [
        (257, "speech", 365_153),
        (513, "speech", 480_097),
        (96, "motion", 61_592),
        (257, "interspeech", 453_729),
        (80, "ali", 321_360),
    ],
)
def test_published_parameter_counts(x_dim, preset, count):
    assert parameters_on_meta(VRNN, x_dim, VRNNOptions(preset)) == count


def test_published_parameter_counts_part_by_part():
    with torch.device("meta"):
        model = VRNN((513,), VRNNOptions("speech"))
    parts = [model.x_net, model.z_net, model.q, model.p, model.out, model.rnn]
    expected = [131_584, 2_656, 2 * 6_160, 2 * 2_064, 99_009, 230_400]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == expected


@pytest.mark.parametrize("name", FORCED)
@pytest.mark.parametrize("t", ENDS_AND_MIDDLE)
def test_dependence(name, t):
    model, x, z = leaves(CASES[name])
    q, p, y = model.posterior(x, z), model.prior_z(z, x), model.decode({"z": z}, x)[:, t]
    for its in (q.mean[:, t], q.logvar[:, t]):
        assert reached(its, x) == EVERYTHING[: t + 1] and reached(its, z) == EVERYTHING[:t]
    assert reached(model.encode(x, noise(model, x))[0]["z"].mean[:, t], x) == EVERYTHING[: t + 1]
    for its in (p.mean[:, t], p.logvar[:, t]):
        assert reached(its, x) == reached(its, z) == EVERYTHING[:t]
    assert reached(y, x) == EVERYTHING[:t] and reached(y, z) == EVERYTHING[: t + 1]


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_samples_from_the_posterior_of_its_own_path(name):
    model, x = CASES[name].build(dtype=torch.float64), frames(CASES[name], dtype=torch.float64)
    q, sample = model.encode(x, noise(model, x))
    again = model.posterior(x, sample["z"])
    assert torch.allclose(q["z"].mean, again.mean, atol=1e-12)
    assert torch.allclose(q["z"].logvar, again.logvar, atol=1e-12)


@pytest.mark.parametrize("name", FORCED)
def test_the_prior_is_that_of_the_path_and_alike_for_all_at_the_first_frame(name):
    model, x = CASES[name].build(), frames(CASES[name])
    out = model(x, noise(model, x))
    again = model.prior_z(out.sample["z"], x)
    assert torch.allclose(out.p["z"].mean, again.mean, atol=1e-6)
    assert torch.allclose(out.p["z"].logvar, again.logvar, atol=1e-6)
    assert torch.allclose(out.p["z"].mean[:1, 0], out.p["z"].mean[:, 0], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_equals_the_naive_frame_by_frame_model_gradients_included(name, dtype, tolerance):
    assert_equals_naive(CASES[name], dtype, tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_with_frozen_noise_nothing_before_a_change_moves(name):
    model, x = CASES[name].build(), frames(CASES[name], T=LENGTH)
    eps, changed = noise(model, x), x.clone()
    changed[:, 4:] += 1
    a, b = model(x, eps), model(changed, eps)
    for before, after in [(a.q["z"], b.q["z"]), (a.p["z"], b.p["z"])]:
        assert torch.equal(before.mean[:, :4], after.mean[:, :4])
        assert torch.equal(before.logvar[:, :4], after.logvar[:, :4])
    assert torch.equal(a.x_hat[:, :4], b.x_hat[:, :4]) and not torch.equal(a.x_hat[:, 4:], b.x_hat[:, 4:])


@pytest.mark.long
def test_learns_eight_sequences():
    assert_learns("vrnn")
