"""The record of what ran, in MLflow: study run -> configuration (arm) run -> seed run; nothing else imports mlflow."""

import contextlib
import fcntl
import json
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from ablate import sqlite_record
from ablate.errors import Mistake
from ablate.records import CellRecord, Row, StudyRecord, now, text

PARENT = "mlflow.parentRunId"
ENDED = {"complete": "FINISHED", "pruned": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}  # ours -> MLflow's
CUT = {"param": 6000, "tag": 8000}  # characters MLflow keeps
PAGE = 1000  # runs per search request
FRESH_S = 2.0  # age from which on the time of a file tells one write from the next
PASSING = {
    "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED",
}  # fmt: skip
REFUSED = {"UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED"}
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # the defaults block one call for four minutes when the server is away
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def quiet_mlflow() -> None:
    """The settings MLflow needs before its import (a user's own value wins); no tracebacks of errors we handle."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool", "alembic", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Record:
    """One MLflow experiment at one address. All calls name their run; nothing is kept in MLflow's global state.

    Construction creates database and experiment where they are missing (safely with several processes at once) and
    raises Mistake where that does not succeed within `wait` seconds. Other methods raise what MLflow raises; `passing`
    tells whether trying again later makes sense.
    """

    def __init__(
        self,
        uri: str,
        experiment: str = "ablate",
        artifact_location: str | None = None,
        wait: float = 30.0,
        reading: bool = False,
    ):
        """`reading`: an sqlite file that is there is read without MLflow, which is imported with the first write."""
        self.uri, self.experiment, self._wait = uri, experiment, wait
        self._file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
        quiet_mlflow()
        known = sqlite_record.experiment(self._file, experiment) if reading and self._file else None
        self.experiment_id = known or self._connected(artifact_location)

    def _connected(self, artifact_location: str | None = None) -> str:
        """Connect to MLflow; returns the id of the experiment."""
        self._open_client, found = _connect(self.uri, self.experiment, artifact_location, self._wait)
        return found

    @property
    def _client(self) -> Any:
        """MLflow's client."""
        if not hasattr(self, "_open_client"):
            self._connected()
        return self._open_client

    def state(self) -> str | None:
        """What changes with every write: sizes and times of an sqlite record's files.

        None for a server, and for a file so fresh that another write could leave the same time.
        """
        if self._file is None:
            return None
        found = [(its, its.stat()) for its in sqlite_record.files(self._file) if its.exists()]
        if not found or time.time() - max(its.st_mtime for _, its in found) < FRESH_S:
            return None
        return " ".join(f"{path.resolve()} {its.st_size} {its.st_mtime_ns}" for path, its in found)

    def studies(self) -> list[StudyRecord]:
        """All studies, the oldest first."""
        return [StudyRecord.of(run) for run in self._search({"ablate.kind": "study"})]

    def study(self, name: str) -> StudyRecord | None:
        """The study of this name."""
        runs = self._search({"ablate.kind": "study", "ablate.study": name})
        return StudyRecord.of(runs[0]) if runs else None

    def arms(self, study: str, metrics: Collection[str] | None = None) -> list[StudyRecord]:
        """The configuration runs of a study, the oldest first; `metrics` as for `cells`."""
        return [StudyRecord.of(run) for run in self._search({"ablate.kind": "arm", "ablate.study": study}, metrics)]

    def cells(self, study: str | None = None, metrics: Collection[str] | None = None) -> list[CellRecord]:
        """The seed runs of a study, or of all studies, the oldest first; each attempt of a cell is a run.

        Who needs a few `metrics` only, and no parameters, may say so: it is quicker.
        """
        return self.search({"ablate.kind": "seed"} | ({"ablate.study": study} if study else {}), metrics)

    def find_cells(self, keys: Iterable[str]) -> list[CellRecord]:
        """The seed runs of these cell keys in any study, the oldest first."""
        wanted = set(keys)
        return [cell for cell in self.cells() if cell.cell in wanted] if wanted else []

    def search(self, tags: dict[str, str], metrics: Collection[str] | None = None) -> list[CellRecord]:
        """The seed runs that have all of these tags, the oldest first."""
        found = [CellRecord.of(run) for run in self._search(tags, metrics)]
        return sorted(found, key=lambda cell: (cell.started, cell.attempt, cell.cell))

    def find_runs(self, tags: dict[str, str]) -> list[str]:
        """Ids of the runs that have all of these tags, the oldest first."""
        return [run.info.run_id for run in self._search(tags)]

    def history(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """(epoch, value) of a metric in the order of epochs."""
        return sorted((row.step, row.value) for row in self._client.get_metric_history(run_id, key))

    def stop_requested(self, run_id: str) -> bool:
        """Whether `ablate stop` has asked the study with this run to end."""
        return bool(self._client.get_run(run_id).data.tags.get("ablate.stop"))

    def _search(self, tags: dict[str, str], metrics: Collection[str] | None = None) -> list[Any]:
        """Runs that have all of these tags: from the file where there is one, else from MLflow page by page."""
        if self._file is not None:
            read = sqlite_record.search(self._file, self.experiment_id, tags, metrics)
            if read is not None:
                return read
        terms = " and ".join(f"tags.`{key}` = {_quoted(value)}" for key, value in tags.items())
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment_id], terms, max_results=PAGE, order_by=["attributes.start_time ASC"], page_token=token
            )
            found += page
            token = page.token
            if not token:
                return found

    def open_study(self, name: str, tags: dict[str, str], design_digest: str = "") -> str:
        """The run of the study of this name, made or reopened; returns its id."""
        tags = {"ablate.kind": "study", "ablate.study": name, "ablate.digest": design_digest} | tags
        known = self.study(name)
        if known is None:
            return self.create(name, None, tags, now())
        self.reopen(known.run_id)
        self.log(known.run_id, [Row("tag", key, value) for key, value in tags.items()])
        return known.run_id

    def create(self, name: str, parent: str | None, tags: dict[str, str], at: int) -> str:
        """A new run under `parent`; returns its id."""
        fixed = {"mlflow.source.name": "ablate", "mlflow.source.type": "LOCAL"} | ({PARENT: parent} if parent else {})
        texts = {key: text(value)[: CUT["tag"]] for key, value in (fixed | tags).items()}
        return self._client.create_run(self.experiment_id, at, texts, run_name=name[:250]).info.run_id

    def reopen(self, run_id: str) -> None:
        """A finished run runs again; how it failed before is forgotten."""
        self._client.update_run(run_id, status="RUNNING")
        for key in {"ablate.failure", "ablate.why"} & set(self._client.get_run(run_id).data.tags):
            self._client.delete_tag(run_id, key)

    def set_status(self, run_id: str, status: str, at: int | None = None) -> None:
        """End a run as complete, pruned, failed or stopped."""
        self._client.set_terminated(run_id, ENDED[status], at)

    def set_tag(self, run_id: str, key: str, value: Any) -> None:
        """Write one tag."""
        self._client.set_tag(run_id, key, text(value)[: CUT["tag"]])

    def heartbeat(self, run_id: str) -> None:
        """The owner of the study is alive now."""
        self.set_tag(run_id, "ablate.heartbeat", now())

    def tag_experiment(self, key: str, value: str) -> None:
        """Write one tag of the experiment."""
        self._client.set_experiment_tag(self.experiment_id, key, value)

    def request_stop(self, run_id: str) -> None:
        """Ask the owner of the study, on whatever machine, to end it within its next heartbeat."""
        self.set_tag(run_id, "ablate.stop", now())

    def log(self, run_id: str, rows: list[Row]) -> None:
        """Rows of one run in as few requests as MLflow's limits allow; all or none of a request are stored."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [Metric(row.key, float(row.value), row.at, row.epoch) for row in rows if row.kind == "metric"]
        tags = {row.key: text(row.value)[: CUT["tag"]] for row in rows if row.kind == "tag"}
        params = [Param(row.key, text(row.value)[: CUT["param"]]) for row in rows if row.kind == "param"]
        self._client.log_batch(run_id, metrics, params, [RunTag(key, value) for key, value in tags.items()])

    def upload(self, run_id: str, path: Path, target: str | None = None) -> None:
        """Copy a file or the content of a folder to the run's artifacts; raises FileNotFoundError."""
        if path.is_dir():
            self._client.log_artifacts(run_id, str(path), target)
        else:
            path.stat()
            self._client.log_artifact(run_id, str(path), target)

    def write(self, run_id: str, content: str | dict[str, Any], file: str) -> None:
        """Text, or a dictionary as JSON or YAML by the file's ending, as an artifact."""
        if isinstance(content, str):
            self._client.log_text(run_id, content, file)
        else:
            self._client.log_dict(run_id, content, file)

    def add_input(self, run_id: str, name: str, digest: str, context: str) -> None:
        """The data set of a run; MLflow keeps 36 characters of the digest, the rest goes to the source."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(name, digest[:36], "ablate", json.dumps({"digest": digest}))
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])


def passing(error: BaseException) -> bool:
    """Whether the same call may succeed later: no connection, time-out, locked database, overload, server error."""
    code = getattr(error, "error_code", None)
    if code is not None:
        return code in PASSING
    response = getattr(error, "response", None)
    if response is not None:
        return response.status_code == 429 or response.status_code >= 500
    return isinstance(error, (ConnectionError, TimeoutError)) or type(error).__module__.startswith(
        ("requests", "urllib3")
    )


def away(error: BaseException) -> bool:
    """Whether it is MLflow that cannot be reached, and nothing else on the network."""
    return passing(error) and type(error).__module__.partition(".")[0] in ("mlflow", "requests", "urllib3")


def refused(error: BaseException) -> bool:
    """Whether the server wants other credentials; they are read afresh at each call, so one more try makes sense."""
    response = getattr(error, "response", None)
    return getattr(error, "error_code", None) in REFUSED or getattr(response, "status_code", 0) in (401, 403)


def first_line(error: BaseException) -> str:
    """What an error says, in a line: of the database's own error where SQLAlchemy puts advice before it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if line.startswith("(sqlite3.")), lines[0])


