"""Reading in several processes gives what reading in one gives, also when a process dies."""

import os
import pickle

import numpy as np
import pytest

from ablate.data.items import BadItem, Dropped, Item, Sequence
from ablate.data.pool import outcome, pooled
from ablate.errors import Mistake

from .toy import Toy, ToyOptions


def _same(a: object, b: object) -> bool:
    if isinstance(a, Sequence) and isinstance(b, Sequence):
        return np.array_equal(a.x, b.x) and a.factors["speaker"] == b.factors["speaker"]
    return type(a) is type(b) and str(a) == str(b)


@pytest.mark.parametrize("die", [0, os.getpid()], ids=["none dies", "one dies"])
def test_processes_give_the_same_outcomes_in_order(die: int) -> None:
    dataset = Toy(ToyOptions(count=9, bad=(2,), dropped=(5,), die=die))
    items = dataset.items()
    alone = [outcome(dataset, item) for item in items]
    together = list(pooled(dataset, items, workers=2))
    assert len(together) == 9
    assert all(_same(a, b) for a, b in zip(alone, together, strict=True))
    assert isinstance(together[2], BadItem) and isinstance(together[5], Dropped)


def test_a_dataset_that_cannot_travel_is_read_here() -> None:
    class Local(Toy):
        """Known to this process only."""

    dataset = Local(ToyOptions(count=3))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(dataset)
    assert len(list(pooled(dataset, dataset.items(), workers=2))) == 3


def test_a_mistake_travels_back() -> None:
    from ablate.data.simvowels import SimVowels, SimVowelsOptions

    dataset = SimVowels(SimVowelsOptions(n_fft=64))
    with pytest.raises(Mistake, match="n_fft 64 is shorter"):
        list(pooled(dataset, dataset.items()[:2], workers=1))


def test_problems_unreadable_files_and_non_finite_features_are_bad_items() -> None:
    dataset = Toy(ToyOptions(offset=float("inf")))
    assert "not finite" in str(outcome(dataset, dataset.items()[0]))
    assert str(outcome(dataset, Item("a", problem="does not fit"))) == "does not fit"

    def missing(item: Item) -> Sequence:
        raise FileNotFoundError(2, "No such file or directory")

    dataset.load = missing  # type: ignore[method-assign]
    assert str(outcome(dataset, dataset.items()[0])) == "unreadable: No such file or directory"
