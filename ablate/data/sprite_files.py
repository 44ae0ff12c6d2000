"""Single `.sprite` files: eight frames of one character, as a tensor or a dict with labels; never unpickled."""

import hashlib
import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ablate.data.items import BadItem

SHAPE = (8, 3, 64, 64)
HEADER, PAYLOAD = 326, 4 * 8 * 3 * 64 * 64  # bytes of PyTorch's legacy serialisation around the float32 values
KEYS = (slice(217, 231), slice(300, 314))  # where the header repeats the storage's own key
MASKED = (
    "3f4876b5c2a4bf0dd57b6b09765693261c4c4019895af475e7d06b1fe110c87a"  # SHA-256 of the header with the keys blanked
)
LABELS = ("body", "shirt", "pant", "hair", "action")


def read_sprite(path: Path) -> tuple[np.ndarray, dict[str, int]]:
    """Pixels uint8 (8, 3, 64, 64), and the labels where the file has some; raises BadItem for anything else.

    Format, header template and value law: data.md 2.1. A published dict has the keys of `LABELS` and `sprite`.
    """
    content = path.read_bytes()
    values, labels = (_payload(content), {}) if _is_usual(content) else _load(path)
    if not np.isfinite(values).all():
        raise BadItem("pixels that are not finite")
    pixels = np.rint((values / 2 + 0.5) * 255)
    if np.abs(pixels * 2 / 255 - 1 - values).max() > 1e-4 or pixels.min() < 0 or pixels.max() > 255:
        raise BadItem(
            f"pixels from {values.min():g} to {values.max():g} that are not 2 k / 255 - 1 with k from 0 to 255"
        )
    return pixels.astype(np.uint8), labels


def _is_usual(content: bytes) -> bool:
    """Whether the bytes are the published form, whose payload can be taken as it lies."""
    if len(content) != HEADER + PAYLOAD:
        return False
    header = bytearray(content[:HEADER])
    for key in KEYS:
        header[key] = bytes(key.stop - key.start)
    return hashlib.sha256(header).hexdigest() == MASKED


def _payload(content: bytes) -> np.ndarray:
    return np.frombuffer(content, "<f4", offset=HEADER).reshape(SHAPE)


def _load(path: Path) -> tuple[np.ndarray, dict[str, int]]:
    """Any other serialisation of a tensor or of a dict with `sprite` and labels, by PyTorch's restricted unpickler."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols of files that are then refused
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch raise almost anything
        raise BadItem(f"no tensor that can be loaded safely ({_reason(error)})") from error
    labels = {}
    if isinstance(held, dict):
        labels = {name: _label(name, held[name]) for name in LABELS if name in held}
        held = held.get("sprite")
    if not isinstance(held, torch.Tensor) or tuple(held.shape) != SHAPE or not held.is_floating_point():
        shape = f" of shape {tuple(held.shape)}" if isinstance(held, torch.Tensor) else ""
        raise BadItem(f"holds a {type(held).__name__}{shape}, not floats of shape {SHAPE}")
    return held.to(torch.float32).contiguous().numpy(), labels


def _reason(error: Exception) -> str:
    """What torch says, in one line; of a pickle that it refuses, the name inside that it refuses."""
    text = str(error).strip()
    if isinstance(error, pickle.UnpicklingError):
        name = re.search(r"GLOBAL (\S+)", text)
        return f"a pickle of something else, {name.group(1)}" if name else "a pickle of something else"
    if isinstance(error, EOFError):
        return "the file is empty or cut off"
    return text.partition("\n")[0][:120] or repr(error)


def _label(name: str, value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise BadItem(f"label {name} is no integer") from error
