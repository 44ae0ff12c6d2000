"""LPC sprites: labels of the real files, both forms, and folders that are not what they should be."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ablate.data.dataset import Data, load_data
from ablate.data.items import Item
from ablate.data.lpc_sprites import ATTRIBUTES, COLOURS, LpcSprites, LpcSpritesOptions
from ablate.errors import Mistake


@pytest.fixture(scope="module")
def files(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lpc")
    with zipfile.ZipFile(shared / "lpc_sprite_files.zip") as archive:
        archive.extractall(folder)
    return folder / "lpc_dataset"


@pytest.fixture(scope="module")
def packed(shared: Path) -> Data:
    return load_data(("lpc_sprites", LpcSpritesOptions(root=str(shared), size=32)))


def test_every_label_of_the_real_files(files: Path) -> None:
    dataset = LpcSprites(LpcSpritesOptions(root=str(files)))
    truth = {row["file"].removeprefix("lpc_dataset/"): row for row in json.loads((files / "labels.json").read_text())}
    items = dataset.items()
    assert [item.id for item in items[:12]] == [f"train/{number}.sprite" for number in range(1, 13)]
    assert len(items) == len(truth) == 16
    for item in items:
        sequence, row = dataset.load(item), truth[item.id]
        assert not sequence.warnings
        for name in (*ATTRIBUTES, "action"):
            assert sequence.factors[name] == row[name], (item.id, name)
        direction = sequence.factors["direction"]
        assert isinstance(direction, int) and dataset.classes["direction"][direction] == row["direction"]


def test_packed_characters_are_disjoint_and_counted_as_published(packed: Data) -> None:
    assert (packed.train.n, packed.valid.n, packed.test.n) == (261, 45, 99)
    assert packed.frame == (3, 32, 32)
    held = [set(split.groups) for split in (packed.train, packed.valid, packed.test)]
    assert [len(names) for names in held] == [29, 5, 11] and len(set.union(*held)) == 45
    both = [np.concatenate([packed.train.static["hair"], packed.valid.static["hair"]]), packed.test.static["hair"]]
    assert [np.bincount(codes).tolist() for codes in both] == [[36, 54, 54, 45, 45, 72], [9, 27, 9, 18, 18, 18]]
    assert np.bincount(packed.test.clip["action"]).tolist() == [33, 33, 33]
    assert np.bincount(packed.test.apart["direction"]).tolist() == [22, 33, 33, 11]
    assert packed.labels["action"] == ["walk", "spellcast", "slash"]
    assert packed.report.lines() == ["split by character, disjoint"]


def test_pictures_are_what_the_npz_holds(packed: Data, shared: Path) -> None:
    with np.load(shared / "lpc_sprites_test.npz") as held:
        pixels = held["images"][7].transpose(0, 3, 1, 2)  # (8, 3, 64, 64)
    whole = load_data(("lpc_sprites", LpcSpritesOptions(root=str(shared), size=64)))
    x = whole.test.x([7])[0]
    assert x.dtype == torch.float32 and x.shape == (8, 3, 64, 64)
    np.testing.assert_allclose(x.numpy(), pixels / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(whole.denormalise(x) * 255, pixels, atol=1e-3)
    mean = pixels.reshape(8, 3, 32, 2, 32, 2).mean(axis=(3, 5))
    assert np.abs(packed.test.raw([7])[0] - mean).max() <= 0.5
    assert packed.sound(x) is None


def test_the_mean_picture_is_that_of_the_training_frames(packed: Data) -> None:
    mean = packed.train.x(slice(None)).double().mean(dim=(0, 1))
    torch.testing.assert_close(packed.mean_frame().double(), mean, atol=1e-5, rtol=0)


def test_the_mislabelled_row_can_be_left_out(shared: Path) -> None:
    data = load_data(("lpc_sprites", LpcSpritesOptions(root=str(shared), size=32, drop_row16=True)))
    assert (data.train.n + data.valid.n, data.test.n) == (306 * 8 // 9, 88)
    assert 3 not in data.test.apart["direction"]  # facing back happens in that row only
    assert np.bincount(data.test.clip["action"]).tolist() == [33, 33, 22]


def _sprite(path: Path, colours: dict[str, tuple[int, int, int]], labels: dict[str, int] | None = None) -> None:
    from ablate.data.lpc_sprites import PIXEL

    pixels = np.zeros((8, 3, 64, 64), np.float32)
    for name, (row, column) in PIXEL.items():
        pixels[:, :, row, column] = colours[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    tensor = torch.from_numpy(pixels * 2 / 255 - 1)
    torch.save(tensor if labels is None else labels | {"sprite": tensor}, path)


FIRST = {name: next(iter(colours.values())) for name, colours in COLOURS.items()}


def test_an_unknown_colour_is_no_guess(tmp_path: Path) -> None:
    for number in range(1, 10):
        _sprite(tmp_path / "train" / f"{number}.sprite", FIRST | {"hair": (1, 2, 3)})
    dataset = LpcSprites(LpcSpritesOptions(root=str(tmp_path)))
    sequence = dataset.load(dataset.items()[4])
    assert sequence.factors["hair"] == -1 and sequence.factors["body"] == 0
    assert sequence.warnings == ("unknown colours in 2.sprite: hair (1, 2, 3)",)
    (tmp_path / "train" / "2.sprite").unlink()
    sequence = dataset.load(dataset.items()[2])
    assert [sequence.factors[name] for name in ATTRIBUTES] == [-1] * 4
    assert "2.sprite, which shows their colours, cannot be read" in sequence.warnings[0]


def test_labels_of_a_dict_win(tmp_path: Path) -> None:
    told = {"body": 6, "shirt": 3, "pant": 4, "hair": 5, "action": 2}
    _sprite(tmp_path / "1.sprite", FIRST, told)
    dataset = LpcSprites(LpcSpritesOptions(root=str(tmp_path)))
    assert {name: dataset.load(dataset.items()[0]).factors[name] for name in told} == told
    _sprite(tmp_path / "1.sprite", FIRST, told | {"pant": 5})
    with pytest.raises(Exception, match="labels that do not exist: pant 5"):
        dataset.load(dataset.items()[0])


def test_characters_out_of_order_are_noticed() -> None:
    dataset = LpcSprites(LpcSpritesOptions(root="x"))
    items = [Item(f"train/{at}.sprite", f"train/{at}", "train", Path("1.sprite")) for at in range(3)]
    zero = np.zeros(3, int)
    codes = {"body": zero, "shirt": zero, "pant": zero, "hair": np.array([1, 3, 2])}
    assert dataset.review(items, codes) == ["train/2.sprite: character 2 after 3; the file order is not kept"]
    codes["hair"] = np.array([1, 1, 2])
    assert dataset.review(items, codes) == ["train/1.sprite: character 1 is also train/0"]
    codes["hair"] = np.array([1, -1, 2])
    assert dataset.review(items, codes) == []


def test_files_that_are_no_sprites_are_named(files: Path, tmp_path: Path) -> None:
    root = shutil.copytree(files, tmp_path / "copy")
    (root / "train" / "4.sprite").write_bytes(b"not a tensor")
    (root / "train" / "hero.sprite").write_bytes(b"")
    options = LpcSpritesOptions(root=str(root))
    with pytest.raises(Mistake) as raised:
        load_data(("lpc_sprites", options))
    assert "2 of 17 items are bad" in raised.value.sentences[0]
    assert raised.value.sentences[1].startswith("train/4.sprite: no tensor that can be loaded safely")
    assert raised.value.sentences[2].startswith("train/hero.sprite: named neither")
    data = load_data(("lpc_sprites", LpcSpritesOptions(root=str(root), max_bad=0.2)))
    assert len(data.report.skipped) == 2


def test_roots_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="is missing"):
        LpcSprites(LpcSpritesOptions(root=str(tmp_path / "none"))).items()
    with pytest.raises(Mistake, match="holds neither"):
        LpcSprites(LpcSpritesOptions(root=str(tmp_path))).items()
    (tmp_path / "lpc_sprites_train.npz").write_bytes(b"PK\x03\x04 damaged")
    with pytest.raises(Mistake, match=r"lpc_sprites_train\.npz cannot be read as the packed sprites"):
        LpcSprites(LpcSpritesOptions(root=str(tmp_path))).items()
    np.savez(tmp_path / "lpc_sprites_train.npz", images=np.zeros(3), labels=np.zeros((2, 2)), label_columns=["a", "b"])
    with pytest.raises(Mistake, match="without action, body"):
        LpcSprites(LpcSpritesOptions(root=str(tmp_path))).items()
