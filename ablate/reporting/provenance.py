"""Where the numbers of a page come from: what failed, what it cost, which code and data, which runs of the record."""

import datetime
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ablate.naming import short, short_path
from ablate.records import CellRecord
from ablate.reporting.cells import CellRow, unique_digits
from ablate.reporting.numbers import fixed
from ablate.reporting.recorded import Recorded
from ablate.reporting.table import Column, Table

HOUR = 3600.0
WHY = 160  # characters of what a failed run says
LISTED = 500  # configurations whose runs are listed
LOCAL = "http://127.0.0.1:5000"  # where `ablate ui` serves a record that has no server
TAGS = {
    "ablate.commit": "git commit",
    "ablate.version": "ablate",
    "ablate.code": "code version",
    "ablate.torch": "torch",
    "ablate.python": "Python",
    "ablate.device": "device",
    "ablate.workers": "workers per run",
    "ablate.precision": "precision",
}


@dataclass(frozen=True)
class Link:
    """A run of the record, as a page links to it."""

    text: str
    address: str
    note: str = ""  # how it ended, where it did not complete


@dataclass(frozen=True)
class Runs:
    """One configuration and its runs."""

    name: str
    signature: str
    changes: str  # leaves that it sets
    links: tuple[Link, ...]


def failed_table(its: Recorded) -> Table | None:
    """Every cell that failed, and why; None if none did."""
    rows = [row for row in its.rows if row.status == "failed"]
    if not rows:
        return None
    columns = (
        Column("configuration", wrap=True),
        Column("seed", True),
        Column("what"),
        Column("epochs", True),
        Column("why", wrap=True),
    )
    lines = tuple((row.name, str(row.seed), row.failure or "code", str(row.epochs or 0), why(its, row)) for row in rows)
    words = "A diverged run is an outcome of its configuration; runs lost for other reasons are missing values."
    return Table("Runs that failed", columns, lines, words)


def why(its: Recorded, row: CellRow) -> str:
    """What a failed run says, in a line."""
    run = its.cells_by_run.get(row.run_id)
    return " ".join((run.why if run else "").split())[:WHY]


def cost_table(its: Recorded) -> Table | None:
    """What the cells took, by arm of a design or part of a search; None where no run has told."""
    groups: dict[str, list[CellRow]] = {}
    for row in its.rows:
        groups.setdefault(row.name if row.role == "design" else row.role, []).append(row)
    lines = [(name, *cost(its, rows)) for name, rows in groups.items()]
    if not any(line[3] for line in lines):
        return None
    lines += [("all", *cost(its, its.rows))] if len(lines) > 1 else []
    columns = (
        Column("of", wrap=True),
        Column("runs", True),
        Column("of other studies", True),
        Column("seconds per run", True),
        Column("CPU-hours", True),
        Column("GPU-hours", True),
        Column("peak memory, MB", True),
    )
    words = (
        "Seconds: training and validation, mean ± sd over runs. CPU-hours are those that the runs' processes used, "
        "GPU-hours those that they held a GPU; both without runs of other studies, which cost this one nothing."
    )
    return Table("Cost", columns, tuple(lines), words)


def cost(its: Recorded, rows: Sequence[CellRow]) -> tuple[str, ...]:
    """(runs, of other studies, seconds, CPU-hours, GPU-hours, peak memory) of rows."""
    runs = [run for row in rows if (run := its.cells_by_run.get(row.run_id))]
    own = [run for row in rows if not row.reused and (run := its.cells_by_run.get(row.run_id))]
    seconds = [value for run in runs if (value := run.metrics.get("system/wall_seconds")) is not None]
    spread = f" ± {statistics.stdev(seconds):.1f}" if len(seconds) > 1 else ""
    peak = max((run.metrics.get("system/peak_memory_mb", 0.0) for run in runs), default=0.0)
    return (
        str(len(rows)),
        str(sum(row.reused for row in rows)),
        f"{statistics.fmean(seconds):.1f}{spread}" if seconds else "",
        fixed(sum(run.metrics.get("system/cpu_seconds", 0.0) for run in own) / HOUR, 3),
        fixed(sum(gpu_seconds(run) for run in own) / HOUR, 3),
        fixed(peak, 0) if peak else "",
    )


def gpu_seconds(run: CellRecord) -> float:
    """Seconds that a run held GPUs, one per worker; 0 on CPUs."""
    on_gpu = run.metrics.get("system/gpu_peak_memory_mb", 0.0) > 0
    return run.metrics.get("system/wall_seconds", 0.0) * int(run.tags.get("ablate.workers", "1")) if on_gpu else 0.0


def identity_table(its: Recorded) -> Table:
    """Versions, data and design that the runs share; where they do not share one, all of them with their runs."""
    runs = [run for row in its.rows if (run := its.cells_by_run.get(row.run_id))]
    found = {"data digest": counted([run.data for run in runs])}
    found |= {name: counted([run.tags.get(tag, "") for run in runs]) for tag, name in TAGS.items()}
    lines = [(name, text) for name, text in found.items() if text]
    if its.known is not None:
        lines += [("design digest", its.known.digest)] if its.known.digest else []
        lines += [("run", f"{day(its.known.started)} to {day(ended(its, runs))} UTC")]
    mixed = [name for name, text in found.items() if ";" in text]
    notes = (f"The runs do not share one {' and one '.join(mixed)}: compare with care.",) if mixed else ()
    return Table("Versions and data", (Column("what"), Column("value", wrap=True)), tuple(lines), notes=notes)


def ended(its: Recorded, runs: Sequence[CellRecord]) -> int:
    """When the last run of the study ended, in ms since 1970."""
    own = [run for run in runs if run.study == its.question.study]
    return max((run.ended or run.started for run in own), default=its.known.started if its.known else 0)


def day(ms: int) -> str:
    """`2026-11-26 18:07`."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def counted(values: Sequence[str]) -> str:
    """The one value, or each with its number of runs: `a (12 runs); b (3 runs)`."""
    found = Counter(value for value in values if value)
    if len(found) < 2:
        return next(iter(found), "")
    return "; ".join(f"{value} ({count} runs)" for value, count in sorted(found.items()))


def linked_runs(its: Recorded) -> tuple[list[Runs], int]:
    """Configurations with links to their runs, in the order of the rows, and how many more there are."""
    groups: dict[tuple[str, str], list[CellRow]] = {}
    for row in its.rows:
        groups.setdefault((row.name, row.signature), []).append(row)
    digits = unique_digits(row.signature for row in its.rows)
    made = [
        Runs(name, signature[:digits], changes(its, rows[0]), tuple(link(its, row) for row in rows))
        for (name, signature), rows in list(groups.items())[:LISTED]
    ]
    return made, max(0, len(groups) - LISTED)


def changes(its: Recorded, row: CellRow) -> str:
    """The leaves of a design that a row sets; a configuration of a search says them in its name."""
    if its.question.plan is None:
        return ""
    return ", ".join(f"{short_path(path)}={short(value)}" for path, value in row.point.items())


def link(its: Recorded, row: CellRow) -> Link:
    """A run by its seed."""
    ending = "" if row.done else (row.failure or row.status)
    return Link(f"seed {row.seed}", page_of(its, row.run_id), ending + ("of another study" if row.reused else ""))


def page_of(its: Recorded, run_id: str) -> str:
    """Address of a run in MLflow's pages; empty without a record."""
    if its.record is None or not run_id:
        return ""
    uri = str(its.record.uri)
    base = uri.rstrip("/") if uri.startswith(("http://", "https://")) else LOCAL
    return f"{base}/#/experiments/{its.record.experiment_id}/runs/{run_id}"
