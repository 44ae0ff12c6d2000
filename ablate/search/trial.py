"""The trial process of Tune: runs a cell, and tells apart what may be tried again from what may not."""

import contextlib
import json
import math
import os
import time
import traceback
from pathlib import Path
from typing import Any

WAITS = (
    "30,60,120"  # seconds before the 1st, 2nd, 3rd new try after a fault of the machines; ABLATE_RETRY_WAITS overrides
)


def trial(config: dict[str, Any], environment: dict[str, str] | None = None) -> None:
    """Tune function, once `environment` is set. config["cell"] is a cell's configuration: search.plan.cell_config.

    Only faults of the machines are raised to Tune, which tries again from the checkpoint; everything else ends the
    trial with a report that carries a verdict. SystemExit (stopped early) passes through.
    """
    from ray import tune

    os.environ.update(environment or {})
    cell = config["cell"]
    wait_after_infra(cell)
    try:
        run(cell, tune.report)
    except Exception as error:
        from ablate.search.failures import classify, may_succeed
        from ablate.training.cell import verdict

        if may_succeed(error):
            raise
        kind, why = classify(error)
        forget_attempts(cell)
        leave_traceback(cell)
        tune.report(verdict(cell, kind, why) | {f"objective/{k}": math.nan for k in range(len(cell["objectives"]))})
    except SystemExit:
        forget_attempts(cell)
        raise
    else:
        forget_attempts(cell)


def run(cell: dict[str, Any], report: Any) -> None:
    """In this process with one worker, through Ray Train with more."""
    if cell["trial"]["resources"]["workers"] == 1:
        from ablate.training.cell import run_cell

        run_cell(cell, report)
    else:
        from ablate.training.distributed import run as run_distributed

        run_distributed(cell)


def wait_after_infra(cell: dict[str, Any]) -> None:
    """Count the attempts of this sweep at this cell, and wait before a repeated one."""
    file = attempts_file(cell)
    earlier = 0
    if file.exists():
        try:
            noted = json.loads(file.read_text())
            earlier = noted["count"] if noted["sweep"] == cell["sweep"] else 0
        except (ValueError, KeyError, TypeError):
            earlier = 0
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"sweep": cell["sweep"], "count": earlier + 1, "pid": os.getpid()}))
    except OSError:
        return  # a full disk is found again, and named, by the checkpoint
    waits = [float(wait) for wait in os.environ.get("ABLATE_RETRY_WAITS", WAITS).split(",")]
    if earlier:
        time.sleep(waits[min(earlier, len(waits)) - 1])


def forget_attempts(cell: dict[str, Any]) -> None:
    """The cell has ended: the next start is a first one."""
    with contextlib.suppress(OSError):
        attempts_file(cell).unlink()


def attempts_file(cell: dict[str, Any]) -> Path:
    """Where the attempts are counted."""
    return Path(cell["folder"]) / "attempts"


def leave_traceback(cell: dict[str, Any]) -> None:
    """Keep the traceback among the artifacts of the run, where that is possible."""
    folder = Path(cell["folder"]) / "artifacts"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "traceback.txt").write_text(traceback.format_exc())
    except OSError:
        return
