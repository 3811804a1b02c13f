"""Weights of a model's components: which are tried, how they mix, which is chosen."""

from __future__ import annotations

import pytest
import torch

from bench.engine import best_mixing, candidate_mixings, mix
from bench.errors import RunFailed
from bench.metrics import Ranking


class TestMixing:
    @pytest.mark.parametrize(("count", "expected"), [(1, 1), (2, 21), (3, 231)])
    def test_candidates_cover_the_simplex(self, count: int, expected: int) -> None:
        names = ["global", "cross_scale", "other"][:count]
        candidates = candidate_mixings(names)
        assert len({tuple(candidate.values()) for candidate in candidates}) == len(candidates) == expected
        assert all(list(candidate) == names for candidate in candidates)
        assert all(sum(candidate.values()) == pytest.approx(1) and min(candidate.values()) >= 0 for candidate in candidates)
        assert candidates[0] == {name: float(name == "global") for name in names}
        shares = [candidate["global"] for candidate in candidates]
        assert shares == sorted(shares, reverse=True)
        for corner in names:
            assert {name: float(name == corner) for name in names} in candidates

    def test_steps(self) -> None:
        assert candidate_mixings(["a", "b"], steps=2) == [{"a": 1.0, "b": 0.0}, {"a": 0.5, "b": 0.5}, {"a": 0.0, "b": 1.0}]

    def test_mix(self) -> None:
        components = {"a": torch.tensor([[1.0, -2.0]]), "b": torch.tensor([[10.0, 20.0]])}
        assert mix(components, {"b": 0.25, "a": 0.75}).tolist() == [[3.25, 3.5]]

    def test_weights_for_other_components_are_an_error(self) -> None:
        components = {"a": torch.ones(1, 1)}
        for mixing in ({"b": 1.0}, {"a": 0.5, "b": 0.5}):
            with pytest.raises(RunFailed, match=r"mixing weights .* b.* components .* a"):
                mix(components, mixing)

    def test_R1_decides_then_mAP_then_the_earliest(self) -> None:
        low = ranking([1, 3], [1.0, 1.0])
        high = ranking([1, 1], [0.5, 0.5])
        higher = ranking([1, 1], [0.5, 0.6])
        assert best_mixing([low, high]) == 1
        assert best_mixing([high, higher]) == 1
        assert best_mixing([higher, high, low]) == 0
        assert best_mixing([low, higher, higher]) == 1


def ranking(first: list[int], precision: list[float]) -> Ranking:
    return Ranking(torch.tensor(first), torch.tensor(precision).double(), torch.ones(len(first)).double(), torch.zeros(len(first)).bool())
