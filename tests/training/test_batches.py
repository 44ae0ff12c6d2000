"""Batches: their order, their size, and what each worker sees of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ablate.errors import Mistake
from ablate.random import permutation
from ablate.training.batches import shares

from .cells import data, place, trial


def test_batches_follow_the_order_stream_and_leave_an_incomplete_one_out() -> None:
    its, split = trial(batch_size=17, seed=3), data().train
    assert split.n % 17
    for epoch in (0, 2):
        batches = list(shares(split, its, place(), epoch))
        steps = split.n // 17
        rows = np.concatenate([batch.index.numpy() for batch in batches])
        assert np.array_equal(rows, permutation(split.n, 3, "order", epoch)[: steps * 17])
        assert [batch.draw.index for batch in batches] == [(epoch * steps + i,) for i in range(steps)]
        assert [batch.step for batch in batches] == list(range(epoch * steps, (epoch + 1) * steps))
        assert all(batch.x.shape == (17, 10, 12) and batch.n_train == split.n for batch in batches)
        assert torch.equal(batches[1].x, split.x(rows[17:34]))


def test_a_batch_larger_than_the_split_is_the_split() -> None:
    batches = list(shares(data().train, trial(batch_size=10_000), place(), 0))
    assert len(batches) == 1 and sorted(batches[0].index.tolist()) == list(range(data().train.n))
    assert batches[0].draw.batch == data().train.n


def test_two_workers_share_each_global_batch() -> None:
    its, split = trial(batch_size=16), data().train
    whole = list(shares(split, its, place(), 1))
    parts = [list(shares(split, its, place(rank, 2), 1)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([first.index, second.index]), batch.index)
        assert torch.equal(
            torch.cat([its.draw.normal("posterior/z", 3) for its in (first, second)]),
            batch.draw.normal("posterior/z", 3),
        )


def test_fewer_windows_than_workers_are_refused_in_a_sentence() -> None:
    few = replace(data().train, first=data().train.first[:1])
    with pytest.raises(Mistake, match="1 training window for 2 workers"):
        list(shares(few, trial(), place(0, 2), 0))


def test_batches_are_counted_before_any_is_read() -> None:
    """An epoch must not lie in memory as a whole."""
    read: list[int] = []

    class Watched:
        def __init__(self, split: Any):
            self.split = split

        def __getattr__(self, name: str) -> Any:
            return getattr(self.split, name)

        def x(self, rows: Any) -> torch.Tensor:
            read.append(len(rows))
            return self.split.x(rows)

    split = data().train
    batches = shares(Watched(split), trial(batch_size=16), place(), 0)  # type: ignore[arg-type]
    assert len(batches) == split.n // 16 and read == []
    next(iter(batches))
    assert read == [16]
