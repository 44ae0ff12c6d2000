"""The trial process: what is raised to Tune, what ends with a verdict, and how long a new try waits."""

import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest
import ray.exceptions
import torch
from ray import tune

from ablate.errors import NonFinite
from ablate.search import trial as process
from ablate.search.trial import attempts_file, trial, wait_after_infra

Told = list[dict[str, Any]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What is reported to Tune."""
    sent: Told = []
    monkeypatch.setattr(tune, "report", sent.append)
    return sent


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that would be slept."""
    slept: list[float] = []
    monkeypatch.setattr(process.time, "sleep", slept.append)
    monkeypatch.delenv("ABLATE_RETRY_WAITS", raising=False)
    return slept


def cell(folder: Path, sweep: str = "one", workers: int = 1, objectives: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "cell": "c" * 64,
        "folder": str(folder / "cell"),
        "sweep": sweep,
        "objectives": list(objectives),
        "trial": {"resources": {"workers": workers}},
    }


def ends_with(patch: pytest.MonkeyPatch, error: BaseException | None) -> None:
    """The training of the cell ends like this."""

    def run(*_: Any) -> None:
        if error is not None:
            raise error

    patch.setattr(process, "run", run)


def test_a_trial_that_ends_well_leaves_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    ends_with(monkeypatch, None)
    trial({"cell": cell(tmp_path)})
    assert told == [] and list((tmp_path / "cell").iterdir()) == []


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (NonFinite("kl_z", 3), "diverged", "nan: kl_z, epoch 3"),
        (ValueError("shapes"), "code", "ValueError: shapes"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory", "OutOfMemoryError: CUDA out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "last.pt"), "stopped", None),
    ],
)
def test_its_own_fault_is_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, error: Exception, kind: str, why: str | None
) -> None:
    ends_with(monkeypatch, error)
    trial({"cell": cell(tmp_path)})
    (its,) = told
    assert (its["verdict"], its["epoch"]) == (kind, 0) and math.isnan(its["objective"])
    assert its["why"] == why or (why is None and "errno 28" in its["why"])
    assert "objective/0" not in its and not attempts_file(cell(tmp_path)).exists()
    text = (tmp_path / "cell" / "artifacts" / "traceback.txt").read_text()
    assert "Traceback" in text and type(error).__name__ in text


def test_several_objectives_are_all_without_a_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    ends_with(monkeypatch, ValueError("x"))
    trial({"cell": cell(tmp_path, objectives=("valid/a", "valid/b"))})
    assert all(math.isnan(told[0][name]) for name in ("objective", "objective/0", "objective/1"))


@pytest.mark.parametrize("error", [ConnectionError("gone"), ray.exceptions.ActorDiedError(), TimeoutError("late")])
def test_a_fault_of_the_machines_is_raised_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told, naps: list[float], error: Exception
) -> None:
    ends_with(monkeypatch, error)
    for _ in range(4):
        with pytest.raises(type(error)):
            trial({"cell": cell(tmp_path)})
    assert told == [] and naps == [30, 60, 120]
    assert json.loads(attempts_file(cell(tmp_path)).read_text())["count"] == 4
    ends_with(monkeypatch, None)
    trial({"cell": cell(tmp_path)})
    assert not attempts_file(cell(tmp_path)).exists()


def test_an_early_stop_passes_and_leaves_no_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
    ends_with(monkeypatch, SystemExit())
    with pytest.raises(SystemExit):
        trial({"cell": cell(tmp_path)})
    assert told == [] and not attempts_file(cell(tmp_path)).exists()


def test_attempts_of_another_sweep_do_not_count(tmp_path: Path, naps: list[float]) -> None:
    wait_after_infra(cell(tmp_path))
    wait_after_infra(cell(tmp_path, "another"))
    assert naps == []
    wait_after_infra(cell(tmp_path, "another"))
    assert naps == [30]


def test_the_waits_are_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, naps: list[float]) -> None:
    monkeypatch.setenv("ABLATE_RETRY_WAITS", "0,5")
    for _ in range(4):
        wait_after_infra(cell(tmp_path))
    assert naps == [0, 5, 5]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"count": 3}'])
def test_a_damaged_count_starts_anew(tmp_path: Path, naps: list[float], text: str) -> None:
    (tmp_path / "cell").mkdir()
    attempts_file(cell(tmp_path)).write_text(text)
    wait_after_infra(cell(tmp_path))
    assert naps == [] and json.loads(attempts_file(cell(tmp_path)).read_text())["count"] == 1


def test_a_disk_that_is_full_is_left_to_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Told
) -> None:
    (tmp_path / "cell").write_text("in the way")  # neither the count nor the traceback can be written
    ends_with(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "last.pt"))
    trial({"cell": cell(tmp_path)})
    assert told[0]["verdict"] == "stopped"


@pytest.mark.parametrize(("workers", "where"), [(1, "cell.run_cell"), (2, "distributed.run")])
def test_one_worker_trains_here_and_more_go_through_ray_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, where: str
) -> None:
    import ablate.training.distributed  # noqa: F401

    called: list[Any] = []
    monkeypatch.setattr(f"ablate.training.{where}", lambda *its: called.append(its))
    config = cell(tmp_path, workers=workers)
    process.run(config, print)
    assert called == [(config, print) if workers == 1 else (config,)]
