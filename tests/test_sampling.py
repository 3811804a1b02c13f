"""Orders of training pairs: every pair of a shuffled epoch once, P identities x K pairs a batch of a balanced one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from bench.contracts import UsageError
from bench.sampling import Balanced, Shuffled, _steps, sampler

SIZES = [1, 2, 3, 4, 4, 5, 8, 9, 30]
"""Pairs of each identity."""


def labels(sizes: list[int]) -> torch.Tensor:
    rows = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return rows[torch.randperm(len(rows), generator=generator())]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batches(balanced: Balanced, size: int, seed: int = 0) -> list[list[int]]:
    rows = balanced.order(generator(seed)).tolist()
    assert len(rows) == balanced.steps * size
    return [rows[start : start + size] for start in range(0, len(rows), size)]


class TestShuffled:
    @pytest.mark.parametrize(("n", "size", "steps"), [(20, 4, 5), (21, 4, 5), (22, 4, 6), (23, 8, 3), (3, 8, 1)])
    def test_each_pair_once(self, n: int, size: int, steps: int) -> None:
        order = Shuffled(n, size, 2)
        assert order.steps == steps
        assert sorted(order.order(generator()).tolist()) == list(range(n))


class TestBalanced:
    @pytest.mark.parametrize(("size", "instances"), [(4, 2), (6, 2), (6, 3), (12, 4), (8, 4), (18, 2)])
    def test_every_batch_has_so_many_pairs_of_so_many_identities(self, size: int, instances: int) -> None:
        of = labels(SIZES)
        for batch in batches(Balanced(of, size, instances), size):
            assert set(Counter(of[batch].tolist()).values()) == {instances}
            assert len(set(of[batch].tolist())) == size // instances

    def test_the_number_of_batches_is_the_most_there_can_be(self) -> None:
        """By trying each number, and each number below it, as a slow twin."""
        chance = torch.Generator().manual_seed(3)
        for _ in range(50):
            groups = torch.randint(1, 9, (6,), generator=chance)
            identities = int(torch.randint(2, 6, (1,), generator=chance))
            possible = [s for s in range(1, 60) if sum(min(g, s) for g in groups.tolist()) >= identities * s]
            assert _steps(groups, identities) == max(possible)

    def test_nearly_every_pair_is_seen(self) -> None:
        """With identities of like sizes fewer than P groups are left out, and none is repeated more than filling up asks for."""
        sizes = [4, 5, 6, 7, 8] * 8
        of, instances, identities = labels(sizes), 4, 4
        seen = Counter(row for batch in batches(Balanced(of, 16, instances), 16) for row in batch)
        assert sum(sizes) - len(seen) < identities * instances
        groups = sum(-(-size // instances) for size in sizes)
        assert groups - sum(seen.values()) // instances < identities
        assert max(seen.values()) <= 2

    def test_a_single_pair_is_repeated(self) -> None:
        of = torch.tensor([0, 1])
        assert batches(Balanced(of, 6, 3), 6) in ([[0, 0, 0, 1, 1, 1]], [[1, 1, 1, 0, 0, 0]])

    def test_the_generator_decides(self) -> None:
        balanced = Balanced(labels(SIZES), 6, 2)
        assert batches(balanced, 6, 1) == batches(balanced, 6, 1)
        assert batches(balanced, 6, 1) != batches(balanced, 6, 2)

    @pytest.mark.parametrize(("size", "instances"), [(7, 2), (4, 4), (20, 2), (2, 2)])
    def test_impossible_batches(self, size: int, instances: int) -> None:
        with pytest.raises(UsageError, match=rf"batch_size {size} must be a multiple of train.instances {instances}"):
            Balanced(labels(SIZES), size, instances)


def test_what_is_asked_for() -> None:
    of = labels(SIZES)
    assert isinstance(sampler(of, 6, instances=None, world=1), Shuffled)
    assert isinstance(sampler(of, 6, instances=3, world=1), Balanced)
    with pytest.raises(UsageError, match="fewer than 2 pairs"):
        sampler(of, 6, instances=None, world=4)
