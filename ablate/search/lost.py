"""Trial processes that Ray's memory monitor has ended: Tune does not expect the error, which would end the sweep."""

from functools import cache, wraps
from typing import Any

TEXTS = ("memory monitor", "low on memory")  # how Ray speaks of it


def of_host_memory(text: str) -> bool:
    """Whether an error speaks of a process that was ended because the machine ran out of memory."""
    return any(its in text.lower() for its in TEXTS)


@cache
def expect_lost_actors() -> None:
    """Once per process: Tune's actor manager takes every error of Ray's own that is not a task's for a dead actor.

    As of Ray 2.60 it knows RayActorError and RayTaskError only. The death of an actor by the memory monitor arrives as
    OutOfMemoryError, a sibling of both.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager
    from ray.exceptions import RayActorError, RayError, RayTaskError

    known = RayActorManager._actor_task_failed

    @wraps(known)
    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            first_line = str(exception).partition("\n")[0]
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {first_line}")
        known(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]
