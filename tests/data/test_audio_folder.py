"""Folders of recordings: the shared digits and speakers, factors from paths and CSV files, and all that can go wrong.

Real recordings come from the shared samples; the damaged ones are made here.
"""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ablate.data.audio import spectra
from ablate.data.audio_folder import AudioFolder, AudioFolderOptions, compile_pattern
from ablate.data.dataset import load_data
from ablate.errors import Mistake


@pytest.fixture(scope="module")
def fsdd(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _unzipped(shared / "fsdd_shared.zip", tmp_path_factory.mktemp("fsdd")) / "fsdd"


@pytest.fixture(scope="module")
def librispeech(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _unzipped(shared / "librispeech_shared.zip", tmp_path_factory.mktemp("libri")) / "LibriSpeech"


def _unzipped(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as held:
        held.extractall(folder)
    return folder


def test_digits_by_pattern(fsdd: Path) -> None:
    options = AudioFolderOptions(root=str(fsdd), pattern="{digit}_{speaker}_{take}.wav", clip=("digit",), hop_ms=10.0)
    data = load_data(("audio_folder", options))
    assert data.factors == {"speaker": "static", "digit": "clip"}
    assert data.labels["digit"] == [str(digit) for digit in range(10)]
    assert len(data.labels["speaker"]) == 6
    assert "6 speakers only 1" in data.report.split_note  # and so by utterance
    assert data.report.dropped == {"shorter than a window of 20 frames": 6}
    for split in (data.train, data.valid, data.test):
        assert set(split.groups) == set(data.labels["speaker"])
        for name, digit, speaker in zip(split.items, split.clip["digit"], split.static["speaker"], strict=True):
            assert name.startswith(f"recordings/{digit}_{data.labels['speaker'][speaker]}_")


def test_digits_by_csv_are_the_digits_by_pattern(fsdd: Path) -> None:
    patterned = AudioFolderOptions(root=str(fsdd), pattern="{digit}_{speaker}_{take}.wav", clip=("digit",), hop_ms=10.0)
    listed = replace(patterned, pattern="", factors_csv="index.csv")  # names the files without their folder
    a, b = (load_data(("audio_folder", options)) for options in (patterned, listed))
    assert a.train.items == b.train.items and np.array_equal(a.train.clip["digit"], b.train.clip["digit"])
    assert a.digest == b.digest
    assert np.array_equal(a.valid.x([3, 1]), b.valid.x([3, 1]))


def test_speakers_stay_apart_where_there_are_enough(librispeech: Path) -> None:
    options = AudioFolderOptions(root=str(librispeech), pattern="{speaker}/{chapter}/{speaker}-{chapter}-{utt}.flac",
                                 static=("speaker", "chapter"), valid_share=0.375, test_share=0.25)  # fmt: skip
    data = load_data(("audio_folder", options))
    held = [set(split.groups) for split in (data.train, data.valid, data.test)]
    assert [len(names) for names in held] == [3, 3, 2] and len(set.union(*held)) == 8
    assert data.labels["speaker"] == ["367", "533", "1688", "1998", "2033", "2609", "3005", "3331"]
    assert not data.report.skipped
    sound = data.sound(data.valid.x([0])[0])
    assert sound is not None and sound[1] == 16_000


def _noise(path: Path, seconds: float = 0.6, rate: int = 8000, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(path.name.encode())
    samples = np.random.default_rng(seed).standard_normal((round(seconds * rate), channels)) / 8
    soundfile.write(path, samples, rate)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty good recordings of four speakers."""
    for speaker in "abcd":
        for take in range(5):
            _noise(tmp_path / speaker / f"{take}.wav")
    return tmp_path


def _options(folder: Path, **changes: object) -> AudioFolderOptions:
    base = AudioFolderOptions(root=str(folder), pattern="{speaker}/{take}", window=5, shift=5, n_mels=20)
    return replace(base, **changes)  # type: ignore[arg-type]


def test_bad_files_are_skipped_named_and_counted_up_to_a_share(folder: Path) -> None:
    (folder / "a" / "5.wav").touch()
    _noise(folder / "a" / "6.wav", rate=16_000)
    _noise(folder / "b" / "5.wav", channels=2)
    samples = np.full(4800, np.nan)
    soundfile.write(folder / "b" / "6.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(Mistake) as raised:
        load_data(("audio_folder", _options(folder)))
    assert raised.value.sentences[0].startswith("data audio_folder: 4 of 24 items are bad (16.7%, more than")
    assert raised.value.sentences[1:] == (
        "a/5.wav: zero length: the file has no bytes",
        "a/6.wav: 16000 Hz, but a/0.wav has 8000 Hz",
        "b/5.wav: 2 channels where one is expected; choose one with data.channel",
        "b/6.wav: 4800 of 4800 samples are not finite",
    )
    data = load_data(("audio_folder", _options(folder, max_bad=0.2)))
    assert [name for name, _ in data.report.skipped] == ["a/5.wav", "a/6.wav", "b/5.wav", "b/6.wav"]
    assert "skipped a/5.wav: zero length: the file has no bytes" in data.report.lines()
    with pytest.raises(Mistake, match="4 of 24"):  # the entry exists now, and the share is looked at again
        load_data(("audio_folder", _options(folder)))


def test_short_and_silent_files_are_dropped_and_counted(folder: Path) -> None:
    _noise(folder / "a" / "5.wav", seconds=0.05)
    _noise(folder / "a" / "6.wav", seconds=0.001)
    soundfile.write(folder / "a" / "7.wav", np.zeros(4000), 8000)
    data = load_data(("audio_folder", _options(folder)))
    assert data.report.dropped == {"silence": 1, "shorter than a window of 5 frames": 2}
    assert not data.report.skipped and data.report.total == 23


def test_other_rates_and_channels_when_asked(folder: Path) -> None:
    _noise(folder / "a" / "5.wav", rate=16_000)
    _noise(folder / "a" / "6.wav", channels=2)
    with pytest.raises(Mistake, match=r"a/0\.wav: 8000 Hz, but data\.sample_rate is 16000 Hz"):
        load_data(("audio_folder", _options(folder, sample_rate=16_000)))
    data = load_data(("audio_folder", _options(folder, sample_rate=8000, resample=True, channel=0)))
    lengths = [data.train.starts[data.train.sequence == row].max() + 5 for row in range(len(data.train.items))]
    assert set(lengths) == {29}  # 0.6 s at any rate: 1 + (4800 - 200) // 160


def test_fields_and_files_that_do_not_fit(folder: Path) -> None:
    with pytest.raises(
        Mistake, match=r"unknown field 'digit'; did you mean .* \(known: speaker, take\)|unknown field 'digit'"
    ):
        AudioFolder(_options(folder, clip=("digit",))).items()
    with pytest.raises(Mistake, match=r"none of 20 files fits '\{speaker\}_\{take\}\.flac'; the first is 'a/0\.wav'"):
        AudioFolder(_options(folder, pattern="{speaker}_{take}.flac")).items()
    _noise(folder / "stray.wav")
    with pytest.raises(Mistake, match=r"stray\.wav: does not fit pattern '\{speaker\}/\{take\}'"):
        load_data(("audio_folder", _options(folder)))


def test_missing_and_empty_roots(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"data\.root: .*nowhere is missing"):
        AudioFolder(_options(tmp_path / "nowhere")).items()
    with pytest.raises(Mistake, match="holds no audio file"):
        AudioFolder(_options(tmp_path)).items()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.wav").write_text("no sound")
    with pytest.raises(Mistake, match="none of the 1 audio files"):
        AudioFolder(_options(tmp_path)).items()


def _csv(folder: Path, text: str) -> AudioFolderOptions:
    (folder / "factors.csv").write_text(text)
    return _options(folder, pattern="", factors_csv="factors.csv")


def test_csv_files_that_cannot_be_used(folder: Path) -> None:
    rows = "".join(f"{who}/{take}.wav,{who}\n" for who in "abcd" for take in range(5))
    assert len(AudioFolder(_csv(folder, "file,speaker\n" + rows)).items()) == 20
    with pytest.raises(Mistake, match=r"1 of 21 items .*\n.*e/9\.wav: unreadable: No such file"):
        load_data(("audio_folder", _csv(folder, "file,speaker\n" + rows + "e/9.wav,e\n")))
    with pytest.raises(Mistake, match=r"d/4\.wav: not listed in factors\.csv"):
        load_data(("audio_folder", _csv(folder, "file,speaker\n" + rows.replace("d/4.wav,d\n", ""))))
    for text, sentence in [
        ("name,speaker\n" + rows, "no column `file`"),
        ("", "has no rows"),
        ("file,speaker\na/0.wav\n", "line 2: not as many values as columns"),
        ("file,speaker\n../x.wav,a\n", "is not below the root"),
    ]:
        with pytest.raises(Mistake, match=sentence):
            AudioFolder(_csv(folder, text)).items()
    with pytest.raises(Mistake, match=r"none\.csv cannot be read"):
        AudioFolder(_options(folder, pattern="", factors_csv="none.csv")).items()


def test_a_field_named_split_is_the_split(tmp_path: Path) -> None:
    for split in ("TRAIN", "dev", "test"):
        for take in range(2):
            _noise(tmp_path / split / "s" / f"{take}.wav")
    data = load_data(("audio_folder", _options(tmp_path, pattern="{split}/{speaker}/{take}.WAV")))
    assert [split.items for split in (data.train, data.valid, data.test)] == [
        ["TRAIN/s/0.wav", "TRAIN/s/1.wav"],
        ["dev/s/0.wav", "dev/s/1.wav"],
        ["test/s/0.wav", "test/s/1.wav"],
    ]


def test_the_digest_follows_content_and_not_the_place(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    first = load_data(("audio_folder", _options(folder)))
    moved = folder.rename(tmp_path_factory.mktemp("moved") / "data")
    again = load_data(("audio_folder", _options(moved)))
    assert first.digest == again.digest
    _noise(moved / "a" / "0.wav", seconds=0.7)
    assert load_data(("audio_folder", _options(moved))).digest != first.digest


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"factors_csv": "a.csv"}, "one of pattern and factors_csv"),
        ({"pattern": ""}, "one of pattern and factors_csv"),
        ({"resample": True}, "resample needs sample_rate"),
        ({"clip": ("speaker",)}, "speaker is named in static and in clip"),
        ({"valid_share": 0.9, "test_share": 0.2}, "nothing for training"),
    ],
)
def test_options_that_contradict_each_other(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        _options(Path("x"), **changes)


def test_patterns() -> None:
    regex = compile_pattern("{digit}_{speaker}_{take}.wav")
    match = regex.fullmatch("0_george_5.WAV")
    assert match and match.groupdict() == {"digit": "0", "speaker": "george", "take": "5"}
    assert compile_pattern("{speaker}-*-{utt}").fullmatch("12-34-5.Flac")
    assert not compile_pattern("{a}/{a}-{b}").fullmatch("1/2-3.wav")
    assert not compile_pattern("{a}.wav").fullmatch("x/1.wav")
    with pytest.raises(Mistake, match="is no field"):
        compile_pattern("{speaker name}.wav")


def test_recordings_divided_by_their_peak(tmp_path: Path) -> None:
    """Features and the recording under whose phase they are heard are those of samples with a peak of 1."""
    rng = np.random.default_rng(0)
    tone = np.sin(np.arange(8000) * 0.3) * np.linspace(0.2, 1, 8000)
    for speaker, gain in zip("abcdef", rng.uniform(0.05, 0.9, 6), strict=True):
        soundfile.write(tmp_path / f"{speaker}_0.wav", gain * tone, 8000, subtype="DOUBLE")
    options = AudioFolderOptions(root=str(tmp_path), pattern="{speaker}_{take}.wav", features="power", n_fft=256,
                                 window=5, valid_share=0.5, test_share=0.2, normalise="file")  # fmt: skip
    data = load_data(("audio_folder", options), workers=1)
    frames = [np.asarray(its) for its in data.train_frames]
    np.testing.assert_allclose(frames[0], frames[-1], rtol=1e-3, atol=1e-6)
    pair = data.rephased(data.test.x([0])[0].numpy(), data.test.items[0])
    assert pair is not None
    np.testing.assert_allclose(pair[1], pair[0], atol=1e-5)
    as_they_are = load_data(("audio_folder", replace(options, normalise="none")), workers=1)
    assert as_they_are.train_frames[0].max() < 0.95 * frames[0].max()


def test_chunks_divided_by_their_peak(tmp_path: Path) -> None:
    """Windows are those of samples with a peak of 1 in every window; whole recordings keep their own level."""
    rng = np.random.default_rng(0)
    sounds = rng.normal(size=(6, 6000)) * np.geomspace(1e-3, 0.2, 6000)
    sounds[:, :1600] = 0
    for speaker, sound in zip("abcdef", sounds, strict=True):
        soundfile.write(tmp_path / f"{speaker}_0.wav", sound, 8000, subtype="DOUBLE")
    options = AudioFolderOptions(root=str(tmp_path), pattern="{speaker}_{take}.wav", features="power", n_fft=256,
                                 window=4, shift=3, valid_share=0.5, test_share=0.2, normalise="chunk")  # fmt: skip
    data = load_data(("audio_folder", options), workers=1)
    split, (window, hop) = data.train, options.samples(8000)
    read = split.x(slice(None)).numpy()
    assert not read[split.starts == 0].any()  # silence: no division by zero
    for row in (3, 5, split.n - 1):
        sound = sounds["abcdef".index(split.items[split.sequence[row]][0])]
        cut = sound[hop * split.starts[row] :][: 3 * hop + window]
        expected = spectra(cut / np.abs(cut).max(), 8000, options)
        np.testing.assert_allclose(read[row], expected, rtol=1e-4, atol=1e-7)
        np.testing.assert_array_equal(split.x([row])[0], read[row])
    rows = np.flatnonzero(data.test.sequence == 0)
    by_file = load_data(("audio_folder", replace(options, normalise="file")), workers=1).test.x(rows)
    np.testing.assert_array_equal(data.test.whole(rows)[0], by_file.flatten(0, 1))
    np.testing.assert_allclose(data.mean_frame(), read.reshape(-1, 129).mean(axis=0), rtol=1e-4)
    with pytest.raises(ValueError, match="chunk is defined for features: power"):
        replace(options, features="logmag")


def test_quiet_ends_are_cut_before_anything_else(tmp_path: Path) -> None:
    """Half a second of faint noise around a tone with a pause in it: the pause stays, and the peak is the tone's."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 4000)) * 1e-3
    tone = 0.4 * np.sin(np.arange(8000) * 0.3)
    sound = np.concatenate([noise[0], tone, noise[1], tone, noise[2]])
    for speaker in "abcdef":
        soundfile.write(tmp_path / f"{speaker}_0.wav", sound, 8000, subtype="DOUBLE")
    options = AudioFolderOptions(root=str(tmp_path), pattern="{speaker}_{take}.wav", features="power", n_fft=256,
                                 window=5, valid_share=0.5, test_share=0.2, normalise="file", trim_db=30)  # fmt: skip
    its = AudioFolder(options)
    kept = its.recording(its.items()[0])
    assert abs(len(kept) - 20000) < 2 * 2048 and np.abs(kept).max() == 1
    start = next(at for at in range(4000) if np.allclose(kept[:100], (sound / np.abs(sound).max())[at : at + 100]))
    assert 4000 - 2048 < start < 4000
    whole = AudioFolder(replace(options, trim_db=None))
    assert len(whole.recording(whole.items()[0])) == len(sound)
    data = load_data(("audio_folder", options), workers=1)
    pair = data.rephased(data.test.x([0])[0].numpy(), data.test.items[0])
    assert pair is not None
    np.testing.assert_allclose(pair[1], pair[0], atol=1e-5)
