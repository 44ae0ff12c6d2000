"""Where studies stand: from the record, or from the spool when MLflow does not answer."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from rich.table import Table

from ablate.errors import Mistake
from ablate.lock import lives
from ablate.positions import override, read
from ablate.records import StudyRecord, current
from ablate.search.identity import kept_file, unpack
from ablate.search.plan import newest
from ablate.spool import Spool
from ablate.study import Tracking
from ablate.tracking import Record
from ablate.trial import build
from ablate.writer import deliver

Found = dict[str, Any]


def record_of(folder: Path, study: str | None = None, wait: float = 5.0) -> Record:
    """The record that the studies of a folder are kept in: the server their files name, else sqlite in the folder."""
    tracking = Tracking(folder=str(folder))
    for name in [study] if study else names(folder):
        tracking = tracking_of(*kept_file(folder / name))
        break
    root = folder.resolve()
    uri = tracking.uri or f"sqlite:///{root}/mlflow.db"
    if tracking.uri is None and not (root / "mlflow.db").exists():
        raise Mistake(f"there is no record in {root} (no mlflow.db); run `ablate sweep` first, or give --folder")
    return Record(uri, tracking.experiment, None, float(os.environ.get("ABLATE_RECORD_WAIT", wait)), reading=True)


def tracking_of(file: Path, settings: list[str]) -> Tracking:
    """Where a study file keeps its record: from that section alone, since the whole file would load every model."""
    document = read(file.read_text(), str(file))
    for its in settings:
        override(document, its)
    if document.complaints:
        from ablate.config import load_study

        return load_study(file, settings).tracking  # which says what is wrong
    return build(Tracking, document.get(("tracking",)) or {}, "tracking")


def names(folder: Path) -> list[str]:
    """Studies that have a folder here."""
    return sorted(its.parent.name for its in folder.glob("*/study.yaml"))


def find(folder: Path, study: str) -> tuple[Record, StudyRecord]:
    """The record and the run of a study; raises Mistake where there is none."""
    record = record_of(folder, study if (folder / study / "study.yaml").exists() else None)
    known = record.study(study)
    if known is None:
        there = ", ".join(its.name for its in record.studies()) or "none"
        raise Mistake(f"there is no study {study!r} in the record {record.uri} (there: {there})")
    return record, known


def gather(folder: Path, study: str | None) -> list[Found]:
    """A row per study. Delivers what waits in the spool, where MLflow answers."""
    wanted = [study] if study else names(folder)
    try:
        record = record_of(folder, study)
    except Mistake as reason:
        if not wanted or not any((folder / name).exists() for name in wanted):
            raise
        return [from_spool(folder, name, str(reason)) for name in wanted]
    for name in wanted:
        if (folder / name / "spool").is_dir():
            deliver(record, folder / name / "spool", name)
    studies = [its for its in record.studies() if study in (None, its.name)]
    if study and not studies:
        find(folder, study)
    return [from_record(record, its, folder) for its in studies]


def from_record(record: Record, its: StudyRecord, folder: Path) -> Found:
    """What the record says of a study."""
    cells = newest(current(record.cells(its.name, ("objective",)), its)).values()
    counts = Counter(cell.status for cell in cells)
    design = unpack(its.tags["ablate.design"]) if its.tags.get("ablate.design") else {}
    search = design.get("search") or {}
    mode = (search.get("mode") or ["max"])[0]
    done = [
        c
        for c in cells
        if c.status == "complete" and "objective" in c.metrics and c.tags.get("ablate.role") != "confirm"
    ]
    best = (
        None
        if design.get("design")
        else (max if mode == "max" else min)(done, key=lambda c: c.metrics["objective"], default=None)
    )
    alive = lives(its)
    state = its.tags.get("ablate.status", "running")
    return {
        "study": its.name,
        "state": "running" if alive and its.status == "RUNNING" else ("interrupted" if state == "running" else state),
        "owner": its.owner if alive else "",
        "metric": (search.get("metric") or [(design.get("design") or {}).get("metric", "")])[0],
        "cells": dict(sorted(counts.items())),
        "best": None if best is None else {"value": best.metrics["objective"], "name": best.name},
        "waiting_records": Spool.backlog(folder / its.name / "spool"),
        "note": "",
    }


def from_spool(folder: Path, name: str, reason: str) -> Found:
    """What is known of a study without its record."""
    return {
        "study": name,
        "state": "record unreachable",
        "owner": "",
        "metric": "",
        "cells": {},
        "best": None,
        "waiting_records": Spool.backlog(folder / name / "spool"),
        "note": reason,
    }


def table(found: list[Found]) -> Table:
    """For a terminal."""
    shown = Table("study", "state", "cells", "best", "waiting records")
    for its in found:
        cells = ", ".join(f"{count} {status}" for status, count in its["cells"].items())
        best = "" if its["best"] is None else f"{its['metric']} {its['best']['value']:.4f}  {its['best']['name']}"
        state = its["state"] + (f" ({its['owner']})" if its["owner"] else "")
        shown.add_row(its["study"], state, cells, best or its["note"], str(its["waiting_records"] or ""))
    return shown
