"""Sprite files: the published form, other serialisations, and what is refused instead of unpickled."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ablate.data.items import BadItem
from ablate.data.sprite_files import _is_usual, read_sprite


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (8, 3, 64, 64)).astype(np.uint8)


def _tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32)) * 2 / 255 - 1


def test_the_published_form_is_read_as_torch_reads_it(shared: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(shared / "lpc_sprite_files.zip") as archive:
        archive.extractall(tmp_path)
    paths = sorted((tmp_path / "lpc_dataset").glob("*/*.sprite"))
    assert len(paths) == 16 and all(_is_usual(path.read_bytes()) for path in paths)
    values = torch.load(paths[3], weights_only=True)
    pixels, labels = read_sprite(paths[3])
    assert np.array_equal(_tensor(pixels), values) or np.allclose(_tensor(pixels), values, atol=1e-6)
    assert pixels.dtype == np.uint8 and not labels


@pytest.mark.parametrize("zipped", [True, False])
def test_other_serialisations_and_dicts(tmp_path: Path, zipped: bool) -> None:
    path, pixels = tmp_path / "1.sprite", _pixels()
    torch.save(_tensor(pixels), path, _use_new_zipfile_serialization=zipped)
    assert np.array_equal(read_sprite(path)[0], pixels)
    held = {"body": 3, "shirt": torch.tensor(1), "pant": 2, "hair": 0, "action": 2, "sprite": _tensor(pixels)}
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    found, labels = read_sprite(path)
    assert np.array_equal(found, pixels)
    assert labels == {"body": 3, "shirt": 1, "pant": 2, "hair": 0, "action": 2}


class Trap:
    """Unpickling one calls the function it names."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_is_refused_unread(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / "1.sprite").write_bytes(pickle.dumps(Trap(sprung)))
    torch.save(Trap(sprung), tmp_path / "2.sprite")
    for name in ("1.sprite", "2.sprite"):
        with pytest.raises(BadItem, match=r"no tensor that can be loaded safely \(a pickle of something else"):
            read_sprite(tmp_path / name)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("held", "sentence"),
    [
        (torch.zeros(8, 3, 32, 32), r"holds a Tensor of shape \(8, 3, 32, 32\)"),
        (torch.zeros(8, 3, 64, 64, dtype=torch.int64), "not floats of shape"),
        ([1, 2], "holds a list"),
        ({"body": 1}, "holds a NoneType"),
        ({"body": "light", "sprite": torch.zeros(8, 3, 64, 64)}, "label body is no integer"),
        (torch.full((8, 3, 64, 64), torch.nan), "not finite"),
        (torch.full((8, 3, 64, 64), 3.0), "pixels from 3 to 3"),
        (torch.full((8, 3, 64, 64), 0.5), "pixels from 0.5 to 0.5 that are not"),
    ],
)
def test_files_that_are_no_sprite(tmp_path: Path, held: object, sentence: str) -> None:
    torch.save(held, tmp_path / "1.sprite")
    with pytest.raises(BadItem, match=sentence):
        read_sprite(tmp_path / "1.sprite")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "1.sprite"
    torch.save(_tensor(_pixels()), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(BadItem):
        read_sprite(path)
    path.write_bytes(b"")
    with pytest.raises(BadItem):
        read_sprite(path)
