"""A data set without its test split: what a search is given, so that nothing it does can look there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bench.contracts import Grounding, Split, SplitName, Twins
from bench.errors import RunFailed
from bench.wrapped import Wrapped


class WithoutTest(Wrapped):
    """All of a data set but its test split. The fingerprint, a digest of the whole set, tells nothing of it."""

    def split(self, name: SplitName) -> Split:
        return super().split(_allowed(name))

    def ceiling(self, name: SplitName) -> float | None:
        return super().ceiling(_allowed(name))

    def grounding(self, name: SplitName) -> Grounding | None:
        return super().grounding(_allowed(name))

    def twins(self, name: SplitName) -> Sequence[Twins]:
        return super().twins(_allowed(name))

    def columns(self, name: SplitName) -> Mapping[str, Sequence[Any]]:
        return super().columns(_allowed(name))

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return self.whole.fingerprint()


def _allowed(name: SplitName) -> SplitName:
    if name == "test":
        raise RunFailed("a search never opens the test split")
    return name
