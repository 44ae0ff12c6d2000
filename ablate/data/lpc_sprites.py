"""LPC sprites: 8-frame videos of characters, from `.sprite` files or from the two npz files (data.md 2.1-2.3)."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from ablate.data.items import NO_LABEL, BadItem, FactorKind, Item, Scale, Sequence, natural
from ablate.data.splits import SplitOptions
from ablate.data.sprite_files import read_sprite
from ablate.data.windows import WindowOptions
from ablate.errors import Mistake
from ablate.registry import DATASETS

PIXEL = {
    "body": (26, 28),
    "shirt": (34, 22),
    "pant": (45, 24),
    "hair": (14, 30),
}  # row, column at frame 0 of walk/front
COLOURS = {  # class -> RGB at that pixel, in label order
    "body": {
        "light": (253, 213, 183),
        "dark": (186, 132, 84),
        "dark2": (156, 102, 62),
        "darkelf": (174, 179, 202),
        "darkelf2": (201, 208, 238),
        "tanned": (253, 208, 130),
        "tanned2": (236, 196, 121),
    },
    "shirt": {
        "longsleeve_brown": (153, 107, 74),
        "longsleeve_teal": (64, 213, 228),
        "longsleeve_maroon": (133, 41, 41),
        "longsleeve_white": (255, 255, 255),
    },
    "pant": {
        "magenta": (73, 37, 68),
        "red": (100, 17, 17),
        "teal": (46, 64, 58),
        "white": (198, 199, 201),
        "robe_skirt": (116, 75, 48),
    },
    "hair": {
        "green": (2, 125, 33),
        "blue": (56, 3, 146),
        "pink": (182, 10, 104),
        "raven": (29, 23, 30),
        "white": (168, 125, 82),
        "dark_blonde": (156, 59, 1),
    },
}
ATTRIBUTES = tuple(COLOURS)
ACTIONS, DIRECTIONS = ["walk", "spellcast", "slash"], ["left", "front", "right", "back"]
DIRECTION = (0, 1, 2, 0, 1, 2, 1, 2, 3)  # of sequences 0..8; the last is sheet row 16: in truth shoot/back
ROW16 = 8  # its number
WALK_FRONT = 1  # the sequence whose first frame shows the colours
SEQUENCES = 9  # per character, in consecutive files
NPZ = {"train": "lpc_sprites_train.npz", "test": "lpc_sprites_test.npz"}


@dataclass(frozen=True, kw_only=True)
class LpcSpritesOptions(SplitOptions, WindowOptions):
    """Root holds `train/N.sprite` and `test/N.sprite`, or the npz files; validation characters come out of train."""

    root: str = field(metadata={"identity": False})
    size: Literal[32, 64] = 64  # 32: mean of 2 x 2 pixels, rounded to the nearest of 256 levels
    drop_row16: bool = False  # leave out the third "slash", which is the first row of another action
    window: int = field(default=8, metadata={"ge": 1, "prepare": False})
    shift: int = field(default=8, metadata={"ge": 1, "prepare": False})


@DATASETS("lpc_sprites", options=LpcSpritesOptions)
class LpcSprites:
    """Sprites (8 frames): body, shirt, pants, hair are static; action is dynamic; direction is recorded apart."""

    def __init__(self, options: LpcSpritesOptions):
        self.options = options
        self.frame = (3, options.size, options.size)
        self.factors: dict[str, FactorKind] = {name: "static" for name in ATTRIBUTES}
        self.factors |= {"action": "clip", "direction": "apart"}
        self.classes = {name: list(colours) for name, colours in COLOURS.items()}
        self.classes |= {"action": ACTIONS, "direction": DIRECTIONS}
        self.unit = "character"
        self.scale: Scale = "pictures"

    def items(self) -> list[Item]:
        """One item per sequence; raises Mistake for a missing or empty root."""
        root = Path(self.options.root).expanduser().absolute()
        if not root.is_dir():
            raise Mistake(
                f"data.root: {root} is {'no folder' if root.exists() else 'missing'}; name the folder of the sprites"
                " there, or with --set data.root=FOLDER."
            )
        packed = {split: root / name for split, name in NPZ.items() if (root / name).is_file()}
        items = [item for split, path in packed.items() for item in _packed_items(split, path)]
        items = items or _file_items(root)
        if not items:
            raise Mistake(f"data.root: {root} holds neither {' nor '.join(NPZ.values())} nor train/N.sprite.")
        return [item for item in items if not (self.options.drop_row16 and item.labels.get("sheet_row") == "16")]

    def load(self, item: Item) -> Sequence:
        """Pixels uint8 (8, 3, size, size) and labels, -1 where a colour is unknown; raises BadItem."""
        assert item.path is not None
        read: Callable[[Item, Path], tuple[np.ndarray, dict[str, int], tuple[str, ...]]]
        read = _from_npz if item.path.suffix == ".npz" else _from_file
        pixels, labels, warnings = read(item, item.path)
        if self.options.size == 32:
            blocks = pixels.reshape(8, 3, 32, 2, 32, 2).astype(np.uint16)
            pixels = ((blocks.sum(axis=(3, 5)) + 2) // 4).astype(np.uint8)
        return Sequence(pixels, {name: labels[name] for name in self.factors}, warnings)

    def review(self, items: list[Item], codes: dict[str, np.ndarray]) -> list[str]:
        """What is odd about all labels together: characters must be unique and increase along the files of a split."""
        known = [all(codes[name][at] >= 0 for name in ATTRIBUTES) for at in range(len(items))]
        where: dict[int, str | None] = {}
        highest: dict[str | None, int] = {}
        odd = []
        for at, item in enumerate(items):
            if not known[at] or item.path is None or item.path.suffix == ".npz":
                continue
            character = 0
            for name in ATTRIBUTES:
                character = character * len(COLOURS[name]) + int(codes[name][at])
            if where.setdefault(character, item.group) != item.group:
                odd.append(f"{item.id}: character {character} is also {where[character]}")
            elif character < highest.get(item.split, 0):
                odd.append(f"{item.id}: character {character} after {highest[item.split]}; the file order is not kept")
            highest[item.split] = max(character, highest.get(item.split, 0))
        return odd


def _file_items(root: Path) -> list[Item]:
    """Items of `train/N.sprite` and `test/N.sprite`, or of `N.sprite` in the root itself."""
    folders = {split: root / split for split in ("train", "test") if (root / split).is_dir()} or {"": root}
    items = []
    for split, folder in folders.items():
        for path in sorted(folder.glob("*.sprite"), key=lambda path: natural(path.name)):
            name = f"{split}/{path.name}".lstrip("/")
            if path.stem.isdigit() and int(path.stem) > 0:
                character, sequence = divmod(int(path.stem) - 1, SEQUENCES)
                labels = {"sheet_row": str(_row(sequence))}
                items.append(Item(name, f"{split}/{character}".lstrip("/"), split or None, path, name, labels))
            else:
                problem = "named neither 1.sprite nor 2.sprite ...: its labels come from the number"
                items.append(Item(name, None, split or None, path, name, problem=problem))
    return items


def _row(sequence: int) -> int:
    """Row of the sheet that a sequence 0..8 was cut from."""
    return (9, 10, 11, 1, 2, 3, 14, 15, 16)[sequence]


def _from_file(item: Item, path: Path) -> tuple[np.ndarray, dict[str, int], tuple[str, ...]]:
    """Pixels, labels and warnings of one `.sprite`: action and direction by its number, the others by colour."""
    pixels, told = read_sprite(path)
    character, sequence = divmod(int(path.stem) - 1, SEQUENCES)
    labels = {"action": sequence // 3, "direction": DIRECTION[sequence]}
    warnings: tuple[str, ...] = ()
    if not all(name in told for name in ATTRIBUTES):
        coloured, unknown = _colours(*_version(path.with_name(f"{SEQUENCES * character + WALK_FRONT + 1}.sprite")))
        labels |= coloured
        warnings = (unknown,) if unknown else ()
    outside = [f"{name} {value}" for name, value in told.items() if not 0 <= value < _classes(name)]
    if outside:
        raise BadItem(f"labels that do not exist: {', '.join(outside)}")
    return pixels, labels | told, warnings


def _classes(name: str) -> int:
    return len(COLOURS[name]) if name in COLOURS else len(ACTIONS)


@lru_cache(maxsize=4)
def _colours(path: Path, size: int, changed: int) -> tuple[dict[str, int], str]:
    """Attributes by the colours of a walk/front file, -1 where unknown, and a sentence about those."""
    try:
        first = read_sprite(path)[0][0]  # (3, 64, 64)
    except (BadItem, OSError):
        return dict.fromkeys(
            ATTRIBUTES, NO_LABEL
        ), f"no attributes: {path.name}, which shows their colours, cannot be read"
    labels, unknown = {}, []
    for name, (row, column) in PIXEL.items():
        colour = tuple(int(value) for value in first[:, row, column])
        known = list(COLOURS[name].values())
        labels[name] = known.index(colour) if colour in known else NO_LABEL
        if colour not in known:
            unknown.append(f"{name} {colour}")
    return labels, f"unknown colours in {path.name}: {', '.join(unknown)}" if unknown else ""


def _packed_items(split: str, path: Path) -> list[Item]:
    labels = _table(*_version(path))
    rows = zip(labels["character"], labels["sheet_row"], strict=True)
    return [
        Item(f"{split}/{at}", str(character), split, path, path.name, {"sheet_row": str(row)}, part=at)
        for at, (character, row) in enumerate(rows)
    ]


def _from_npz(item: Item, path: Path) -> tuple[np.ndarray, dict[str, int], tuple[str, ...]]:
    pixels = _images(*_version(path))[item.part].transpose(0, 3, 1, 2)  # (8, 3, 64, 64)
    labels = {name: int(column[item.part]) for name, column in _table(*_version(path)).items()}
    return np.ascontiguousarray(pixels), labels, ()


@lru_cache(maxsize=2)
def _images(path: Path, size: int, changed: int) -> np.ndarray:
    """All pictures of an npz file, (N, 8, 64, 64, 3) uint8; raises Mistake."""
    images = _array(path, "images")
    if images.dtype != np.uint8 or images.shape[1:] != (8, 64, 64, 3) or len(images) != len(_array(path, "labels")):
        raise Mistake(f"data.root: {path} holds images {images.dtype} {images.shape}, not uint8 (N, 8, 64, 64, 3).")
    return images


@lru_cache(maxsize=2)
def _table(path: Path, size: int, changed: int) -> dict[str, np.ndarray]:
    """The label columns of an npz file, (N,) each; raises Mistake."""
    labels, names = _array(path, "labels"), [str(name) for name in _array(path, "label_columns")]
    missing = {*ATTRIBUTES, "action", "direction", "sheet_row", "character"} - set(names)
    if missing or labels.ndim != 2 or labels.shape[1] != len(names):
        raise Mistake(
            f"data.root: {path} has labels {labels.shape} without {', '.join(sorted(missing)) or 'their names'}."
        )
    return {name: labels[:, at] for at, name in enumerate(names)}


def _version(path: Path) -> tuple[Path, int, int]:
    """A path with size and time of change: what is remembered of a file must not outlive it."""
    try:
        status = path.stat()
    except OSError:
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns


def _array(path: Path, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as held:
            return held[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Mistake(f"data.root: {path} cannot be read as the packed sprites ({error}).") from error
