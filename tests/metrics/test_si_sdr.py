"""SI-SDR by hand, and of real reconstructions: perfect, louder, wrong, and data that have no way back to sound."""

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from ablate.data.audio import write_wav
from ablate.data.dataset import Data, load_data
from ablate.data.simvowels import SimVowelsOptions
from ablate.metrics.evaluate import codes, evaluate
from ablate.metrics.si_sdr import ratio, unheard, written
from ablate.registry import NoOptions
from ablate.types import Gaussian


def test_ratio_by_hand() -> None:
    s = np.array([1.0, 0.0, 1.0, 0.0])
    assert ratio(s, s + np.array([0, 1, 0, 1])) == pytest.approx(0)  # as much distortion as signal
    assert ratio(s, 3 * (s + np.array([0, 0.1, 0, 0.1]))) == pytest.approx(20)  # 1 / 100 of the power, at any scale
    assert ratio(s, np.array([1.0, 0.0, 0.0, 0.0])) == pytest.approx(0)  # a = 1/2: |a s|^2 = 1/2, the rest has 1/2
    assert ratio(s, s) > 150 and ratio(s, -s) > 150
    assert np.isfinite([ratio(0 * s, s), ratio(s, 0 * s), ratio(0 * s, 0 * s)]).all()


def test_both_sounds_are_those_of_a_wav_file(tmp_path) -> None:
    x = np.random.default_rng(0).normal(size=500)
    its = written(x, 3 * x)
    assert np.abs(its[1]).max() == pytest.approx(0.9, abs=2 / 32768)
    for name, sound, back in zip("ab", (0.3 * x / np.abs(x).max(), 0.9 * x / np.abs(x).max()), its, strict=True):
        write_wav(tmp_path / f"{name}.wav", sound, 8000)
        np.testing.assert_allclose(soundfile.read(tmp_path / f"{name}.wav")[0], back, atol=2.01 / 32768)
    y = x + 1e-3 * np.arange(500)
    assert ratio(*written(x, y)) == pytest.approx(ratio(x, y), abs=0.01)
    assert [its.tolist() for its in written(0 * x[:2], 0 * x[:2])] == [[0, 0], [0, 0]]


class Says(nn.Module):
    """Decodes to the frames themselves, times a factor."""

    latents = {"z": "dynamic"}  # noqa: RUF012

    def __init__(self, factor: float):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def encode(self, x: Tensor, noise: dict[str, Tensor] | None) -> tuple[dict[str, Gaussian], dict[str, Tensor]]:
        return {"z": Gaussian.standard(x)}, {"z": x}

    def decode(self, sample: dict[str, Tensor]) -> Tensor:
        return sample["z"] * self.factor if self.factor > 0 else sample["z"].roll(5, dims=1)


def vowels(features: str, **options: object) -> Data:
    return load_data(("simvowels", SimVowelsOptions(utterances=(10, 5, 5), features=features, **options)), workers=1)  # type: ignore[arg-type]


def measured(data: Data, factor: float, batch_size: int = 256) -> dict[str, float]:
    asked = {"si_sdr": NoOptions()}
    return evaluate(Says(factor), data, "test", asked, batch_size=batch_size)


def test_reconstructions_from_perfect_to_wrong() -> None:
    data = vowels("power", taper="sine", window=10)
    perfect, louder, late = (measured(data, factor) for factor in (1.0, 4.0, -1.0))
    assert perfect["si_sdr"] > 90  # of float32 features
    assert louder["si_sdr"] > 75  # of 16 bits, of which the recording beside a louder sound has fewer
    assert late["si_sdr"] < 10 and late.keys() == {"si_sdr", "si_sdr_median", "si_sdr_notch"}
    assert len(codes(Says(1.0), data.test).item) > 5  # several windows to an utterance


class OfSegments(Says):
    """The same, built for segments of ten frames."""

    length = 10


def test_an_utterance_is_one_sequence_but_to_models_of_segments() -> None:
    """The frames five earlier: of the whole utterance, or, ten times as often cut, of each window."""
    data = vowels("power", taper="sine", window=10)
    seen: list[tuple[int, ...]] = []

    class Sees(Says):
        def decode(self, sample: dict[str, Tensor]) -> Tensor:
            seen.append(tuple(sample["z"].shape[:2]))
            return super().decode(sample)

    asked = {"si_sdr": NoOptions()}
    whole = evaluate(Sees(-1.0), data, "test", asked)
    windows = np.bincount(data.test.sequence)
    assert seen == [(1, 10 * count) for count in windows]
    parts = evaluate(OfSegments(-1.0), data, "test", asked)
    assert parts["si_sdr"] != pytest.approx(whole["si_sdr"], abs=0.01)
    assert evaluate(OfSegments(-1.0), data, "test", asked, batch_size=3) == pytest.approx(parts)


def test_utterances_count_alike() -> None:
    """Against the loop written out for two utterances: mean of the ratios, not the ratio of all samples."""
    data = vowels("logmag", window=10)
    found = []
    for row, item in enumerate(data.test.items):
        x = data.test.x(np.flatnonzero(data.test.sequence == row)).flatten(0, 1).roll(5, dims=0)
        pair = data.rephased(x.numpy(), item)
        assert pair is not None and pair[0].shape == pair[1].shape
        found.append(ratio(*written(*pair)))
    low, median, high = np.quantile(found, (0.25, 0.5, 0.75))
    notch = 1.57 * (high - low) / len(found) ** 0.5
    assert measured(data, -1.0) == pytest.approx(
        {"si_sdr": sum(found) / len(found), "si_sdr_median": median, "si_sdr_notch": notch}
    )


def test_features_without_a_way_back() -> None:
    data = vowels("logmel")
    assert unheard(data) == "needs sound in features from which it comes back; set data.features to power or logmag"
    assert measured(data, 1.0) == {}
    assert unheard(vowels("power")) is None
