"""Human motion in the text layout of Human3.6M: joint angles of a skeleton, or where its joints are (data.md 4.1)."""

import io
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from ablate.data import skeleton
from ablate.data.items import BadItem, FactorKind, Item, Scale, Sequence, natural
from ablate.data.windows import WindowOptions
from ablate.errors import Mistake
from ablate.registry import DATASETS, unknown

COLUMNS = 99  # of a line: root translation, root rotation, 31 joints with 3 numbers each
CONSTANT = {10, 11, *range(16, 21), 25, 26, *range(31, 36), *range(48, 51), 58, 59, *range(63, 75), 82, 83,
            *range(87, 99)}  # fmt: skip
USED = [column for column in range(6, COLUMNS) if column not in CONSTANT]  # 48 angles that move
KEYPOINTS = [1, 2, 3, 6, 7, 8, 13, 17, 18, 19, 25, 26, 27]  # 13 joints without doubles, hands and feet
TRAINING = ("S1", "S6", "S7", "S8", "S9")
HELD_OUT = {"dvae": {"valid": "S5", "test": "S11"}, "prediction": {"valid": "S11", "test": "S5"}}
NAME = re.compile(r"(?P<action>.+)_\d+\.txt")
VALIDATED = 64  # windows of a validation sequence, at most
WIDTHS = {"xyz": 96, "kpts13": 39, "angles": 93, "angles48": 48}


@dataclass(frozen=True, kw_only=True)
class H36MOptions(WindowOptions):
    """Root holds `S1/walking_1.txt` ...: 99 numbers a line, at 50 Hz, at any depth.

    `xyz`: 32 joints, `kpts13`: 13 of them, in metres around the hips. `angles`: exponential maps of the 31 joints below
    the root, `angles48`: of those that move, each standardised. Split `dvae` validates on S5 and tests on S11 (review
    of dynamical VAEs, arXiv 2008.12595), `prediction` the other way round (the literature on motion prediction).
    """

    root: str = field(metadata={"identity": False})
    split: Literal["dvae", "prediction"] = "dvae"
    representation: Literal["xyz", "kpts13", "angles", "angles48"] = "xyz"
    actions: tuple[str, ...] = ()  # empty: all
    every: int = field(default=2, metadata={"ge": 1})  # lines from one frame to the next: 2 gives 25 Hz
    swap_yz: bool = False  # axes 1 and 2 of positions exchanged, as some published code has them
    window: int = field(default=50, metadata={"ge": 1, "prepare": False})
    shift: int = field(default=2, metadata={"ge": 1, "prepare": False})


