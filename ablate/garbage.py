"""What takes room and serves nobody: last checkpoints of complete cells, folders of dead Ray sessions."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from ablate.errors import Mistake
from ablate.reporting.status import find, names
from ablate.search.plan import newest

WEEK_S = 7 * 86400.0
PARTS = ("last.pt", ".last.partial", ".best.partial", "attempts")  # of a cell's folder; `best.pt` stays


@dataclass(frozen=True)
class Garbage:
    """A file or folder that can go."""

    path: Path
    size: int  # bytes


def collect(folder: Path, study: str | None, dry: bool) -> str:
    """Remove it all, or only count; a sentence for a person."""
    cells, dead = list(checkpoints(folder, study)), list(sessions())
    if not dry:
        for its in (*cells, *dead):
            remove(its)
    parts = [
        f"{len(found)} {name} ({amount(sum(its.size for its in found))})"
        for found, name in ((cells, "files of complete cells"), (dead, "dead Ray sessions"))
    ]
    return f"{'would remove' if dry else 'removed'} {' and '.join(parts)}"


def checkpoints(folder: Path, study: str | None) -> Iterator[Garbage]:
    """Last checkpoints of the complete cells of a study, or of all; raises Mistake for a study that is not there.

    A complete cell is never trained again; its `best.pt` stays for pictures, `ablate eval` and `train.init_from`.
    """
    for name in [study] if study else names(folder):
        try:
            record, _ = find(folder, name)
        except Mistake:
            if study:
                raise
            continue  # begun, and never recorded
        root = (folder / name / "checkpoints").resolve()
        for cell in newest(record.cells(name)).values():
            place = Path(cell.tags.get("ablate.checkpoint", "")).parent
            if cell.status != "complete" or not place.is_relative_to(root) or not (place / "best.pt").exists():
                continue
            yield from (Garbage(file, file.stat().st_size) for part in PARTS if (file := place / part).is_file())


def sessions(root: Path | None = None, older: float = WEEK_S) -> Iterator[Garbage]:
    """Folders of Ray sessions that no process belongs to and that nobody wrote to for a week."""
    root = root or Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir())) / "ray"
    folders = [its for its in sorted(root.glob("session_*")) if its.is_dir() and not its.is_symlink()]
    used = command_lines() if folders else ""
    for session in folders:
        newest_change = max(its.stat().st_mtime for its in (session, *session.glob("*")) if its.exists())
        if session.name not in used and time.time() - newest_change > older:
            yield Garbage(session, size(session))


def command_lines() -> str:
    """Command lines of all processes that this user may see."""
    return "\n".join(" ".join(its.info["cmdline"] or []) for its in psutil.process_iter(["cmdline"]))


def size(folder: Path) -> int:
    """Bytes of all files within."""
    return sum(its.lstat().st_size for its in folder.rglob("*") if its.is_file() or its.is_symlink())


def remove(its: Garbage) -> None:
    """Delete it."""
    if its.path.is_dir():
        shutil.rmtree(its.path, ignore_errors=True)
    else:
        its.path.unlink(missing_ok=True)


def amount(size: int) -> str:
    """Bytes for a person: `812 kB`, `3.4 GB`."""
    value, units = float(size), ("B", "kB", "MB", "GB", "TB")
    unit = 0
    while value >= 1000 and unit + 1 < len(units):
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {units[unit]}"
