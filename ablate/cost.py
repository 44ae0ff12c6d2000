"""What a study costs, from the pace of its cheapest and dearest configurations."""

from dataclasses import dataclass

from ablate.data.dataset import Data
from ablate.errors import Mistake
from ablate.study import Study
from ablate.training.probe import Pace, pace
from ablate.trial import Trial


@dataclass(frozen=True)
class Cost:
    """An estimate in seconds."""

    trials: float  # of training, one trial after the other
    wall: float  # with as many trials at once as fit
    step: tuple[float, float]  # one training step of the default and of the dearest configuration
    early: bool  # whether a scheduler ends trials early, so that the search takes less


def estimate(study: Study, data: Data, searched: int, confirmed: float, at_once: int) -> Cost:
    """The cost of `searched` cells of the search and of `confirmed` seeds of every confirmed configuration.

    A search is charged the mean of the default's pace and that of the dearest configuration: some of its trials carry
    all terms, some few. A confirmed best configuration is charged the same.
    """
    base, dear = pace(study.base, data), pace(dearest(study), data)
    mean = (base.run(study.base) + dear.run(study.base)) / 2
    total = searched * mean
    confirm = study.search.confirm if study.search else None
    if confirm is not None and confirmed:
        test = data.test.n / data.valid.n
        mixed = mean + (base.look + dear.look) / 2 * test
        others = [whole(study.base, base, test)]
        others += [whole(its, pace(its, data), test) for its in study.baselines.values()]
        total += confirmed * (confirm.top * mixed + sum(others))
    early = study.search is not None and study.search.scheduler is not None
    return Cost(total, total / at_once, (base.step, dear.step), early)


def whole(trial: Trial, its: Pace, test: float) -> float:
    """Seconds of one run that ends with a look at the test split, `test` times as large as the validation split."""
    return its.run(trial) + its.look * test


def dearest(study: Study) -> Trial:
    """Every searched weight and size at its largest; the default configuration where they exclude each other."""
    point = {}
    for path, its in study.space.items():
        section, *_, last = path.split(".")
        ends = its.ends()
        if (section == "model" or last == "weight") and all(isinstance(end, int | float) for end in ends):
            point[path] = max(ends)
    try:
        return study.base.replace(point)
    except Mistake:
        return study.base
