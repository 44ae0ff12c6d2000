"""The store of prepared features: one folder per key, Arrow files that are memory-mapped and read without copying.

`<root>/<dataset>/<key>/` holds `frames.arrow` (one row per frame: x, frame labels), `items.arrow` (one row per item)
and `checksums`. An entry appears by one rename, is never changed, and is rebuilt where it is damaged.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ablate.errors import Mistake

FORMAT = 1  # raise it whenever the stored bytes of any dataset change for the same key
WHOLE = 64 << 20  # files up to this size are checksummed whole, larger ones at both ends
END = 1 << 20
PEAKS = "|peak|"  # a column of frames.arrow that no factor can be named like


def root() -> Path:
    """Where prepared data live: `ABLATE_STORE`, by default `~/.cache/ablate/store`."""
    return Path(os.environ.get("ABLATE_STORE") or "~/.cache/ablate/store").expanduser().absolute()


@dataclass(frozen=True)
class Entry:
    """One prepared dataset, mapped."""

    x: np.ndarray  # (N, *frame) float32 or uint8: all frames of all items, one item after another
    frames: dict[str, np.ndarray]  # factors of kind `frame`: (N,) int32, -1 = no label
    peaks: np.ndarray | None  # (N,) float32: largest absolute sample of each frame, where windows are divided by theirs
    items: dict[str, Any]  # columns of items.arrow: lists of str, arrays of numbers
    meta: dict[str, Any]


def find(name: str, key: str) -> Entry | None:
    """The entry, or None where it is missing or damaged (then preparing it again replaces it)."""
    folder = root() / name / key
    try:
        told = json.loads((folder / "checksums").read_text())
        if any(_fingerprint(folder / file) != told[file] for file in ("frames.arrow", "items.arrow")):
            return None
        return map_entry(folder)
    except (OSError, ValueError, KeyError):
        return None


def map_entry(folder: Path) -> Entry:
    """Maps the two files of a folder that `Writer.finish` has made."""
    import pyarrow as pa

    def only_batch(file: str) -> Any:
        return pa.ipc.open_file(pa.memory_map(str(folder / file))).get_batch(0)

    batch, table = only_batch("frames.arrow"), only_batch("items.arrow")
    meta = json.loads(table.schema.metadata[b"ablate"])
    columns = {name: batch.column(name) for name in batch.schema.names}
    x = columns.pop("x").values.to_numpy(zero_copy_only=True).reshape(-1, *meta["frame"])
    items = {}
    for name in table.schema.names:
        column = table.column(name)
        if pa.types.is_fixed_size_list(column.type):
            items[name] = column.values.to_numpy(zero_copy_only=True).reshape(len(column), -1)
        else:
            items[name] = column.to_pylist() if pa.types.is_string(column.type) else column.to_numpy()
    frames = {name: column.to_numpy() for name, column in columns.items()}
    return Entry(x, frames, frames.pop(PEAKS, None), items, meta)


class Writer:
    """Receives the items one after another; `finish` makes the two files of an entry. Memory does not grow with x."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._raw: IO[bytes] = (folder / "x.raw").open("wb")
        self._frames: dict[str, list[np.ndarray]] = {}
        self.lengths: list[int] = []
        self.frame: tuple[int, ...] | None = None
        self.dtype = np.dtype(np.float32)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):  # a full disk has been told already
            self._raw.close()

    def append(self, x: np.ndarray, frames: dict[str, np.ndarray], peaks: np.ndarray | None = None) -> None:
        """One item: x (L, *frame), its frame labels, (L,) each, and the peaks of its frames, (L,)."""
        if self.frame is None:
            self.frame, self.dtype = x.shape[1:], x.dtype
        if (x.shape[1:], x.dtype) != (self.frame, self.dtype):
            raise ValueError(
                f"frames of shape {x.shape[1:]}, {x.dtype} after frames of shape {self.frame}, {self.dtype}"
            )
        self._raw.write(np.ascontiguousarray(x).data)
        for name, labels in frames.items():
            if labels.shape != x.shape[:1]:
                raise ValueError(f"{name}: labels of shape {labels.shape} for {len(x)} frames")
            self._frames.setdefault(name, []).append(labels.astype(np.int32))
        if peaks is not None:
            self._frames.setdefault(PEAKS, []).append(peaks.astype(np.float32))
        self.lengths.append(len(x))

    def finish(self, items: dict[str, Any], meta: dict[str, Any]) -> None:
        """Writes frames.arrow, items.arrow and their checksums; `items` are columns in the order of the appends."""
        import pyarrow as pa

        self._raw.flush()
        frame = self.frame or ()
        raw = np.memmap(self.folder / "x.raw", self.dtype, mode="r")
        columns = {"x": _rows(raw, math.prod(frame))}
        columns |= {name: pa.array(np.concatenate(labels)) for name, labels in self._frames.items()}
        _write(self.folder / "frames.arrow", columns, {})
        self._raw.close()
        (self.folder / "x.raw").unlink()
        table = {"length": pa.array(self.lengths, pa.int64())}
        for name, column in items.items():
            is_rows = isinstance(column, np.ndarray) and column.ndim == 2
            table[name] = _rows(column.ravel(), column.shape[1]) if is_rows else pa.array(column)
        _write(self.folder / "items.arrow", table, {"ablate": json.dumps(meta | {"frame": list(frame)})})
        told = {file: _fingerprint(self.folder / file) for file in ("frames.arrow", "items.arrow")}
        (self.folder / "checksums").write_text(json.dumps(told))


