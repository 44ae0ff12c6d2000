"""Encoding once, choosing metrics, the baselines, and real speech against measured figures."""

import math

import numpy as np
import pytest

from ablate.data.dataset import load_data
from ablate.data.simvowels import SimVowelsOptions
from ablate.errors import Mistake
from ablate.metrics.eer import EEROptions
from ablate.metrics.evaluate import Codes, baselines, codes, evaluate, raw_codes
from ablate.metrics.probes import ProbeOptions
from ablate.models.vae import VAEOptions
from ablate.random import initialise
from ablate.registry import METRICS, MODELS

from .fakes import FakeData, FakeSplit, Parts


def speech(speakers: int = 3, utterances: int = 4, windows: int = 2, frames: int = 5) -> FakeData:
    """A frame is (speaker one-hot, class of the frame one-hot), a little noisy."""
    rng = np.random.default_rng(0)
    who = np.arange(speakers * utterances) % speakers
    item = np.repeat(np.arange(len(who)), windows)
    what = rng.integers(0, 2, (len(item), frames))
    still = np.broadcast_to(np.eye(speakers)[who[item]][:, None], (len(item), frames, speakers))
    every = np.concatenate([still, np.eye(2)[what]], axis=2) + 0.01 * rng.normal(size=(len(item), frames, speakers + 2))
    split = FakeSplit([f"u{i}" for i in range(len(who))], [f"S{s}" for s in who], item, every)
    split.static, split.frame = {"speaker": who}, {"phone": what}
    return FakeData(split, {"speaker": "static", "phone": "frame"})


def test_codes_are_the_posterior_means_of_all_windows() -> None:
    data, model = speech(), Parts(3).train()
    its = codes(model, data.valid, batch_size=7)
    x = data.valid.every.astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(its.static, x[..., :3].mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(its.dynamic, x[..., 3:])
    assert its.static.dtype == np.float64 and its.item is data.valid.sequence
    assert model.modes == [False] * 4 and model.training  # evaluation mode inside, training mode restored


def test_a_code_for_the_whole_window_is_that_of_each_frame() -> None:
    z = np.arange(6.0).reshape(3, 1, 2)
    its = Codes({"z": z}, {"z": "dynamic"}, np.zeros(3, dtype=np.int64), window=4)
    assert its.dynamic.shape == (3, 4, 2) and (its.dynamic == z).all()
    np.testing.assert_array_equal(its.static, z[:, 0])  # its mean over frames stands for f
    assert its.latents["z"] is z  # what the decoder takes


def test_a_model_in_double_precision() -> None:
    data = speech()
    assert codes(Parts(3).double(), data.valid).dynamic.shape == (24, 5, 2)


def test_all_metrics_that_suit() -> None:
    values = evaluate(Parts(3), speech(), "valid")
    assert values["probe_gap"] > 0.7 and values["eer_f"] == 0 and values["r2"] > 0.999
    assert "swap_accuracy" not in values  # no pictures
    assert all(type(value) is float and math.isfinite(value) for value in values.values())


def test_the_named_metrics_alone() -> None:
    data = speech()
    assert set(evaluate(Parts(3), data, "valid", {"eer": EEROptions(min_targets=1)})) == {
        *("eer_f", "eer_z", "eer_targets", "eer_nontargets")
    }
    assert evaluate(Parts(3), data, "valid", {}) == {}
    with pytest.raises(Mistake, match="did you mean 'probes'"):
        evaluate(Parts(3), data, "valid", {"probe": ProbeOptions()})


def test_metrics_whose_needs_are_not_met_are_left_out() -> None:
    class Encoder(Parts):
        decode = property()  # hasattr is False

    values = evaluate(Encoder(3), speech(), "valid", {"reconstruction": METRICS["reconstruction"].options()})
    assert values == {}


def test_twice_the_same() -> None:
    assert evaluate(Parts(3), speech(), "valid", seed=1) == evaluate(Parts(3), speech(), "valid", seed=1)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_codes_that_are_not_finite_are_named(bad: float) -> None:
    data = speech()
    data.valid.every[3, 2, 4] = bad
    values = evaluate(Parts(3), data, "valid")
    assert list(values) == ["posterior_z"] and math.isnan(values["posterior_z"])


def test_raw_frames_stand_for_z_and_their_mean_for_f() -> None:
    data = speech()
    its = raw_codes(data.valid, batch_size=5)
    np.testing.assert_allclose(its.dynamic, data.valid.every, rtol=1e-6)
    np.testing.assert_allclose(its.static, its.dynamic.mean(axis=1))
    values = baselines(data, "valid")
    assert values["static_gap"] == 0 and values["phone_from_z"] == pytest.approx(1) and "r2" not in values


def test_raw_pictures_are_pooled() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 1, 16, 32)).astype(np.float32)
    split = FakeSplit(["a", "b"], ["a", "b"], np.arange(2), x)
    pooled = x.reshape(2, 3, 1, 8, 2, 8, 4).mean(axis=(4, 6)).reshape(2, 3, 64)
    np.testing.assert_allclose(raw_codes(split).dynamic, pooled, rtol=1e-4, atol=1e-6)


def test_raw_log_mel_of_simvowels() -> None:
    # On other draws of the generator: gap .328, speaker .995, vowel .92 from the frame and .27 from the mean.
    values = baselines(load_data(("simvowels", SimVowelsOptions()), workers=1), "valid")
    assert values["probe_gap"] == pytest.approx(0.33, abs=0.03)
    assert values["speaker_from_f"] == pytest.approx(0.99, abs=0.02)
    assert values["vowel_from_z"] == pytest.approx(0.92, abs=0.02)
    assert values["vowel_from_f"] == pytest.approx(0.26, abs=0.04)
    assert values["static_gap"] == 0
    assert values["eer_targets"] == 4 * 10 + 6 and values["eer_nontargets"] == 276 - 46


def test_an_untrained_encoder_is_far_from_the_raw_features() -> None:
    data = load_data(("simvowels", SimVowelsOptions()), workers=1)
    model = MODELS["vae"].make(data.frame, VAEOptions())
    initialise(model, 0)
    values = evaluate(model, data, "valid")
    assert values["vowel_from_z"] < 0.7 and values["r2"] < 0.05
    assert values["eer_f"] == values["eer_z"] and values["static_gap"] == 0  # mean z stands for f
