import pytest
import torch
from model_cases import CASES, frames, noise
from sameness import (
    ENDS_AND_MIDDLE,
    EVERYTHING,
    PRECISIONS,
    assert_equals_naive,
    assert_learns,
    leaves,
    parameters_on_meta,
    reached,
)

from ablate.models.rvae import RVAE, RVAEOptions

NAMES = [name for name in CASES if name.startswith("rvae")]


@pytest.mark.parametrize(
    ("x_dim", "preset", "causal", "count"),
    [
        (257, "speech", True, 389_025),
        (513, "speech", True, 553_121),
        (96, "motion", True, 89_204),
        (257, "interspeech", True, 586_305),
        (80, "ali", True, 324_880),
        (257, "speech", False, 698_913),
        (513, "speech", False, 1_026_849),
        (96, "motion", False, 157_556),
        (257, "interspeech", False, 924_225),
        (513, "interspeech", False, 1_055_553),
    ],
)
def test_published_parameter_counts(x_dim, preset, causal, count):
    assert parameters_on_meta(RVAE, x_dim, RVAEOptions(preset, causal)) == count


@pytest.mark.parametrize(
    ("causal", "expected"),
    [(True, [329_216, 74_752, 2 * 4_112, 74_752, 66_177]), (False, [658_432, 74_752, 2 * 6_160, 149_504, 131_841])],
)
def test_published_parameter_counts_part_by_part(causal, expected):
    with torch.device("meta"):
        model = RVAE((513,), RVAEOptions("speech", causal))
    parts = [model.rnn_x, model.rnn_z, model.q, model.rnn_h, model.out]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("t", ENDS_AND_MIDDLE)
def test_dependence(name, t):
    model, x, z = leaves(CASES[name])
    q = model.posterior(x, z)
    for y in (q.mean[:, t], q.logvar[:, t]):
        assert reached(y, x) == (EVERYTHING[t:] if model.causal else EVERYTHING)
        assert reached(y, z) == EVERYTHING[:t]
    assert reached(model.encode(x, noise(model, x))[0]["z"].mean[:, t], x) == EVERYTHING
    p = model(x, None).p["z"]
    assert not p.mean.requires_grad and not p.logvar.requires_grad
    assert reached(model.decode({"z": z})[:, t], z) == (EVERYTHING[: t + 1] if model.causal else EVERYTHING)


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_samples_from_the_posterior_of_its_own_path(name):
    model, x = CASES[name].build(dtype=torch.float64), frames(CASES[name], dtype=torch.float64)
    q, sample = model.encode(x, noise(model, x))
    again = model.posterior(x, sample["z"])
    assert torch.allclose(q["z"].mean, again.mean, atol=1e-12)
    assert torch.allclose(q["z"].logvar, again.logvar, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_equals_the_naive_frame_by_frame_model_gradients_included(name, dtype, tolerance):
    assert_equals_naive(CASES[name], dtype, tolerance)


def test_prior_samples_are_the_noise():
    eps = torch.randn(2, 3, 3)
    assert torch.equal(CASES["rvae"].build().sample_prior(eps), eps)


@pytest.mark.long
@pytest.mark.parametrize("causal", [True, False])
def test_learns_eight_sequences(causal):
    assert_learns("rvae", causal=causal)
