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

    `memmap_us` reads rows of an np.memmap (n, 20, 80) into a tensor, `store_us` the same windows out of the store, `batch_us`
    the normalised batch that training gets. `ratio` and `batch_ratio` compare with the memmap: 1 is as fast, 2 twice as slow.
    """
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((FRAMES, DIMENSION), np.float32)
    rows = rng.integers(FRAMES // WINDOW, size=(batches, BATCH))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plain.bin")
        frames.tofile(path)
        plain = np.memmap(path, np.float32, mode="r", shape=(FRAMES // WINDOW, WINDOW, DIMENSION))
        split = _stored(frames, Path(folder))
        ways: dict[str, Callable[[np.ndarray], torch.Tensor]] = {
            "memmap": lambda batch: torch.from_numpy(plain[batch]),
            "store": lambda batch: torch.from_numpy(split.raw(batch)),
            "batch": split.x,
        }
        if not torch.equal(ways["memmap"](rows[0]), ways["store"](rows[0])):
            raise RuntimeError("the store gives other numbers than were written")
        taken = _interleaved(
            {name: lambda way=way: [way(batch) for batch in rows] for name, way in ways.items()}, repeats
        )
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
        work = {"features": lambda: [spectra(*read_audio(path), options) for path in paths]}
        work["features"]()  # imports
        seconds = _interleaved(work, repeats)["features"]
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
    return Split(["all"], [None], np.zeros_like(first), first, WINDOW, {}, {}, {}, first, views, scaling)
