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

from ablate.models.srnn import SRNN, SRNNOptions

NAMES = [name for name in CASES if name.startswith("srnn")]
FORCED = ["srnn", "srnn-empty"]


@pytest.mark.parametrize(
    ("x_dim", "preset", "count"),
    [
        (257, "speech", 688_129),
        (513, "speech", 884_993),
        (96, "motion", 100_232),
        (257, "interspeech", 688_129),
        (80, "ali", 418_768),
    ],
)
def test_published_parameter_counts(x_dim, preset, count):
    assert parameters_on_meta(SRNN, x_dim, SRNNOptions(preset)) == count


def test_published_parameter_counts_part_by_part():
    with torch.device("meta"):
        model = SRNN((513,), SRNNOptions("speech"))
    parts = [model.x_h, model.rnn_h, model.hx_g, model.rnn_g, model.q, model.p, model.out]
    heads = 11_360 + 2 * 528
    expected = [131_584, 197_632, 164_352, 197_632, heads, heads, 37_120 + 131_841]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == expected


@pytest.mark.parametrize("name", FORCED)
@pytest.mark.parametrize("t", ENDS_AND_MIDDLE)
def test_dependence(name, t):
    model, x, z = leaves(CASES[name])
    q, p, y = model.posterior(x, z), model.prior_z(z, x), model.decode({"z": z}, x)[:, t]
    before = [t - 1] if t else []
    for its in (q.mean[:, t], q.logvar[:, t]):
        assert reached(its, x) == EVERYTHING and reached(its, z) == before
    assert reached(model.encode(x, noise(model, x))[0]["z"].mean[:, t], x) == EVERYTHING
    for its in (p.mean[:, t], p.logvar[:, t]):
        assert reached(its, x) == EVERYTHING[:t] and reached(its, z) == before
    assert reached(y, x) == EVERYTHING[:t] and reached(y, z) == [t]


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


@pytest.mark.long
def test_learns_eight_sequences():
    assert_learns("srnn")
