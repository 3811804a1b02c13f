"""Care with a store that many runs share and that may be slow, away or broken: a run never waits long for it, nor fails of it."""

from __future__ import annotations

import os
import re
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TypeVar

from bench.progress import Reporter

CALL = 30.0
"""Seconds until a call is given up: more than the 20 s that MLflow waits for a locked SQLite file."""
FIRST_WAIT, LONGEST_WAIT = 60.0, 600.0
"""Seconds between two attempts at a store that does not answer."""

REASON_LIMIT = 240
"""Characters of an error that a warning shows."""

T = TypeVar("T")


@dataclass(frozen=True)
class Record:
    """Something to be recorded: `work` does it, within `seconds`; `keep` says whether it waits for a store that is away."""

    what: str
    work: Callable[[], object]
    seconds: float = CALL
    keep: bool = True


class Outbox:
    """Sends records in order. While the store is away they wait, so that a dead server costs each epoch nothing."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._waiting: deque[Record] = deque()
        self._retry_at, self._wait = 0.0, FIRST_WAIT  # a time.monotonic(), and seconds
        self._warned = self._away = False

    def send(self, record: Record, *, now: bool = False) -> None:
        """Send a record after those that wait. `now`: even if the store did not answer a moment ago."""
        self._waiting.append(record)
        give_up = time.monotonic() + CALL
        while self._waiting and time.monotonic() < give_up and (now or time.monotonic() >= self._retry_at):
            if not self._done_with(self._waiting[0]):
                return
            self._waiting.popleft()

    def warn(self, what: str, error: Exception) -> None:
        """Say what failed: the first time, since one cause has many effects."""
        if not self._warned:
            self._reporter.warn(f"MLflow could not {what} ({reason(error)}); the run goes on, its results lie in its results folder")
        self._warned = True

    def _done_with(self, record: Record) -> bool:
        """Whether this record was sent, or is not to be sent again: it was refused for what it is, or does not keep."""
        try:
            within(record.seconds, record.work)
        except Exception as error:
            self.warn(record.what, error)
            if _refused(error):
                return True
            self._away, self._retry_at, self._wait = True, time.monotonic() + self._wait, min(2 * self._wait, LONGEST_WAIT)
            return not record.keep
        if self._away:
            self._reporter.note("MLflow answers again: what was held back is being recorded")
        self._away, self._retry_at, self._wait = False, 0.0, FIRST_WAIT
        return True


def within(seconds: float, work: Callable[[], T]) -> T:
    """The result of `work`, or TimeoutError after `seconds`: it runs in a thread, since only a thread can be left behind.

    MLflow's and SQLAlchemy's own warnings are not the user's business and are dropped meanwhile.
    """
    done: Future[T] = Future()

    def body() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # also what is no Exception must not be lost with the thread
            done.set_exception(error)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Thread(target=body, name="tracking", daemon=True).start()
        try:
            return done.result(timeout=seconds)
        except TimeoutError:
            if done.done():
                raise
            raise TimeoutError(f"no answer within {seconds:g} s") from None


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder (made if need be) against other processes that hold it; no file is left there."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _refused(error: Exception) -> bool:
    """Whether the record is at fault, or a file or folder, and not the store's absence: no use in trying again later."""
    absent = isinstance(error, (TimeoutError, ConnectionError)) or getattr(error, "errno", None) is None
    return not absent or getattr(error, "error_code", None) == "INVALID_PARAMETER_VALUE"


def without_password(text: str) -> str:
    """The text without the user names and passwords that addresses in it may hold."""
    return re.sub(r"//[^/@\s]*@", "//***@", text)


def reason(error: Exception) -> str:
    """One short line."""
    line = next(iter(str(error).strip().splitlines()), "")
    return without_password(f"{type(error).__name__}: {line}")[:REASON_LIMIT]
