"""Checkpoints that survive a kill at any moment and a full disk: written beside, synced, then renamed."""

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from ablate.errors import Mistake

log = logging.getLogger(__name__)
CONFIGURATION = "configuration.json"  # beside the checkpoints


class FolderBusy(ConnectionError):
    """Another process still writes into the folder: an infrastructure fault, tried again."""


def save(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Write `<folder>/<name>.pt` atomically.

    Raises OSError with the path (ENOSPC, EDQUOT, EFBIG); the previous file then stays.
    """
    partial = folder / f".{name}.partial"
    try:
        with open(partial, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / f"{name}.pt")
    except OSError as error:  # a write to an open file does not say to which
        raise OSError(error.errno, error.strerror or str(error), str(partial)) from error
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(folder: Path, cell: str, names: tuple[str, ...] = ("last", "best")) -> dict[str, Any] | None:
    """The newest readable state of this cell, or None; a damaged file or another cell's is passed over in one line."""
    for name in names:
        path = folder / f"{name}.pt"
        if not path.exists():
            continue
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            owner = state["cell"]
        except Exception as error:  # a truncated file fails in many ways, none of which may stop the run
            log.warning("%s cannot be read (%s); going on without it", path, type(error).__name__)
            continue
        if owner == cell:
            return state
        log.warning("%s belongs to another cell (%s...); starting afresh", path, owner[:8])
    return None


def last_epoch(folder: Path, cell: str) -> int:
    """Epochs completed according to the checkpoint; 0 without one."""
    state = load(folder, cell)
    return 0 if state is None else int(state["epoch"])


def weights(path: Path) -> dict[str, torch.Tensor]:
    """Model weights of a run: `path` is a checkpoint, or a folder that holds `best.pt`. Raises Mistake for others."""
    return owned_weights(path / "best.pt" if path.is_dir() else path)[1]


def owned_weights(file: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Key of the cell that a checkpoint is of (empty in a file that does not say), and its model weights."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        return state.get("cell", ""), state["model"]
    except Exception as error:  # a file that is damaged, or something else, fails in many ways
        raise Mistake(f"{file} holds no weights that can be read ({type(error).__name__})") from error


def describe(folder: Path, cell: str, trial: dict[str, Any]) -> None:
    """Write what the checkpoints of the folder are of: the cell's key and its plain configuration. Raises OSError."""
    partial = folder / f".{CONFIGURATION}.partial"
    partial.write_text(json.dumps({"cell": cell, "trial": trial}, indent=1) + "\n")
    os.replace(partial, folder / CONFIGURATION)


def described(folder: Path) -> tuple[str, dict[str, Any]] | None:
    """The cell's key and its plain configuration; None where none can be read."""
    try:
        found = json.loads((folder / CONFIGURATION).read_text())
        return found["cell"], found["trial"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextlib.contextmanager
def only_writer(folder: Path, wait: float = 60.0) -> Iterator[None]:
    """Hold the folder's lock. The trial process of a killed sweep may go on writing for some seconds: wait for it."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait
    with open(folder / "lock", "a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise FolderBusy(f"{folder} is still written by another process after {wait:.0f} s") from None
                time.sleep(0.1)
        yield
