"""A small study as the record has it: a grid of four points, a confirmation on three seeds."""

from typing import Any

from ablate.records import CellRecord, StudyRecord
from ablate.reporting.question import Question

DESIGN = {
    "name": "s",
    "space": {
        "model.inference": {"choice": ["full", "factorised"], "default": "full"},
        "loss.scc.weight": {"choice": [10, 0], "default": 0},
    },
    "search": {
        "algorithm": "grid",
        "trials": None,
        "metric": ["valid/probe_gap"],
        "mode": ["max"],
        "confirm": {"top": 2, "seeds": [1000, 1001, 1002], "against": ["vae.yaml"]},
    },
    "baselines": {"vae": {}},
}
QUESTION = Question.of(DESIGN)
POINTS = {
    "scc=10": {"model.inference": "full", "loss.scc.weight": 10},
    "default": {"model.inference": "full", "loss.scc.weight": 0},
    "factorised scc=10": {"model.inference": "factorised", "loss.scc.weight": 10},
    "factorised": {"model.inference": "factorised", "loss.scc.weight": 0},
}
SIGNATURES = {name: digit * 64 for name, digit in zip([*POINTS, "vae"], "d1f0a", strict=True)}
GAPS = {"scc=10": 0.61, "default": 0.6, "factorised scc=10": 0.4, "factorised": 0.42}
TESTS = {"scc=10": [0.55, 0.57, 0.56], "default": [0.56, 0.57, 0.58], "vae": [0.26, 0.27, 0.25]}


def cell(name: str, role: str, seed: int, status: str = "complete", **more: Any) -> CellRecord:
    """A seed run."""
    fields: dict[str, Any] = {
        "run_id": f"{name}{seed}",
        "name": f"{name} s{seed}",
        "study": "s",
        "cell": f"{name}-{seed}",
        "signature": SIGNATURES[name],
        "seed": seed,
        "attempt": 1,
        "point": POINTS.get(name, {}),
        "status": status,
        "failure": "",
        "why": "",
        "metrics": {},
        "params": {},
        "tags": {"ablate.role": role, "ablate.epochs": "8"},
        "started": 0,
        "ended": 1,
    }
    return CellRecord(**(fields | more))


def arm(name: str, **tags: str) -> StudyRecord:
    """A configuration run."""
    return StudyRecord(
        run_id=f"arm {name}",
        name=name,
        study="s",
        signature=SIGNATURES[name],
        digest="",
        owner="",
        heartbeat=0,
        stop=False,
        status="FINISHED",
        metrics={},
        params={},
        tags=tags,
        started=0,
        ended=1,
    )


def searched(name: str, **more: Any) -> CellRecord:
    """A point of the grid."""
    gap = GAPS[name]
    noise = {"train/recon": 3.0, "weight/scc": 1.0, "system/wall_seconds": 5.25}
    metrics = {"objective": gap, "best_epoch": 7.0, "valid/probe_gap": gap - 0.01, "valid/static_from_z": 0.3} | noise
    return cell(name, "grid", 0, **({"metrics": metrics} | more))


def confirmed(name: str) -> list[CellRecord]:
    """The three seeds of a confirmed configuration; the validation gap is .1 above that of the test split."""
    return [
        cell(
            name,
            "confirm",
            seed,
            metrics={"objective": gap + 0.1, "best_epoch": 8.0, "test/probe_gap": gap, "test/static_from_f": 0.98},
        )
        for seed, gap in zip(QUESTION.seeds, TESTS[name], strict=True)
    ]


def study() -> tuple[list[CellRecord], list[StudyRecord]]:
    """All cells and configuration runs."""
    cells = [searched(name) for name in POINTS] + [its for name in TESTS for its in confirmed(name)]
    return cells, [arm(name) for name in SIGNATURES]
