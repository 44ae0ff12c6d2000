"""A plugin with one loss term that fails where it is told to; loaded only in the processes of the studies below."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from ablate.registry import LOSSES

STEPS = 4  # per epoch, of the study in stage.py


@dataclass(frozen=True)
class FaultOptions:
    """What goes wrong, and what the test learns of it.

    Every process adds a line (kind, rank, pid) to the file `log`, and at the start of each epoch (epochs done, rank,
    digest of the weights) to `<log>.weights`.
    """

    kind: Literal["none", "nan", "raise"] = "none"
    epoch: int = 3
    rank: int = 1
    value: float = 0.0  # of the term on validation data
    pace: float = 0.0  # seconds that every training step takes at least
    log: str = field(default="", metadata={"identity": False})


@LOSSES("fault", options=FaultOptions, needs={"static"})
def fault(model: Any, batch: Any, out: Any, *, options: FaultOptions) -> Tensor:
    """Nothing, until the epoch in which one rank fails, (B,)."""
    nothing = 0.0 * out.sample["f"].sum(1)
    if batch.draw.prefix:  # evaluation
        return nothing + options.value
    rank = int(batch.draw.rows.start > 0)
    step = batch.draw.index[0]
    note(options, rank)
    if options.log and step % STEPS == 0:
        with Path(f"{options.log}.weights").open("a") as file:
            file.write(f"{step // STEPS} {rank} {digest(model)}\n")
    time.sleep(options.pace)
    if rank == options.rank and step >= STEPS * (options.epoch - 1):
        if options.kind == "raise":
            raise ValueError(f"a mistake in the code of rank {rank}")
        if options.kind == "nan":
            return nothing + float("nan")
    return nothing


def digest(model: nn.Module) -> str:
    """Of all weights, bit for bit."""
    its = hashlib.sha256()
    for name, value in model.state_dict().items():
        its.update(name.encode() + value.numpy().tobytes())
    return its.hexdigest()[:16]


_noted: set[str] = set()


def note(options: FaultOptions, rank: int) -> None:
    """Tell the test, once per process and kind, who trains."""
    if options.log and options.kind not in _noted:
        _noted.add(options.kind)
        with Path(options.log).open("a") as file:
            file.write(f"{options.kind} {rank} {os.getpid()}\n")
