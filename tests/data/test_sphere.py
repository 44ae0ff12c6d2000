"""SPHERE: the shared cases, and headers damaged one field at a time."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ablate.data.items import BadItem
from ablate.data.recordings import read_audio, read_rate
from ablate.data.sphere import read_header, read_sphere


@pytest.fixture(scope="module")
def cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sphere")
    with zipfile.ZipFile(shared / "sphere_cases.zip") as archive:
        archive.extractall(folder)
    return folder / "sphere_cases"


def test_both_byte_orders_and_riff_give_the_same_samples(cases: Path) -> None:
    little, rate = read_sphere(cases / "le16.WAV")
    big, _ = read_sphere(cases / "be16.WAV")
    assert rate == 16_000 and little.shape == (24_000, 1) and little.dtype == np.int16
    assert np.array_equal(little, big) and (little.min(), little.max()) == (-8843, 9617)
    three = [read_audio(cases / name)[0] for name in ("le16.WAV", "be16.WAV", "riff16.WAV")]
    assert np.array_equal(three[0], three[1]) and np.array_equal(three[0], three[2])
    assert three[0].dtype == np.float32 and three[0].min() == -8843 / 32768


def test_eight_bits_and_stereo(cases: Path) -> None:
    samples, rate = read_sphere(cases / "mono_16k_s8.sph")
    assert rate == 16_000 and samples.shape == (46_242, 1)
    loud = read_audio(cases / "mono_16k_s8.sph")[0]
    assert (loud.min() * 32768, loud.max() * 32768) == (-13568, 12800)
    stereo, rate = read_sphere(cases / "stereo_8k_le16.sph")
    assert rate == 8000 and stereo.shape == (8000, 2)
    with pytest.raises(BadItem, match="2 channels"):
        read_audio(cases / "stereo_8k_le16.sph")
    right, _ = read_audio(cases / "stereo_8k_le16.sph", channel=1)
    assert np.array_equal(right * 32768, stereo[:, 1])
    with pytest.raises(BadItem, match="no channel 2"):
        read_audio(cases / "stereo_8k_le16.sph", channel=2)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("truncated_by_1_byte.WAV", r"truncated: 23999 samples .* instead of 24000"),
        ("truncated_half.WAV", r"truncated: 12000 samples .* instead of 24000"),
        ("header_only.WAV", r"truncated: 0 samples .* instead of 24000"),
        ("short_header.WAV", r"header incomplete: 300 of 1024 bytes"),
    ],
)
def test_damage_that_libsndfile_passes_over(cases: Path, name: str, sentence: str) -> None:
    with pytest.raises(BadItem, match=sentence):
        read_audio(cases / name)


def sphere_file(path: Path, samples: np.ndarray, **changes: str) -> Path:
    """A little-endian 16-bit mono file at 8 kHz; `changes` replaces or, with '', removes header lines."""
    fields = {
        "sample_count": f"-i {len(samples)}",
        "sample_n_bytes": "-i 2",
        "channel_count": "-i 1",
        "sample_byte_format": "-s2 01",
        "sample_rate": "-i 8000",
        "sample_min": f"-i {samples.min()}",
        "sample_max": f"-i {samples.max()}",
    } | changes
    lines = "".join(f"{name} {value}\n" for name, value in fields.items() if value)
    head = f"NIST_1A\n   1024\n{lines}end_head\n".encode().ljust(1024, b"\0")
    path.write_bytes(head + samples.astype("<i2").tobytes())
    return path


SAMPLES = np.arange(-50, 150)


def test_a_file_of_our_own_is_read(tmp_path: Path) -> None:
    path = sphere_file(tmp_path / "a.sph", SAMPLES)
    samples, rate = read_sphere(path)
    assert np.array_equal(samples[:, 0], SAMPLES) and rate == read_rate(path) == 8000
    longer = sphere_file(tmp_path / "b.sph", SAMPLES, sample_count="-i 199", sample_min="", sample_max="")
    with pytest.raises(BadItem, match=r"too long: 200 samples .* instead of 199"):
        read_sphere(longer)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sample_max": "-i 150"}, "sample_max is 149, and the header says 150"),
        ({"sample_min": "-i -51"}, "sample_min is -50, and the header says -51"),
        ({"sample_coding": "-s4 ulaw"}, "coding 'ulaw' is not supported"),
        ({"sample_coding": "-s26 pcm,embedded-shorten-v2.00"}, "coding 'pcm,embedded-shorten-v2.00' is not supported"),
        ({"sample_n_bytes": "-i 4"}, "samples of 4 bytes in byte format '01'"),
        ({"sample_byte_format": "-s2 11"}, "samples of 2 bytes in byte format '11'"),
        ({"sample_rate": ""}, "header without sample_rate"),
        ({"sample_count": "-s3 all"}, "sample_count is 'all', not an integer"),
        ({"channel_count": "-i 0"}, "0 channels"),
    ],
)
def test_headers_that_cannot_be_right(tmp_path: Path, changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(BadItem, match=sentence):
        read_sphere(sphere_file(tmp_path / "a.sph", SAMPLES, **changes))


def test_headers_without_magic_size_or_end() -> None:
    for content, sentence in [
        (b"RIFF" + bytes(2000), "no SPHERE file"),
        (b"NIST_1A\n    512\n" + bytes(2000), "not a number of at least 1024"),
        (b"NIST_1A\n   1024\n" + bytes(2000), "without end_head"),
        (b"NIST_1A", "size"),
    ]:
        with pytest.raises(BadItem, match=sentence):
            read_header(content)
