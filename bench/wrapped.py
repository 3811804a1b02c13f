"""A data set seen through another, which changes some of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.contracts import Dataset, Grounding, Split, SplitName, Track, Twins


class Wrapped(Dataset):
    """All is the whole set's but what a subclass changes. The fingerprint is that of the records as they are seen."""

    def __init__(self, whole: Dataset) -> None:
        super().__init__(whole.root, whole.config)
        self.whole = whole
        self.citation = getattr(whole, "citation", "")  # type: ignore[misc]

    def prepare(self, track: Track) -> None:
        self.whole.prepare(track)

    def splits(self) -> tuple[SplitName, ...]:
        return self.whole.splits()

    def split(self, name: SplitName) -> Split:
        return self.whole.split(name)

    def ceiling(self, name: SplitName) -> float | None:
        return self.whole.ceiling(name)

    def grounding(self, name: SplitName) -> Grounding | None:
        return self.whole.grounding(name)

    def camera(self, path: str) -> str | None:
        return self.whole.camera(path)

    def twins(self, name: SplitName) -> Sequence[Twins]:
        return self.whole.twins(name)

    def columns(self, name: SplitName) -> Mapping[str, Sequence[Any]]:
        return self.whole.columns(name)

    def choices(self) -> Mapping[str, str]:
        return self.whole.choices()