def _rows(values: np.ndarray, width: int) -> Any:
    """An Arrow column of fixed-size rows over the memory of `values`."""
    import pyarrow as pa

    flat = pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])
    return pa.FixedSizeListArray.from_arrays(flat, width)


def _write(path: Path, columns: dict[str, Any], metadata: dict[str, str]) -> None:
    import pyarrow as pa

    schema = pa.schema([(name, column.type) for name, column in columns.items()], metadata=metadata)
    with path.open("wb") as file:
        with pa.ipc.new_file(file, schema) as sink:
            sink.write_batch(pa.record_batch(list(columns.values()), schema=schema))
        file.flush()
        os.fsync(file.fileno())


def _fingerprint(path: Path) -> str:
    """Size and SHA-256 of a file: of all of it, or of both ends where it is large."""
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE:
            while piece := file.read(END):
                digest.update(piece)
        else:
            digest.update(file.read(END))
            file.seek(size - END)
            digest.update(file.read(END))
    return f"{size} {digest.hexdigest()}"


@contextlib.contextmanager
def locked(name: str, key: str) -> Iterator[None]:
    """Holds the lock of one entry, so that one process prepares it and the others wait."""
    with writable():
        folder = root() / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / f"{name}-{key}").open("w")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def replacing(name: str, key: str) -> Iterator[Path]:
    """A new folder that becomes the entry at the end, in one rename; whatever goes wrong, nothing is left behind.

    The caller holds the lock, so a temporary folder of the same key is what a killed process left.
    """
    final = root() / name / key
    prefix = f".{key[:16]}-"
    with writable():
        final.parent.mkdir(parents=True, exist_ok=True)
        for stale in final.parent.glob(f"{prefix}*"):
            shutil.rmtree(stale, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=final.parent))
        try:
            yield folder
            if final.exists():  # damaged: readers that have it mapped keep their pages
                shutil.rmtree(final)
            folder.rename(final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def writable() -> Iterator[None]:
    """Turns a store that cannot be written into a Mistake that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise Mistake(
                f"the disk of the store {root()} is full ({error.strerror}); free some space, or set ABLATE_STORE to a"
                f" folder on another disk."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise Mistake(
                f"the store {root()} cannot be written ({error.strerror}); set ABLATE_STORE to a folder that can."
            ) from error
        raise
