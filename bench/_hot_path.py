"""Work that must be fast, as `bench perf` measures it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class HotPath:
    """One path. `flops` and `bytes` are what it cannot do without: arithmetic, and memory that must be read and written."""

    name: str
    work: Callable[[], object]
    flops: float = 0.0
    bytes: float = 0.0
    straightforward: Callable[[], object] | None = None
    """The obvious implementation, on a part of the work where all of it would take too long."""
    share: float = 1.0
    """That part."""
    repeats: int = 3
    notes: Callable[[], str] | None = None
    """What else is to be said after it ran: a recall, for example."""
