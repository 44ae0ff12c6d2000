"""Optuna behind Tune's searcher interface, with every trial told as what it was, and no configuration run twice."""

import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from ablate.errors import Mistake
from ablate.random import stream
from ablate.ranges import Range
from ablate.search.plan import Cell, Outcome, Point
from ablate.search.space import distributions, points, to_params, to_point
from ablate.study import number_of_points

log = logging.getLogger(__name__)
REPEATS = 50  # suggestions of known configurations in a row after which the sampler is helped out
LISTED = 1000  # points of a space that are looked through for one that nobody has run


def make_sampler(algorithm: str, seed: int, known: int) -> BaseSampler:
    """random, tpe, cmaes or nsga2. The number of known trials enters the seed, else a resumed search repeats itself."""
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    drawn = stream(seed, "search", known) % 2**32
    samplers: dict[str, Callable[[], BaseSampler]] = {
        "random": lambda: optuna.samplers.RandomSampler(seed=drawn),
        "tpe": lambda: optuna.samplers.TPESampler(
            seed=drawn, n_startup_trials=8, multivariate=True, group=True, constant_liar=True
        ),
        "cmaes": lambda: optuna.samplers.CmaEsSampler(seed=drawn),
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=drawn, population_size=16),
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return samplers[algorithm]()


class AblateOptuna(OptunaSearch):
    """Suggests cells; tells Optuna the best value of a finished trial, PRUNED for a stopped, FAIL for a failed one."""

    def __init__(
        self,
        space: dict[str, Range],
        modes: list[str],
        sampler: BaseSampler,
        budget: int,
        make: Callable[[Point], Cell],
        config: Callable[[Cell], dict[str, Any]],
        elsewhere: Callable[[Cell], Outcome | None],
        finished: Callable[[FrozenTrial], None],
    ):
        """`budget`: suggestions still to be made. `elsewhere`: what an earlier study knows of a cell."""
        several = len(modes) > 1
        metric: Any = [f"objective/{k}" for k in range(len(modes))] if several else "objective"
        super().__init__(distributions(space), metric=metric, mode=modes if several else modes[0], sampler=sampler)
        self.space, self.make, self.config, self.elsewhere, self.finished = space, make, config, elsewhere, finished
        self.study: optuna.Study = self._ot_study  # type: ignore[assignment]
        self.distributions = distributions(space)
        self.budget = budget
        self.names = metric if several else [metric]
        self.seen: set[str] = set()
        self.cells: dict[str, Cell] = {}  # by trial id
        self.reused: list[tuple[Cell, Outcome]] = []
        self._reported: set[tuple[str, int]] = set()  # (trial id, epoch)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher for `Tuner.restore`, which is never used."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing, for the same reason."""

    def remember(self, cell: Cell, outcome: Outcome) -> bool:
        """Add a finished cell of this study to the Optuna study; False if its point lies outside the space."""
        params = to_params(self.space, cell.point)
        if params is None:
            return False
        self.seen.add(cell.key)
        values = self.values(outcome.values)
        state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED}.get(outcome.status, TrialState.FAIL)
        if values is None or (state == TrialState.PRUNED and len(self.names) > 1):
            state = TrialState.FAIL
        trial = create_trial(
            state=state,
            values=None if state == TrialState.FAIL else values,
            params=params,
            distributions=self.distributions,
            intermediate_values=dict(outcome.history) if len(self.names) == 1 else None,
        )
        self.study.add_trial(trial)
        self.finished(trial)
        return True

    def enqueue(self, point: Point) -> bool:
        """Ask for this point before the sampler's own; False if it lies outside the space."""
        params = to_params(self.space, point)
        if params is not None:
            self.study.enqueue_trial(params)
        return params is not None

    def suggest(self, trial_id: str) -> Any:
        """The next cell that nobody has run; FINISHED when the budget or the space is used up."""
        repeats = 0
        while self.budget > 0 and (repeats < REPEATS or (repeats == REPEATS and self._enqueue_unseen())):
            asked = self.study.ask(fixed_distributions=self.distributions)
            cell = self._cell(to_point(self.space, asked.params))
            if cell is None or cell.key in self.seen:
                self.study.tell(asked, state=TrialState.FAIL)
                repeats += 1
                continue
            self.seen.add(cell.key)
            self.budget -= 1
            known = self.elsewhere(cell)
            values = self.values(known.values) if known else None
            if known and values is not None:
                self.finished(self.study.tell(asked, values))
                self.reused.append((cell, known))
                repeats = 0
                continue
            self._ot_trials[trial_id] = asked
            self.cells[trial_id] = cell
            return {"cell": self.config(cell)}
        return Searcher.FINISHED

    def _cell(self, point: Point) -> Cell | None:
        """The cell of a point; None where its values do not go together."""
        try:
            return self.make(point)
        except Mistake:
            return None

    def _enqueue_unseen(self) -> bool:
        """Where the sampler keeps to what it knows: ask for the first point of a finite space that nobody has run."""
        size = number_of_points(self.space.values())
        for point in points(self.space) if size is not None and size <= LISTED else ():
            cell = self._cell(point)
            if cell is not None and cell.key not in self.seen:
                return self.enqueue(point)
        return False

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Intermediate values by epoch; Optuna takes none with several objectives."""
        value = result.get("objective")
        asked = self._ot_trials.get(trial_id)
        if len(self.names) > 1 or asked is None or value is None or not math.isfinite(value):
            return
        if (trial_id, result["epoch"]) not in self._reported:  # a restarted trial repeats its last reports
            self._reported.add((trial_id, result["epoch"]))
            asked.report(value, result["epoch"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna; forget trials it does not know."""
        asked = self._ot_trials.pop(trial_id, None)
        if asked is None:
            return
        values = self.values(result or {})
        if error or values is None or (result or {}).get("verdict"):
            told = self.study.tell(asked, state=TrialState.FAIL)
        elif not (result or {}).get("complete"):
            told = self.study.tell(asked, state=TrialState.PRUNED if len(self.names) == 1 else TrialState.FAIL)
        else:
            told = self.study.tell(asked, values)
        self.finished(told)

    def values(self, report: dict[str, Any]) -> list[float] | None:
        """The objectives of a report; None where one is missing or not finite."""
        found = [report.get(name) for name in self.names]
        if any(value is None or not math.isfinite(value) for value in found):
            return None
        return [float(value) for value in found if value is not None]
