"""Bad data by the real command: exit 2, a sentence per mistake, and nothing written beside the store."""

import io
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from command import Call, call

from ablate.data.sprite_files import SHAPE

__all__ = ["call"]
MODEL = """\
model: {name: dsae, z_dim: {choice: [2, 4], default: 4}, f_dim: 4, hidden: 8}
loss: {recon: 1, kl_f: 1, kl_z: 1}
train: {epochs: 1}
search: {algorithm: grid, metric: valid/elbo, mode: max}
"""
DIGITS = (
    'name: digits\ndata: {name: audio_folder, root: digits, pattern: "{digit}_{speaker}_{take}.wav", clip: [digit]}\n'
)
SPRITES = "name: sprites\ndata: {name: lpc_sprites, root: sprites}\n"
RATE = 16_000


def tone(path: Path, seconds: float = 1.0, rate: int = RATE, number: int = 0) -> None:
    """A recording of noise, different for every number."""
    samples = np.random.default_rng(number).standard_normal(round(seconds * rate)) / 8
    soundfile.write(path, samples.astype(np.float32), rate, subtype="FLOAT")


@pytest.fixture
def digits(call: Call, tmp_path: Path) -> Path:
    """A study of 40 good recordings of four speakers; gives their folder."""
    (tmp_path / "study.yaml").write_text(DIGITS + MODEL)
    folder = tmp_path / "digits"
    folder.mkdir()
    for number in range(40):
        tone(folder / f"{number % 2}_{'abcd'[number % 4]}_{number}.wav", number=number)
    return folder


def refused(call: Call, tmp_path: Path, *settings: str) -> list[str]:
    """The sentences about a sweep of the study. A check says the same, as far as it can without reading all files.

    Neither leaves anything behind.
    """
    before = sorted(tmp_path.rglob("*"))
    words = [word for setting in settings for word in ("--set", setting)]
    swept, checked = (call(verb, "study.yaml", *words) for verb in ("sweep", "check"))
    assert sorted(tmp_path.rglob("*")) == before
    sentences = [line for line in swept.err.splitlines() if not line.startswith("preparing")]
    assert swept.code == 2
    assert checked.err.splitlines() == sentences if checked.code else "not prepared yet" in checked.out
    return sentences


def test_a_root_that_is_missing_or_no_folder(call: Call, digits: Path, tmp_path: Path) -> None:
    remedy = "name the folder of the recordings there, or with --set data.root=FOLDER."
    (tmp_path / "file").write_text("x")
    assert refused(call, tmp_path, "data.root=away") == [f"data.root: {tmp_path}/away is missing; {remedy}"]
    assert refused(call, tmp_path, "data.root=file") == [f"data.root: {tmp_path}/file is no folder; {remedy}"]


