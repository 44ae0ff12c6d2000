"""What `draw` leaves: files, their content, and what it leaves out."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ablate import pictures
from ablate.data.dataset import load_data
from ablate.data.simvowels import SimVowelsOptions
from ablate.metrics.pictures import caption, draw, pick, swapped, visible
from ablate.models.dsae import DSAEOptions
from ablate.models.vae import VAEOptions
from ablate.random import initialise
from ablate.registry import MODELS

from .fakes import FakeData, FakeSplit, Parts


def small_speech() -> SimVowelsOptions:
    return SimVowelsOptions(utterances=(4, 5, 2), segments=10)


def clips() -> FakeData:
    """Twelve clips of three characters, (4, 3, 2, 2)."""
    every = np.random.default_rng(0).uniform(-1, 1, (12, 4, 3, 2, 2)).astype(np.float32)
    split = FakeSplit([f"{i}.sprite" for i in range(12)], [f"c{i // 4}" for i in range(12)], np.arange(12), every)
    split.clip = {"action": np.arange(12) % 2}
    return FakeData(split, {"action": "clip"}, labels={"action": ["walk", "slash"]})


def test_speech(tmp_path: Path) -> None:
    import soundfile

    data = load_data(("simvowels", small_speech()), workers=1)
    model = MODELS["dsae"].make(data.frame, DSAEOptions("tiny"))
    initialise(model, 0)
    files = draw(model, data, "valid", tmp_path / "one", seed=3)
    assert [file.name for file in files] == [
        *("reconstructions.png", "swaps.png", "original.wav", "reconstruction.wav", "swap.wav")
    ]
    for file in files[2:]:
        samples, rate = soundfile.read(file)
        assert rate == 16000 and len(samples) == 39 * 320 + 400  # two windows of 20 frames
        assert 0.01 < np.abs(samples).max() <= 1
    again = draw(model, data, "valid", tmp_path / "two", seed=3)
    assert [a.read_bytes() for a in files] == [b.read_bytes() for b in again]


def test_a_model_without_f_has_no_swaps(tmp_path: Path) -> None:
    data = load_data(("simvowels", small_speech()), workers=1)
    model = MODELS["vae"].make(data.frame, VAEOptions())
    names = [file.name for file in draw(model, data, "valid", tmp_path)]
    assert names == ["reconstructions.png", "original.wav", "reconstruction.wav"]


def test_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = clips()
    seen = {}
    monkeypatch.setattr(
        pictures, "swap_grid", lambda x, swaps, names, frame_ms: seen.update(x=x, swaps=swaps, names=names) or b""
    )
    files = draw(Parts(4), data, "valid", tmp_path)
    assert [file.name for file in files] == ["reconstructions.png", "swaps.png"]
    x, swaps = (its.reshape(*its.shape[:-3], 12) for its in (seen["x"], seen["swaps"]))
    np.testing.assert_allclose(swaps[1, 2][:, 4:], x[2][:, 4:], atol=1e-6)  # z of the column
    np.testing.assert_allclose(
        swaps[1, 2][:, :4], np.broadcast_to(x[1][:, :4].mean(0), (4, 4)), atol=1e-6
    )  # f of the row
    assert all(name.split()[0] in ("c0", "c1", "c2") and name.split()[1] in ("walk", "slash") for name in seen["names"])


def test_power_spectra_are_shown_as_logarithms() -> None:
    data = clips()
    data.denormalise = np.asarray
    data.dataset.options = SimpleNamespace(features="power")
    np.testing.assert_allclose(visible(data, np.array([1.0, 0.0])), [0, np.log(1e-10)])


def test_different_groups_first() -> None:
    data = clips()
    rows = pick(data.valid, seed=0)
    assert len(rows) == 4 and {data.valid.groups[row] for row in rows[:3]} == {"c0", "c1", "c2"}
    np.testing.assert_array_equal(rows, pick(data.valid, seed=0))
    assert any(not np.array_equal(rows, pick(data.valid, seed=seed)) for seed in range(1, 4))


def test_captions() -> None:
    data = clips()
    assert caption(data, data.valid, 5) == "c1 slash"
    data.valid.groups[5] = "345"
    assert caption(data, data.valid, 5) == "character 345 slash"
    data.valid.groups, data.valid.clip = [None] * 12, {}
    assert caption(data, data.valid, 5) == "5.sprite"


def test_swapped_has_the_reconstructions_on_its_diagonal() -> None:
    model, x = Parts(4), torch.from_numpy(clips().valid.every[:3])
    with torch.no_grad():
        sample = model.encode(x, None)[1]
        grid, plain = swapped(model, sample, "gaussian"), model.decode(sample)
    for i in range(3):
        np.testing.assert_allclose(grid[i, i], plain[i], rtol=1e-6)


def test_no_decoder_no_files(tmp_path: Path) -> None:
    class Encoder(Parts):
        decode = property()

    assert draw(Encoder(4), clips(), "valid", tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
