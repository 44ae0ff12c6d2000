"""The MLflow server on the record of a folder, and where the other two dashboards are."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from ablate.errors import Mistake
from ablate.lock import lives
from ablate.records import StudyRecord
from ablate.reporting.question import Question
from ablate.reporting.status import record_of
from ablate.reporting.view import link
from ablate.search.identity import unpack
from ablate.search.mirror import default_address
from ablate.tracking import Record, server

FIRST_PORT = 5000  # where nobody asks for another
SHOWN = 5  # studies with a line of their own
DASHBOARD = "ablate.dashboard"  # tag of a study's run: address of the Ray dashboard
PORTS = 20  # tried from there on
START_S = 180.0  # a first start on a busy machine takes a minute
POLL_S = 0.2  # between two looks at the server and at what was asked
END_S = 10.0  # for the server to end after SIGTERM


def open_ui(folder: Path, port: int | None = None) -> "Ui":
    """The record of a folder and the address of its pages; raises Mistake where there is no record or no port."""
    record = record_of(folder)
    if record.uri.startswith(("http://", "https://")):
        return Ui(record, None, record.uri.rstrip("/"))
    chosen = free_port(port)
    return Ui(record, chosen, f"http://127.0.0.1:{chosen}")


class Ui:
    """What `ablate ui` shows. `port` is None where the record is a server that runs already."""

    def __init__(self, record: Record, port: int | None, url: str):
        self.record, self.port, self.url = record, port, url

    def lines(self) -> list[str]:
        """Addresses for a person: a page per study, the newest first, then the other two dashboards."""
        studies = self.record.studies()[::-1]
        lines = [f"MLflow         {self.page(its)}  ({its.name})" for its in studies[:SHOWN]]
        lines += [f"               {self.url}  ({len(studies)} studies)"] if len(studies) != 1 else []
        lines += [f"Ray dashboard  {its.tags[DASHBOARD]}  ({its.name})" for its in studies if running(its)]
        copy = default_address()
        lines += [f"Optuna         run: optuna-dashboard {copy}"] if copy.exists() else []
        return lines

    def page(self, its: StudyRecord) -> str:
        """The runs of a study."""
        return link(self.url, self.record, Question.of(unpack(its.tags["ablate.design"])))

    def serve(self, console: Console) -> None:
        """Print the addresses once they answer, and go on until Ctrl-C or SIGTERM (or the server ends).

        A signal is noted and not raised: an exception that meets a finaliser of a library would be lost there.
        """
        asked: list[int] = []
        for sign in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sign, lambda number, frame: asked.append(number))
        with self.serving(asked) as process:
            for line in self.lines() if not asked else ():
                console.print(line, highlight=False, soft_wrap=True)
            if process is not None and not asked:
                console.print("Ctrl-C ends the server", style="dim")
            while process is not None and process.poll() is None and not asked:
                time.sleep(POLL_S)

    @contextlib.contextmanager
    def serving(self, asked: Sequence[int] = ()) -> Iterator[subprocess.Popen | None]:
        """The server, answering; ended with its children on leaving. Raises Mistake where it does not start.

        It is not waited for any longer once `asked` holds a signal.
        """
        if self.port is None:
            yield None
            return
        artifacts = Path(self.record.uri.removeprefix("sqlite:///")).parent / "artifacts"
        command, environment = server(self.port, self.record.uri, str(artifacts))
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                wait_until_it_answers(process, f"{self.url}/health", output.fileno(), asked)
                yield process
            finally:
                end_group(process)


def free_port(wanted: int | None) -> int:
    """The wanted port, else the first free one from 5000 on; raises Mistake where it is taken."""
    candidates = [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + PORTS)
    for port in candidates:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    taken = f"port {wanted} is" if wanted else f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1} are"
    raise Mistake(f"{taken} taken; name a free one with --port")


def wait_until_it_answers(process: subprocess.Popen, url: str, output: int, asked: Sequence[int] = ()) -> None:
    """Return once the server answers or a signal came; Mistake with its last line where it ends or stays silent."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if asked:
            return
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.1)
    said = os.pread(output, 1 << 20, 0).decode(errors="replace").strip().splitlines()
    why = said[-1].strip() if said else "it said nothing"
    raise Mistake(f"the MLflow server did not start ({why})")


def end_group(process: subprocess.Popen) -> None:
    """End a process that leads its own group, and all of the group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_S)


def running(its: StudyRecord) -> bool:
    """Whether a study runs now, on a Ray that has a dashboard."""
    return lives(its) and bool(its.tags.get(DASHBOARD))
