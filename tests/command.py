"""The command line called from a test, and a folder of studies to call it on."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from finished import files, record_study

from ablate import cli
from ablate.tracking import Record


@dataclass(frozen=True)
class Said:
    """What a command left."""

    code: int
    out: str
    err: str


Call = Callable[..., Said]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run `ablate` in this process; the working directory is the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ABLATE_RECORD_WAIT", "0.2")
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)

    def run(*words: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["ablate", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return Said(end.value.code or 0, said.out, said.err)

    return run


def nearly_finished(root: Path, migrated: Path) -> Path:
    """A folder of studies in `root` with the record of one that is nearly finished."""
    folder = root / "runs"
    folder.mkdir()
    shutil.copy(migrated, folder / "mlflow.db")
    record = Record(f"sqlite:///{folder}/mlflow.db", "ablate", f"file://{folder}/artifacts")
    record_study(files(root), folder / "small", record)
    return folder


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Path:
    return nearly_finished(tmp_path_factory.mktemp("recorded"), migrated)


@pytest.fixture
def runs(call: Call, recorded_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for tests that only read it; the working directory is the one around it."""
    monkeypatch.chdir(recorded_once.parent)
    return recorded_once


@pytest.fixture
def own_runs(call: Call, tmp_path: Path, migrated: Path) -> Path:
    """One of the test's own."""
    return nearly_finished(tmp_path, migrated)


def sentence(said: Said, *words: str) -> None:
    """One mistake, one sentence, no traceback."""
    assert said.code == 2, said
    (line,) = said.err.splitlines()
    assert all(word in line for word in words), line
