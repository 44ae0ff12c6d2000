"""Whether this machine can run studies: versions, hardware, room on the disks, Ray, the record, the store."""

import contextlib
import importlib.metadata
import os
import platform
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil
from rich.console import Console
from rich.text import Text

from ablate.data import store
from ablate.errors import Mistake
from ablate.garbage import amount
from ablate.reporting.status import record_of
from ablate.search.mirror import default_address

DISTRIBUTION = "ablate-seqvae"
SHOWN = ("torch", "ray", "optuna", "mlflow", "numpy", "librosa")  # versions worth a glance
FREE_BYTES = 5e9  # on a disk that is written to: below it a study may well fill it
SHM_BYTES = 1e9  # Ray's object store lies there
MEMORY_BYTES = 2e9  # for one trial beside Ray
State = Literal["ok", "warning", "broken"]


@dataclass(frozen=True)
class Finding:
    """One row: what was looked at, how it is, and what to do about it."""

    state: State
    name: str
    text: str


MARKS = {"ok": ("ok", "green"), "warning": ("note", "yellow"), "broken": ("BROKEN", "bold red")}


def broken(folder: Path, console: Console) -> bool:
    """Print every finding as it is made; whether one of them is broken."""
    found = False
    for its in examine(folder):
        word, style = MARKS[its.state]
        line = Text(word.ljust(8), style=style) + Text(its.name.ljust(24) + its.text, style="not bold default")
        console.print(line, soft_wrap=True, highlight=False)
        found |= its.state == "broken"
    return found


def examine(folder: Path) -> Iterator[Finding]:
    """All findings, one after another as they are made. `folder` holds the studies."""
    looks = (versions, machine, graphics, lambda: disks(folder), ray_parts, ray_instances, ray_token)
    for look in (*looks, lambda: the_record(folder), the_store, dashboard):
        try:
            yield from look()
        except Exception as error:  # a look that fails is a finding, and the others still matter
            name = getattr(look, "__name__", "doctor").replace("_", " ")
            yield Finding("broken", name, f"{type(error).__name__}: {error}")


def versions() -> Iterator[Finding]:
    """Python and the installed packages against the requirements, and against the pins where the checkout has them."""
    text = f"{platform.python_version()}, " + ", ".join(f"{name} {installed(name)}" for name in SHOWN)
    yield Finding("ok", "versions", text)
    missing = list(unmet())
    if missing:
        yield Finding("broken", "requirements", f"{'; '.join(missing)}; run `make venv`")
    different = [
        f"{name} {its} (pinned {pin})" for name, pin in pins().items() if (its := installed(name)) not in ("", pin)
    ]
    if different:
        yield Finding("warning", "pins", f"not as tested: {', '.join(different)}")


def unmet() -> Iterator[str]:
    """Requirements of this package that the installed versions do not meet."""
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires(DISTRIBUTION) or ():
        its = Requirement(line)
        if its.marker is not None and not its.marker.evaluate({"extra": ""}):
            continue
        version = installed(its.name)
        if not version:
            yield f"{its.name} is not installed"
        elif not its.specifier.contains(version, prereleases=True):
            yield f"{its.name} {version} does not meet {its.specifier}"


def pins() -> dict[str, str]:
    """Package -> version in constraints.txt beside the code; empty for an installation without a checkout."""
    file = Path(__file__).parents[1] / "constraints.txt"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.split("==") for line in lines if re.fullmatch(r"[\w.-]+==\S+", line))


def installed(name: str) -> str:
    """Version of a package without its build (`2.13.0+cpu` -> `2.13.0`); empty where it is not installed."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return ""


def machine() -> Iterator[Finding]:
    """Cores and memory."""
    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0))
    state: State = "ok" if memory.available > MEMORY_BYTES else "warning"
    text = f"{cores} CPU cores, {amount(memory.available)} of {amount(memory.total)} memory free"
    yield Finding(state, "machine", text + ("" if state == "ok" else "; a trial and Ray want about 2 GB"))


def graphics() -> Iterator[Finding]:
    """GPUs that PyTorch sees."""
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("ok", "GPU", ", ".join(names) or "none; studies run on the CPU")


def disks(folder: Path) -> Iterator[Finding]:
    """Room where studies, features and Ray's sessions are written."""
    places = {"studies": folder, "store": store.root(), "Ray sessions": Path(tempfile.gettempdir())}
    for name, place in places.items():
        there = next(its for its in (place.resolve(), *place.resolve().parents) if its.exists())
        free = shutil.disk_usage(there).free
        state: State = "ok" if free > FREE_BYTES else "warning"
        more = "" if state == "ok" else "; `ablate gc` frees some"
        yield Finding(state, f"disk of {name}", f"{amount(free)} free in {there}{more}")
        if not os.access(there, os.W_OK):
            yield Finding("broken", f"disk of {name}", f"{there} cannot be written")
    shm = Path("/dev/shm")
    if shm.exists() and (free := shutil.disk_usage(shm).free) < SHM_BYTES:
        yield Finding("warning", "/dev/shm", f"{amount(free)} free: Ray falls back to a slow disk (docker: --shm-size)")


