"""One batch over several processes: what each has is put together, so that a loss sees what it would see in one process.

Of W processes number r has the pairs r, r + W, r + 2W, ... of a batch (`bench/data.py`). Every process computes the loss of the whole
batch, and the mean over processes of its gradients, which DDP takes, is then the gradient that one process would have.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


def processes() -> int:
    """How many train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def gathered(part: Tensor) -> Tensor:
    """(n, ...) of each process -> (W n, ...) in the order of the batch, with gradients; of one process, the tensor itself."""
    if processes() == 1:
        return part
    whole: Tensor = _Gather.apply(part) if part.is_floating_point() else _interleaved(part)  # type: ignore[no-untyped-call]
    return whole


def _interleaved(part: Tensor) -> Tensor:
    sent = (part.to(torch.uint8) if part.dtype is torch.bool else part).contiguous()
    parts = [torch.empty_like(sent) for _ in range(processes())]
    distributed.all_gather(parts, sent)
    return torch.stack(parts, dim=1).flatten(0, 1).to(part.dtype)


class _Gather(torch.autograd.Function):
    """Backwards, a process gets what all processes' losses say of its part."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        return _interleaved(part)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous()
        distributed.all_reduce(total)
        return total[distributed.get_rank() :: processes()].contiguous()


class BatchNorm1d(nn.BatchNorm1d):
    """Batch norm over the pairs of all processes, on any device (torch's SyncBatchNorm wants a GPU)."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, D) -> (n, D)."""
        if not self.training or processes() == 1:
            return super().forward(x)
        return super().forward(gathered(x))[distributed.get_rank() :: processes()]
