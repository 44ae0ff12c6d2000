"""`ablate gc`: what goes, and above all what stays."""

import os
from pathlib import Path

import pytest
from command import Call, call, own_runs

from ablate import garbage
from ablate.tracking import Record

__all__ = ["call", "own_runs"]


def test_gc_keeps_the_best_and_what_is_unfinished(call: Call, own_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "sessions", lambda: iter(()))
    record = Record(f"sqlite:///{own_runs}/mlflow.db", "ablate")
    unfinished = record.cells("small")[0]
    record.set_tag(unfinished.run_id, "ablate.status", "stopped")
    kept = Path(unfinished.tags["ablate.checkpoint"]).with_name("last.pt")
    before = sorted(own_runs.rglob("*.pt"))
    assert "would remove 3 files of complete cells (2.1 kB)" in call("gc", "--dry-run").out
    assert sorted(own_runs.rglob("*.pt")) == before
    assert call("gc", "small").out.startswith("removed 3 files")
    left = sorted(own_runs.rglob("*.pt"))
    assert [its for its in before if its.name == "best.pt"] == [its for its in left if its.name == "best.pt"]
    assert [its for its in left if its.name == "last.pt"] == [kept]


def test_gc_removes_only_old_dead_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    week_ago = 1_000_000.0
    for name in ("session_old", "session_used", "session_young"):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "a.log").write_text("x" * 10)
        if name != "session_young":
            for its in (tmp_path / name / "logs", tmp_path / name):
                os.utime(its, (week_ago, week_ago))
    (tmp_path / "session_latest").symlink_to(tmp_path / "session_old")
    monkeypatch.setattr(garbage, "command_lines", lambda: "raylet --log_dir=/tmp/ray/session_used/logs")
    (found,) = garbage.sessions(tmp_path)
    assert (found.path.name, found.size) == ("session_old", 10)
    garbage.remove(found)
    assert not (tmp_path / "session_old").exists() and (tmp_path / "session_used").exists()
