"""Audio files that cannot be what they say."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.data.items import BadItem, Dropped
from ablate.data.recordings import read_audio, read_rate

NOISE = np.random.default_rng(0).standard_normal(4000) / 8


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "A.WAV"])
def test_formats(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, NOISE, 8000)
    samples, rate = read_audio(tmp_path / name)
    assert samples.shape == (4000,) and samples.dtype == np.float32 and rate == read_rate(tmp_path / name) == 8000
    if not name.endswith("ogg"):
        np.testing.assert_allclose(samples, NOISE, atol=1 / 32768)


def _cut(path: Path, size: int) -> Path:
    path.write_bytes(path.read_bytes()[:size])
    return path


def test_truncated_wav_and_flac_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, 8000)
    with pytest.raises(BadItem, match="truncated: 5000 bytes of samples instead of 8000"):
        read_audio(_cut(tmp_path / "a.wav", 5044))
    soundfile.write(tmp_path / "a.flac", np.tile(NOISE, 10), 8000)
    with pytest.raises(BadItem, match="truncated"):
        read_audio(_cut(tmp_path / "a.flac", 20_000))


def test_empty_files_and_other_contents_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    with pytest.raises(BadItem, match="zero length: the file has no bytes"):
        read_audio(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "none.wav", np.zeros(0), 8000)
    with pytest.raises(BadItem, match="zero length: the file has no samples"):
        read_audio(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("not a sound")
    for read in (read_audio, read_rate):
        with pytest.raises(BadItem, match="unreadable"):
            read(tmp_path / "text.wav")


def test_non_finite_samples_are_refused_and_silence_is_dropped(tmp_path: Path) -> None:
    broken = NOISE.copy()
    broken[[3, 7]] = np.nan, np.inf
    soundfile.write(tmp_path / "nan.wav", broken, 8000, subtype="FLOAT")
    with pytest.raises(BadItem, match="2 of 4000 samples are not finite"):
        read_audio(tmp_path / "nan.wav")
    soundfile.write(tmp_path / "still.wav", np.zeros(4000), 8000)
    with pytest.raises(Dropped, match="silence"):
        read_audio(tmp_path / "still.wav")
