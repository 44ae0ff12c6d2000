"""`ablate doctor`: healthy machines pass, and what is broken is named."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from command import Call, call, recorded_once, runs

from ablate import doctor

__all__ = ["call", "recorded_once", "runs"]


def test_doctor_finds_a_healthy_machine(call: Call, runs: Path) -> None:
    said = call("doctor")
    assert said.code == 0 and "BROKEN" not in said.out
    assert "record" in said.out and "studies: 1" in said.out


def test_doctor_before_the_first_sweep(call: Call, tmp_path: Path) -> None:
    said = call("doctor")
    assert said.code == 0 and "none yet; the first sweep makes it" in said.out


def test_doctor_names_what_is_broken(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ABLATE_STORE", str(tmp_path / "file" / "store"))
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_text("this is no database, whatever it is called\n" * 50)
    said = call("doctor")
    broken = [line.split()[1] for line in said.out.splitlines() if line.startswith("BROKEN")]
    assert said.code == 1 and {"record", "store"} <= set(broken)


def test_doctor_compares_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "1.0", "ray": "", "optuna": doctor.installed("optuna")}
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: versions.get(name, real(name)))
    found = {its.name: its for its in doctor.versions()}
    assert found["requirements"].state == "broken"
    assert (
        "torch 1.0 does not meet" in found["requirements"].text and "ray is not installed" in found["requirements"].text
    )
    assert "torch 1.0 (pinned 2." in found["pins"].text


def test_doctor_counts_ray_instances(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Process:
        pid: int
        info: dict[str, str]

    heads = [Process(7, {"name": "gcs_server"}), Process(8, {"name": "gcs_server"}), Process(9, {"name": "bash"})]
    monkeypatch.setattr(doctor.psutil, "process_iter", lambda attrs: heads)
    (found,) = doctor.ray_instances()
    assert found.state == "warning" and "2 instances" in found.text and "7, 8" in found.text


def test_a_look_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def machine() -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "machine", machine)
    found = [its for its in doctor.examine(tmp_path) if its.name == "machine"]
    assert [(its.state, its.text) for its in found] == [("broken", "RuntimeError: no such thing")]
