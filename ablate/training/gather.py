"""Codes of all workers, with gradient: what the terms that look across the batch see."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _AllGather(torch.autograd.Function):
    """Concatenate along dim 0 over the ranks; the gradient of a rank's rows is summed over the ranks that used them."""

    @staticmethod
    def forward(ctx: Any, codes: Tensor) -> Tensor:
        parts = [torch.empty_like(codes) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, codes.contiguous())
        ctx.rows = codes.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)  # autograd may use the incoming one again
        dist.all_reduce(total)
        return total[dist.get_rank() * ctx.rows :][: ctx.rows]


def all_gather(codes: Tensor) -> Tensor:
    """(B, ...) of each rank -> (world B, ...) on every rank, in rank order.

    DDP averages gradients over the ranks and every rank takes the mean over its own rows, so the summed gradient of a
    gathered code is that of the mean over the global batch: the objective does not depend on the number of workers.
    """
    gathered: Tensor = _AllGather.apply(codes)
    return gathered
