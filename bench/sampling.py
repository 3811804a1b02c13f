"""In which order the pairs of a split are trained on: shuffled, or P identities x K pairs a batch.

A sampler knows how many batches an epoch has, and lays out their pairs given a generator: rows [step * B, (step + 1) * B) are a batch.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from bench.contracts import UsageError

PAIRS = 2
"""Fewest pairs that a process is given a batch."""


class Sampler(Protocol):
    @property
    def steps(self) -> int:
        """Batches an epoch."""

    def order(self, generator: torch.Generator) -> Tensor:
        """Rows of the pairs, batch after batch."""


def sampler(labels: Tensor, batch_size: int, *, instances: int | None, world: int) -> Sampler:
    """`instances`: pairs of each identity in a batch; None: pairs are shuffled."""
    if PAIRS * world > min(batch_size, len(labels)):
        raise UsageError(
            f"train.batch_size: {batch_size} of {len(labels)} captions leave a process with fewer than {PAIRS} pairs, of which "
            f"batch norm can learn nothing; take {PAIRS * world} or more (processes: {world})"
        )
    return Shuffled(len(labels), batch_size, PAIRS * world) if instances is None else Balanced(labels, batch_size, instances)


class Shuffled:
    """Each pair once, in any order. A last batch of less than half the size is left out: its gradient would be noise."""

    def __init__(self, n: int, batch_size: int, least: int) -> None:
        self._n = n
        full, rest = divmod(n, batch_size)
        self.steps = max(full + (rest >= max(batch_size / 2, least)), 1)

    def order(self, generator: torch.Generator) -> Tensor:
        return torch.randperm(self._n, generator=generator)


class Balanced:
    """K pairs of each of P identities in every batch (Hermans et al., 2017, arXiv:1703.07737).

    An identity's pairs are dealt into groups of K, in any order; a last group that is not full is filled up with others of the identity.
    Groups of one identity come into different batches. Left out are fewer than P groups an epoch, others each time, and, of an identity
    with more groups than there are batches, the rest.
    """

    def __init__(self, labels: Tensor, batch_size: int, instances: int) -> None:
        self._rows = _rows_of(labels)
        self._instances, self._identities = instances, batch_size // instances
        if batch_size % instances or not 2 <= self._identities <= len(self._rows):
            raise UsageError(
                f"train.batch_size {batch_size} must be a multiple of train.instances {instances}, 2 to {len(self._rows)} times it (the "
                "identities of train)"
            )
        groups = torch.tensor([-(-len(rows) // instances) for rows in self._rows])  # (C,)
        self.steps = _steps(groups, self._identities)

    def order(self, generator: torch.Generator) -> Tensor:
        """(steps * P * K,)"""
        groups: list[Tensor] = []
        for label in torch.randperm(len(self._rows), generator=generator).tolist():
            groups += self._dealt(self._rows[label], generator)[: self.steps]
        batches = [torch.cat(groups[step :: self.steps][: self._identities]) for step in range(self.steps)]
        return torch.cat([batches[step] for step in torch.randperm(self.steps, generator=generator).tolist()])

    def _dealt(self, rows: Tensor, generator: torch.Generator) -> list[Tensor]:
        """The identity's pairs in groups of K."""
        mixed = rows[torch.randperm(len(rows), generator=generator)]
        lacking = -len(rows) % self._instances
        while lacking:
            more = rows[torch.randperm(len(rows), generator=generator)][:lacking]
            mixed, lacking = torch.cat([mixed, more]), lacking - len(more)
        return list(torch.split(mixed, self._instances))


def _steps(groups: Tensor, identities: int) -> int:
    """The most batches of P different identities that (C,) groups can fill: the largest s with sum(min(groups, s)) >= P * s."""
    low, high = 1, int(groups.sum()) // identities
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if int(groups.clamp(max=middle).sum()) >= identities * middle else (low, middle - 1)
    return low


def _rows_of(labels: Tensor) -> list[Tensor]:
    """The rows of each label, in order."""
    order = torch.argsort(labels, stable=True)
    counts: list[int] = torch.unique(labels, return_counts=True)[1].tolist()
    return list(torch.split(order, counts))
