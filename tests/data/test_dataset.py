"""Prepared data: windows, normalisation, labels and digest, by hand on a toy."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data.dataset import load_data
from ablate.errors import Mistake

from .toy import ToyOptions

OPTIONS = ToyOptions(window=10, shift=4)


def test_windows_are_normalised_by_the_training_split_alone() -> None:
    data = load_data(("toy", OPTIONS))
    items = np.array([int(name) for name in data.train.items])
    frames = items[:, None] + np.arange(30) / 100  # bin 0 of every training frame
    mean, sd = frames.mean(), frames.std()
    rows = np.array([3, 0, 11])
    x = data.train.x(rows)
    assert x.shape == (3, 10, 3) and x.dtype == torch.float32 and x.is_contiguous()
    for at, row in enumerate(rows):
        raw = items[data.train.sequence[row]] + (data.train.starts[row] + np.arange(10)) / 100
        np.testing.assert_allclose(x[at, :, 0], (raw - mean) / sd, atol=1e-4)
    np.testing.assert_allclose(x[..., 2], 0)  # a constant bin: sd 1
    np.testing.assert_allclose(data.denormalise(x), data.train.raw(rows), rtol=1e-5, atol=1e-5)
    assert torch.equal(data.mean_frame(), torch.zeros(3))


def test_training_windows_overlap_and_the_others_adjoin() -> None:
    data = load_data(("toy", OPTIONS))
    first = data.train.starts[data.train.sequence == 0]
    assert first.tolist() == [0, 4, 8, 12, 16, 20]
    assert data.valid.starts[data.valid.sequence == 0].tolist() == [0, 10, 20]
    assert data.train.n == len(data.train.items) * 6 and data.valid.n == len(data.valid.items) * 3


def test_labels_of_items_and_frames() -> None:
    data = load_data(("toy", OPTIONS))
    assert data.labels["parity"] == ["even", "odd"] and data.labels["third"] == ["a", "b", "c"]
    for split in (data.train, data.valid, data.test):
        numbers = np.array([int(name) for name in split.items])
        assert (split.clip["parity"] == numbers % 2).all()
        assert (split.apart["side"] == np.where(numbers == 7, -1, 0)).all()
        assert [data.labels["speaker"][code] for code in split.static["speaker"]] == split.groups
        rows = np.arange(split.n)[::-1]
        expected = (split.starts[rows, None] + np.arange(split.window)) % 3
        assert np.array_equal(split.frame_labels("third", rows), expected)


def test_a_batch_belongs_to_the_caller() -> None:
    data = load_data(("toy", OPTIONS))
    before = data.train.x([0]).clone()
    data.train.x([0]).zero_()
    assert torch.equal(data.train.x([0]), before)
    assert torch.equal(data.train.x(slice(0, 1)), before) and torch.equal(data.train.x(torch.tensor([0])), before)
    assert torch.equal(data.train.x(0), before)


def test_raw_features_stay_raw_where_asked() -> None:
    data = load_data(("toy", ToyOptions(scale="none")))
    assert np.array_equal(data.train.x([4]).numpy(), data.train.raw([4]))
    expected = data.train.raw(slice(None))[data.train.starts == 0].mean(axis=(0, 1), dtype=np.float64)
    assert data.mean_frame()[0].item() == pytest.approx(expected[0] + 0.05, abs=1e-3)  # 30 frames instead of 20


def test_dropped_short_and_empty_splits() -> None:
    data = load_data(("toy", ToyOptions(dropped=(4, 9))))
    assert data.report.dropped == {"of no use": 2} and data.report.total == 40
    assert "2 of 40 items dropped: of no use" in data.report.lines()
    with pytest.raises(
        Mistake, match=r"a split is empty .*40 are shorter than a window of 31 frames\); lower data\.window"
    ):
        load_data(("toy", ToyOptions(window=31)))


def test_the_digest_is_that_of_the_sources_and_the_split_lists() -> None:
    data = load_data(("toy", OPTIONS))
    lines = ["ablate-data 1", "generator=toy@1"]
    for name, split in (("train", data.train), ("valid", data.valid), ("test", data.test)):
        lines += [f"{name}\t{item}" for item in split.items]
    assert data.digest == hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
    assert load_data(("toy", ToyOptions(window=10, shift=4, split_seed=1))).digest != data.digest


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(Mistake, match="unknown dataset 'simvowel'; did you mean 'simvowels'"):
        load_data(("simvowel", OPTIONS))


SCRIPT = """
import hashlib, sys, torch
torch.set_num_threads(int(sys.argv[1]))
from ablate.data.dataset import load_data
from ablate.data.simvowels import SimVowelsOptions
data = load_data(("simvowels", SimVowelsOptions(utterances=(6, 2, 2))))
content = data.train.x(slice(None)).numpy().tobytes() + data.valid.frame_labels("vowel", slice(None)).tobytes()
sys.stdout.write(hashlib.sha256(content).hexdigest())
"""


@pytest.mark.long
def test_every_process_reads_and_prepares_the_same_numbers(tmp_path: Path) -> None:
    processes = []
    for threads in ("1", "2"):  # a store of its own each: the features are computed twice
        environment = os.environ | {"ABLATE_STORE": str(tmp_path / threads), "OMP_NUM_THREADS": threads}
        command = [sys.executable, "-c", SCRIPT, threads]
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert answers[0] == answers[1] and len(answers[0]) == 64


def test_data_modules_need_torch_numpy_and_scipy_alone() -> None:
    script = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"librosa", "soundfile", "pyarrow", "rich", "pandas", "matplotlib", "pydantic"}:
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from ablate.registry import DATASETS
assert {"simvowels", "audio_folder", "lpc_sprites"} <= set(DATASETS.names())
import ablate.data.bench, ablate.data.dataset
"""
    subprocess.run([sys.executable, "-c", script], check=True)
