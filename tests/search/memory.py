"""A record in memory, with the methods of `ablate.tracking.Record` that a sweep uses: a database costs seconds."""

from types import SimpleNamespace
from typing import Any

from ablate.records import CellRecord, Row, StudyRecord, now, text
from ablate.tracking import ENDED


class MemoryRecord:
    """Runs by id. Everything is text but metrics, as MLflow has it."""

    def __init__(self, uri: str = "memory") -> None:
        self.uri = uri
        self.runs: dict[str, Any] = {}
        self.rows: dict[tuple[str, str], dict[tuple[int, int], float]] = {}  # (run, metric) -> (epoch, at) -> value

    def studies(self) -> list[StudyRecord]:
        return [StudyRecord.of(run) for run in self.having({"ablate.kind": "study"})]

    def study(self, name: str) -> StudyRecord | None:
        found = self.having({"ablate.kind": "study", "ablate.study": name})
        return StudyRecord.of(found[0]) if found else None

    def arms(self, study: str) -> list[StudyRecord]:
        return [StudyRecord.of(run) for run in self.having({"ablate.kind": "arm", "ablate.study": study})]

    def cells(self, study: str | None = None) -> list[CellRecord]:
        return self.search({"ablate.kind": "seed"} | ({"ablate.study": study} if study else {}))

    def search(self, tags: dict[str, str]) -> list[CellRecord]:
        return [CellRecord.of(run) for run in self.having(tags)]

    def find_runs(self, tags: dict[str, str]) -> list[str]:
        return [run.info.run_id for run in self.having(tags)]

    def having(self, tags: dict[str, str]) -> list[Any]:
        return [run for run in self.runs.values() if tags.items() <= run.data.tags.items()]

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        return sorted((epoch, value) for (epoch, _), value in self.rows.get((run_id, key), {}).items())

    def open_study(self, name: str, tags: dict[str, str], design_digest: str = "") -> str:
        tags = {"ablate.kind": "study", "ablate.study": name, "ablate.digest": design_digest} | tags
        known = self.study(name)
        if known is None:
            return self.create(name, None, tags, now())
        self.reopen(known.run_id)
        self.runs[known.run_id].data.tags.update({key: text(value) for key, value in tags.items()})
        return known.run_id

    def create(self, name: str, parent: str | None, tags: dict[str, str], at: int) -> str:
        run_id = f"r{len(self.runs)}"
        info = SimpleNamespace(run_id=run_id, run_name=name, start_time=at, end_time=None, status="RUNNING")
        data = SimpleNamespace(tags={key: text(value) for key, value in tags.items()}, metrics={}, params={})
        inputs = SimpleNamespace(dataset_inputs=[])
        self.runs[run_id] = SimpleNamespace(info=info, data=data, inputs=inputs, parent=parent)
        return run_id

    def reopen(self, run_id: str) -> None:
        self.runs[run_id].info.status = "RUNNING"
        for key in ("ablate.failure", "ablate.why"):
            self.runs[run_id].data.tags.pop(key, None)

    def set_status(self, run_id: str, status: str, at: int | None = None) -> None:
        self.runs[run_id].info.status, self.runs[run_id].info.end_time = ENDED[status], at

    def set_tag(self, run_id: str, key: str, value: Any) -> None:
        self.runs[run_id].data.tags[key] = text(value)

    def heartbeat(self, run_id: str) -> None:
        self.set_tag(run_id, "ablate.heartbeat", now())

    def stop_requested(self, run_id: str) -> bool:
        return bool(self.runs[run_id].data.tags.get("ablate.stop"))

    def log(self, run_id: str, rows: list[Row]) -> None:
        data = self.runs[run_id].data
        for row in rows:
            if row.kind == "metric":
                self.rows.setdefault((run_id, row.key), {})[row.epoch, row.at] = float(row.value)
                data.metrics[row.key] = float(row.value)
            else:
                getattr(data, f"{row.kind}s")[row.key] = text(row.value)

    def upload(self, *_: Any) -> None:
        """Artifacts are not kept."""

    write = add_input = upload
