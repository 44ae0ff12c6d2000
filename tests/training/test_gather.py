"""Gathering codes over workers: values in rank order, gradients summed over those who used them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from ablate.training import gather
from ablate.training.gather import all_gather


@pytest.fixture
def group(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("group")
def test_alone_it_is_the_identity_with_gradient() -> None:
    codes = torch.arange(6.0).reshape(3, 2).requires_grad_()
    gathered = all_gather(codes)
    assert torch.equal(gathered, codes)
    (gathered**2).sum().backward()
    assert torch.equal(codes.grad, 2 * codes.detach())


@pytest.mark.usefixtures("group")
def test_codes_that_are_not_contiguous_are_gathered_too() -> None:
    codes = torch.arange(6.0).reshape(2, 3).T
    assert torch.equal(all_gather(codes), codes)


class TwoRanks:
    """Stands for torch.distributed as rank 1 of 2 sees it: rank 0 has the same codes and gradients, times ten."""

    @staticmethod
    def get_world_size() -> int:
        return 2

    @staticmethod
    def get_rank() -> int:
        return 1

    @staticmethod
    def all_gather(parts: list[torch.Tensor], mine: torch.Tensor) -> None:
        parts[0].copy_(10 * mine)
        parts[1].copy_(mine)

    @staticmethod
    def all_reduce(total: torch.Tensor) -> None:
        total += 10 * total.clone()


def test_ranks_are_in_order_and_gradients_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "dist", TwoRanks)
    codes = torch.tensor([[1.0], [2.0]], requires_grad=True)
    gathered = all_gather(codes)
    assert gathered.flatten().tolist() == [10, 20, 1, 2]
    incoming = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    gathered.backward(incoming)
    assert codes.grad is not None and codes.grad.flatten().tolist() == [33, 44]
    assert incoming.flatten().tolist() == [1, 2, 3, 4]
