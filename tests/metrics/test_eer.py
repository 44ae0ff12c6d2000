"""The equal error rate on scores made by hand, on codes, and on real speech against published figures."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ablate.metrics.eer import EEROptions, cosines, eer, equal_error_rate, error_rates, item_means

from .fakes import FakeData, FakeSplit, view_of


def test_by_hand() -> None:
    # At .4 nothing is rejected and 1/4 accepted, at .7 a third rejected and 1/4 accepted: they cross at .25.
    assert equal_error_rate(np.array([0.9, 0.8, 0.4]), np.array([0.7, 0.3, 0.2, 0.1])) == pytest.approx(0.25)
    # At .5 nothing is rejected and 1/2 accepted, at .6 one half rejected and nothing accepted: half way, .25.
    assert equal_error_rate(np.array([0.5, 0.8]), np.array([0.5, 0.1])) == pytest.approx(0.25)


def test_extremes() -> None:
    low, high = np.array([0.1, 0.2]), np.array([0.8, 0.9])
    assert equal_error_rate(high, low) == 0
    assert equal_error_rate(low, high) == 1
    assert equal_error_rate(np.zeros(3), np.zeros(5)) == pytest.approx(0.5)


def test_it_depends_on_the_order_of_the_scores_alone() -> None:
    rng = np.random.default_rng(0)
    targets, others = rng.normal(1, 1, 50), rng.normal(0, 1, 200)
    assert equal_error_rate(np.exp(targets), np.exp(others)) == equal_error_rate(targets, others)
    assert equal_error_rate(rng.permutation(targets), others) == equal_error_rate(targets, others)


def test_cosines() -> None:
    x = np.array([[2.0, 0.0], [0.0, 3.0], [-1.0, -1.0], [0.0, 0.0]])
    expected = [[1, 0, -(0.5**0.5), 0], [0, 1, -(0.5**0.5), 0], [-(0.5**0.5), -(0.5**0.5), 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(cosines(x), expected, atol=1e-12)


def test_means_over_the_windows_of_an_item() -> None:
    np.testing.assert_array_equal(item_means(np.array([[1.0], [5.0], [4.0]]), np.array([0, 2, 0])), [[2.5], [0], [5]])


def talking(speakers: np.ndarray) -> FakeData:
    """One utterance of two windows per entry."""
    count = len(speakers)
    split = FakeSplit(
        [f"u{i}" for i in range(count)],
        [str(s) for s in speakers],
        np.arange(2 * count) // 2,
        np.zeros((2 * count, 3, 1)),
    )
    split.static = {"speaker": speakers}
    return FakeData(split, {"speaker": "static"})


def test_f_that_knows_the_speaker_and_z_that_does_not() -> None:
    speakers = np.repeat(np.arange(4), 5)
    rng = np.random.default_rng(0)
    f = np.eye(4)[np.repeat(speakers, 2)]
    z = rng.normal(size=(40, 3, 2))
    values = eer(view_of(talking(speakers), f, z), options=EEROptions())
    assert values["eer_f"] == 0 and 0.35 < values["eer_z"] < 0.65
    assert values["eer_targets"] == 4 * 10 and values["eer_nontargets"] == 190 - 40


def test_mean_of_z_stands_for_a_missing_f_and_the_other_way_round_is_left_out() -> None:
    speakers = np.repeat(np.arange(4), 5)
    rng = np.random.default_rng(0)
    without_f = eer(view_of(talking(speakers), None, rng.normal(size=(40, 3, 2))), options=EEROptions())
    assert without_f["eer_f"] == without_f["eer_z"]
    assert "eer_z" not in eer(view_of(talking(speakers), rng.normal(size=(40, 2)), None), options=EEROptions())


def test_undefined() -> None:
    f, z = np.ones((12, 2)), np.ones((12, 3, 2))
    assert eer(view_of(talking(np.zeros(6, int)), f, z), options=EEROptions()) == {}  # one speaker
    assert eer(view_of(talking(np.arange(6)), f, z), options=EEROptions()) == {}  # no target pair
    assert eer(view_of(talking(np.full(6, -1)), f, z), options=EEROptions()) == {}  # nobody known
    data = talking(np.arange(6) % 2)
    assert eer(view_of(data, f, z), options=EEROptions(min_targets=7)) == {}
    assert eer(view_of(data, f, z), options=EEROptions(min_targets=6))["eer_f"] == 0.5  # a collapsed code
    data.factors = {"vowel": "frame"}
    assert eer(view_of(data, f, z), options=EEROptions(min_targets=1)) == {}


def mfcc_statistics(path: Path) -> np.ndarray:
    """Mean and standard deviation over time of 19 MFCC (without the first), (38,)."""
    import librosa
    import soundfile

    samples, rate = soundfile.read(path)
    mfcc = librosa.feature.mfcc(y=samples, sr=rate, n_mfcc=20, n_mels=40, n_fft=2048, hop_length=512)[1:]
    return np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])


@pytest.mark.parametrize(
    ("name", "pattern", "part", "targets", "others", "expected"),
    [
        ("fsdd_shared.zip", "*.wav", 1, 7350, 37500, 0.277),
        ("librispeech_shared.zip", "*.flac", 0, 360, 2800, 0.028),
    ],
)
@pytest.mark.filterwarnings("ignore:n_fft=2048 is too large")
def test_mfcc_baselines_on_real_speech(
    shared: Path, tmp_path: Path, name: str, pattern: str, part: int, targets: int, others: int, expected: float
) -> None:
    with zipfile.ZipFile(shared / name) as archive:
        archive.extractall(tmp_path)
    files = sorted(tmp_path.rglob(pattern))
    speakers = np.array([file.stem.replace("-", "_").split("_")[part] for file in files])
    x = np.stack([mfcc_statistics(file) for file in files])
    similarity = cosines((x - x.mean(axis=0)) / x.std(axis=0))
    first, second = np.triu_indices(len(x), k=1)
    target = speakers[first] == speakers[second]
    similarity = similarity[first, second]
    assert target.sum() == targets and (~target).sum() == others
    rejection, acceptance = error_rates(similarity[target], similarity[~target])
    closest = np.argmin(np.abs(rejection - acceptance))
    assert (rejection[closest] + acceptance[closest]) / 2 == pytest.approx(expected, abs=5e-4)
    assert equal_error_rate(similarity[target], similarity[~target]) == pytest.approx(expected, abs=1e-3)
