"""Deaths that Tune's actor manager does not know are told to it as deaths that it knows."""

from collections.abc import Iterator

import pytest
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayActorError, RayTaskError

from ablate.search.lost import expect_lost_actors, of_host_memory


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exception]]:
    """What reaches Tune's own method."""
    found: list[Exception] = []
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda self, task, exception: found.append(exception))
    expect_lost_actors.cache_clear()
    expect_lost_actors()
    yield found
    expect_lost_actors.cache_clear()  # the next sweep in this process has the true method to deal with


@pytest.mark.parametrize("kind", [OutOfMemoryError, NodeDiedError])
def test_an_error_of_ray_that_names_no_actor_is_told_as_a_dead_actor(told: list[Exception], kind: type) -> None:
    RayActorManager._actor_task_failed(None, None, kind("1 worker(s) were killed: low on memory.\nmore"))
    assert isinstance(told[0], RayActorError)
    assert str(told[0]) == f"{kind.__name__}: 1 worker(s) were killed: low on memory."
    assert of_host_memory(str(told[0]))


@pytest.mark.parametrize(
    "error", [ActorDiedError(), RayTaskError("train", "trace", ValueError("x")), ValueError("x")], ids=repr
)
def test_everything_else_is_told_as_it_is(told: list[Exception], error: Exception) -> None:
    RayActorManager._actor_task_failed(None, None, error)
    assert told == [error]
