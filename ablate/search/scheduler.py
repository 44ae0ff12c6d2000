"""Early stopping that remembers: ASHA and the median rule, filled with what earlier processes have seen."""

import math
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

History = list[tuple[int, float]]  # (epoch, objective), ascending


class RefilledASHA(AsyncHyperBandScheduler):
    """ASHA whose rungs hold the known cells: in fresh ones a continued trial would write into too low a rung."""

    def __init__(self, past: dict[str, History], **settings: Any):
        super().__init__(**settings)
        sign = 1.0 if settings["mode"] == "max" else -1.0
        for rung, recorded in self._brackets[0]._rungs:
            for cell, history in past.items():
                value = next((value for epoch, value in history if epoch >= rung), None)
                if value is not None:
                    recorded[f"past:{cell}"] = sign * value

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A cell that continues takes its own values over, so that it is not compared with itself."""
        super().on_trial_add(tune_controller, trial)
        key = f"past:{trial.config['cell']['cell']}"
        for _, recorded in self._brackets[0]._rungs:
            if key in recorded:
                recorded[trial.trial_id] = recorded.pop(key)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """The last report of a trial that failed has no value to compare."""
        if not _has_value(result):
            return TrialScheduler.CONTINUE
        action: str = super().on_trial_result(tune_controller, trial, result)
        return action

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """The same at its end."""
        if _has_value(result):
            super().on_trial_complete(tune_controller, trial, result)


class RefilledMedian(MedianStoppingRule):
    """The median rule with the known cells among the others; it stops trials and never pauses them.

    Where too few trials are known Ray's rule pauses one if others wait, and a paused trial starts again.
    """

    def __init__(self, past: dict[str, History], **settings: Any):
        super().__init__(**settings)
        for cell, history in past.items():
            if history:
                self._results[_Ghost(f"past:{cell}")] = [{"epoch": e, "objective": v} for e, v in history]

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A cell that continues takes its own values over, so that it is not compared with itself."""
        super().on_trial_add(tune_controller, trial)
        mine = self._results.pop(_Ghost(f"past:{trial.config['cell']['cell']}"), None)
        if mine:
            self._results[trial] = mine

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """A report that is repeated after a restart has been judged before; that of a failed trial has no value."""
        if not _has_value(result) or any(its["epoch"] == result["epoch"] for its in self._results.get(trial, ())):
            return TrialScheduler.CONTINUE
        action: str = super().on_trial_result(tune_controller, trial, result)
        return action

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing: its last report has been seen, if there was one."""

    def _on_insufficient_samples(self, tune_controller: Any, trial: Any, time: float) -> str:
        return TrialScheduler.CONTINUE


class _Ghost:
    """Stands for a trial of an earlier process."""

    def __init__(self, trial_id: str):
        self.trial_id = trial_id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Ghost) and other.trial_id == self.trial_id

    def __hash__(self) -> int:
        return hash(self.trial_id)


def _has_value(result: dict[str, Any]) -> bool:
    """Whether there is an objective to compare."""
    return math.isfinite(result.get("objective", math.nan))


def make_scheduler(its: Any, mode: str, epochs: int, past: dict[str, History]) -> TrialScheduler | None:
    """The scheduler of a search (`search.scheduler`); None where it stops nothing.

    `max_t` is one more than the epochs: at the last epoch itself Tune would kill a trial that has just finished.
    """
    if its is None:
        return None
    known = {cell: [(e, v) for e, v in sorted(history) if math.isfinite(v)] for cell, history in past.items()}
    shared: dict[str, Any] = {"time_attr": "epoch", "metric": "objective", "mode": mode}
    if its.name == "median":
        return RefilledMedian(known, grace_period=its.grace, min_samples_required=3, **shared)
    return RefilledASHA(
        known, max_t=epochs + 1, grace_period=its.grace, reduction_factor=its.factor, brackets=1, **shared
    )
