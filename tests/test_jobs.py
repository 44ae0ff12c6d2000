"""Jobs: the start scripts of the image without a container, and a study submitted to the cluster they make."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from finished import files

from ablate import positions
from ablate.search.jobs import Job, entrypoint, read_job
from ablate.tracking import Record

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
START_S = 120.0  # for a node of Ray, on a busy machine


# ---- without a cluster


def test_a_jobs_file_becomes_a_command_line(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "study: my studies/a.yaml\naddress: http://head:8265\nfolder: /ablate\nset: ['tracking.folder=/runs']\n"
        "env_vars: {OMP_NUM_THREADS: 1}\n"
    )
    job = read_job(tmp_path / "job.yaml")
    assert job == Job(
        "my studies/a.yaml", "", "http://head:8265", "/ablate", ("tracking.folder=/runs",), {"OMP_NUM_THREADS": "1"}, {}
    )
    assert entrypoint(job, [*job.set, "train.lr=1e-3"]) == (
        "cd /ablate && exec ablate sweep 'my studies/a.yaml' --address auto --set tracking.folder=/runs "
        "--set train.lr=1e-3"
    )


@pytest.mark.parametrize("file", sorted((ROOT / "jobs").glob("*.yaml")), ids=lambda its: its.stem)
def test_every_job_names_a_study_that_is_there(file: Path) -> None:
    job = read_job(file)
    assert (ROOT / job.study).is_file() and not job.runtime_env.get("working_dir")


def test_the_compose_file_starts_what_the_image_holds() -> None:
    document = positions.read((DOCKER / "compose.yaml").read_text(), "compose.yaml")
    assert not document.complaints
    services = document.value["services"]
    assert set(services) == {"head", "worker", "mlflow"}
    for service in services.values():
        (script,) = service["command"]
        assert os.access(ROOT / script, os.X_OK)


def test_the_image_runs_as_nobody_in_particular_and_needs_only_what_is_there() -> None:
    lines = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    copied = [name for kind, *names in words if kind == "COPY" for name in names[:-1]]
    optional = {"README.md", "LICENSE"}
    assert [name for name in copied if name not in optional and not (ROOT / name).exists()] == []
    assert next(names[0] for kind, *names in words if kind == "USER") != "root"
    assert words[-1][0] == "CMD" and words[-1][1].startswith("["), "exec form: the script gets the signals"


# ---- with one


@dataclass(frozen=True)
class Cluster:
    """A cluster of this test's own."""

    url: str  # of its dashboard
    folder: Path  # where it was started
    environment: dict[str, str]

    def ablate(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a verb against it."""
        command = [sys.executable, "-m", "ablate.cli", *words, "--address", self.url]
        environment = self.environment | more
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )


def free_ports(n: int) -> list[int]:
    """Ports that nobody uses now."""
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def started(script: str, words: list[str], environment: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """A start script in a process group of its own; returns when Ray says that it runs."""
    log = folder / f"{script}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", str(DOCKER / script), *words],
            env=environment,
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    deadline = time.monotonic() + START_S
    while "Ray runtime started" not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.2)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End a start script and all that it started, and nothing else: by its process group."""
    members = [its for its in psutil.process_iter() if group(its.pid) == process.pid]
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            process.send_signal(sign)
        try:
            process.wait(20)
            break
        except subprocess.TimeoutExpired:
            continue
    _, alive = psutil.wait_procs(members, timeout=10)
    for its in alive:
        its.kill()


def group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, store: None) -> Iterator[Cluster]:
    """A head that trains nothing and one worker, both from the scripts of the image; the token is the test's own."""
    folder = tmp_path_factory.mktemp("cluster")
    session = Path(tempfile.mkdtemp(prefix="rj", dir="/tmp"))  # a short path: sockets allow 107 bytes
    gcs, dashboard, client, *agents = free_ports(7)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "DASHBOARD_HOST": "127.0.0.1",
        "RAY_PORT": str(gcs),
        "DASHBOARD_PORT": str(dashboard),
        "CLIENT_PORT": str(client),
        "HEAD_ADDRESS": f"127.0.0.1:{gcs}",
        "NUM_CPUS": "2",
        "NUM_GPUS": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    shared = ["--min-worker-port=0", "--max-worker-port=0", "--metrics-export-port=0", "--object-store-memory=80000000"]
    both = [
        [f"--dashboard-agent-listen-port={a}", f"--runtime-env-agent-port={b}"] for a, b in (agents[:2], agents[2:])
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        running.append(started("start-head.sh", [f"--temp-dir={session}", *shared, *both[0]], environment, folder))
        running.append(started("start-worker.sh", [*shared, *both[1]], environment, folder))
        yield Cluster(f"http://127.0.0.1:{dashboard}", folder, environment)
    finally:
        for process in reversed(running):
            end(process)
        shutil.rmtree(session, ignore_errors=True)


@pytest.mark.slow
def test_a_study_runs_as_a_job_once(cluster: Cluster) -> None:
    files(cluster.folder)
    (cluster.folder / "job.yaml").write_text(
        "study: small.yaml\nset: [search.trials=2, train.epochs=1, search.confirm=]\n"
    )
    first = cluster.ablate("submit", "job.yaml")
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout == f"submitted small; ablate logs small --follow --address {cluster.url}\n"
    second = cluster.ablate("submit", "job.yaml")
    assert second.returncode == 0 and second.stdout.startswith("nothing was submitted, for it is ")
    log = cluster.ablate("logs", "small", "--follow")
    assert log.returncode == 0, log.stdout + log.stderr
    assert f"Ray dashboard  {cluster.url}" in log.stdout and "[2/2] complete" in log.stdout
    record = Record(f"sqlite:///{cluster.folder}/runs/mlflow.db", "ablate")
    assert [cell.status for cell in record.cells("small")] == ["complete", "complete"]
    assert record.study("small").tags["ablate.dashboard"] == cluster.url

    third = cluster.ablate("submit", "job.yaml")  # the same study again: a job that finds nothing to do
    assert third.stdout.startswith("submitted small-2;")
    log = cluster.ablate("logs", "small-2", "--follow")
    assert log.returncode == 0 and "nothing was left to run" in log.stdout


@pytest.mark.slow
def test_a_job_that_fails_says_so(cluster: Cluster) -> None:
    files(cluster.folder)
    (cluster.folder / "bad.yaml").write_text("study: small.yaml\nname: bad\nfolder: /no/such/place\n")
    assert cluster.ablate("submit", "bad.yaml").returncode == 0
    log = cluster.ablate("logs", "bad", "--follow")
    assert log.returncode == 1 and "/no/such/place" in log.stdout
    unknown = cluster.ablate("logs", "good")
    assert (
        unknown.returncode == 2 and f"unknown job 'good' on the cluster at {cluster.url} (known: bad" in unknown.stderr
    )


@pytest.mark.slow
def test_a_token_is_asked_for_in_one_sentence(cluster: Cluster) -> None:
    none = cluster.ablate("logs", "small", RAY_AUTH_MODE="disabled")
    assert none.returncode == 2 and len(none.stderr.splitlines()) == 1
    assert f"the cluster at {cluster.url} wants a token" in none.stderr and "RAY_AUTH_TOKEN" in none.stderr
    wrong = cluster.ablate("logs", "small", RAY_AUTH_TOKEN="another" * 8)
    assert wrong.returncode == 2 and "wants another token than ours" in wrong.stderr


@pytest.mark.slow
def test_the_mlflow_script_serves_a_record(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(port),
        "MLFLOW_BACKEND": f"sqlite:///{tmp_path}/mlflow.db",
        "MLFLOW_ARTIFACTS": str(tmp_path / "artifacts"),
    }
    with (tmp_path / "log").open("wb") as output:
        process = subprocess.Popen(
            ["bash", str(DOCKER / "start-mlflow.sh")],
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_S
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()[-3000:]
            time.sleep(0.2)
        record = Record(f"http://127.0.0.1:{port}", "ablate", None)
        run = record.open_study("s", {})
        record.write(run, "kept by the server", "note.txt")
        assert [its.read_text() for its in (tmp_path / "artifacts").rglob("note.txt")] == ["kept by the server"]
    finally:
        end(process)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
