"""A hundred thousand configurations: their expansion, signatures, names and cell keys within seconds."""

import random
import time
from pathlib import Path

import pytest
from finished import SMALL

from ablate.config import load_study
from ablate.search.plan import Planner, once
from ablate.search.space import grid
from ablate.signature import delta, sha256, signature, text
from ablate.study import Study
from ablate.trial import Trial

LIMIT_S = 20.0  # of processor time, twice what is promised of a core that does nothing else
RANGES = {
    "{choice: [2, 4], default: 4}, f_dim: 4": "{int: [1, 10], default: 4}, f_dim: {int: [1, 10], default: 4}",
    "loss:\n": "loss:\n  beta: {choice: [0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 8, 10], default: 1}\n",
    "scc: {weight: {choice: [0, 1], default: 0}}": "scc: {weight: {int: [0, 9], default: 0}}\n"
    "  mi: {weight: {int: [0, 9], default: 0}}",
}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A grid of 10^5 points."""
    written = SMALL.partition("search:")[0] + "search: {algorithm: grid, metric: valid/probe_gap, mode: max}\n"
    for old, new in RANGES.items():
        assert old in written
        written = written.replace(old, new)
    (tmp_path / "many.yaml").write_text(written)
    return load_study(tmp_path / "many.yaml")


def test_shared_parts_change_no_signature(study: Study) -> None:
    """Trials made of shared parts are those that are built leaf by leaf from JSON values, and hash to the same."""
    base = study.base.plain()
    for point in random.Random(0).sample(grid(study), 200):
        trial = study.configuration(point)
        values = Trial.from_plain(base).plain()
        for path, value in point.items():
            *sections, last = path.split(".")
            at = values
            for section in sections:
                at = at[section]
            at[last] = value
        apart = Trial.from_plain(values)
        assert trial == apart and trial.plain() == values
        assert signature(trial) == signature(apart) == sha256(text(delta(apart)))


def test_a_value_and_its_like_of_another_kind_are_kept_apart(study: Study) -> None:
    """`true` is no 1 and 10.0 is 10, in the signature as in the trial, however often they come by."""
    whole, real = (study.base.replace({"loss.beta": value, "train.lr": value}) for value in (10, 10.0))
    truth = study.base.replace({"loss.beta": True})
    assert signature(whole) == signature(real) and type(real.train.lr) is float and type(whole.train.lr) is int
    assert signature(truth) != signature(study.base.replace({"loss.beta": 1}))


@pytest.mark.slow
def test_a_hundred_thousand_configurations_are_planned_within_seconds(study: Study) -> None:
    planner = Planner(study, "d" * 64)
    points = grid(study)
    begun = time.process_time()
    cells = once(planner.searched(point, "grid") for point in [*points, *points[:100]])
    took = time.process_time() - begun
    assert (
        len(points) == len(cells) == len({its.signature for its in cells}) == len({its.key for its in cells}) == 10**5
    )
    assert took < LIMIT_S, f"{took:.1f} s"
