"""Studies as a report reads them from the record, without one: invented scores and learning curves."""

import math
import random
from typing import Any

from design.studies import base

from ablate.design.kept import kept
from ablate.design.plan import Plan
from ablate.records import CellRecord, StudyRecord
from ablate.reporting.ablation import Ablation
from ablate.reporting.cells import CellRow, ordered
from ablate.reporting.question import Question
from ablate.reporting.recorded import Recorded

from .studies import cell

SPACE = {
    "model.z_dim": {"choice": [4, 8, 16], "default": 8},
    "loss.beta": {"loguniform": [0.1, 10], "default": 1},
    "loss.scc.weight": {"choice": [0, 10], "default": 0},
}
SEARCH = {
    "algorithm": "tpe",
    "trials": 12,
    "metric": ["valid/gap"],
    "mode": ["max"],
    "confirm": {"top": 1, "seeds": [1000, 1001, 1002], "against": []},
}


class Curves:
    """Learning curves by run; of a run that is not known none."""

    uri, experiment_id = "sqlite:///runs/mlflow.db", "1"

    def __init__(self) -> None:
        self.of: dict[str, list[tuple[int, float]]] = {}

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        return self.of.get(run_id, [])


def learned(value: float | None, seed: int) -> list[tuple[int, float]]:
    """Eight epochs towards a value; what diverged has two."""
    top, epochs = (0.5, 2) if value is None else (value, 8)
    return [(epoch, top * (1 - math.exp(-epoch / 2)) + 0.001 * seed) for epoch in range(1, epochs + 1)]


def ablation(plan: Plan, values: Any, study: str = "s", shuffle: int = 0, why: str = "kl_f is not finite") -> Recorded:
    """An ablation from the values of its arms by seed; None is a run that diverged."""
    question = Question.of({"name": study, "base": base(), "design": kept(plan)})
    record: Any = Curves()
    rows, runs = [], {}
    for arm, by_seed in values.items():
        for seed, value in by_seed.items():
            run_id = f"{arm}.{seed}"
            record.of[run_id] = learned(value, seed)
            rows.append(row(plan, arm, seed, value, study, run_id))
            runs[run_id] = run(run_id, seed, "" if value is not None else why)
    random.Random(shuffle).shuffle(rows)
    rows = ordered(question, rows)
    return Recorded(question, rows, [], Ablation.of(question, rows), known(study), record, runs)


def row(plan: Plan, arm: str, seed: int, value: float | None, study: str, run_id: str) -> CellRow:
    """A cell; without a value one that diverged."""
    status, failure = ("failed", "diverged") if value is None else ("complete", "")
    values = {} if value is None else {plan.design.metric: value, "objective": 0.1, "test/static_from_f": 0.9}
    leaves = next((its.leaves for its in plan.arms if its.name == arm), {})
    who = (study, "design", arm, f"{arm:x<64.64}", seed, status, failure, 8, 8, leaves, values)
    return CellRow(*who, cell=f"{arm} {seed}", run_id=run_id)


def run(run_id: str, seed: int, why: str = "") -> CellRecord:
    """What the record has of how a cell ran."""
    metrics = {"system/wall_seconds": 10.0 + seed, "system/cpu_seconds": 360.0, "system/peak_memory_mb": 500.0}
    tags = {"ablate.commit": "c0ffee", "ablate.torch": "2.13.0", "ablate.device": "cpu", "ablate.workers": "1"}
    its = cell(
        "default", "design", seed, run_id=run_id, why=why, metrics=metrics, tags=tags, data="d1gest", ended=60_000
    )
    return its


def known(study: str) -> StudyRecord:
    """The study's own run."""
    tags = {"ablate.overrides": '["train.epochs=8"]'}
    return StudyRecord("study", study, study, "", "de51gn", "", 0, False, "FINISHED", {}, {}, tags, 0, 60_000)


def trials(count: int = 12, best: str = "best") -> list[CellRow]:
    """Cells of a search in which the size of z decides, on seed 0; one was ended early, one more diverged."""
    draw, made = random.Random(0), []
    for i in range(count + 1):
        z_dim = (4, 8, 16)[i % 3]
        point = {"model.z_dim": z_dim, "loss.beta": 10 ** draw.uniform(-1, 1), "loss.scc.weight": (0, 10)[i % 2]}
        score = 0.9 if i == 0 else 0.8 - 0.02 * z_dim + 0.001 * draw.random()
        status, failure = {count - 1: ("pruned", ""), count: ("failed", "diverged")}.get(i, ("complete", ""))
        name = {0: best, count: "lost"}.get(i, f"trial{i}")
        values = {} if failure else {"objective": score, "valid/gap": score}
        signature = f"{i:064d}"
        made.append(
            CellRow("s", "search", name, signature, 0, status, failure, 8, 8, point, values, f"t{i}", False, f"t{i}")
        )
    return made


def confirmed(rows: list[CellRow]) -> list[CellRow]:
    """The best trial and the default on three fresh seeds."""
    best, made = rows[0], []
    for name, signature, level in ((best.name, best.signature, 0.7), ("default", "d" * 64, 0.6)):
        for seed, more in ((1000, 0.0), (1001, 0.03), (1002, 0.01 if level > 0.65 else 0.0)):
            values = {"objective": level, "test/gap": level + more}
            key = f"{signature[:2]}.{seed}"
            made.append(
                CellRow("s", "confirm", name, signature, seed, "complete", "", 8, 8, {}, values, key, False, key)
            )
    return made


def searched(confirm: bool = True, name: str = "best", study: str = "s", why: str = "", **more: Any) -> Recorded:
    """A search, with its confirmation or without; `name` is the best configuration's, `why` what the lost one says."""
    question = Question.of({"name": study, "space": SPACE, "search": SEARCH | more, "baselines": {}})
    rows = trials(best=name)
    rows = ordered(question, [*rows, *(confirmed(rows) if confirm else [])])
    record: Any = Curves()
    record.of = {its.run_id: learned(its.objective, its.seed % 10) for its in rows}
    runs = {its.run_id: run(its.run_id, its.seed % 10, why if its.failure else "") for its in rows}
    return Recorded(question, rows, [], None, known(study), record, runs)
