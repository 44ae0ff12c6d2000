"""Reads runs straight from the sqlite file of an MLflow record: thousands in seconds, and without importing MLflow.

Only reads, and only tables of the version that it was written for; any other file is left to MLflow itself.
"""

import contextlib
import json
import math
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

VERSION = "dc11669786a5"  # of the tables of MLflow 3.17, as its own migrations name it
PATIENCE_S = 0.5  # for the write of another process to end; MLflow itself waits for longer ones
NAME = "mlflow.runName"


def files(file: Path) -> list[Path]:
    """The files that a write may change: the database, and what sqlite keeps beside it."""
    return [file, *(file.with_name(file.name + end) for end in ("-wal", "-journal"))]


def experiment(file: Path, name: str) -> str | None:
    """Id of an experiment that is not deleted; None where the file, its version or the experiment is another."""
    with contextlib.suppress(sqlite3.Error), opened(file) as database:
        found = database.execute(
            "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'active'", (name,)
        ).fetchone()
        return str(found[0]) if found else None
    return None


def search(
    file: Path,
    experiment_id: str,
    tags: Mapping[str, str],
    metrics: Collection[str] | None = None,
) -> list[Any] | None:
    """Runs that have all of these tags, the oldest first, with `info`, `data` and `inputs` as MLflow's own have them.

    `metrics`: only these, and no parameters and inputs. None where the file cannot be read this way.
    """
    with contextlib.suppress(sqlite3.Error), opened(file) as database:
        return list(read(database, int(experiment_id), tags, metrics))
    return None


@contextlib.contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """The file for reading, in one snapshot; raises sqlite3.Error for one of another version."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=PATIENCE_S)) as database:
        database.execute("BEGIN")
        found = database.execute("SELECT version_num FROM alembic_version").fetchall()
        if found != [(VERSION,)]:
            raise sqlite3.DatabaseError(f"tables of version {found}")
        yield database


def read(
    database: sqlite3.Connection, experiment_id: int, tags: Mapping[str, str], metrics: Collection[str] | None
) -> Iterator[Any]:
    """Runs with their tags, latest metrics, parameters and data sets."""
    chosen, given = condition(experiment_id, tags)
    database.execute("CREATE TEMP TABLE chosen (run_uuid TEXT PRIMARY KEY) WITHOUT ROWID")
    database.execute(f"INSERT INTO chosen {chosen}", given)
    runs = database.execute(
        "SELECT run_uuid, name, status, start_time, end_time FROM runs JOIN chosen USING (run_uuid) "
        "ORDER BY start_time, run_uuid"
    ).fetchall()
    its_tags = texts(database, "tags")
    some, names = "", []
    if metrics is not None:
        some, names = f"WHERE key IN ({', '.join('?' * len(metrics))})", list(metrics)
    values = grouped(
        database,
        "SELECT run_uuid, key, CASE WHEN is_nan THEN NULL ELSE value END "
        f"FROM chosen CROSS JOIN latest_metrics USING (run_uuid) {some}",
        names,
    )
    params, data = {}, {}
    if metrics is None:
        params = texts(database, "params")
        data = grouped(
            database,
            "SELECT i.destination_id, d.name, d.digest FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id "
            "WHERE i.destination_id IN (SELECT run_uuid FROM chosen)",
            [],
        )
    database.execute("DROP TABLE chosen")
    for run_id, name, status, started, ended in runs:
        measured = {key: math.nan if value is None else value for key, value in values.get(run_id, {}).items()}
        sets = [SimpleNamespace(dataset=SimpleNamespace(name=k, digest=v)) for k, v in data.get(run_id, {}).items()]
        yield SimpleNamespace(
            info=SimpleNamespace(run_id=run_id, run_name=name, status=status, start_time=started, end_time=ended),
            data=SimpleNamespace(
                tags={NAME: name} | its_tags.get(run_id, {}), metrics=measured, params=params.get(run_id, {})
            ),
            inputs=SimpleNamespace(dataset_inputs=sets),
        )


def condition(experiment_id: int, tags: Mapping[str, str]) -> tuple[str, list[Any]]:
    """(SQL, its values): ids of the active runs of an experiment with all of these tags."""
    each = "SELECT run_uuid FROM tags WHERE key = ? AND value = ?"
    parts = ["SELECT run_uuid FROM runs WHERE experiment_id = ? AND lifecycle_stage = 'active'", *[each] * len(tags)]
    return " INTERSECT ".join(parts), [experiment_id, *(its for one in tags.items() for its in one)]


def texts(database: sqlite3.Connection, table: str) -> dict[str, dict[str, str]]:
    """Run -> {key: value} of a table of texts for the chosen runs, put together by sqlite."""
    found = database.execute(
        "SELECT run_uuid, json_group_object(key, value) "
        f"FROM chosen CROSS JOIN {table} USING (run_uuid) GROUP BY run_uuid"
    )
    return {run_id: json.loads(its) for run_id, its in found}


def grouped(database: sqlite3.Connection, sql: str, given: list[Any]) -> dict[str, dict[str, Any]]:
    """First column -> {second: third}."""
    found: dict[str, dict[str, Any]] = {}
    for run_id, key, value in database.execute(sql, given):
        found.setdefault(run_id, {})[key] = value
    return found
