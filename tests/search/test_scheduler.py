"""Early stopping over restarts: full rungs, medians over known cells, and nothing that ends a sweep."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from ablate.search.scheduler import make_scheduler
from ablate.study import Scheduler

CONTINUE, STOP, PAUSE = TrialScheduler.CONTINUE, TrialScheduler.STOP, TrialScheduler.PAUSE
GOOD = [(epoch, 0.1 * epoch) for epoch in range(1, 10)]  # the objective of a run of nine epochs


class Trial(SimpleNamespace):
    """What a scheduler looks at."""

    def __init__(self, name: str):
        super().__init__(trial_id=name, config={"cell": {"cell": name}}, status="RUNNING")

    def __hash__(self) -> int:
        return hash(self.trial_id)


class Controller:
    """Tune with a trial that waits."""

    def get_live_trials(self) -> list[Any]:
        return [SimpleNamespace(status="PENDING")]


def add(scheduler: Any, *names: str) -> list[Trial]:
    trials = [Trial(name) for name in names]
    for trial in trials:
        scheduler.on_trial_add(Controller(), trial)
    return trials


def report(scheduler: Any, trial: Trial, epoch: int, value: float) -> str:
    result = {"epoch": epoch, "objective": value, "training_iteration": 1}
    return str(scheduler.on_trial_result(Controller(), trial, result))


def asha(past: dict[str, Any], mode: str = "max", grace: int = 1) -> Any:
    return make_scheduler(Scheduler("asha", grace=grace, factor=3), mode, 9, past)


def plain_asha() -> Any:
    return AsyncHyperBandScheduler(
        time_attr="epoch", metric="objective", mode="max", max_t=10, grace_period=1, reduction_factor=3
    )


def median(past: dict[str, Any], mode: str = "max", grace: int = 2) -> Any:
    return make_scheduler(Scheduler("median", grace=grace), mode, 9, past)


def resumed(scheduler: Any) -> str:
    """A trial goes on from epoch 5, repeating its last reports; what happens to a new, equally good one?"""
    (old,) = add(scheduler, "old")
    for epoch, value in GOOD[1:7]:
        assert report(scheduler, old, epoch, value) == CONTINUE
    (new,) = add(scheduler, "new")
    return report(scheduler, new, *GOOD[0])


def test_a_fresh_asha_stops_an_equally_good_trial_and_a_refilled_one_does_not() -> None:
    assert resumed(plain_asha()) == STOP
    assert resumed(asha({"old": GOOD[:5]})) == CONTINUE


def test_rungs_hold_the_first_value_at_or_after_them() -> None:
    its = asha({"whole": GOOD, "short": GOOD[:2], "sparse": [(2, 0.5), (8, 0.7)], "none": []})
    rungs = dict(its._brackets[0]._rungs)
    assert set(rungs) == {1, 3, 9}
    assert rungs[1] == {"past:whole": 0.1, "past:short": 0.1, "past:sparse": 0.5}
    assert rungs[3] == pytest.approx({"past:whole": 0.3, "past:sparse": 0.7})
    assert rungs[9] == pytest.approx({"past:whole": 0.9})


def test_smaller_is_better_where_the_mode_says_so() -> None:
    its = asha({f"past{i}": [(1, value)] for i, value in enumerate((0.1, 0.2, 0.3))}, mode="min")
    bad, good = add(its, "bad", "good")
    assert report(its, good, 1, 0.05) == CONTINUE and report(its, bad, 1, 0.4) == STOP


def test_a_continued_cell_is_not_compared_with_itself() -> None:
    its = asha({"old": GOOD[:4]})
    add(its, "old")
    assert dict(its._brackets[0]._rungs)[1] == {"old": 0.1}


def test_a_known_cell_stops_a_worse_one_and_a_trial_at_its_last_epoch_is_not_killed() -> None:
    its = asha({f"past{i}": GOOD for i in range(3)})
    bad, good = add(its, "bad", "good")
    assert report(its, bad, 1, 0.01) == STOP
    assert [report(its, good, epoch, value) for epoch, value in GOOD] == [CONTINUE] * 9


@pytest.mark.filterwarnings("error")
def test_failures_without_a_value_stop_nobody() -> None:
    its = asha({})
    bad, good = add(its, "bad", "good")
    report(its, bad, 1, float("nan"))
    its.on_trial_complete(Controller(), bad, {"epoch": 1, "objective": float("nan")})
    assert report(its, good, 1, 0.1) == CONTINUE


def test_grace_is_kept() -> None:
    its = asha({f"past{i}": GOOD for i in range(3)}, grace=3)
    (bad,) = add(its, "bad")
    assert [report(its, bad, epoch, 0.01) for epoch in (1, 2, 3)] == [CONTINUE, CONTINUE, STOP]


def test_the_median_rule_counts_known_cells() -> None:
    fresh = MedianStoppingRule(time_attr="epoch", metric="objective", mode="max", grace_period=2)
    (bad,) = add(fresh, "bad")
    assert report(fresh, bad, 2, 0.01) == PAUSE
    its = median({f"past{i}": GOOD for i in range(3)})
    bad, good = add(its, "bad", "good")
    assert [report(its, bad, epoch, 0.01) for epoch in (1, 2)] == [CONTINUE, STOP]
    assert [report(its, good, epoch, value) for epoch, value in GOOD] == [CONTINUE] * 9


def test_the_median_rule_never_pauses() -> None:
    its = median({})
    trials = add(its, "a", "b", "c")
    actions = [report(its, trial, epoch, 0.1 * i) for epoch in (1, 2, 3) for i, trial in enumerate(trials)]
    assert PAUSE not in actions


def test_smaller_is_better_for_the_median_too() -> None:
    its = median({f"past{i}": [(2, value)] for i, value in enumerate((0.1, 0.2, 0.3))}, mode="min")
    bad, good = add(its, "bad", "good")
    assert report(its, good, 2, 0.15) == CONTINUE and report(its, bad, 2, 0.4) == STOP


def test_cells_without_values_do_not_end_the_sweep() -> None:
    past = {
        "begun": [],
        "diverged": [(1, float("nan"))],
        "infinite": [(1, float("inf"))],
        "a": GOOD,
        "b": GOOD,
        "c": GOOD,
    }
    for its in (median(past), asha(past)):
        one, other = add(its, "one", "other")
        assert report(its, one, 2, 0.2) == CONTINUE
        report(its, one, 3, float("nan"))
        its.on_trial_complete(Controller(), one, {})
        its.on_trial_error(Controller(), one)
        assert report(its, other, 2, 0.2) == CONTINUE


def test_a_cell_continues_under_the_median_rule_with_its_own_past() -> None:
    its = median({"old": GOOD[:5], **{f"past{i}": [(e, 0.05) for e in range(1, 10)] for i in range(3)}})
    (old,) = add(its, "old")
    assert len(its._results) == 4
    assert [report(its, old, epoch, value) for epoch, value in GOOD[1:7]] == [CONTINUE] * 6
    assert [result["epoch"] for result in its._results[old]] == [1, 2, 3, 4, 5, 6, 7]


def test_without_a_scheduler_all_trials_run_to_their_end() -> None:
    assert make_scheduler(None, "max", 9, {}) is None  # which is how the executor sees that nothing is stopped
