"""The report of a study as a folder: page, tables, figures, every run with its cost, and a manifest of digests."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from ablate.design.paired import summary
from ablate.records import text
from ablate.reporting.cells import CellRow, finite
from ablate.reporting.figures import figures
from ablate.reporting.numbers import plain_number
from ablate.reporting.plots import Plot
from ablate.reporting.provenance import gpu_seconds
from ablate.reporting.publish import FIGURES, PAGE, Files, figure_files, page_files, put, told
from ablate.reporting.recorded import Recorded
from ablate.search.identity import unpack

WHO = ("study", "role", "arm", "signature", "cell", "seed", "status", "failure", "attempts", "cached", "epochs")
COST = ("seconds", "cpu_seconds", "gpu_seconds", "device", "world_size", "commit", "data")
Value = str | float | bool | None
Lines = tuple[tuple[str, ...], list[tuple[Value, ...]]]  # heads, rows


def write_folder(its: Recorded, home: Path, folder: Path, fanova: bool, console: Console) -> None:
    """Write the whole report; `home` is the study's own folder. Raises Mistake where it cannot be written."""
    files = folder_files(its, figures(its, fanova), home)
    put(files, folder)
    told(console, f"report   {len(files)} files in {folder}")


def folder_files(its: Recorded, plots: Sequence[Plot], home: Path) -> Files:
    """Every file of the report; the same record gives the same bytes. `home` is the study's own folder."""
    runs = runs_of(its)
    found: Files = {
        PAGE.name: page_files(its, plots, home)[PAGE.name],
        "report.md": its.markdown().encode(),
        "report.tex": its.latex().encode(),
        "runs.csv": as_csv(runs),
        "runs.parquet": as_parquet(runs),
        "metrics.csv": as_csv(metrics_of(its.rows)),
    }
    if its.ablation:
        found["effects.csv"] = its.ablation.csv().encode()
        aliases = its.ablation.found.plan.aliases()
        if aliases:
            found["aliases.csv"] = as_csv((("letters", "effects"), [*aliases]))
    if its.known is not None and "ablate.design" in its.known.tags:
        found["design.json"] = (
            json.dumps(unpack(its.known.tags["ablate.design"]), indent=1, sort_keys=True) + "\n"
        ).encode()
    found |= {f"{FIGURES}/{name}": content for plot in plots for name, content in figure_files(plot).items()}
    return found | {"manifest.json": manifest(its, found)}


def runs_of(its: Recorded) -> Lines:
    """One row per cell in the order of the study: who, how it ended, its cost, the searched leaves, every metric."""
    metrics = sorted({key for row in its.rows for key in row.values})
    paths = list(its.question.space)
    rows: list[tuple[Value, ...]] = []
    for row in its.rows:
        run = its.cells_by_run.get(row.run_id)
        tags, measured = (run.tags, run.metrics) if run else ({}, {})
        rows.append(
            (
                *(row.study, row.role, row.name, row.signature, row.cell, row.seed, row.status, row.failure),
                *(run.attempt if run else None, row.reused, row.epochs),
                *(measured.get("system/wall_seconds"), measured.get("system/cpu_seconds")),
                gpu_seconds(run) if run else None,
                *(tags.get(f"ablate.{key}", "") for key in ("device", "workers", "commit")),
                run.data if run else "",
                *(text(row.point[path]) if path in row.point else "" for path in paths),
                *(row.values.get(key) for key in metrics),
            )
        )
    return (*WHO, *COST, *paths, *metrics), rows


def metrics_of(rows: Sequence[CellRow]) -> Lines:
    """Mean and sd over seeds of every metric of every arm, from its complete cells: descriptive."""
    groups: dict[tuple[str, str, str], list[CellRow]] = {}
    for row in rows:
        if row.done:
            groups.setdefault((row.role, row.name, row.signature), []).append(row)
    lines: list[tuple[Value, ...]] = []
    for (role, name, signature), mine in groups.items():
        for key in sorted({key for row in mine for key in row.values}):
            known = [value for row in mine if (value := finite(row.values.get(key))) is not None]
            its = summary(known)
            lines.append((role, name, signature, key, len(known), len(mine), its.mean, its.sd))
    return ("role", "arm", "signature", "metric", "n", "complete", "mean", "sd"), lines


def as_csv(lines: Lines) -> bytes:
    """UTF-8, LF; numbers in the shortest text that reads back the same, empty where there is none."""
    heads, rows = lines
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(map(cells_of, rows))
    return out.getvalue().encode()


def cells_of(row: Iterable[Value]) -> list[str]:
    """The values of a row as text."""
    return [
        str(its).lower() if isinstance(its, bool) else its if isinstance(its, str) else plain_number(its) for its in row
    ]


def as_parquet(lines: Lines) -> bytes:
    """The same with types."""
    heads, rows = lines
    out = io.BytesIO()
    pd.DataFrame(rows, columns=list(heads)).to_parquet(out, index=False)
    return out.getvalue()


def manifest(its: Recorded, found: Files) -> bytes:
    """SHA-256 of every file, and of the rows that they were made from."""
    rows = json.dumps([[row.cell, row.status, sorted(row.values.items())] for row in its.rows], sort_keys=True)
    values = {
        "study": its.question.study,
        "rows": hashlib.sha256(rows.encode()).hexdigest(),
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in sorted(found.items())},
    }
    return (json.dumps(values, indent=1) + "\n").encode()
