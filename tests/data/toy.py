"""A dataset for tests: every kind of factor, and items that go wrong on demand."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.data.items import BadItem, Dropped, FactorKind, Item, Scale, Sequence
from ablate.data.splits import SplitOptions
from ablate.data.windows import WindowOptions
from ablate.registry import DATASETS


@dataclass(frozen=True, kw_only=True)
class ToyOptions(SplitOptions, WindowOptions):
    """`bad`, `dropped`: numbers of items. `die`: a process other than this one ends at item 3."""

    count: int = 40
    speakers: int = 20
    length: int = 30
    scale: str = "standard"
    bad: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    die: int = 0
    offset: float = 0.0


@DATASETS("toy", options=ToyOptions)
class Toy:
    """Numbers that say which item and frame they belong to."""

    def __init__(self, options: ToyOptions):
        self.options = options
        self.frame = (3,)
        self.factors: dict[str, FactorKind] = {"speaker": "static", "third": "frame", "parity": "clip", "side": "apart"}
        self.classes = {"third": ["a", "b", "c"]}
        self.unit = "speaker"
        self.scale: Scale = options.scale  # type: ignore[assignment]

    def items(self) -> list[Item]:
        """Items 0 .. count - 1, by turns of the speakers."""
        speakers = self.options.speakers
        return [
            Item(str(at), f"s{at % speakers}", path=None, source="generator=toy@1", part=at)
            for at in range(self.options.count)
        ]

    def load(self, item: Item) -> Sequence:
        """x[t, d] = item + t / 100 + d * 1000; the third bin is constant."""
        if item.part in self.options.bad:
            raise BadItem(f"item {item.part} is bad")
        if item.part in self.options.dropped:
            raise Dropped("of no use")
        if item.part == 3 and self.options.die and os.getpid() != self.options.die:
            os._exit(1)
        frames = np.arange(self.options.length)
        x = item.part + frames[:, None] / 100 + np.arange(3) * 1000.0 + self.options.offset
        x[:, 2] = 5
        factors: dict[str, str | int | np.ndarray | None] = {
            "speaker": item.group,
            "third": frames % 3,
            "parity": "odd" if item.part % 2 else "even",
            "side": None if item.part == 7 else "left",
        }
        return Sequence(x.astype(np.float32), factors)


def files_below(root: Path) -> list[str]:
    """Relative paths of all files, sorted."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
