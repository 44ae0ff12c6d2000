"""Spectra against a direct calculation, framing, and the way back to sound."""

import numpy as np
import pytest

from ablate.data.audio import AudioOptions, rephased, resynthesise, spectra
from ablate.errors import Mistake

RATE = 16_000


def _tone(hertz: float, samples: int = 8000) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(samples) / RATE).astype(np.float32)


def test_power_of_a_frame_by_direct_summation() -> None:
    options = AudioOptions(features="power", n_fft=512)
    samples = np.random.default_rng(0).standard_normal(1200).astype(np.float32) / 4
    power = spectra(samples, RATE, options)
    assert power.shape == (3, 257)  # frames at 0, 320, 640: 640 + 400 <= 1200 < 960 + 400
    n = np.arange(400)
    windowed = samples[640:1040] * (0.54 - 0.46 * np.cos(2 * np.pi * n / 400))
    for k in (0, 10, 200):
        direct = abs((windowed * np.exp(-2j * np.pi * k * n / 512)).sum()) ** 2
        assert power[2, k] == pytest.approx(direct, rel=1e-5)


def test_log_magnitude_and_log_mel_follow_from_the_power() -> None:
    samples = _tone(1000)
    power = spectra(samples, RATE, AudioOptions(features="power"))
    logmag = spectra(samples, RATE, AudioOptions(features="logmag"))
    np.testing.assert_allclose(logmag, 0.5 * np.log(power.astype(float) + 1e-6), rtol=1e-4, atol=1e-4)
    assert power[3].argmax() == 32  # 1000 Hz of 31.25 Hz bins
    librosa = pytest.importorskip("librosa")
    bank = librosa.filters.mel(sr=RATE, n_fft=512, n_mels=80)
    logmel = spectra(samples, RATE, AudioOptions())
    np.testing.assert_allclose(logmel, np.log(power @ bank.T + 1e-6), rtol=1e-3, atol=1e-3)


def test_frames_agree_with_librosa() -> None:
    librosa = pytest.importorskip("librosa")
    samples = np.random.default_rng(1).standard_normal(5000).astype(np.float32)
    left = (512 - 400) // 2
    shape = {"n_fft": 512, "hop_length": 320, "win_length": 400, "window": "hamming", "center": False}
    other = np.abs(librosa.stft(np.pad(samples, left), **shape)).T ** 2
    np.testing.assert_allclose(spectra(samples, RATE, AudioOptions(features="power")), other, rtol=1e-3, atol=1e-3)


def test_signals_shorter_than_a_window_have_no_frames() -> None:
    assert spectra(np.ones(399, np.float32), RATE, AudioOptions()).shape == (0, 80)
    assert spectra(np.ones(400, np.float32), RATE, AudioOptions()).shape == (1, 80)


@pytest.mark.parametrize("features", ["logmel", "logmag", "power"])
def test_resynthesis_gives_a_sound_with_nearly_these_features(features: str) -> None:
    options = AudioOptions(features=features, hop_ms=10, n_mels=60)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    samples = (0.4 * _tone(687.5) * np.linspace(0.2, 1, 8000) + 0.01 * rng.standard_normal(8000)).astype(np.float32)
    wanted = spectra(samples, RATE, options)
    sound = resynthesise(wanted, RATE, options)
    assert sound.shape == ((len(wanted) - 1) * 160 + 400,) and np.abs(sound).max() <= 1
    found = spectra(sound, RATE, options)[3:-3]
    assert (found.argmax(axis=1) == wanted[3:-3].argmax(axis=1)).mean() > 0.9
    again = resynthesise(wanted, RATE, options)
    assert np.array_equal(sound, again)


def test_settings_that_do_not_fit_are_named() -> None:
    with pytest.raises(Mistake, match=r"n_fft 256 is shorter .* 25 ms at 16000 Hz are 400 samples; use n_fft 512"):
        spectra(np.ones(800, np.float32), RATE, AudioOptions(n_fft=256))
    with pytest.raises(Mistake, match=r"of 200 mel bands are empty"):
        spectra(np.ones(800, np.float32), RATE, AudioOptions(n_mels=200))
    with pytest.raises(Mistake, match="less than one sample"):
        spectra(np.ones(800, np.float32), RATE, AudioOptions(hop_ms=0.01))


@pytest.mark.parametrize("taper", ["hamming", "hann", "sine"])
@pytest.mark.parametrize("features", ["power", "logmag"])
def test_unchanged_features_under_the_phase_of_the_recording_are_the_recording(features: str, taper: str) -> None:
    options = AudioOptions(features=features, taper=taper, window_ms=64, hop_ms=16, n_fft=1024)  # type: ignore[arg-type]
    samples = np.random.default_rng(0).normal(size=9000) * 0.1
    x = spectra(samples, 16000, options)[:20]  # of the first 20 frames
    pair = rephased(x, samples, 16000, options)
    assert pair is not None and len(pair[0]) == len(pair[1]) == 21 * 256 - 1024
    np.testing.assert_array_equal(pair[0], samples[768 : 20 * 256])
    np.testing.assert_allclose(pair[1], pair[0], atol=1e-6)


def test_the_way_back_is_the_one_of_least_squared_error() -> None:
    """Against the solution of the whole system: windowed frames of y as near as can be to those of the features."""
    rng = np.random.default_rng(1)
    options = AudioOptions(features="power", taper="hann", window_ms=20, hop_ms=5, n_fft=32)
    samples = rng.normal(size=80)
    x = spectra(samples, 1000, options) * rng.uniform(0.2, 3, size=(13, 17))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(20) / 20)
    rows, wanted = [], []
    for i in range(13):
        frame = np.fft.rfft(samples[5 * i : 5 * i + 20] * window, 32)
        shaped = np.fft.irfft(np.sqrt(x[i]) * frame / np.abs(frame), 32)[:20]
        for n in range(20):
            row = np.zeros(80)
            row[5 * i + n] = window[n]
            rows.append(row)
            wanted.append(shaped[n])
    y = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    pair = rephased(x, samples, 1000, options)
    assert pair is not None
    np.testing.assert_allclose(pair[1], y[15:65], atol=1e-9)


def test_no_way_back() -> None:
    samples = np.ones(9000)
    assert rephased(np.ones((5, 80)), samples, 16000, AudioOptions()) is None
    assert rephased(np.ones((5, 257)), samples, 16000, AudioOptions(features="power", hop_ms=30)) is None


def test_half_a_sine_wave() -> None:
    x = spectra(np.ones(4), 1000, AudioOptions(features="power", taper="sine", window_ms=4, hop_ms=4, n_fft=16))
    assert x[0, 0] == pytest.approx((2 * (np.sin(np.pi / 8) + np.sin(3 * np.pi / 8))) ** 2)
