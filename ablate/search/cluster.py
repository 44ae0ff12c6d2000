"""Ray as the sweep uses it: settings before the import, start or attach, how many trials fit."""

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

from ablate.errors import Mistake
from ablate.search.environment import CLUSTER, EMBEDDED
from ablate.search.interrupts import as_interrupt
from ablate.trial import Resources

HEAD, HEADS = "head", 1000.0  # resource of the head node for processes that only wait; see `request`
TRAIN_DRIVER_CPUS = 0.01  # of the trial process that only waits for its Train workers


@contextlib.contextmanager
def connected(address: str | None, study: str, cpus: float | None = None) -> Iterator[str]:
    """A Ray of our own on this machine, or the cluster at `address`; yields the dashboard's URL (empty without one).

    Ours has a dashboard unless ABLATE_DASHBOARD=0 (ten processes less to start; nothing depends on it).

    SIGTERM is treated as SIGINT from here on: Ray replaces the caller's handler by one that ends the process.
    Raises Mistake where the cluster cannot be reached.
    """
    for name, value in (EMBEDDED if address is None else CLUSTER).items():
        os.environ.setdefault(name, value)
    import ray

    started = not ray.is_initialized()
    if started:
        options: dict[str, Any] = {"address": address or "local", "namespace": f"ablate-{study}"}
        if address is None:
            options |= {
                "include_dashboard": os.environ.get("ABLATE_DASHBOARD", "1") != "0",
                "num_cpus": cpus,
                "resources": {HEAD: HEADS},
            }
        try:
            context = ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        except SystemExit as terminated:  # SIGTERM while Ray starts: its handler has ended its processes
            raise KeyboardInterrupt from terminated
        except (ConnectionError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            if address is None:
                raise Mistake(f"Ray cannot be started here ({reason}); `ablate doctor` may say why") from error
            raise Mistake(f"no Ray cluster at {address!r} ({reason}); leave --address out to start one here") from error
        url = context.dashboard_url or ""
    else:
        url = ray._private.worker.get_dashboard_url() or ""
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, as_interrupt)
    try:
        yield f"http://{url}" if url else ""
    finally:
        if started:
            ray.shutdown()


def local_totals(cpus: float | None) -> dict[str, float]:
    """What a Ray of our own on this machine will offer."""
    import torch

    return {"CPU": cpus or len(os.sched_getaffinity(0)), "GPU": torch.cuda.device_count(), HEAD: HEADS}


def concurrency(resources: Resources, cluster: Mapping[str, float] | None = None) -> int:
    """How many trials fit a cluster of these totals (the connected one) at once; raises Mistake if none ever does."""
    if cluster is None:
        import ray

        cluster = ray.cluster_resources()
    sentence = resources.fits(cluster)
    if sentence:
        raise Mistake(sentence)
    need = {"CPU": resources.workers * resources.cpus_per_worker, "GPU": resources.workers * resources.gpus_per_worker}
    if resources.workers > 1 and HEAD not in cluster:
        need["CPU"] += TRAIN_DRIVER_CPUS
    return max(1, int(min((cluster.get(kind, 0) + 1e-9) // amount for kind, amount in need.items() if amount)))


def request(resources: Resources) -> dict[str, float]:
    """What the trial process itself asks for: everything with one worker, next to nothing if it only waits for Train.

    Where the cluster declares the resource `head` (ours does), the waiting process goes to the safe head node and takes
    no CPU from the workers.
    """
    if resources.workers == 1:
        gpu = {"GPU": resources.gpus_per_worker} if resources.gpus_per_worker else {}
        return {"CPU": resources.cpus_per_worker} | gpu
    import ray

    return {HEAD: 1} if HEAD in ray.cluster_resources() else {"CPU": TRAIN_DRIVER_CPUS}
