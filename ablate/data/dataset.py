"""Prepared data as the rest of the house sees them: splits of windows, read from the store without copying twice."""

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided

from ablate.data import store
from ablate.data.items import Dataset, FactorKind, Item
from ablate.data.prepare import check_bad, entry_key, prepare
from ablate.data.sources import source_lines
from ablate.data.splits import SPLITS, SplitOptions, assign
from ablate.data.windows import cut, rows_of
from ablate.errors import Mistake
from ablate.registry import DATASETS


@dataclass(frozen=True)
class Report:
    """What was left out and how the splits were made."""

    total: int  # items found
    skipped: list[tuple[str, str]]  # bad items and why
    dropped: dict[str, int]  # items of no use, counted by reason
    warnings: list[str]
    split_note: str

    def lines(self) -> list[str]:
        """For people, most important first."""
        lines = [self.split_note] if self.split_note else []
        lines += [f"{count} of {self.total} items dropped: {reason}" for reason, count in self.dropped.items()]
        lines += [f"skipped {item}: {reason}" for item, reason in self.skipped]
        return lines + self.warnings


@dataclass(frozen=True)
class Scaling:
    """How raw features become what models see: (x - mean) / sd per bin, or uint8 to [-1, 1], or as they are."""

    kind: str
    mean: np.ndarray  # (D,) float32
    inverse_sd: np.ndarray  # (D,) float32
    sd: np.ndarray  # (D,) float32

    def apply(self, raw: np.ndarray) -> torch.Tensor:
        """Raw (B, T, *frame), which is overwritten, to a normalised float32 tensor of the same shape."""
        x = torch.from_numpy(raw)
        if self.kind == "pictures":
            return x.to(torch.float32).mul_(2 / 255).sub_(1)
        if self.kind == "standard":
            return x.sub_(self._mean).mul_(self._inverse_sd)
        return x

    def undo(self, x: np.ndarray) -> np.ndarray:
        """Features in raw units; pictures in [0, 1]."""
        if self.kind == "pictures":
            return ((x + 1) / 2).clip(0, 1)
        return x * self.sd + self.mean if self.kind == "standard" else x

    @cached_property
    def _mean(self) -> torch.Tensor:
        return torch.from_numpy(self.mean)

    @cached_property
    def _inverse_sd(self) -> torch.Tensor:
        return torch.from_numpy(self.inverse_sd)


@dataclass(frozen=True, eq=False)
class Split:
    """The windows of one split. Rows are window numbers, 0 .. n-1."""

    items: list[str]  # ids, in natural order
    groups: list[str | None]  # speaker or character of each item
    sequence: np.ndarray  # (n,) item of each window
    starts: np.ndarray  # (n,) first frame of each window within its item
    window: int
    static: dict[str, np.ndarray]  # class of each item, (n_items,), -1 = unknown
    clip: dict[str, np.ndarray]
    apart: dict[str, np.ndarray]
    first: np.ndarray = field(repr=False)  # (n,) first frame of each window in the store
    views: dict[str, np.ndarray] = field(repr=False)  # `x` and frame factors: (N - T + 1, T, ...) overlapping windows
    scaling: Scaling = field(repr=False)
    peaks: np.ndarray | None = field(
        default=None, repr=False
    )  # (n,) by whose square a window is divided; None: by none

    @property
    def n(self) -> int:
        """Number of windows."""
        return len(self.first)

    @cached_property
    def segments(self) -> np.ndarray:
        """Windows that were cut from each item, (n_items,)."""
        return np.bincount(self.sequence, minlength=len(self.items))

    def x(self, rows: Any) -> torch.Tensor:
        """Normalised windows, (B, T, *frame) float32, contiguous and the caller's own. `rows` is (B,) or a slice."""
        x = self.scaling.apply(self.raw(rows))
        if self.peaks is None:
            return x
        squares = torch.from_numpy(np.atleast_1d(self.peaks[rows]) ** 2)
        return x.div_(squares.reshape(-1, *[1] * (x.ndim - 1)))

    def whole(self, rows: Any) -> torch.Tensor:
        """Adjoining windows as one sequence, (1, B T, *frame) float32, at the level of their recording."""
        return self.scaling.apply(self.raw(rows)).flatten(0, 1).unsqueeze(0)

    def raw(self, rows: Any) -> np.ndarray:
        """Windows as they are stored, (B, T, *frame): one copy from the mapped file."""
        return self.views["x"][self._starts(rows)]

    def frame_labels(self, name: str, rows: Any) -> np.ndarray:
        """Classes of a frame factor, (B, T), -1 = none."""
        return self.views[name][self._starts(rows)]

    def _starts(self, rows: Any) -> np.ndarray:
        """First frames (B,) as an array, which copies where a bare number would give a view of the mapped file."""
        return np.atleast_1d(self.first[rows if isinstance(rows, slice) else np.asarray(rows)])


