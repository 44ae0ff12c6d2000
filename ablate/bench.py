"""`ablate bench`: what training steps, trials, the store and features cost on this machine."""

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ablate.errors import Mistake
from ablate.registry import unknown

Figures = dict[str, Any]
BUSY = 0.3  # load per core above which figures are doubtful
LIMITS = {"one worker": 1.5, "two workers": 1.15, "store": 2.0}  # what the ratios are meant to stay below


@dataclass(frozen=True)
class Settings:
    """What the parts are told."""

    device: str = "cpu"  # of the training steps
    batches: tuple[int, ...] = ()  # sizes of those of `models`; empty: 32


def models(its: Settings) -> Figures:
    """Milliseconds per training step of every model at speech sizes and of its per-frame form, and its memory."""
    from ablate.training.speed import BATCH, speeds

    return speeds(its.batches or (BATCH,), its.device)


def terms(its: Settings) -> Figures:
    """Milliseconds per training step of every model in its default size, alone and with each term."""
    from ablate.training.bench import step_times

    return step_times(device=its.device)


def overhead(_: Settings) -> Figures:
    """Seconds per trial besides training, on one worker and on two, against empty trials of Ray's."""
    from ablate.search.bench import one_worker, two_workers

    return {"one worker": one_worker(), "two workers": two_workers()}


def store(_: Settings) -> Figures:
    """Microseconds per random batch from the store, against a plain numpy memmap."""
    import torch

    from ablate.data.bench import read_rate

    torch.set_num_threads(1)  # as a trial on one CPU has it
    return read_rate()


def features(_: Settings) -> Figures:
    """Hours of audio that become features per minute of one core."""
    from ablate.data.bench import extraction_rate

    return extraction_rate()


PARTS: dict[str, Callable[[Settings], Figures]] = {
    "models": models,
    "terms": terms,
    "overhead": overhead,
    "store": store,
    "features": features,
}


def bench(parts: list[str], console: Console, file: Path | None = None, settings: Settings = Settings()) -> Figures:
    """Measure these parts (all if none is named), print a table of each, and write all figures to `file` as JSON.

    Raises Mistake for an unknown part, an absent device or a file that cannot be written, before anything is measured.
    """
    sentences = [unknown("part of the bench", part, list(PARTS)) for part in parts if part not in PARTS]
    if settings.device == "cuda" and not has_cuda():
        sentences.append("--device cuda: torch finds no CUDA device on this machine")
    if file is not None and not os.access(file.absolute().parent, os.W_OK):
        sentences.append(f"--json {file}: the folder {file.absolute().parent} is missing or cannot be written")
    if sentences:
        raise Mistake(*sentences)
    figures: Figures = {"machine": machine()}
    if figures["machine"]["load_per_core"] > BUSY:
        console.print(
            f"this machine is busy (load per core {figures['machine']['load_per_core']:.1f}): figures doubtful"
        )
    for name in parts or PARTS:
        with console.status(f"bench: {name}"):
            started = time.monotonic()
            figures[name] = PARTS[name](settings)
            figures[name]["took_s"] = time.monotonic() - started
        console.print(TABLES[name](figures[name]))
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + "\n")
        console.print(f"written to {file}", soft_wrap=True)
    return figures


def has_cuda() -> bool:
    """Whether there is a GPU to measure on."""
    import torch

    return torch.cuda.is_available()


