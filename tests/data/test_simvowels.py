"""SimVowels: the published law, exact SNR, and independence of how much is generated."""

import numpy as np
import pytest
from scipy.signal import welch

from ablate.data.dataset import load_data
from ablate.data.simvowels import FORMANTS, RATE, SEGMENT, SPEAKERS, SimVowels, SimVowelsOptions, synthesise


def test_default_setting_has_the_windows_and_speakers_of_the_study() -> None:
    data = load_data(("simvowels", SimVowelsOptions()))
    assert (data.train.n, data.valid.n, data.test.n) == (2368, 216, 216)
    assert data.frame == (80,)
    speakers = [set(split.groups) for split in (data.train, data.valid, data.test)]
    assert [len(names) for names in speakers] == [10, 5, 5]
    assert len(set.union(*speakers)) == 20
    assert data.labels["vowel"] == ["a", "e", "I", "aw", "u"]
    assert data.labels["speaker"] == [f"SP{number}" for number in range(1, 21)]
    named = [data.labels["speaker"][code] for code in data.valid.static["speaker"]]
    assert named == data.valid.groups


def test_an_utterance_depends_on_its_seed_split_and_index_only() -> None:
    few, many = SimVowelsOptions(utterances=(2, 1, 1)), SimVowelsOptions(utterances=(4000, 500, 300))
    once, again = synthesise("train", 1, few), synthesise("train", 1, many)
    assert np.array_equal(once.audio, again.audio) and np.array_equal(once.vowel, again.vowel)
    others = [
        synthesise("train", 0, few),
        synthesise("valid", 1, few),
        synthesise("train", 1, SimVowelsOptions(seed=1)),
    ]
    assert not any(np.array_equal(once.audio, other.audio) for other in others)


def test_noise_has_the_stated_power_in_every_segment() -> None:
    loud = synthesise("train", 3, SimVowelsOptions(snr=300.0)).audio.reshape(40, SEGMENT).astype(float)
    noisy = synthesise("train", 3, SimVowelsOptions(snr=15.0)).audio.reshape(40, SEGMENT).astype(float)
    ratio = 10 * np.log10((loud**2).mean(axis=1) / ((noisy - loud) ** 2).mean(axis=1))
    np.testing.assert_allclose(ratio, 15, atol=1e-3)
    np.testing.assert_allclose(np.abs(loud).max(axis=1), 1, rtol=1e-6)


def test_spectral_peaks_are_the_formants_divided_by_the_vocal_tract_factor() -> None:
    options = SimVowelsOptions(segments=400, snr=60.0)
    for index in (1, 6):
        spoken = synthesise("train", index, options)
        frames = spoken.audio.reshape(-1, SEGMENT)
        for label, formants in enumerate(FORMANTS[5].values()):
            hertz, power = welch(frames[spoken.vowel == label].ravel(), RATE, nperseg=512)
            near = np.abs(hertz - formants[0] / spoken.factor) < 140
            peak = hertz[near][power[near].argmax()]
            assert abs(peak - formants[0] / spoken.factor) <= 100, (label, peak)


def test_speakers_in_turn_and_drawn() -> None:
    turn = [item.group for item in SimVowels(SimVowelsOptions(utterances=(12, 1, 1))).items()]
    assert turn[:12] == [f"SP{1 + index % 10}" for index in range(12)]
    options = SimVowelsOptions(utterances=(300, 1, 1), assign="uniform")
    drawn = [item for item in SimVowels(options).items() if item.split == "train"]
    counts = np.unique([item.group for item in drawn], return_counts=True)[1]
    assert len(counts) == 10 and counts.min() > 10 and counts.max() < 60
    spoken = synthesise("train", 7, options)
    assert spoken.speaker == drawn[7].group
    assert spoken.factor == SPEAKERS["train"][int(spoken.speaker[2:]) - 1]


def _at_lag(audio: np.ndarray, lag: int) -> float:
    segments = audio.reshape(-1, SEGMENT).astype(float)
    return float(np.mean([(s[lag:] @ s[:-lag]) / (s @ s) for s in segments]))


@pytest.mark.parametrize(("excitation", "low", "high"), [("true_f0", 0.7, 1.0), ("noise", -0.1, 0.1)])
def test_true_f0_makes_the_pitch_audible(excitation: str, low: float, high: float) -> None:
    options = SimVowelsOptions(segments=50, excitation=excitation, f0="tied", snr=60.0)  # type: ignore[arg-type]
    spoken = synthesise("train", 5, options)
    assert spoken.f0 == pytest.approx(120 / spoken.factor)
    assert low <= _at_lag(spoken.audio, round(RATE / spoken.f0)) <= high


def test_independent_f0_is_a_static_factor() -> None:
    options = SimVowelsOptions(excitation="true_f0", f0="independent", utterances=(3, 1, 1))
    data = load_data(("simvowels", options))
    assert data.factors["f0"] == "static"
    assert set(data.labels["f0"]) <= {"100", "120", "150", "180", "220"}


def test_frames_that_straddle_two_vowels_have_no_label() -> None:
    options = SimVowelsOptions()
    dataset = SimVowels(options)
    sequence = dataset.load(dataset.items()[0])
    vowel = synthesise("train", 0, options).vowel
    labels = sequence.factors["vowel"]
    assert isinstance(labels, np.ndarray) and sequence.x.shape == (199, 80)
    for segment in range(39):
        assert (labels[5 * segment : 5 * segment + 4] == vowel[segment]).all()
        straddling = -1 if vowel[segment] != vowel[segment + 1] else vowel[segment]
        assert labels[5 * segment + 4] == straddling


def test_generated_data_is_named_by_generator_and_options() -> None:
    first = load_data(("simvowels", SimVowelsOptions(utterances=(3, 1, 1))))
    again = load_data(("simvowels", SimVowelsOptions(utterances=(3, 1, 1), n_mels=20)))
    other = load_data(("simvowels", SimVowelsOptions(utterances=(3, 1, 1), seed=1)))
    assert first.digest == again.digest != other.digest
    assert again.frame == (20,)


def test_utterance_counts_are_checked() -> None:
    with pytest.raises(ValueError, match="three numbers"):
        SimVowelsOptions(utterances=(4, 4))


def test_features_come_back_as_sound() -> None:
    data = load_data(("simvowels", SimVowelsOptions()))
    sound = data.sound(data.valid.x([0])[0])
    assert sound is not None
    samples, rate = sound
    assert rate == 16_000 and samples.shape == (19 * 320 + 400,) and samples.dtype == np.float32
    assert np.isfinite(samples).all() and 0 < np.abs(samples).max() <= 1
