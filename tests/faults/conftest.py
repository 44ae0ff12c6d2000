"""Fixtures of the fault cases: a scene per test, and the uninterrupted run that interrupted ones must equal."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faults.scene import EPOCHS, Scene, assert_each_epoch_once, load, until

Make = Callable[..., Scene]


@pytest.fixture
def scene(migrated: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes scenes in the test's folder, and ends whatever was started in them."""
    made: list[Scene] = []

    def make(name: str = "scene", **options: Any) -> Scene:
        made.append(Scene(tmp_path / name, migrated, **options))
        return made[-1]

    yield make
    for its in made:
        its.clear()


@dataclass
class Reference:
    """What the study gives when nothing happens to it."""

    scene: Scene
    table: str
    states: dict[str, dict[str, Any]]  # label of a cell -> last checkpoint
    pids: dict[str, int]  # label of a cell -> trial process


@pytest.fixture(scope="session")
def reference(migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """The study from start to end in one go."""
    its = Scene(tmp_path_factory.mktemp("reference"), migrated)
    try:
        sweep, pids = its.sweep(), {}
        until(lambda: pids.update(trial_processes(its)) or sweep.process.poll() is not None, "the end")
        assert sweep.end() == 0, sweep.output
        assert_each_epoch_once(its)
        states = {cell.name: load(cell) for cell in its.cells()}
        assert [state["epoch"] for state in states.values()] == [EPOCHS] * 3
        yield Reference(its, its.table(), states, pids)
    finally:
        its.clear()


def trial_processes(its: Scene) -> dict[str, int]:
    """Process of each cell that is being trained."""
    found = {}
    for cell in its.cells():
        with contextlib.suppress(OSError, ValueError, KeyError):  # ended, or begun, in this moment
            found[cell.name] = its.trial_pid(cell)
    return found
