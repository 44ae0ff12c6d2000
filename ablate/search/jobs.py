"""Studies as jobs of a Ray cluster, through the Ray Jobs API: submit once, follow the log."""

import asyncio
import contextlib
import itertools
import logging
import os
import shlex
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ablate.config import load_study
from ablate.draft import NAME
from ablate.errors import Mistake
from ablate.positions import read
from ablate.registry import unknown

ADDRESS = "http://127.0.0.1:8265"  # of the dashboard on the head node
CONNECT_S = 10.0  # for the first answer
ASK_S = 1.0  # between two looks at a job
RUNNING = ("PENDING", "RUNNING")
ENVIRONMENT = {
    "RAY_JOB_STOP_WAIT_TIME_S": "60",  # between SIGTERM and SIGKILL; by default 3 s, too short to save the state
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Job:
    """A jobs file: which study runs where."""

    study: str  # the study file, as the cluster finds it; it must be here too, to be checked before it is submitted
    name: str = ""  # of the job; default: of the study
    address: str = ""  # of the cluster's dashboard
    folder: str = ""  # working directory on the cluster; default: where the cluster was started
    set: tuple[str, ...] = ()  # as `ablate sweep --set`
    env_vars: dict[str, str] = field(default_factory=dict)  # of the job and of its trials
    runtime_env: dict[str, Any] = field(default_factory=dict)  # Ray's; without a working_dir nothing is uploaded


@dataclass(frozen=True)
class Submitted:
    """A job on the cluster."""

    id: str
    status: str
    new: bool  # submitted just now
    url: str  # of the cluster's dashboard

    @property
    def follow(self) -> str:
        """The command that shows its log."""
        return f"ablate logs {self.id} --follow" + ("" if self.url == ADDRESS else f" --address {self.url}")


def read_job(file: Path) -> Job:
    """The job of a YAML file; raises Mistake with every mistake in it."""
    try:
        document = read(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    known = {its.name: its for its in fields(Job)}
    for key, value in document.value.items():
        if key not in known:
            document.complain(document.key((key,)), unknown("jobs key", key, list(known)))
        elif not suits(key, value):
            wanted = {"set": "a list of texts", "env_vars": "a mapping", "runtime_env": "a mapping"}.get(key, "text")
            document.complain(document.at((key,)), f"{key} must be {wanted}")
    if not document.broken and not document.value.get("study"):
        document.complain(document.key(()), "study is missing: the study file that the job runs")
    if document.complaints:
        raise Mistake(*map(str, sorted(set(document.complaints))))
    values = {key: value for key, value in document.value.items() if value is not None}
    variables = {key: str(value) for key, value in values.get("env_vars", {}).items()}
    return Job(**values | {"set": tuple(values.get("set", ())), "env_vars": variables})


def suits(key: str, value: Any) -> bool:
    """Whether a value has the type of its key."""
    if value is None:
        return True
    if key == "set":
        return isinstance(value, list | tuple) and all(isinstance(its, str) for its in value)
    return isinstance(value, dict if key in ("env_vars", "runtime_env") else str)


def submit(file: Path, address: str | None = None, name: str | None = None, settings: Sequence[str] = ()) -> Submitted:
    """Submit the study of a jobs file, unless a job of that name runs already; raises Mistake."""
    job = read_job(file)
    settings = (*job.set, *settings)
    study = load_study(here(job.study, file), settings)
    name = name or job.name or study.name
    if not NAME.fullmatch(name):
        raise Mistake(f"a job cannot be named {name!r}; letters, digits, '-', '_' and '.' are fine")
    url = address_of(address, job.address)
    with speaking(url) as client:
        running = next((its for its in named(client, name) if its.status in RUNNING), None)
        if running is not None:
            return Submitted(running.submission_id, str(running.status.value), False, url)
        done = client.submit_job(
            entrypoint=entrypoint(job, settings),
            submission_id=free_id(client, name),
            runtime_env=job.runtime_env | {"env_vars": ENVIRONMENT | job.env_vars},
            metadata={"name": name, "study": study.name},
        )
        return Submitted(done, "PENDING", True, url)


def here(study: str, file: Path) -> Path:
    """The study file on this machine: relative to the working directory, or to the jobs file's folder or its parent."""
    places = (Path(study), file.parent / study, file.parent.parent / study)
    found = next((its for its in places if its.is_file()), None)
    if found is None:
        raise Mistake(f"{file}: there is no study file {study} here; it is checked before it is submitted")
    return found


def entrypoint(job: Job, settings: Sequence[str]) -> str:
    """The command line of the job."""
    words = ["ablate", "sweep", job.study, "--address", "auto"]
    for its in settings:
        words += ["--set", its]
    command = shlex.join(words)
    return f"cd {shlex.quote(job.folder)} && exec {command}" if job.folder else f"exec {command}"


def free_id(client: Any, name: str) -> str:
    """`name`, or `name-2`, `name-3`, ... where jobs of that id have ended: their logs stay."""
    taken = {its.submission_id for its in client.list_jobs()}
    numbered = (f"{name}-{i}" for i in itertools.count(2))
    return next(its for its in itertools.chain([name], numbered) if its not in taken)


def named(client: Any, name: str) -> list[Any]:
    """The jobs submitted under a name, the oldest first."""
    mine = [its for its in client.list_jobs() if its.submission_id and (its.metadata or {}).get("name") == name]
    return sorted(mine, key=lambda its: its.start_time or 0)


def address_of(given: str | None, written: str = "") -> str:
    """URL of the cluster's dashboard: `--address`, RAY_API_SERVER_ADDRESS, the jobs file's, or this machine's."""
    chosen = given or os.environ.get("RAY_API_SERVER_ADDRESS") or written or ADDRESS
    return (chosen if "://" in chosen else f"http://{chosen}").rstrip("/")


@contextlib.contextmanager
def speaking(url: str) -> Iterator[Any]:
    """A client of the Jobs API at an address; what goes wrong inside becomes a Mistake."""
    reachable(url)
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    logging.getLogger("ray.dashboard.modules.job.sdk").setLevel(logging.WARNING)
    logging.getLogger("ray.dashboard.modules.dashboard_sdk").setLevel(logging.WARNING)
    os.environ["RAY_API_SERVER_ADDRESS"] = url  # Ray lets the variable win over the argument
    try:
        yield JobSubmissionClient(url)
    except AuthenticationError as error:
        raise Mistake(unauthorised(url, str(error))) from error
    except (ConnectionError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise Mistake(f"the cluster at {url} refused ({reason[:300]})") from error


def reachable(url: str) -> None:
    """Raise Mistake where nothing answers at the address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        with socket.create_connection((host, port), timeout=CONNECT_S):
            return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Mistake(
            f"no Ray cluster answers at {url} ({reason}); start one (ray start --head) or give its dashboard's address "
            "with --address"
        ) from error


def unauthorised(url: str, reason: str) -> str:
    """The sentence about a missing (401) or a wrong (403) token."""
    what = "wants another token than ours" if "failed" in reason else "wants a token"
    return (
        f"the cluster at {url} {what}: put the head node's (its ~/.ray/auth_token, or the RAY_AUTH_TOKEN it was given) "
        "into RAY_AUTH_TOKEN, or into a file that RAY_AUTH_TOKEN_PATH names"
    )


def logs(name: str, follow: bool, address: str | None = None) -> Iterator[str]:
    """The log of the newest job of a name, piece by piece; with `follow` until the job ends. Raises Mistake."""
    with speaking(address_of(address)) as client:
        job = newest(client, name)
        yield from tail(client, job) if follow else [client.get_job_logs(job)]


def outcome(name: str, address: str | None = None) -> str:
    """How the newest job of a name ended, waiting for it: SUCCEEDED, FAILED or STOPPED."""
    with speaking(address_of(address)) as client:
        job = newest(client, name)
        while (status := str(client.get_job_status(job).value)) in RUNNING:
            time.sleep(ASK_S)
        return status


def newest(client: Any, name: str) -> str:
    """Id of the newest job of a name, or the job with this id; raises Mistake where there is none."""
    mine = named(client, name)
    if mine:
        return str(mine[-1].submission_id)
    every = [its.submission_id for its in client.list_jobs() if its.submission_id]
    if name in every:
        return name
    there = f"known: {', '.join(sorted(every))}" if every else "it has none"
    raise Mistake(f"unknown job {name!r} on the cluster at {os.environ['RAY_API_SERVER_ADDRESS']} ({there})")


def tail(client: Any, job: str) -> Iterator[str]:
    """Pieces of a log as they come."""
    pieces = client.tail_job_logs(job)

    async def piece() -> str | None:
        return await anext(pieces, None)

    with asyncio.Runner() as runner:
        while (text := runner.run(piece())) is not None:
            yield text
