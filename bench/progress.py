"""What a run tells the person who waits for it. The command line gives it a console; tests give it silence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

T = TypeVar("T")


class Track(Protocol):
    """Wraps an iterable so that a person sees how far it has come. `total` counts its items where `len` cannot."""

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]: ...


def silently(items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
    """The Track that shows nothing."""
    return items


class Reporter(Protocol):
    """Where a run reports to. `track` has the shape of `Track`."""

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        """Show how far an iteration has come."""

    def note(self, text: str) -> None:
        """One line worth reading: where a file went, what was resumed."""

    def warn(self, text: str) -> None:
        """One line that says what went wrong and that the run goes on."""

    def epoch(self, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        """An epoch (counted from 1) has ended, with these values: `train/loss`, `val/t2i/R1`, `seconds`, ..."""


class Silent:
    """The Reporter that says nothing."""

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        return items

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    def epoch(self, epoch: int, epochs: int, values: Mapping[str, float]) -> None: ...
