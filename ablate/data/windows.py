"""Windows of fixed length over sequences of varying length, and the labels of frames."""

from dataclasses import dataclass, field

import numpy as np

from ablate.data.items import NO_LABEL


@dataclass(frozen=True, kw_only=True)
class WindowOptions:
    """How sequences are cut, and how many bad files are put up with. None of this is part of the stored features."""

    window: int = field(default=20, metadata={"ge": 1, "prepare": False})  # frames
    shift: int = field(default=5, metadata={"ge": 1, "prepare": False})  # frames between training windows
    max_bad: float = field(default=0.01, metadata={"ge": 0, "le": 1, "prepare": False})  # share of bad files


def training_starts(length: int, window: int, shift: int) -> np.ndarray:
    """Starts 0, shift, 2 shift, ... and a last window that ends with the sequence: every frame is seen."""
    if length < window:
        return np.zeros(0, np.int64)
    starts = np.arange(0, length - window + 1, shift)
    return starts if starts[-1] == length - window else np.append(starts, length - window)


def evaluation_starts(length: int, window: int) -> np.ndarray:
    """Adjoining windows: no frame counts twice, and a remainder shorter than a window is left out."""
    return np.arange(0, length - window + 1, window)


def cut(lengths: np.ndarray, window: int, shift: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Row of the sequence and start of every window, (n,) each; `shift` None cuts for evaluation."""
    return rows_of(
        [evaluation_starts(n, window) if shift is None else training_starts(n, window, shift) for n in lengths]
    )


def rows_of(starts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Row of the sequence and start of every window, (n,) each, from the starts within every sequence."""
    rows = np.repeat(np.arange(len(starts)), [len(s) for s in starts])
    return rows, np.concatenate([np.zeros(0, np.int64), *starts]).astype(np.int64)


def frame_labels(
    starts: np.ndarray, stops: np.ndarray, labels: np.ndarray, n_frames: int, rf: int = 400, stride: int = 320
) -> tuple[np.ndarray, np.ndarray]:
    """Label of every frame from labelled intervals, and whether the frame spans two different labels; (n_frames,) each.

    Frame i covers the samples [stride i, stride i + rf) and takes the label at its centre; -1 where no interval covers
    the centre (decvae.md 1.5 writes -100). Intervals [start, stop) are in samples, sorted, and do not overlap.
    """
    begin = np.arange(n_frames) * stride
    centre = begin + rf // 2
    at = np.searchsorted(starts, centre, side="right") - 1  # the last interval that has begun
    inside = (at >= 0) & (centre < stops[at])
    first = np.searchsorted(stops, begin, side="right")  # first interval that ends inside or after the frame
    last = np.searchsorted(starts, begin + rf, side="left") - 1  # last one that starts before the frame's end
    changes = np.concatenate([[0], np.cumsum(labels[1:] != labels[:-1])])
    top = len(labels) - 1
    overlap = (last > first) & (changes[last.clip(0, top)] > changes[first.clip(0, top)])
    return np.where(inside, labels[at], NO_LABEL), overlap
