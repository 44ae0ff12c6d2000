"""Numbers that are no longer finite: which value failed first is named."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ablate.errors import NonFinite
from ablate.training import checkpoint
from ablate.training.watch import Watch

from .cells import BOUND, CELL, Register, cell, place, plain, run, term

__all__ = ["term"]


def failing(step: int, value: float = math.nan) -> Callable[..., Tensor]:
    """A term that is as given from a step on; in evaluation the index is the number of the batch."""

    def call(model: Any, batch: Any, out: Any, *, options: Any) -> Tensor:
        bad = batch.draw.prefix == "" and batch.draw.index[0] >= step
        return out.sample["z"].flatten(1).sum(1) * 0 + (value if bad else 1.0)

    return call


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_term_that_failed_first_is_named(tmp_path: Path, term: Register, value: float) -> None:
    term("early", failing(9, value))
    term("late", failing(11))
    loss = {"late": {"weight": 1}, **BOUND, "early": {"weight": 0.1}}
    sent: list[int] = []
    with pytest.raises(NonFinite) as caught:
        run(cell(plain(loss), tmp_path), lambda report: sent.append(report["epoch"]))
    assert (caught.value.term, caught.value.epoch) == ("early", 2)  # 7 steps an epoch
    assert sent == [1] and checkpoint.last_epoch(tmp_path, CELL) == 1


def test_of_terms_that_fail_in_one_step_the_first_is_named(tmp_path: Path, term: Register) -> None:
    term("one", failing(3))
    term("two", failing(3))
    with pytest.raises(NonFinite, match=r"^nan: two, epoch 1$"):
        run(cell(plain({"two": {}, **BOUND, "one": {}}), tmp_path))


def test_a_gradient_that_is_not_finite_is_named(tmp_path: Path, term: Register) -> None:
    term("root", lambda model, batch, out, *, options: (out.sample["z"].flatten(1).sum(1) * 0).sqrt())
    with pytest.raises(NonFinite, match=r"^nan: gradient, epoch 1$"):
        run(cell(plain(BOUND | {"root": {}}), tmp_path))


def test_a_failure_is_seen_within_the_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: Register) -> None:
    steps = []

    def counted(model: Any, batch: Any, out: Any, *, options: Any) -> Tensor:
        steps.append(batch.draw.index[0])
        return out.sample["z"].flatten(1).sum(1) * math.nan

    term("bad", counted)
    monkeypatch.setattr("ablate.training.loop.FINITE_EVERY", 2)
    with pytest.raises(NonFinite):
        run(cell(plain(BOUND | {"bad": {}}), tmp_path))
    assert steps == [0, 1]


def test_the_watch_keeps_sums_and_the_first_bad_step() -> None:
    watch = Watch(["a", "b"], place())
    rows = [(1.0, 2.0), (3.0, math.nan), (math.nan, math.nan)]
    for a, b in rows:
        watch.see({"a": torch.tensor([a]), "b": torch.tensor([b])}, torch.tensor(1.0), torch.tensor(2.0))
    assert watch.first_bad.tolist()[:2] == [2, 1]
    with pytest.raises(NonFinite, match="nan: b, epoch 5"):
        watch.check(5)
    fine = Watch(["a"], place())
    for a in (1.0, 4.0):
        fine.see({"a": torch.tensor([a, a + 2])}, torch.tensor(a), torch.tensor(0.5))
    fine.check(1)
    assert fine.means() == {"a": 3.5, "gradient": 0.5, "total": 2.5}
