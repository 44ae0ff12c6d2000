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

from ablate.models.storn import STORN, STORNOptions

Options = STORNOptions
NAMES = [name for name in CASES if name.startswith("storn")]


@pytest.mark.parametrize(
    ("x_dim", "preset", "count"),
    [
        (257, "speech", 673_249),
        (513, "speech", 870_113),
        (96, "motion", 96_500),
        (257, "interspeech", 673_249),
        (80, "ali", 406_288),
    ],
)
def test_published_parameter_counts(x_dim, preset, count):
    assert parameters_on_meta(STORN, x_dim, Options(preset)) == count


def test_published_parameter_counts_part_by_part():
    with torch.device("meta"):
        model = STORN((513,), Options("speech"))
    parts = [model.x_g, model.rnn_g, model.q, model.z_h, model.x_h, model.rnn_h, model.out]
    expected = [131_584, 197_632, 10_336 + 2 * 528, 2_656, 131_584, 230_400, 33_024 + 131_841]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == expected


@pytest.mark.parametrize("name", ["storn", "storn-empty"])
@pytest.mark.parametrize("t", ENDS_AND_MIDDLE)
def test_dependence(name, t):
    model, x, z = leaves(CASES[name])
    q, codes = model.posterior(x), {"z": z}
    for y in (q.mean[:, t], q.logvar[:, t], model.encode(x, noise(model, x))[0]["z"].mean[:, t]):
        assert reached(y, x) == EVERYTHING[: t + 1] and reached(y, z) == []
    p = model(x, None).p["z"]
    assert not p.mean.requires_grad and not p.logvar.requires_grad
    y = model.decode(codes, x)[:, t]
    assert reached(y, x) == EVERYTHING[:t] and reached(y, z) == EVERYTHING[: t + 1]


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
    for before, after in [(a.q["z"].mean, b.q["z"].mean), (a.q["z"].logvar, b.q["z"].logvar), (a.x_hat, b.x_hat)]:
        assert torch.equal(before[:, :4], after[:, :4]) and not torch.equal(before[:, 4:], after[:, 4:])


def test_prior_samples_are_the_noise():
    eps = torch.randn(2, 3, 3)
    assert torch.equal(CASES["storn"].build().sample_prior(eps), eps)


@pytest.mark.long
def test_learns_eight_sequences():
    assert_learns("storn")
