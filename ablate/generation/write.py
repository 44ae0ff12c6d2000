"""`ablate generate`: what a trained run makes, into a folder of arrays, pictures and sounds."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablate import pictures
from ablate.data.audio import write_wav
from ablate.data.dataset import Data, Split
from ablate.errors import Mistake
from ablate.generation.modes import GRIDS, MODES, SPAN, Made, Maker, make, mode_of
from ablate.generation.run import Run, open_run
from ablate.metrics.pictures import caption, pick, visible
from ablate.registry import unknown
from ablate.training.validation import likelihood

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Asked:
    """What is to be made; None leaves a number to the mode."""

    mode: str = "unconditional"
    count: int | None = None  # sequences made
    length: int | None = None  # frames of each; the window of the data
    prefix: int | None = None  # frames that a prediction reads; half the window
    split: str = "test"
    items: tuple[str, ...] = ()  # whose middle windows are read; drawn where none is named
    seed: int = 0


@dataclass(frozen=True)
class Read:
    """The windows that a mode starts from."""

    x: Tensor  # (N, T, *frame)
    names: list[str]  # (N,)
    whole: tuple[Tensor, ...]  # (N,) of (W, T, *frame): all windows of each one's sequence


def generate(name: str, folder: Path, asked: Asked, out: Path) -> list[Path]:
    """Make what is asked of the run of this name and write it into `out`; returns the files. Raises Mistake."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Mistake(f"--out {out} is there already; name another, for nothing is written over")
    mode_of(asked.mode)
    run = open_run(name, folder)
    asked = settled(asked, run)
    read = chosen(asked, run)
    maker = Maker(run.model, likelihood(run.trial), asked.seed, read.whole if asked.mode == "replacement" else ())
    given = read.x[:, : asked.prefix] if asked.mode == "prediction" else read.x
    assert asked.count is not None and asked.length is not None
    made = make(asked.mode, maker, given, asked.count, asked.length)
    out.mkdir(parents=True, exist_ok=True)
    files = [arrays(out, run.data, made, read), *seen(out, run.data, made, read, asked), *heard(out, run.data, made)]
    return [*files, manifest(out, run, asked, read, files)]


