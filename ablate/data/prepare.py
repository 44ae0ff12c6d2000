"""Reads every item of a dataset once, in several processes where that pays, and keeps the features in the store."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ablate.data import store
from ablate.data.items import NO_LABEL, BadItem, Dataset, Dropped, Item, natural
from ablate.data.pool import Outcome, outcome, pooled
from ablate.errors import Mistake

INLINE_SECONDS = 4.0  # work that is expected to take less stays in this process
TRIAL_SECONDS = 0.5  # how long the first items are timed
NAMED = 20  # bad files named in a message


def entry_key(name: str, options: Any, items: list[Item], lines: list[str]) -> str:
    """64 hex digits over format version, dataset, the options that change what is stored, and all source content."""
    kept = {
        leaf.name: getattr(options, leaf.name)
        for leaf in dataclasses.fields(options)
        if leaf.metadata.get("prepare", True) and leaf.metadata.get("identity", True)
    }
    digest = hashlib.sha256(f"ablate-store {store.FORMAT}\n{name}\n{json.dumps(kept, sort_keys=True)}\n".encode())
    for item, line in zip(items, lines, strict=True):
        told = [item.id, item.group, item.split, item.labels, item.problem, item.part, line]
        digest.update(json.dumps(told, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def prepare(
    name: str, key: str, dataset: Dataset, items: list[Item], lines: list[str], progress: bool, workers: int | None
) -> store.Entry:
    """The entry of the store, made now unless another process has made it meanwhile; raises Mistake."""
    with store.locked(name, key):
        entry = store.find(name, key)
        if entry is not None:
            return entry
        with store.replacing(name, key) as folder, store.Writer(folder) as writer:
            with _bar(f"preparing {name}", len(items), progress) as advance:
                columns, meta = _collect(dataset, items, lines, writer, workers, advance)
            check_bad(meta["skipped"], len(items), dataset.options.max_bad, name)
            if not writer.lengths:
                raise Mistake(f"data {name}: nothing usable in {len(items)} items: {dict(meta['dropped'])}.")
            writer.finish(columns, meta | {"key": key})
    entry = store.find(name, key)
    if entry is None:
        raise Mistake(
            f"the store {store.root()} lost or damaged {name}/{key[:8]} just after it was written; check that disk."
        )
    return entry


def check_bad(skipped: list[list[str]], total: int, allowed: float, name: str) -> None:
    """Raises Mistake, naming the files, where more than the allowed share of them is bad."""
    if len(skipped) <= allowed * total:
        return
    head = (
        f"data {name}: {len(skipped)} of {total} items are bad ({len(skipped) / total:.1%}, more than data.max_bad"
        f" {allowed:.1%}); repair or remove them, or raise data.max_bad:"
    )
    named = [f"{item}: {reason}" for item, reason in skipped[:NAMED]]
    more = [f"... and {len(skipped) - NAMED} more."] if len(skipped) > NAMED else []
    raise Mistake(head, *named, *more)


def _collect(
    dataset: Dataset, items: list[Item], lines: list[str], writer: store.Writer, workers: int | None, advance: Callable
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Writes all usable items; returns the columns of items.arrow and what happened to the others."""
    frame_factors = [name for name, kind in dataset.factors.items() if kind == "frame"]
    clip_factors = [name for name, kind in dataset.factors.items() if kind != "frame"]
    kept: list[int] = []
    labels: dict[str, list] = {name: [] for name in clip_factors}
    moments: list[np.ndarray] = []
    skipped: list[list[str]] = []
    warnings: list[str] = []
    dropped: Counter[str] = Counter()
    for row, result in enumerate(_outcomes(dataset, items, workers)):
        advance()
        if isinstance(result, BadItem):
            skipped.append([items[row].id, str(result)])
        elif isinstance(result, Dropped):
            dropped[str(result)] += 1
        else:
            frames = {name: np.asarray(result.factors[name]) for name in frame_factors}
            writer.append(result.x, frames, result.peaks)
            kept.append(row)
            warnings += [f"{items[row].id}: {text}" for text in result.warnings]
            for name in clip_factors:
                labels[name].append(result.factors[name])
            if dataset.scale == "standard":
                moments.append(_moments(result.x))
    coded, classes = _codes(labels, dataset.classes)
    review = getattr(dataset, "review", None)
    warnings += review([items[row] for row in kept], coded) if review else []
    columns: dict[str, Any] = {"id": [items[row].id for row in kept], "source": [lines[row] for row in kept]}
    columns |= {"row": np.array(kept, np.int64)} | {f"factor:{name}": codes for name, codes in coded.items()}
    if moments:
        columns |= {"moments": np.stack(moments)}
    return columns, {
        "skipped": skipped,
        "dropped": dropped,
        "warnings": warnings,
        "classes": classes,
        "total": len(items),
    }


def _moments(x: np.ndarray) -> np.ndarray:
    """Sums of x and of x squared over the frames of one item, in float64, (2 D,)."""
    exact = x.reshape(len(x), math.prod(x.shape[1:])).astype(np.float64)
    return np.concatenate([exact.sum(axis=0), (exact**2).sum(axis=0)])


def _codes(labels: dict[str, list], known: dict[str, list[str]]) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
    """Integers for labels, -1 where unknown, and the class names; classes that were not named come from the labels."""
    codes, classes = {}, dict(known)
    for name, values in labels.items():
        if name not in known:
            classes[name] = sorted({str(value) for value in values if value is not None}, key=natural)
        number = {text: code for code, text in enumerate(classes[name])}
        coded = [value if isinstance(value, int) else number.get(str(value), NO_LABEL) for value in values]
        codes[name] = np.array(coded, np.int32)
    return codes, classes


def _outcomes(dataset: Dataset, items: list[Item], workers: int | None) -> Iterator[Outcome]:
    """Outcome per item, in order. Some are read here and timed; more processes read the rest where that saves time."""
    workers = workers or len(os.sched_getaffinity(0))
    started = time.monotonic()
    for done, item in enumerate(items):
        if done == 1:  # the first item also pays for imports
            started = time.monotonic()
        elapsed, left = time.monotonic() - started, len(items) - done
        if workers > 1 and done > 1 and elapsed > TRIAL_SECONDS and elapsed / (done - 1) * left > INLINE_SECONDS:
            yield from pooled(dataset, items[done:], min(workers, left))
            return
        yield outcome(dataset, item)


@contextlib.contextmanager
def _bar(title: str, total: int, shown: bool) -> Iterator[Callable[[], None]]:
    """A progress bar that the yielded function moves on; nothing where it is not shown."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=console.is_terminal) as bar:  # a log keeps one line, a terminal none
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)
