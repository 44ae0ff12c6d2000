"""What the record consists of: rows that go in, cells and studies that come out; numbers as text."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One metric value, parameter or tag of a run; `source` is the event it came with."""

    kind: str  # metric, param or tag
    key: str
    value: Any
    at: int = 0  # ms since 1970
    epoch: int = 0
    source: Any = None


@dataclass(frozen=True)
class CellRecord:
    """A seed run: one configuration on one seed, as the record has it."""

    run_id: str
    name: str
    study: str
    cell: str  # cell key, 64 hex
    signature: str  # of the configuration (arm), 64 hex
    seed: int
    attempt: int
    point: dict[str, Any]  # the searched leaves with their types
    status: str  # running, complete, pruned, failed, stopped
    failure: str  # class of statistics.md 6, or empty
    why: str
    metrics: dict[str, float]  # the latest of each key
    params: dict[str, str]
    tags: dict[str, str]
    started: int  # ms since 1970
    ended: int | None
    data: str = ""  # digest of the data it saw

    @classmethod
    def of(cls, run: Any) -> "CellRecord":
        """From a run as MLflow returns it."""
        tags = run.data.tags
        inputs = run.inputs.dataset_inputs if run.inputs else []
        return cls(
            run_id=run.info.run_id,
            name=run.info.run_name,
            study=tags["ablate.study"],
            cell=tags["ablate.cell"],
            signature=tags["ablate.signature"],
            seed=int(tags.get("ablate.seed", 0)),
            attempt=int(tags.get("ablate.attempt", 1)),
            point=json.loads(tags.get("ablate.point", "{}")),
            status=tags.get("ablate.status", "running"),
            failure=tags.get("ablate.failure", ""),
            why=tags.get("ablate.why", ""),
            metrics=run.data.metrics,
            params=run.data.params,
            tags=tags,
            started=run.info.start_time,
            ended=run.info.end_time,
            data=inputs[0].dataset.digest if inputs else "",
        )


@dataclass(frozen=True)
class StudyRecord:
    """A study run, or an arm run (whose `name` is the configuration's short name)."""

    run_id: str
    name: str
    study: str
    signature: str  # of an arm, else empty
    digest: str  # of the design, of a study
    owner: str  # host:pid, empty where nobody runs it
    heartbeat: int  # ms since 1970
    stop: bool  # asked to stop
    status: str  # MLflow's: RUNNING, FINISHED, FAILED, KILLED
    metrics: dict[str, float]
    params: dict[str, str]
    tags: dict[str, str]
    started: int
    ended: int | None

    @classmethod
    def of(cls, run: Any) -> "StudyRecord":
        """From a run as MLflow returns it."""
        tags = run.data.tags
        return cls(
            run_id=run.info.run_id,
            name=run.info.run_name,
            study=tags["ablate.study"],
            signature=tags.get("ablate.signature", ""),
            digest=tags.get("ablate.digest", ""),
            owner=tags.get("ablate.owner", ""),
            heartbeat=int(tags.get("ablate.heartbeat", 0)),
            stop=bool(tags.get("ablate.stop")),
            status=run.info.status,
            metrics=run.data.metrics,
            params=run.data.params,
            tags=tags,
            started=run.info.start_time,
            ended=run.info.end_time,
        )


FRESH = "ablate.fresh"  # tag of a study's run: ms since 1970 at which it was last begun anew (`--fresh`)
LEVELS = "ablate.levels"  # tag of a study's run: what an untrained encoder and the raw features reach


def begun(study: StudyRecord | None) -> int:
    """When a study was last begun anew; 0 where it never was."""
    return 0 if study is None else int(study.tags.get(FRESH, 0))


def current(cells: Iterable[CellRecord], study: StudyRecord | None) -> list[CellRecord]:
    """The cells that count for a study: what ran before it was begun anew, here or in other studies, does not."""
    since = begun(study)
    return [its for its in cells if its.started >= since]


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def text(value: Any) -> str:
    """A value as parameters and tags show it: 10 for 10.0, so that equal values compare equal in the UI."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value, separators=(",", ":"), default=str)
