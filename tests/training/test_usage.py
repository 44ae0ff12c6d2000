"""What a run costs: seconds that go on over restarts, CPU, memory."""

import pytest

from ablate.training import usage
from ablate.training.usage import Usage


def test_wall_seconds_go_on_where_a_restarted_run_had_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 107.5])
    monkeypatch.setattr(usage.time, "monotonic", lambda: next(clock))
    assert Usage(20.0).values()["system/wall_seconds"] == 27.5


def test_cpu_seconds_and_memory_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage.torch.cuda, "is_available", lambda: False)
    its = Usage()
    total = sum(range(200_000))
    values = its.values()
    assert total and 0 < values["system/cpu_seconds"] < 60
    assert 50 < values["system/peak_memory_mb"] < 1e5
    assert set(values) == {"system/wall_seconds", "system/cpu_seconds", "system/peak_memory_mb"}
    assert all(type(value) is float for value in values.values())


def test_memory_of_a_gpu_is_told_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(usage.torch.cuda, "max_memory_allocated", lambda: 3 * 2**20)
    assert Usage().values()["system/gpu_peak_memory_mb"] == 3
