"""What Ray reads when it is imported; set before that, and a user's own value wins."""

import logging
import os
from pathlib import Path

SETTINGS = {  # before `import ray`; a user's own value wins
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # reports of Ray Train are at least this far apart
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_THRESHOLD_S": "5",
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "20",  # a stopped trial's step and clean-up, else its process is not used again
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    # Tune runs each trial of a reused process in a new thread, and glibc gives every thread a heap that it keeps (16 on
    # 2 cores, 512 on 64): measured, 20 trials grew the process from 508 to 819 MB, with one heap from 509 to 530.
    "MALLOC_ARENA_MAX": "1",
}

EMBEDDED = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}  # a Ray of our own: one process less per trial
CLUSTER = {"RAY_TRAIN_ENABLE_STATE_TRACKING": "1"}  # a running one: its dashboard lists the Train runs
PASSED_ON = (*EMBEDDED, *CLUSTER, "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "ABLATE_RETRY_WAITS")


def passed_on() -> dict[str, str]:
    """What the sweep process tells its trials: on a running cluster they do not inherit its environment."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def prepare() -> None:
    """Set the variables, use Ray's token where there is one, and keep Ray's own chatter off the terminal."""
    for key, value in SETTINGS.items():
        os.environ.setdefault(key, value)
    if (Path.home() / ".ray" / "auth_token").exists() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Tune's own state, which nobody reads: where it cannot be saved (a full disk), Tune would print a traceback.
    # What Tune's controller logs as errors are trials that failed or processes not used again: the board tells those.
    for name in ("experiment_state", "tune_controller"):
        logging.getLogger(f"ray.tune.execution.{name}").setLevel(logging.CRITICAL)
