"""What a dataset hands to the house: items, loaded sequences, and the two ways in which an item is left out."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

FactorKind = Literal["static", "clip", "frame", "apart"]
# static: of the whole sequence (speaker). frame: one label per frame (vowel). clip: dynamic, but constant over a clip
# (action). apart: recorded beside them and left out of every average (direction of a sprite).
Scale = Literal["standard", "pictures", "none"]
NO_LABEL = -1


class BadItem(Exception):
    """A file that should have been good (truncated, unreadable, not finite); counted against `max_bad`."""


class Dropped(Exception):
    """A good file that is of no use (silence); its reason is counted and never an error."""


@dataclass(frozen=True)
class Item:
    """One utterance or clip before it is read."""

    id: str  # unique in its dataset; a path relative to the root where there is one
    group: str | None = None  # speaker or character: the unit that splits keep apart; None: every item on its own
    split: str | None = None  # train, valid or test where the dataset says so; None: data/splits.py decides
    path: Path | None = None  # the file; None for generated data
    source: str = ""  # the file's relative path, or `generator=<name>@<version>` and its options
    labels: dict[str, str] = field(default_factory=dict)  # what is known before reading
    problem: str = ""  # why it cannot be used, where that is known before reading
    part: int = 0  # which part of the file it is


@dataclass(frozen=True)
class Sequence:
    """One item after reading."""

    x: np.ndarray  # (L, *frame) float32 or uint8
    factors: dict[
        str, str | int | np.ndarray | None
    ]  # per factor: a label, or (L,) for kind `frame`; -1, None: unknown
    warnings: tuple[str, ...] = ()
    peaks: np.ndarray | None = None  # (L,) largest absolute sample of each frame, for power spectra whose windows are
    # divided by the square of their own peak when they are read


class Dataset(Protocol):
    """What a file of this room registers: `make(options)`. It is pickled into worker processes.

    Optional are `resynthesise(features (L, D) in raw units) -> (samples (S,), rate in Hz)` for sound,
    `recording(item) -> samples (S,)`, what the features of an item were computed from, with
    `rephased(features (L, D) in raw units, samples) -> (samples, sound)`, a recording and the sound of features under
    its phase (None without a way back), `review(items, codes) -> warnings` about the labels of all items together,
    codes (n_items,) per factor, `starts(split, length)`, windows of its own (n,), and a number `joints`: of how many
    joints a frame holds the positions, in metres.
    """

    options: Any
    frame: tuple[int, ...] | None  # shape of one frame; None: taken from the data
    factors: dict[str, FactorKind]
    classes: dict[str, list[str]]  # class names of the factors whose labels are integers
    unit: str  # what a group is: speaker, character
    scale: Scale  # standard: per bin by mean and sd of the training split. pictures: uint8 -> [-1, 1]. none: raw

    def items(self) -> list[Item]:
        """All items, sorted by id with numbers in numeric order; raises Mistake for a missing or empty root."""
        ...

    def load(self, item: Item) -> Sequence:
        """One item; raises BadItem or Dropped. A pure function of the item and the options."""
        ...


def natural(text: str) -> tuple[list[str | int], str]:
    """Sort key in which numbers count as numbers: `2.wav` before `10.wav`."""
    parts = re.split(r"([0-9]+)", text)  # text and digits in turn
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], text
