"""What the record is told of a study, its configurations and its cells."""

import importlib.metadata
import json
import platform
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.naming import short_path
from ablate.records import now
from ablate.search.plan import address
from ablate.signature import CODE, FORMAT

if TYPE_CHECKING:
    from ablate.data.dataset import Data

Event = dict[str, Any]
METRICS = "ablate.metrics"  # tag of a cell: what is measured, how often and with which options


def opening(cell: dict[str, Any], data: "Data") -> list[Event]:
    """The events that begin a cell: its run, its resolved configuration, the data it sees."""
    trial = cell["trial"]
    params = comparable(cell)
    name = f"{cell['name']} s{cell['seed']}"
    shared = {key: value for key, value in params.items() if key != "seed"}
    run = {
        "event": "open",
        **address(cell),
        "name": name,
        "parent": {"arm": cell["signature"], "name": cell["name"], "params": shared},
        "seed": cell["seed"],
        "point": cell["point"],
        "params": params,
        "tags": provenance()
        | {
            "ablate.role": cell["role"],
            "ablate.checkpoint": str(Path(cell["folder"]) / "best.pt"),
            "ablate.workers": str(trial["resources"]["workers"]),
            "ablate.precision": trial["train"]["precision"],
            METRICS: compact(trial["metrics"]),
        },
        "at": now(),
    }
    dataset = {"event": "input", **address(cell), "name": trial["data"]["name"], "digest": data.digest}
    resolved = {"event": "dict", **address(cell), "dict": trial, "file": "configuration.yaml"}
    return [run, resolved, dataset]


def comparable(cell: dict[str, Any]) -> dict[str, Any]:
    """The parameters a person compares: model, data, the searched leaves under short names, the seed."""
    trial = cell["trial"]
    params: dict[str, Any] = {"model": trial["model"]["name"], "data": trial["data"]["name"], "seed": cell["seed"]}
    return params | {short_path(path): value for path, value in spelled(searched(cell))}


def spelled(leaves: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The leaves; in the place of a whole loss section the weights of its terms, of a whole model nothing."""
    for path, value in leaves.items():
        if path == "loss":
            yield from ((f"loss.{term}.weight", its["weight"]) for term, its in value.items() if term != "beta")
        elif path != "model":
            yield path, value


def searched(cell: dict[str, Any]) -> dict[str, Any]:
    """Path -> value of the searched leaves; for a baseline those that its configuration has too."""
    found = {}
    for path in cell["point"]:
        at: Any = cell["trial"]
        for step in path.split("."):
            at = at.get(step) if isinstance(at, dict) else None
        if at is not None:
            found[path] = at
    return found


@cache
def _provenance() -> tuple[tuple[str, str], ...]:
    import torch

    tags = {
        "ablate.code": str(CODE),
        "ablate.format": str(FORMAT),
        "ablate.version": importlib.metadata.version("ablate-seqvae"),
        "ablate.torch": torch.__version__,
        "ablate.python": platform.python_version(),
        "ablate.device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
    }
    commit = git("rev-parse", "HEAD")
    if commit:
        tags["ablate.commit"] = commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    return tuple(tags.items())


def provenance() -> dict[str, str]:
    """Versions, commit and device: recorded with every cell, shown when a comparison mixes them."""
    return dict(_provenance())


def git(*words: str) -> str:
    """Output of a git command in the source tree; empty outside one."""
    try:
        done = subprocess.run(
            ["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def compact(values: Any) -> str:
    """JSON without spaces, keys sorted."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"))
