"""A toy study, its cells and records: what the tests of the search room share."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from toys import PLAIN, STUDY

from ablate.config import load_study
from ablate.records import CellRecord
from ablate.search.events import METRICS, compact
from ablate.search.plan import Cell, Planner, cell_config
from ablate.study import Study

DATA = "d" * 64  # digest of the toy data
CONFIRMED = STUDY + "  confirm: {top: 2, seeds: 2, against: [plain.yaml]}\n"
POINT = {"model.z_dim": 2, "loss.beta": 0.5, "loss.scc.weight": 10}
DEFAULT = {"model.z_dim": 4, "loss.beta": 1, "loss.scc.weight": 0}


def study(text: str = STUDY, *overrides: str) -> Study:
    """A study in the working directory."""
    Path("plain.yaml").write_text(PLAIN)
    Path("study.yaml").write_text(text)
    return load_study("study.yaml", overrides)


def planner(text: str = STUDY, *overrides: str, attempts: dict[str, int] | None = None) -> Planner:
    return Planner(study(text, *overrides), DATA, attempts or {})


def config(cell: Cell, folder: Path, objectives: tuple[str, ...] = ()) -> dict[str, Any]:
    """What travels to the trial process."""
    return cell_config(cell, folder, "this-sweep", list(objectives))


def recorded(cell: Cell, status: str = "complete", study_name: str = "toy", **more: Any) -> CellRecord:
    """The cell as the record has it."""
    values: dict[str, Any] = {
        "run_id": f"run-{study_name}-{cell.label}",
        "name": cell.name,
        "study": study_name,
        "cell": cell.key,
        "signature": cell.signature,
        "seed": cell.seed,
        "attempt": 1,
        "point": cell.point,
        "status": status,
        "failure": "",
        "why": "",
        "metrics": {"objective": 0.5},
        "params": {},
        "tags": {"ablate.role": cell.role, METRICS: compact(cell.trial.plain()["metrics"])},
        "started": 0,
        "ended": 1,
    }
    return CellRecord(**(values | more))


def tune_trial(cell: dict[str, Any], trial_id: str = "t", **more: Any) -> Any:
    """A trial as Tune hands it to callbacks."""
    shown = {"trial_id": trial_id, "config": {"cell": cell}, "last_result": {}, "error_file": None}
    return SimpleNamespace(**(shown | {"num_failures": 0, "max_failures": 3} | more))
