"""What an exception means: real ones of Ray, of Ray Train's workers, of torch, of the system and of our own."""

import errno
import pickle
from typing import Any

import pytest
import ray.exceptions
import torch
import torch.distributed as dist
from ray.train import ControllerError, WorkerGroupError
from ray.train.v2._internal import exceptions as internal

from ablate.errors import Mistake, NonFinite
from ablate.search.failures import WORST_FIRST, classify, full_disk, may_succeed
from ablate.training.checkpoint import FolderBusy
from ablate.training.loop import WallLimit


def gloo() -> RuntimeError:
    return RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:12345")


def lost() -> Exception:
    """A rank whose process is gone."""
    return internal.WorkerHealthCheckFailedError("Worker 1 failed a health check.", ray.exceptions.ActorDiedError())


def group(**ranks: BaseException) -> WorkerGroupError:
    """Failures by rank: r0=..., r1=..."""
    return WorkerGroupError("Training failed", {int(name[1:]): its for name, its in ranks.items()})  # type: ignore[misc]


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (NonFinite("kl_z", 7), "diverged", "nan: kl_z, epoch 7"),
        (WallLimit("31 s of training exceed"), "timeout", "31 s of training exceed"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory", "OutOfMemoryError: CUDA out of memory"),
        (ray.exceptions.OutOfMemoryError("node low on memory"), "memory", "OutOfMemoryError: node low on memory"),
        (Mistake("this cannot be"), "code", "this cannot be"),
        (ValueError("shapes differ"), "code", "ValueError: shapes differ"),
        (KeyError("x"), "code", "KeyError: 'x'"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "code", None),
        (PermissionError(errno.EACCES, "Permission denied"), "code", None),
        (OSError(errno.ENOSPC, "No space left on device", "x.pt"), "stopped", None),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "stopped", None),
        (OSError(errno.EFBIG, "File too large"), "stopped", None),
        (FolderBusy("still written"), "infra", "FolderBusy: still written"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "infra", None),
        (TimeoutError("too late"), "infra", None),
        (ray.exceptions.ActorDiedError(), "infra", None),
        (ray.exceptions.ActorUnavailableError("gone for now", None), "infra", None),
        (ray.exceptions.NodeDiedError("node"), "infra", None),
        (ray.exceptions.WorkerCrashedError(), "infra", None),
        (ray.exceptions.LocalRayletDiedError(), "infra", None),
        (ray.exceptions.ActorPlacementGroupRemoved(), "infra", None),
        (ray.exceptions.GetTimeoutError("late"), "infra", None),
        (internal.WorkerHealthCheckTimeoutError("late"), "infra", None),
        (internal.WorkerGroupStartupTimeoutError(2), "infra", None),
        (ControllerError(internal.WorkerGroupStartupTimeoutError(2)), "infra", None),
        (ControllerError(ValueError("x")), "code", "ValueError: x"),
        (gloo(), "infra", None),
        (dist.DistBackendError("NCCL error"), "infra", None),
        (dist.DistNetworkError("recvValue failed"), "infra", None),
    ],
    ids=lambda its: type(its).__name__ if isinstance(its, BaseException) else "",
)
def test_class_and_sentence(error: Exception, kind: str, why: str | None) -> None:
    found, said = classify(error)
    assert found == kind
    assert said == why or (why is None and said and not said.startswith("Traceback"))


def test_an_actor_that_the_memory_monitor_ended_ran_out_of_memory() -> None:
    wrapped = internal.WorkerHealthCheckFailedError("Worker 0 was killed by the Memory Monitor", ValueError())
    assert classify(wrapped)[0] == "memory"


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ray.exceptions.ActorDiedError(), True),
        (ray.exceptions.OutOfMemoryError("the node is low on memory"), True),  # once: see Recorder.on_trial_recover
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (ControllerError(internal.WorkerGroupStartupTimeoutError(2)), True),
        (NonFinite("kl_z", 7), False),
    ],
)
def test_what_is_tried_again(error: Exception, again: bool) -> None:
    assert may_succeed(error) == again
    if not isinstance(error, ControllerError):
        assert may_succeed(group(r0=gloo(), r1=error)) == again


def test_the_sentence_about_a_full_disk_names_the_file() -> None:
    assert (
        full_disk(OSError(errno.ENOSPC, "No space left on device", "/runs/last.pt"))
        == "the disk is full: No space left on device (errno 28) while writing /runs/last.pt"
    )
    assert full_disk(OSError(errno.EFBIG, "File too large")).endswith("while writing a file")


@pytest.mark.parametrize(
    ("error", "kind", "why"),
    [
        (group(r0=NonFinite("scc", 3), r1=NonFinite("scc", 3)), "diverged", "nan: scc, epoch 3"),
        (group(r0=gloo(), r1=ValueError("mine")), "code", "ValueError: mine (rank 1)"),
        (group(r0=ValueError("a"), r1=NonFinite("mi", 1)), "diverged", "nan: mi, epoch 1"),
        (group(r0=gloo(), r1=lost()), "infra", None),
        (group(r0=gloo(), r1=gloo()), "infra", None),
        (group(r0=gloo(), r1=torch.OutOfMemoryError("full")), "memory", "OutOfMemoryError: full (rank 1)"),
        (group(r0=OSError(errno.ENOSPC, "No space"), r1=gloo()), "stopped", None),
        (group(r0=WallLimit("long"), r1=WallLimit("long")), "timeout", "long (rank 0)"),
        (group(r1=lost(), r0=dist.DistBackendError("x")), "infra", None),
    ],
)
def test_of_a_group_of_workers_the_worst_wins(error: WorkerGroupError, kind: str, why: str | None) -> None:
    found, said = classify(error)
    assert found == kind and (why is None or said == why)


def test_a_lost_rank_is_named_rather_than_what_its_peers_saw() -> None:
    assert classify(group(r0=gloo(), r1=lost()))[1].endswith("(rank 1)")


def test_what_a_ray_task_raised_counts_as_itself() -> None:
    cause = NonFinite("kl_f", 2)
    error = ray.exceptions.RayTaskError("f", "Traceback ...", cause).as_instanceof_cause()
    assert classify(error)[0] == "diverged"


def test_classes_are_ordered_once_each() -> None:
    assert len(set(WORST_FIRST)) == len(WORST_FIRST) == 7


@pytest.mark.parametrize("error", [NonFinite("kl_z", 3), Mistake("a", "b"), WallLimit("x")])
def test_our_own_exceptions_travel_between_processes(error: Any) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error) and classify(back) == classify(error)