def machine() -> Figures:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0))
    versions = {name: importlib.metadata.version(name) for name in ("ablate-seqvae", "torch", "ray", "numpy")}
    return {
        "cores": cores,
        "load_per_core": round(os.getloadavg()[0] / cores, 2),
        "python": platform.python_version(),
        "processor": processor(),
        "at": int(time.time() * 1000),
        **versions,
    }


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def models_table(figures: Figures) -> Table:
    """Models, those with a loop over sampled codes against their per-frame forms."""
    table = Table(title=f"Training step, 50 frames of 513: {told(figures)}", title_justify="left")
    for head in ("model", "batch", "ms per step", "per frame, ms", "ratio", "MB at batch 128"):
        table.add_column(head, justify="left" if head == "model" else "right")
    for name, its in figures["models"].items():
        peak = f"{its['peak_mb']:.0f}" if "peak_mb" in its else ""
        for i, (size, one) in enumerate(its["batch"].items()):
            naive = [f"{one['naive_ms']:.1f}", f"{one['ratio']:.2f}"] if "naive_ms" in one else ["", ""]
            table.add_row("" if i else name, f"{size}", f"{one['ms']:.1f}", *naive, "" if i else peak)
    for name, why in figures["skipped"].items():
        table.add_row(name, why, "", "", "", "")
    if not any("naive_ms" in one for its in figures["models"].values() for one in its["batch"].values()):
        table.caption = "The per-frame forms lie in the tests of a checkout, which is not there."
    return table


def terms_table(figures: Figures) -> Table:
    """Models and terms."""
    table = Table(title=f"Training step, batches (32, 20, 80): {told(figures)}", title_justify="left")
    for head in ("model", "with", "parameters", "ms per step", "ratio"):
        table.add_column(head, justify="left" if head in ("model", "with") else "right")
    for name, its in figures["models"].items():
        table.add_row(name, "its bound", f"{its['parameters']:,}", f"{its['ms']:.2f}", "1")
        for term, ms in its["terms"].items():
            table.add_row("", f"+ {term}", "", f"{ms:.2f}", f"{ms / its['ms']:.2f}")
    for name, why in figures["skipped"].items():
        table.add_row(name, why, "", "", "")
    return table


def told(figures: Figures) -> str:
    """What the milliseconds of steps are."""
    return "process CPU time, one thread, median" if figures["device"] == "cpu" else "wall time, median"


def overhead_table(figures: Figures) -> Table:
    """Trials against empty ones."""
    table = Table(title="Wall time per trial besides training: median of rounds", title_justify="left")
    for head in ("trial", "ours, s", "empty, s", "ratio", "limit", "each later trial: ours, s", "empty, s"):
        table.add_column(head, justify="left" if head == "trial" else "right")
    bare = [f"{its['bare_s']:.3g}" for kind in ("one worker", "two workers") if "bare_s" in (its := figures[kind])]
    if bare:
        table.caption = f"Empty trials make an optimiser, nothing else; without one they take {' and '.join(bare)} s."
    for kind, against in (("one worker", "Tune trial, reused actor"), ("two workers", "TorchTrainer.fit()")):
        its = figures[kind]
        numbers = [its["overhead_s"], its["empty_s"], its["ratio"]]
        later = [its["later_overhead_s"], its["later_empty_s"]]
        cells = [f"{value:.3g}" for value in (*numbers, LIMITS[kind], *later)]
        table.add_row(f"{kind}, against an empty {against}", *cells)
    return table


def store_table(figures: Figures) -> Table:
    """Reading a random batch."""
    table = Table(title="Random batch (32, 20, 80): process CPU time, median", title_justify="left")
    for head in ("read from", "µs per batch", "times the memmap", "limit"):
        table.add_column(head, justify="left" if head == "read from" else "right")
    table.add_row("numpy memmap", f"{figures['memmap_us']:.0f}", "1", "")
    table.add_row("store", f"{figures['store_us']:.0f}", f"{figures['ratio']:.2f}", f"{LIMITS['store']:g}")
    table.add_row("store, normalised", f"{figures['batch_us']:.0f}", f"{figures['batch_ratio']:.2f}", "")
    return table


def features_table(figures: Figures) -> Table:
    """Audio to features."""
    table = Table(title="16 kHz wav files to log-mel features", title_justify="left")
    table.add_column("hours of audio per core-minute", justify="right")
    table.add_column("core-seconds per hour of audio", justify="right")
    table.add_row(f"{figures['hours_per_core_minute']:.2f}", f"{60 / figures['hours_per_core_minute']:.1f}")
    return table


TABLES: dict[str, Callable[[Figures], Table]] = {
    "models": models_table,
    "terms": terms_table,
    "overhead": overhead_table,
    "store": store_table,
    "features": features_table,
}