@dataclass(frozen=True, eq=False)
class Data:
    """A prepared dataset."""

    train: Split
    valid: Split
    test: Split
    frame: tuple[int, ...]
    factors: dict[str, FactorKind]
    labels: dict[str, list[str]]  # class names per factor
    digest: str  # 64 hex digits of sources and splits (statistics.md 1.2)
    report: Report
    scaling: Scaling = field(repr=False)
    dataset: Dataset = field(repr=False)
    train_frames: list[np.ndarray] = field(repr=False)  # raw frames of each training item, mapped
    sources: dict[str, Item] = field(default_factory=dict, repr=False)  # id -> item, as it was found

    def summary(self) -> str:
        """What was found, left out and split in which way: a page of text for the record."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        sizes = [
            f"{name}: {len(its.items)} items, {its.n} windows of {its.window} frames" for name, its in splits.items()
        ]
        head = [f"{self.report.total} items found", *sizes, f"digest {self.digest}"]
        return "".join(f"{line}\n" for line in [*head, *self.report.lines()])

    def mean_frame(self) -> torch.Tensor:
        """Mean of the normalised training frames, (*frame) float32; zero for standardised features."""
        if self.scaling.kind == "standard":
            return torch.zeros(self.frame)
        if self.train.peaks is not None:  # every window has a scale of its own
            batches = np.array_split(np.arange(self.train.n), -(-self.train.n // 256))
            sums = sum(self.train.x(rows).sum(dim=(0, 1), dtype=torch.float64) for rows in batches)
            return (torch.as_tensor(sums) / (self.train.n * self.train.window)).to(torch.float32)
        total = sum(frames.sum(axis=0, dtype=np.float64) for frames in self.train_frames)
        mean = np.asarray(total) / sum(map(len, self.train_frames))
        return torch.from_numpy((mean * 2 / 255 - 1 if self.scaling.kind == "pictures" else mean).astype(np.float32))

    def denormalise(self, x: Any) -> np.ndarray:
        """What models see, (..., *frame), in raw units; pictures in [0, 1]."""
        return self.scaling.undo(np.asarray(x, np.float32))

    def sound(self, x: Any) -> tuple[np.ndarray, int] | None:
        """Waveform (S,) and rate in Hz of normalised features (L, D); None where the data are no sound."""
        resynthesise = getattr(self.dataset, "resynthesise", None)
        return resynthesise(self.denormalise(x)) if resynthesise else None

    def rephased(self, x: Any, item: str) -> tuple[np.ndarray, np.ndarray] | None:
        """The recording of an item and the sound of its normalised features (L, D) under its phase, (S,) both.

        L frames are the first ones of the item. None where the data are no sound, or features without a way back.
        """
        its: Any = self.dataset
        if not hasattr(its, "rephased"):
            return None
        found: tuple[np.ndarray, np.ndarray] | None = its.rephased(
            self.denormalise(x), its.recording(self.sources[item])
        )
        return found

    @property
    def joints(self) -> int:
        """Of how many joints a frame holds the positions, in metres; 0 for other data."""
        return int(getattr(self.dataset, "joints", 0))


def load_data(named: tuple[str, Any], *, progress: bool = False, workers: int | None = None) -> Data:
    """The dataset `name` with these options, prepared into the store if it is not there; raises Mistake."""
    name, options = named
    dataset: Dataset = DATASETS[name].make(options)
    items = dataset.items()
    lines = source_lines(items)
    key = entry_key(name, options, items, lines)
    entry = store.find(name, key) or prepare(name, key, dataset, items, lines, progress, workers)
    check_bad(entry.meta["skipped"], entry.meta["total"], options.max_bad, name)
    return _arrange(name, dataset, items, entry)


def prepared(named: tuple[str, Any]) -> bool:
    """Whether the store holds the dataset `name` with these options already; raises Mistake for its items."""
    name, options = named
    items = DATASETS[name].make(options).items()
    return store.find(name, entry_key(name, options, items, source_lines(items))) is not None


def _arrange(name: str, dataset: Dataset, items: list[Item], entry: store.Entry) -> Data:
    """Splits, windows and scaling over an entry of the store."""
    window = dataset.options.window
    lengths = np.asarray(entry.items["length"])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    long_enough = np.flatnonzero(lengths >= window)
    dropped = Counter(entry.meta["dropped"])
    dropped[f"shorter than a window of {window} frames"] += len(lengths) - len(long_enough)
    stored = [items[row] for row in entry.items["row"]]
    used = [stored[row] for row in long_enough]
    options = dataset.options if isinstance(dataset.options, SplitOptions) else SplitOptions()
    splits, note = assign(used, options, dataset.unit)
    rows = {split: long_enough[[its == split for its in splits]] for split in SPLITS}
    counts = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
    remedy = "; lower data.window" if len(long_enough) < len(lengths) else ""
    if not all(map(len, rows.values())):
        left_out = "".join(f"; {count} are {reason}" for reason, count in (+dropped).items())
        raise Mistake(f"data {name}: a split is empty ({counts} of {entry.meta['total']} items{left_out}){remedy}.")
    train_frames = [entry.x[offsets[row] : offsets[row + 1]] for row in rows["train"]]
    scaling = _scaling(dataset, entry, rows["train"])
    views = {"x": windows_of(entry.x, window)} | {k: windows_of(labels, window) for k, labels in entry.frames.items()}
    made = {split: _split(dataset, entry, stored, rows[split], offsets, views, scaling, split) for split in SPLITS}
    skipped = [(item, reason) for item, reason in entry.meta["skipped"]]
    report = Report(entry.meta["total"], skipped, dict(+dropped), entry.meta["warnings"], note)
    digest = _digest(stored, entry, rows)
    frame = tuple(entry.x.shape[1:])
    classes = entry.meta["classes"]
    return Data(
        **made,
        frame=frame,
        factors=dataset.factors,
        labels=classes,
        digest=digest,
        report=report,
        scaling=scaling,
        dataset=dataset,
        train_frames=train_frames,
        sources={its.id: its for its in stored},
    )


def _split(
    dataset: Dataset,
    entry: store.Entry,
    stored: list[Item],
    rows: np.ndarray,
    offsets: np.ndarray,
    views: dict[str, np.ndarray],
    scaling: Scaling,
    name: str,
) -> Split:
    options, own = dataset.options, getattr(dataset, "starts", None)
    lengths = offsets[rows + 1] - offsets[rows]
    if own is not None:
        sequence, starts = rows_of([own(name, length) for length in lengths])
    else:
        sequence, starts = cut(lengths, options.window, options.shift if name == "train" else None)
    kinds: dict[str, Any] = {"static": {}, "clip": {}, "apart": {}}
    for factor, kind in dataset.factors.items():
        if kind != "frame":
            kinds[kind][factor] = np.asarray(entry.items[f"factor:{factor}"])[rows].astype(np.int64)
    ids, groups = [stored[row].id for row in rows], [stored[row].group for row in rows]
    first = offsets[rows][sequence] + starts
    cuts: dict[str, Any] = {"first": first, "views": views, "scaling": scaling, "peaks": _peaks(entry, first, options)}
    return Split(ids, groups, sequence, starts, options.window, **kinds, **cuts)


def _peaks(entry: store.Entry, first: np.ndarray, options: Any) -> np.ndarray | None:
    """Largest sample of every window, (n,) float32, 1 where all are zero; None where windows are left as they are."""
    if entry.peaks is None:
        return None
    peaks: np.ndarray = windows_of(entry.peaks, options.window)[first].max(axis=1)
    return np.where(peaks > 0, peaks, np.float32(1))


def windows_of(frames: np.ndarray, window: int) -> np.ndarray:
    """Every window of (N, ...) as a view of it, (N - T + 1, T, ...); taking rows of it copies them once."""
    shape = (len(frames) - window + 1, window, *frames.shape[1:])
    return as_strided(frames, shape, (frames.strides[0], *frames.strides), writeable=False)


def _scaling(dataset: Dataset, entry: store.Entry, rows: np.ndarray) -> Scaling:
    """Mean and sd per bin over the frames of the training items; a constant bin keeps sd 1."""
    width = math.prod(entry.x.shape[1:])
    mean, sd = np.zeros(width), np.ones(width)
    if dataset.scale == "standard":
        total, squares = np.split(np.asarray(entry.items["moments"])[rows].sum(axis=0), 2)
        count = np.asarray(entry.items["length"])[rows].sum()
        mean = total / count
        sd = np.sqrt(np.maximum(squares / count - mean**2, 0))
        sd[sd < 1e-6 * np.maximum(1, np.abs(mean))] = 1
    shape = entry.x.shape[1:]
    mean32, inverse, sd32 = (part.astype(np.float32).reshape(shape) for part in (mean, 1 / sd, sd))
    return Scaling(dataset.scale, mean32, inverse, sd32)


def _digest(stored: list[Item], entry: store.Entry, rows: dict[str, np.ndarray]) -> str:
    """SHA-256 of the sources of all items used, sorted, and then of the split lists with what is known of each item."""
    used = sorted({entry.items["source"][row] for split in SPLITS for row in rows[split]})
    lists = [
        "\t".join([split, stored[row].id, *(f"{name}={text}" for name, text in sorted(stored[row].labels.items()))])
        for split in SPLITS
        for row in rows[split]
    ]
    return hashlib.sha256("".join(f"{line}\n" for line in ["ablate-data 1", *used, *lists]).encode()).hexdigest()