def server(port: int, uri: str, artifacts: str, host: str = "127.0.0.1") -> tuple[list[str], dict[str, str]]:
    """(command, environment) of an MLflow server with its UI on the record; two processes, no job execution."""
    stores = ["--backend-store-uri", uri, "--artifacts-destination", artifacts]
    reached = ["--host", host, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", *stores, *reached], {**SETTINGS, **os.environ}


def _connect(uri: str, experiment: str, artifact_location: str | None, wait: float) -> tuple[Any, str]:
    """Client and experiment id; tries for `wait` seconds."""
    deadline = time.monotonic() + wait
    while True:
        try:
            with _alone(uri, deadline):
                return _open(uri, experiment, artifact_location)
        except Mistake:
            raise
        except Exception as error:
            if passing(error) and time.monotonic() < deadline:
                time.sleep(min(0.5, wait / 10))
                continue
            tried = f" after {wait:g} s of trying" if passing(error) else ""
            reason = first_line(error)
            raise Mistake(
                f"the record {uri} cannot be opened{tried} ({reason}); start its server or correct tracking.uri"
            ) from error


def _open(uri: str, experiment: str, artifact_location: str | None) -> tuple[Any, str]:
    """Get the experiment, else create it, else (another process was faster) get it."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        try:
            return client, client.create_experiment(experiment, artifact_location)
        except MlflowException:
            found = client.get_experiment_by_name(experiment)
            if found is None:
                raise
    if found.lifecycle_stage != "active":
        raise Mistake(
            f"experiment {experiment!r} of the record {uri} was deleted; restore it with "
            f"`mlflow experiments restore -x {found.experiment_id}` or name another under tracking.experiment"
        )
    return client, found.experiment_id


@contextlib.contextmanager
def _alone(uri: str, deadline: float) -> Iterator[None]:
    """One process at a time where a sqlite file may have to be migrated first; nothing for a server."""
    if not uri.startswith("sqlite:///"):
        yield
        return
    file = Path(uri.removeprefix("sqlite:///"))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(file.parent, os.O_RDONLY)
    except OSError as error:
        raise Mistake(f"the record {file} cannot be written ({error.strerror}); correct tracking.uri") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        _probe(file, deadline)
        yield
    finally:
        os.close(fd)


def _probe(file: Path, deadline: float) -> None:
    """Whether sqlite can read and write the file; MLflow itself would try for minutes and print each time."""
    existed = file.exists()
    if not os.access(file if existed else file.parent, os.W_OK):
        raise Mistake(f"the record {file} cannot be written (permission denied); correct tracking.uri")
    if not existed:
        return
    try:
        with contextlib.closing(sqlite3.connect(file, timeout=max(0.1, deadline - time.monotonic()))) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise TimeoutError(str(error)) from error
        raise Mistake(f"the record {file} is no MLflow database ({error}); correct tracking.uri") from error


def _quoted(value: str) -> str:
    return f'"{value}"' if "'" in value else f"'{value}'"