def ray_parts() -> Iterator[Finding]:
    """`ray[default]`: without it there is no dashboard and no Jobs API."""
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in importlib.metadata.requires("ray") or ()]
    parts = [its.name for its in wanted if its.marker and its.marker.evaluate({"extra": "default"})]
    missing = [name for name in parts if not installed(name)]
    if missing:
        yield Finding("broken", "ray[default]", f"{', '.join(missing)} missing; pip install 'ray[default]'")
    else:
        yield Finding("ok", "ray[default]", "complete: dashboard and Jobs API")


def ray_instances() -> Iterator[Finding]:
    """More than one Ray on a host confuses Ray's own tools."""
    heads = [its for its in psutil.process_iter(["name"]) if its.info["name"] == "gcs_server"]
    ids = ", ".join(str(its.pid) for its in heads)
    if len(heads) > 1:
        yield Finding(
            "warning", "Ray", f"{len(heads)} instances on this host (gcs_server {ids}); `ray status` cannot choose"
        )
    else:
        yield Finding(
            "ok", "Ray", f"runs here (gcs_server {ids})" if heads else "not running; `ablate sweep` starts it"
        )


def ray_token() -> Iterator[Finding]:
    """Where the token comes from that Ray's dashboard and Jobs API ask for."""
    file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if os.environ.get("RAY_AUTH_TOKEN"):
        yield Finding("ok", "Ray token", "from RAY_AUTH_TOKEN")
    elif not file.exists():
        broken = "RAY_AUTH_TOKEN_PATH" in os.environ
        yield Finding("broken" if broken else "ok", "Ray token", f"none in {file}; Ray makes one when it starts here")
    elif not os.access(file, os.R_OK):
        yield Finding("broken", "Ray token", f"{file} cannot be read")
    elif file.stat().st_mode & 0o077:
        yield Finding("warning", "Ray token", f"others may read {file}; chmod 600 it")
    else:
        yield Finding("ok", "Ray token", f"in {file}")


def the_record(folder: Path) -> Iterator[Finding]:
    """Whether MLflow can be read and written."""
    try:
        record = record_of(folder)
        if record.uri.startswith("sqlite:///"):
            lock_and_release(Path(record.uri.removeprefix("sqlite:///")))
        else:
            record.tag_experiment("ablate.doctor", time.strftime("%F"))
    except Mistake as mistake:
        none = "there is no record" in str(mistake)
        yield Finding(
            "ok" if none else "broken", "record", "none yet; the first sweep makes it" if none else str(mistake)
        )
        return
    yield Finding("ok", "record", f"{record.uri}: can be read and written; studies: {len(record.studies())}")


def lock_and_release(file: Path) -> None:
    """Take the write lock of an sqlite file and give it back; raises Mistake where that fails within 5 s."""
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=5, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")
    except sqlite3.Error as error:
        raise Mistake(f"the record {file} cannot be written ({error})") from error


def the_store() -> Iterator[Finding]:
    """Whether prepared features can be kept."""
    root = store.root()
    try:
        with store.writable():
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=root) as file:
                file.write(b"0")
    except Mistake as mistake:
        yield Finding("broken", "store", str(mistake))
        return
    entries = sum(1 for _ in root.glob("*/*/checksums"))
    yield Finding("ok", "store", f"{root}: can be written; prepared data sets: {entries}")


def dashboard() -> Iterator[Finding]:
    """optuna-dashboard, which is optional."""
    version = installed("optuna-dashboard")
    if version:
        yield Finding("ok", "optuna-dashboard", f"{version}; optuna-dashboard {default_address()}")
    else:
        yield Finding("warning", "optuna-dashboard", "not installed (optional): pip install optuna-dashboard")
