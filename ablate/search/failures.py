"""What an exception means: an outcome of the configuration, a fault of the machines, of the code, or a full disk."""

import errno

import torch

from ablate.errors import Mistake, NonFinite
from ablate.search.lost import of_host_memory
from ablate.training.loop import WallLimit

DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
WORST_FIRST = ("diverged", "code", "timeout", "stopped", "memory", "infra", "collateral")
INFRA = {
    "ActorDiedError",
    "ActorUnavailableError",
    "RayActorError",
    "NodeDiedError",
    "LocalRayletDiedError",
    "ObjectLostError",
    "OwnerDiedError",
    "WorkerCrashedError",
    "RaySystemError",
    "RpcError",
    "ActorPlacementGroupRemoved",
    "TaskPlacementGroupRemoved",
    "WorkerHealthCheckFailedError",
    "WorkerHealthCheckTimeoutError",
    "WorkerGroupStartupTimeoutError",
    "WorkerGroupStartupFailedError",
    "PreemptionError",
}
COLLECTIVE = {"DistBackendError", "DistNetworkError", "DistStoreError", "CollectiveTimeoutError"}  # torch's, Ray's
PEER_LOST = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe", "socket closed")


def classify(error: BaseException) -> tuple[str, str]:
    """(class, sentence). Classes: diverged, memory, timeout, code, stopped, infra; see `WORST_FIRST`.

    Of the failures of a worker group the worst wins, since a dead peer makes every other rank fail as well; an error of
    the collective library with no other cause is a fault of the machines. What stopped Ray Train's controller (a group
    that cannot start, say) comes wrapped in a ControllerError.
    """
    ranks, error = failures(error)
    if ranks:
        found = [(*classify_one(its), rank) for rank, its in sorted(ranks.items())]
        kind, why, rank = min(found, key=lambda one: WORST_FIRST.index(one[0]))
        why = why if kind == "diverged" else f"{why} (rank {rank})"  # what diverges does so on all ranks
    else:
        kind, why = classify_one(error)
    return ("infra" if kind == "collateral" else kind), why


def classify_one(error: BaseException) -> tuple[str, str]:
    """The class of one exception; `collateral` for what a lost peer causes."""
    why = f"{type(error).__name__}: {error}".strip()
    if isinstance(error, NonFinite):
        return "diverged", str(error)
    if isinstance(error, WallLimit):
        return "timeout", str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return "memory", why
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return "stopped", full_disk(error)
    if isinstance(error, Mistake):
        return "code", str(error)
    if out_of_host_memory(error):
        return "memory", why
    if isinstance(error, ConnectionError | TimeoutError) or names(error) & INFRA:
        return "infra", why
    if names(error) & COLLECTIVE:
        return "collateral", why
    if isinstance(error, RuntimeError) and any(text in str(error).lower() for text in PEER_LOST):
        return "collateral", why
    return "code", why


def full_disk(error: OSError) -> str:
    """The sentence about a full disk: which file, and what the system said."""
    return f"the disk is full: {error.strerror} (errno {error.errno}) while writing {error.filename or 'a file'}"


def names(error: BaseException) -> set[str]:
    """Names of the classes of an exception, ancestors included."""
    return {kind.__name__ for kind in type(error).__mro__}


def out_of_host_memory(error: BaseException) -> bool:
    """Whether Ray's memory monitor ended the process."""
    return "OutOfMemoryError" in names(error) or (bool(names(error) & INFRA) and of_host_memory(str(error)))


def may_succeed(error: BaseException) -> bool:
    """Whether the trial is to be tried again: it was lost to a fault of the machines, or to the host's memory.

    What fills the host's memory may be something else; a GPU is the trial's own.
    """
    kind, _ = classify(error)
    ranks, error = failures(error)
    on_gpu = any(isinstance(its, torch.OutOfMemoryError) for its in [error, *ranks.values()])
    return kind == "infra" or (kind == "memory" and not on_gpu)


def failures(error: BaseException) -> tuple[dict[int, BaseException], BaseException]:
    """Failures by rank of a group of workers, and the error itself, out of the wrap of Ray Train's controller."""
    error = getattr(error, "controller_failure", error)
    return getattr(error, "worker_failures", None) or {}, error