def settled(asked: Asked, run: Run) -> Asked:
    """With every number filled in; raises Mistake for what the mode, the model or the data do not allow."""
    mode = mode_of(asked.mode, run.model, run.trial.model.name)
    window, sentences = run.data.train.window, []
    count = asked.count if asked.count is not None else mode.count
    length = asked.length if asked.length is not None else window
    prefix = asked.prefix if asked.prefix is not None else max(1, window // 2)
    if count < mode.least:
        sentences.append(f"--count {count}: mode {asked.mode} makes at least {mode.least}")
    if length < 1 or (length != window and not (mode.lengths and getattr(run.model, "any_length", True))):
        sentences.append(f"--length {length}: in mode {asked.mode} this model makes {window} frames, as in its data")
    if asked.prefix is not None and asked.mode != "prediction":
        sentences.append(f"--prefix belongs to mode prediction, not {asked.mode}")
    if asked.mode == "prediction" and not 1 <= prefix < min(length, window + 1):
        sentences.append(f"--prefix {prefix}: must be at least 1, at most {window}, and less than --length {length}")
    if asked.split not in ("train", "valid", "test"):
        sentences.append("--split: " + unknown("split", asked.split, ["train", "valid", "test"]))
    if sentences:
        raise Mistake(*sentences)
    return replace(asked, count=count, length=length, prefix=prefix if asked.mode == "prediction" else None)


def chosen(asked: Asked, run: Run) -> Read:
    """The windows that the mode reads: those of the named items, else of items drawn from the seed, each once."""
    assert asked.count is not None
    mode, split = MODES[asked.mode], getattr(run.data, asked.split)
    wanted = asked.count if mode.reads is None else mode.reads
    unknowns = [unknown("item", its, split.items) for its in asked.items if its not in split.items]
    if unknowns:
        raise Mistake(*(f"--item: {sentence}" for sentence in unknowns))
    if asked.items and len(asked.items) != wanted:
        raise Mistake(f"--item: mode {asked.mode} reads {wanted} sequences here, not {len(asked.items)}")
    rows = np.array([middle(split, its) for its in asked.items]) if asked.items else pick(split, asked.seed, wanted)
    if len(rows) < wanted:
        raise Mistake(f"--count {asked.count}: the {asked.split} split has {len(rows)} sequences to read")
    names = [f"{split.items[split.sequence[row]]}" for row in rows]
    empty = torch.zeros(0, split.window, *run.data.frame)
    labels = [caption(run.data, split, row) for row in rows] if len(set(names)) == len(names) else names
    whole = tuple(split.x(np.flatnonzero(split.sequence == split.sequence[row])) for row in rows)
    return Read(split.x(rows) if wanted else empty, labels, whole)


def middle(split: Split, item: str) -> int:
    """The middle window of an item."""
    windows = np.flatnonzero(split.sequence == split.items.index(item))
    return int(windows[len(windows) // 2])


def arrays(out: Path, data: Data, made: Made, read: Read) -> Path:
    """`made.npz`: `x_hat`, and `x` it started from, in raw units (pictures in [0, 1]); codes as `code_f`."""
    file = out / "made.npz"
    named: dict[str, Any] = {"x_hat": data.denormalise(made.x_hat), "x": data.denormalise(read.x.numpy())}
    named |= {f"code_{name}": code for name, code in made.codes.items()}
    np.savez(file, **named)
    return file


def seen(out: Path, data: Data, made: Made, read: Read, asked: Asked) -> list[Path]:
    """`made.png`, of pictures also `made.gif`; of predictions what followed in truth, above each."""
    frame_ms = getattr(data.dataset.options, "hop_ms", None)
    x, x_hat = visible(data, read.x.numpy()), visible(data, made.x_hat)
    contents = {}
    if asked.mode in GRIDS:
        contents["made.png"] = pictures.swap_grid(x, x_hat, read.names, frame_ms=frame_ms)
    else:
        rows, names = x_hat, labels(asked, read, len(x_hat))
        if asked.mode == "prediction" and asked.length == x.shape[1]:
            rows = np.stack([x, x_hat], axis=1).reshape(-1, *x.shape[1:])
            names = [its for name in read.names for its in (name, "predicted")]
        title = f"{asked.mode}, seed {asked.seed}"
        contents["made.png"] = pictures.gallery(rows, names, title=title, frame_ms=frame_ms, marked=asked.prefix or 0)
    if x_hat.ndim > 4:
        clips = x_hat.reshape(-1, *x_hat.shape[-4:])
        contents["made.gif"] = pictures.animation(clips)
    for name, content in contents.items():
        (out / name).write_bytes(content)
    return [out / name for name in contents]


def labels(asked: Asked, read: Read, count: int) -> list[str]:
    """A name per sequence that was made."""
    if asked.mode == "interpolation":
        return [read.names[0], *[f"{i / (count - 1):.2f}" for i in range(1, count - 1)], read.names[1]]
    if asked.mode == "prediction":
        return read.names
    if asked.mode.startswith("traversal"):
        latent, offsets = asked.mode[-1], np.linspace(-SPAN, SPAN, count)
        return [f"{latent} of {read.names[0]} {offset:+.1f}" for offset in offsets]
    kept = {"conditional-f": "f", "conditional-z": "z"}.get(asked.mode)
    return [f"{kept} of {read.names[0]}, {i + 1}" if kept else str(i + 1) for i in range(count)]


def heard(out: Path, data: Data, made: Made) -> list[Path]:
    """`made_1.wav`, ..., of grids `made_1_2.wav` (f of 1, z of 2); none where the data are no sound."""
    files = []
    lead = made.x_hat.ndim - 1 - len(data.frame)  # axes before (T, *frame)
    for index in np.ndindex(*made.x_hat.shape[:lead]):
        sound = data.sound(made.x_hat[index])
        if sound is not None:
            files.append(write_wav(out / f"made_{'_'.join(str(i + 1) for i in index)}.wav", *sound))
    return files


def manifest(out: Path, run: Run, asked: Asked, read: Read, files: list[Path]) -> Path:
    """`manifest.json`: the run, its weights by their digest, and all that was asked."""
    known: dict[str, Any] = {
        "checkpoint": str(run.file),
        "sha256": run.digest,
        "cell": run.cell,
        "model": run.trial.model.name,
        "data": run.trial.data.name,
        "data_digest": run.data.digest,
        **{name: getattr(asked, name) for name in ("mode", "count", "length", "prefix", "split", "seed")},
        "read": read.names,
        "files": [its.name for its in files],
    }
    file = out / MANIFEST
    file.write_text(json.dumps(known, indent=1) + "\n")
    return file
