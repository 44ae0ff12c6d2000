"""Reads items in several processes and gives the outcomes back in order.

The processes are plain children that talk through pipes: `multiprocessing` would either fork a process that holds
threads, or run the user's main script again. A pipe that is full makes its process wait, so memory stays bounded.
"""

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

import numpy as np

from ablate.data.items import BadItem, Dataset, Dropped, Item, Sequence
from ablate.errors import Mistake

Outcome = Sequence | BadItem | Dropped
SERVE = "from ablate.data.pool import serve; serve()"


def outcome(dataset: Dataset, item: Item) -> Outcome:
    """The loaded item, or why it is left out."""
    if item.problem:
        return BadItem(item.problem)
    try:
        sequence = dataset.load(item)
    except (BadItem, Dropped) as left_out:
        return left_out
    except OSError as error:
        return BadItem(f"unreadable: {error.strerror or error}")
    if sequence.x.dtype.kind == "f" and not np.isfinite(sequence.x).all():
        return BadItem("the features are not finite")
    return sequence


def pooled(dataset: Dataset, items: list[Item], workers: int) -> Iterator[Outcome]:
    """Outcome per item, in order; process k reads items k, k + workers, ... If one dies, this process takes over."""
    children: list[subprocess.Popen | None] = [_start(dataset, items[at::workers]) for at in range(workers)]
    try:
        for at, item in enumerate(items):
            child = children[at % workers]
            if child is not None:
                try:
                    answer = pickle.load(_pipe(child.stdout))
                except (EOFError, pickle.UnpicklingError, OSError):
                    children[at % workers] = None
                    _end(child)
                else:
                    if isinstance(answer, Mistake):
                        raise answer
                    yield answer
                    continue
            yield outcome(dataset, item)
    finally:
        for child in children:
            if child is not None:
                _end(child)


def _start(dataset: Dataset, items: list[Item]) -> subprocess.Popen | None:
    """A process that has its share of the items; None where it cannot be started or does not take them."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    child = None
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env=environment,
        )  # fmt: skip
        stdin = _pipe(child.stdin)
        pickle.dump((dataset, items), stdin)
        stdin.close()
    except (OSError, pickle.PicklingError, AttributeError):
        if child is not None:
            _end(child)
        return None
    return child


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _end(child: subprocess.Popen) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()


def serve() -> None:
    """The life of a child: its share of the items from stdin, one pickled outcome per item to stdout."""
    dataset, items = pickle.load(sys.stdin.buffer)
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # what a library prints is no answer
        for item in items:
            try:
                answer: Outcome | Mistake = outcome(dataset, item)
            except Mistake as mistake:
                answer = mistake
            pickle.dump(answer, answers)
            answers.flush()
