"""One process at a time: a lock file that goes with the process that holds it, however that ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone(lock: Path, otherwise: Exception) -> Iterator[None]:
    """Hold the lock file; where another process does, `otherwise` is raised."""
    held = FileLock(lock)
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise otherwise from None
    try:
        yield
    finally:
        held.release()
