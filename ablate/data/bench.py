"""How fast prepared data are read, against a plain numpy memmap, and how fast audio becomes features."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ablate.data.audio import AudioOptions, spectra
from ablate.data.dataset import Scaling, Split, windows_of
from ablate.data.recordings import read_audio
from ablate.data.store import Writer, map_entry

FRAMES, DIMENSION, WINDOW, BATCH = 200_000, 80, 20, 32  # 64 MB: more than the caches of a processor hold
RATE, SECONDS, FILES = 16_000, 10, 12


def read_rate(repeats: int = 9, batches: int = 400) -> dict[str, float]:
    """Microseconds of process CPU time per random batch (32, 20, 80): median of interleaved repeats.

    `memmap_us` reads rows of an np.memmap (n, 20, 80) into a tensor, `store_us` the same windows out of the store,
    `batch_us` the normalised batch that training gets. `ratio` and `batch_ratio` compare with the memmap: 2 is twice as
    slow.
    """
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((FRAMES, DIMENSION), np.float32)
    rows = rng.integers(FRAMES // WINDOW, size=(batches, BATCH))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plain.bin")
        frames.tofile(path)
        plain = np.memmap(path, np.float32, mode="r", shape=(FRAMES // WINDOW, WINDOW, DIMENSION))
        split = _stored(frames, Path(folder))
        if not np.array_equal(plain[rows[0]], split.raw(rows[0])):
            raise RuntimeError("the store gives other numbers than were written")
        ways: dict[str, Callable[[], object]] = {
            "memmap": lambda: [torch.from_numpy(plain[batch]) for batch in rows],
            "store": lambda: [torch.from_numpy(split.raw(batch)) for batch in rows],
            "batch": lambda: [split.x(batch) for batch in rows],
        }
        taken = _interleaved(ways, repeats)
    cost = {f"{name}_us": 1e6 * seconds / batches for name, seconds in taken.items()}
    return cost | {
        "ratio": cost["store_us"] / cost["memmap_us"],
        "batch_ratio": cost["batch_us"] / cost["memmap_us"],
    }


def extraction_rate(repeats: int = 5) -> dict[str, float]:
    """Hours of audio read from 16-bit wav files and turned into log-mel features per minute of one core.

    CPU time of the process; median of the repeats.
    """
    import soundfile

    options = AudioOptions()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, f"{number}.wav") for number in range(FILES)]
        for path in paths:
            soundfile.write(path, 0.1 * rng.standard_normal(RATE * SECONDS), RATE, subtype="PCM_16")
        spectra(*read_audio(paths[0]), options)  # imports
        seconds = _interleaved({"features": lambda: [spectra(*read_audio(p), options) for p in paths]}, repeats)[
            "features"
        ]
    return {"hours_per_core_minute": FILES * SECONDS / 3600 / (seconds / 60), "seconds_per_hour": seconds * 30}


def _interleaved(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each way, run in turn so that a slow moment meets all of them."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.process_time()
            way()
            taken[name].append(time.process_time() - started)
    return {name: median(seconds) for name, seconds in taken.items()}


def _stored(frames: np.ndarray, folder: Path) -> Split:
    """The frames as one sequence of an entry of the store, cut into adjoining windows."""
    with Writer(folder) as writer:
        writer.append(frames, {})
        writer.finish({"id": ["all"]}, {})
    entry = map_entry(folder)
    first = np.arange(0, FRAMES, WINDOW)
    mean, ones = np.zeros(DIMENSION, np.float32), np.ones(DIMENSION, np.float32)
    scaling = Scaling("standard", mean, ones, ones)
    views = {"x": windows_of(entry.x, WINDOW)}
    return Split(
        items=["all"], groups=[None], sequence=np.zeros_like(first), starts=first, window=WINDOW, static={}, clip={},
        apart={}, first=first, views=views, scaling=scaling,
    )  # fmt: skip