@DATASETS("h36m", options=H36MOptions, gives={"joints"})
class H36M:
    """Motion in Human3.6M's text layout: subject is static, action is dynamic; joint positions or angles."""

    def __init__(self, options: H36MOptions):
        self.options = options
        self.frame = (WIDTHS[options.representation],)
        self.factors: dict[str, FactorKind] = {"subject": "static", "action": "clip"}
        self.classes: dict[str, list[str]] = {}
        self.unit = "subject"
        angles = options.representation.startswith("angles")
        self.scale: Scale = "standard" if angles else "none"
        self.joints = 0 if angles else self.frame[0] // 3  # whose positions a frame holds, in metres

    @cached_property
    def root(self) -> Path:
        """The folder; raises Mistake where there is none."""
        root = Path(self.options.root).expanduser().absolute()
        if not root.is_dir():
            raise Mistake(
                f"data.root: {root} is {'no folder' if root.exists() else 'missing'}; name the folder of S1, S5, ..."
                " there, or with --set data.root=FOLDER."
            )
        return root

    def items(self) -> list[Item]:
        """One item per file; raises Mistake for an empty root, an unknown action or a subject that a split lacks."""
        found = [
            Path(folder, name).relative_to(self.root).as_posix()
            for folder, _, names in os.walk(self.root, followlinks=True)
            for name in names
            if re.fullmatch(r"S\d+", Path(folder).name) and name.endswith(".txt") and not name.startswith(".")
        ]
        items = [self._item(path) for path in sorted(found, key=natural)]
        if not items:
            raise Mistake(f"data.root: {self.root} holds no file like S1/walking_1.txt.")
        known = sorted({item.labels["action"] for item in items if "action" in item.labels})
        missing = [unknown("action", name, known) for name in self.options.actions if name not in known]
        if missing:
            raise Mistake(*(f"data.actions: {sentence}" for sentence in missing))
        chosen = self.options.actions or known
        items = [item for item in items if item.labels.get("action", chosen[0] if chosen else "") in chosen]
        self._check_splits(items)
        return items

    def _item(self, path: str) -> Item:
        subject, name = path.split("/")[-2] if "/" in path else self.root.name, path.split("/")[-1]
        held = {subject: split for split, subject in HELD_OUT[self.options.split].items()}
        split = held.get(subject, "train")
        if split == "train" and subject not in TRAINING:
            problem = f"subject {subject} is in none of the splits"
            return Item(path, None, split, self.root / path, path, problem=problem)
        match = NAME.fullmatch(name)
        if match is None:
            return Item(path, subject, split, self.root / path, path, problem="not named like walking_1.txt")
        labels = {"subject": subject, "action": match["action"]}
        return Item(path, subject, split, self.root / path, path, labels)

    def _check_splits(self, items: list[Item]) -> None:
        wanted = {"train": "any of " + ", ".join(TRAINING)} | HELD_OUT[self.options.split]
        there = {item.split for item in items if not item.problem}
        for split, subject in wanted.items():
            if split not in there:
                raise Mistake(
                    f"data.root: {self.root} holds no file of {subject}, the {split} split of data.split"
                    f" {self.options.split}."
                )

    def load(self, item: Item) -> Sequence:
        """Frames (L, D) float32, positions in metres or angles in radians; raises BadItem."""
        assert item.path is not None
        lines = read_lines(item.path)[:: self.options.every]  # (L, 99)
        factors: dict[str, str | int | np.ndarray | None] = {name: item.labels[name] for name in self.factors}
        return Sequence(self.represent(lines).astype(np.float32), factors)

    def represent(self, lines: np.ndarray) -> np.ndarray:
        """The chosen representation of lines (L, 99), (L, D); translation and rotation of the root are left out."""
        kind = self.options.representation
        if kind == "angles":
            return lines[:, 6:]
        if kind == "angles48":
            return lines[:, USED]
        r = lines[:, 3:].reshape(-1, skeleton.JOINTS, 3).copy()
        r[:, 0] = 0
        place = skeleton.positions(r) / 1000  # (L, 32, 3)
        place = place[..., [0, 2, 1]] if self.options.swap_yz else place
        place = place[:, KEYPOINTS] if kind == "kpts13" else place
        return place.reshape(len(place), -1)

    def starts(self, split: str, length: int) -> np.ndarray:
        """First frames of the windows of a sequence: the published ones (data.md 4.1), which overlap in every split.

        Every `shift` frames for training and test; for validation up to 64 spread over the sequence, all where there
        are no more.
        """
        count = length - self.options.window + 1
        if split != "valid" or count < 1:
            return np.arange(0, count, self.options.shift)
        step = count // VALIDATED + 1
        spread = np.arange(0, count, step)
        unused = np.setdiff1d(np.arange(count), spread)
        return np.sort(np.concatenate([spread, unused[: max(0, VALIDATED - len(spread))]]))


def read_lines(path: Path) -> np.ndarray:
    """The numbers of a file, (L, 99) float64; raises BadItem that names the line."""
    try:
        lines = path.read_text(encoding="ascii").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise BadItem(f"no text: byte {error.start} is not ASCII") from error
    if lines == [""]:
        raise BadItem("zero length: the file has no lines")
    for number, line in enumerate(lines, start=1):
        count = line.count(",") + 1 if line.strip() else 0
        if count != COLUMNS:
            raise BadItem(f"line {number}: {count or 'no'} columns instead of {COLUMNS}")
    try:
        values = np.loadtxt(io.StringIO("\n".join(lines)), delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        raise BadItem(_no_number(lines)) from error
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise BadItem(f"line {wrong[0][0] + 1}, column {wrong[0][1]}: {values[tuple(wrong[0])]} is not finite")
    return values


def _no_number(lines: list[str]) -> str:
    """Where the first text stands that is no number."""
    for number, line in enumerate(lines, start=1):
        for column, text in enumerate(line.split(",")):
            try:
                float(text)
            except ValueError:
                return f"line {number}, column {column}: {text.strip()[:20]!r} is no number"
    return "no table of numbers"
