"""What prepared data were made of: SHA-256 of every source file, remembered by path, size and time of change."""

import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path

from ablate.data.items import Item
from ablate.data.store import root


def source_lines(items: list[Item]) -> list[str]:
    """Per item its line of the data digest: `relative/path<TAB>sha256` (or `missing`), or the generator's line."""
    paths = [item.path for item in items if item.path is not None]
    known = digests(paths)
    return [item.source if item.path is None else f"{item.source}\t{known[item.path]}" for item in items]


def digests(paths: list[Path]) -> dict[Path, str]:
    """SHA-256 of every file, remembered in the store; where that cannot be written, files are read every time."""
    if not paths:
        return {}
    folder = os.path.commonpath([path.parent for path in paths])
    memory = root() / "sources" / f"{hashlib.sha256(folder.encode()).hexdigest()[:16]}.json"
    try:
        known = json.loads(memory.read_text())
    except (OSError, ValueError):
        known = {}
    fresh = {str(path): _remembered(path, known.get(str(path))) for path in dict.fromkeys(paths)}
    if any(known.get(name) != entry for name, entry in fresh.items()):
        _remember(memory, known | fresh)
    return {Path(name): entry[2] for name, entry in fresh.items()}


def _remembered(path: Path, known: list | None) -> list:
    """[size, time of change in ns, digest]; the digest is computed where the first two have changed."""
    try:
        status = path.stat()
        if known and known[:2] == [status.st_size, status.st_mtime_ns]:
            return known
        with path.open("rb") as file:
            return [status.st_size, status.st_mtime_ns, hashlib.file_digest(file, "sha256").hexdigest()]
    except OSError:
        return [-1, -1, "missing"]


def _remember(memory: Path, entries: dict[str, list]) -> None:
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=memory.parent)
        try:
            with os.fdopen(handle, "w") as file:
                json.dump(entries, file)
            Path(temporary).replace(memory)
        finally:
            Path(temporary).unlink(missing_ok=True)