def test_an_empty_root(call: Call, digits: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused(call, tmp_path, "data.root=empty") == [
        f"data.root: {tmp_path}/empty holds no audio file (.wav, .flac, .sph, .ogg)."
    ]


def test_a_pattern_that_fits_nothing_names_the_first_file(call: Call, digits: Path, tmp_path: Path) -> None:
    assert refused(call, tmp_path, 'data.pattern="{speaker}/{digit}/x{take}.wav"') == [
        "data.pattern: none of 40 files fits '{speaker}/{digit}/x{take}.wav'; the first is '0_a_0.wav'."
    ]


def test_a_pattern_without_the_field_that_is_asked_for(call: Call, digits: Path, tmp_path: Path) -> None:
    assert refused(call, tmp_path, 'data.pattern="{digit}_{who}_{take}.wav"') == [
        "data: unknown field 'speaker'; did you mean 'take'? (known: digit, take, who)"
    ]


def test_windows_longer_than_every_recording(call: Call, digits: Path, tmp_path: Path) -> None:
    (sentence,) = refused(call, tmp_path, "data.window=500")
    assert sentence.endswith("40 are shorter than a window of 500 frames); lower data.window.")


def test_every_kind_of_damage_is_named_with_its_file(call: Call, digits: Path, tmp_path: Path) -> None:
    (digits / "0_a_90.wav").write_bytes(b"")
    tone(digits / "0_a_91.wav", rate=8000)
    soundfile.write(digits / "0_a_92.wav", np.array([0.1, np.nan, 0.1] * 4000, np.float32), RATE, subtype="FLOAT")
    (digits / "0_a_93.wav").write_bytes((digits / "0_a_0.wav").read_bytes()[:3000])
    (digits / "0_a_94.wav").write_bytes(b"not a sound")
    soundfile.write(digits / "0_a_95.wav", np.zeros((0,), np.float32), RATE)
    soundfile.write(digits / "0_a_96.wav", np.full((9000, 2), 0.1, np.float32), RATE)
    (digits / "0_a_97.wav").symlink_to("nowhere.wav")
    tone(digits / "a b.wav")
    head, *named = refused(call, tmp_path)
    assert head.startswith("data audio_folder: 9 of 49 items are bad (18.4%, more than data.max_bad 1.0%)")
    assert named == [
        "0_a_90.wav: zero length: the file has no bytes",
        "0_a_91.wav: 8000 Hz, but 0_a_0.wav has 16000 Hz",
        "0_a_92.wav: 4000 of 12000 samples are not finite",
        named[3],
        "0_a_94.wav: unreadable or truncated: Format not recognised.",
        "0_a_95.wav: zero length: the file has no samples",
        "0_a_96.wav: 2 channels where one is expected; choose one with data.channel",
        "0_a_97.wav: unreadable: No such file or directory",
        "a b.wav: does not fit pattern '{digit}_{speaker}_{take}.wav'",
    ]
    assert named[3].startswith("0_a_93.wav: truncated: ")


def test_damaged_sphere_files(call: Call, shared: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared / "sphere_cases.zip") as held:
        held.extractall(tmp_path)
    data = 'name: cases\ndata: {name: audio_folder, root: sphere_cases, pattern: "{speaker}"}\n'
    (tmp_path / "study.yaml").write_text(data + MODEL)
    head, *named = refused(call, tmp_path)
    assert "5 of 9 items are bad" in head
    assert named == [
        "header_only.WAV: truncated: 0 samples (0 bytes) instead of 24000 (48000 bytes)",
        "short_header.WAV: SPHERE header incomplete: 300 of 1024 bytes",
        "stereo_8k_le16.sph: 2 channels where one is expected; choose one with data.channel",
        "truncated_by_1_byte.WAV: truncated: 23999 samples (47999 bytes) instead of 24000 (48000 bytes)",
        "truncated_half.WAV: truncated: 12000 samples (24000 bytes) instead of 24000 (48000 bytes)",
    ]


class Trap:
    """What unpickling would run."""

    def __reduce__(self) -> tuple:
        return os.system, ("touch sprung",)


def test_sprites_that_are_none(call: Call, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(SPRITES + MODEL)
    folder = tmp_path / "sprites" / "train"
    folder.mkdir(parents=True)
    torch.save(torch.zeros(8, 3, 32, 32), folder / "1.sprite")
    torch.save(Trap(), folder / "2.sprite")
    (folder / "3.sprite").write_bytes(pickle.dumps({"a": 1}))
    (folder / "4.sprite").write_bytes(b"")
    whole = io.BytesIO()
    torch.save(torch.full(SHAPE, -1.0), whole)
    (folder / "5.sprite").write_bytes(whole.getvalue()[:5000])
    head, *named = refused(call, tmp_path)
    assert head.startswith("data lpc_sprites: 5 of 5 items are bad")
    assert named[:4] == [
        "train/1.sprite: holds a Tensor of shape (8, 3, 32, 32), not floats of shape (8, 3, 64, 64)",
        "train/2.sprite: no tensor that can be loaded safely (a pickle of something else, posix.system)",
        "train/3.sprite: no tensor that can be loaded safely (a pickle of something else)",
        "train/4.sprite: no tensor that can be loaded safely (the file is empty or cut off)",
    ]
    assert named[4].startswith("train/5.sprite: no tensor that can be loaded safely (")
    shutil.rmtree(folder)
    neither = "holds neither lpc_sprites_train.npz nor lpc_sprites_test.npz nor train/N.sprite"
    assert refused(call, tmp_path) == [f"data.root: {tmp_path}/sprites {neither}."]


def test_one_bad_file_among_many_is_told_and_passed_over(call: Call, digits: Path) -> None:
    (digits / "0_a_90.wav").write_bytes(b"")
    said = call("train", "study.yaml", "--set", "data.max_bad=0.03")
    assert said.code == 0
    assert "data: skipped 0_a_90.wav: zero length: the file has no bytes" in said.out
    planned = call("check", "study.yaml", "--set", "data.max_bad=0.03", "--no-probe")
    assert planned.code == 0 and "skipped 0_a_90.wav: zero length: the file has no bytes" in planned.out
