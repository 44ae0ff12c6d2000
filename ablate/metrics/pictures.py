"""Pictures and sounds of a trained model: originals and reconstructions, swaps of f and z."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ablate import pictures
from ablate.data.audio import write_wav
from ablate.losses.recon import FLOOR, Likelihood
from ablate.metrics.evaluate import decode, encode, reconstruct
from ablate.random import permutation

if TYPE_CHECKING:
    from ablate.data.dataset import Data, Split

SHOWN = 4  # sequences in a picture


def draw(
    model: Any,
    data: Data,
    split_name: str,
    folder: Path,
    seed: int = 0,
    device: torch.device | str = "cpu",
    likelihood: Likelihood = "gaussian",
) -> list[Path]:
    """Write what can be seen and heard of the model on a split into `folder`; returns the files.

    `reconstructions.png`; with a static and a dynamic latent `swaps.png`; of speech `original.wav`,
    `reconstruction.wav` and (with both latents) `swap.wav`: the whole utterance with f, averaged over its windows, of
    another speaker. All three sounds are resynthesised from features. Sequences come from the stream `eval/pictures`,
    of different groups where there are enough. A model without a decoder leaves nothing. Raises OSError where the
    folder cannot be written.
    """
    if not hasattr(model, "decode"):
        return []
    split = getattr(data, split_name)
    folder.mkdir(parents=True, exist_ok=True)
    rows = pick(split, seed)
    x = split.x(rows)
    sample = encode(model, x, device)
    names = [caption(data, split, row) for row in rows]
    frame_ms = getattr(data.dataset.options, "hop_ms", None)
    originals = visible(data, x)
    copies = visible(data, reconstruct(model, sample, x, likelihood))
    files = {"reconstructions.png": pictures.reconstructions(originals, copies, names, frame_ms=frame_ms)}
    if swappable(model) and len(rows) > 1:
        swaps = visible(data, swapped(model, sample, likelihood))
        files["swaps.png"] = pictures.swap_grid(originals, swaps, names, frame_ms=frame_ms)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files] + sounds(model, data, split, folder, rows, device, likelihood)


def pick(split: Split, seed: int, count: int = SHOWN) -> np.ndarray:
    """Rows of up to `count` windows of different items, of different groups first; the middle window of each item."""
    order = permutation(len(split.items), seed, "eval/pictures").tolist()
    seen: set[str] = set()
    first: list[int] = []
    later: list[int] = []
    for item in order:
        group = split.groups[item] or split.items[item]
        (later if group in seen else first).append(item)
        seen.add(group)
    windows = [np.flatnonzero(split.sequence == item) for item in (first + later)[:count]]
    return np.array([its[len(its) // 2] for its in windows])


def caption(data: Data, split: Split, row: int) -> str:
    """Group of the window, or its item, and the classes of its clip: `SP12`, `character 345 walk front`."""
    item = split.sequence[row]
    group = split.groups[item] or split.items[item]
    by_name = (split.clip | split.apart).items()
    classes = [data.labels[name][its[item]] for name, its in by_name if its[item] >= 0]
    return " ".join([f"{data.dataset.unit} {group}" if group.isdecimal() else group, *classes])


def visible(data: Data, x: Any) -> np.ndarray:
    """What models see, (..., *frame), in raw units; power spectra as logarithms."""
    raw = data.denormalise(x)
    power = getattr(data.dataset.options, "features", None) == "power"
    return np.log(np.maximum(raw, FLOOR)) if power else raw


def swappable(model: Any) -> bool:
    """Whether there is an f and a z to swap."""
    return {"static", "dynamic"} <= set(model.latents.values())


def mix(model: Any, f_of: dict[str, Tensor], z_of: dict[str, Tensor]) -> dict[str, Tensor]:
    """Static latents of one sample with the dynamic ones of another."""
    return {name: f_of[name] if role == "static" else z_of[name] for name, role in model.latents.items()}


def swapped(model: Any, sample: dict[str, Tensor], likelihood: Likelihood) -> np.ndarray:
    """Every f with every z of N sequences: (N, N, T, *frame), f of the first index and z of the second."""
    count = len(next(iter(sample.values())))
    f, z = np.divmod(np.arange(count**2), count)
    mixed = mix(model, {k: code[f] for k, code in sample.items()}, {k: code[z] for k, code in sample.items()})
    x_hat = decode(model, mixed, likelihood)  # (N*N, T, *frame)
    return x_hat.reshape(count, count, *x_hat.shape[1:])


def sounds(
    model: Any,
    data: Data,
    split: Split,
    folder: Path,
    rows: np.ndarray,
    device: torch.device | str,
    likelihood: Likelihood,
) -> list[Path]:
    """The utterance of the first row, with f of that of the second, as wav files; none where the data are no sound."""
    x = split.x(windows_of(split, rows[0]))  # (W, T, D)
    original = data.sound(x.flatten(0, 1))
    if original is None:
        return []
    sample = encode(model, x, device)
    decoded = {"reconstruction": reconstruct(model, sample, x, likelihood)}
    if swappable(model) and len(rows) > 1:
        other = encode(model, split.x(windows_of(split, rows[1])), device)
        decoded["swap"] = transplanted(model, other, sample, likelihood)
    files = [write_wav(folder / "original.wav", *original)]
    for name, x_hat in decoded.items():
        sound = data.sound(x_hat.reshape(-1, *data.frame))
        if sound is not None:
            files.append(write_wav(folder / f"{name}.wav", *sound))
    return files


def transplanted(model: Any, f_of: dict[str, Tensor], z_of: dict[str, Tensor], likelihood: Likelihood) -> np.ndarray:
    """The W windows of one utterance with the mean f of the windows of another, (W, T, *frame)."""
    count = len(next(iter(z_of.values())))
    f = {name: f_of[name].mean(dim=0).expand(count, -1) for name, role in model.latents.items() if role == "static"}
    return decode(model, mix(model, f, z_of), likelihood)


def windows_of(split: Split, row: int) -> np.ndarray:
    """Windows of the item of a window, in order."""
    return np.flatnonzero(split.sequence == split.sequence[row])
