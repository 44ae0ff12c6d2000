"""Ray as the sweep uses it: settings before the import, start or attach, how many trials fit."""

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ablate.errors import Mistake
from ablate.trial import Resources

SETTINGS = {  # before `import ray`; a user's own value wins
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # reports of Ray Train are at least this far apart
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_THRESHOLD_S": "5",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
}
TRAIN_DRIVER_CPUS = 0.01  # of the trial process that only waits for its Train workers


def prepare_environment(attached: bool) -> None:
    """Set what Ray reads when it is imported."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    if attached:
        os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")
    if (Path.home() / ".ray" / "auth_token").exists() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def connected(address: str | None, study: str, cpus: float | None = None) -> Iterator[str]:
    """A Ray of our own on this machine, or the cluster at `address`; yields the dashboard's URL (empty without one).

    SIGTERM is treated as SIGINT from here on (Ray replaces the handler, hence after it). Raises Mistake where the
    cluster cannot be reached.
    """
    prepare_environment(address is not None)
    import ray

    started = not ray.is_initialized()
    if started:
        options: dict[str, Any] = {
            "address": address or "local",
            "namespace": f"ablate-{study}",
            "log_to_driver": False,
        }
        if address is None:
            options |= {"include_dashboard": True, "num_cpus": cpus}
        try:
            context = ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
        except (ConnectionError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise Mistake(f"no Ray cluster at {address!r} ({reason}); leave --address out to start one here") from error
        url = context.dashboard_url or ""
    else:
        url = ray._private.worker.get_dashboard_url() or ""
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield f"http://{url}" if url else ""
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, before)
        if started:
            ray.shutdown()


def concurrency(resources: Resources) -> int:
    """How many trials fit the cluster at once; raises Mistake if none ever does."""
    import ray

    cluster = ray.cluster_resources()
    sentence = resources.fits(cluster)
    if sentence:
        raise Mistake(sentence)
    need = {"CPU": resources.workers * resources.cpus_per_worker, "GPU": resources.workers * resources.gpus_per_worker}
    if resources.workers > 1 and "head" not in cluster:
        need["CPU"] += TRAIN_DRIVER_CPUS
    return max(1, int(min((cluster.get(kind, 0) + 1e-9) // amount for kind, amount in need.items() if amount)))


def request(resources: Resources) -> dict[str, float]:
    """What the trial process itself asks for: everything with one worker, next to nothing if it only waits for Train.

    On a cluster that declares `head`, the waiting process goes to the safe head node.
    """
    if resources.workers == 1:
        gpu = {"GPU": resources.gpus_per_worker} if resources.gpus_per_worker else {}
        return {"CPU": resources.cpus_per_worker} | gpu
    import ray

    return {"head": 1} if "head" in ray.cluster_resources() else {"CPU": TRAIN_DRIVER_CPUS}
