"""A data set without its test split: what a search is given, so that nothing it does can look there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from bench.contracts import Dataset, Grounding, Split, SplitName, Track
from bench.errors import RunFailed


class WithoutTest(Dataset):
    """All of a data set but its test split. The fingerprint, a digest, tells nothing of it."""

    citation = "that of the whole data set"

    def __init__(self, whole: Dataset) -> None:
        super().__init__(whole.root, whole.config)
        self._whole = whole

    def prepare(self, track: Track) -> None:
        self._whole.prepare(track)

    def split(self, name: SplitName) -> Split:
        return self._whole.split(_allowed(name))

    def ceiling(self, name: SplitName) -> float | None:
        return self._whole.ceiling(_allowed(name))

    def grounding(self, name: SplitName) -> Grounding | None:
        return self._whole.grounding(_allowed(name))

    def columns(self, name: SplitName) -> Mapping[str, Sequence[Any]]:
        return self._whole.columns(_allowed(name))

    def camera(self, path: str) -> str | None:
        return self._whole.camera(path)

    def choices(self) -> Mapping[str, str]:
        return self._whole.choices()

    def fingerprint(self) -> str:
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return self._whole.fingerprint()


def _allowed(name: SplitName) -> SplitName:
    if name == "test":
        raise RunFailed("a search never opens the test split")
    return name
