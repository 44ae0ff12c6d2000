"""What a run costs: wall and CPU seconds, memory of the process and of its GPU."""

import resource
import time

import torch


class Usage:
    """Counts from its construction, on top of the seconds a restarted run had before."""

    def __init__(self, seconds_before: float = 0.0):
        self._wall = time.monotonic() - seconds_before
        self._cpu = time.process_time()

    def values(self) -> dict[str, float]:
        """`system/...` values of a report."""
        values = {
            "system/wall_seconds": time.monotonic() - self._wall,
            "system/cpu_seconds": time.process_time() - self._cpu,
            "system/peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        if torch.cuda.is_available():
            values["system/gpu_peak_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
        return values
