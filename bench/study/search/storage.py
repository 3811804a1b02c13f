"""Where a study is kept: SQLite, a journal file, PostgreSQL or MySQL; with heartbeats, so that a dead worker is missed."""

from __future__ import annotations

import os
import sqlite3
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from optuna import Study
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from bench.errors import UsageError
from bench.outbox import alone_in, without_password

StorageBusy = StorageInternalError
"""A database that did not answer, or not in time."""
BEAT, GRACE = 10, 60
"""Seconds between two signs of life, and without one until a worker counts as dead. On its own machine it is missed at once."""
BUSY = 60
"""Seconds that a process waits for its turn at an SQLite file."""
KINDS = "sqlite:///FILE, journal:FILE, postgresql://USER@HOST/NAME or mysql://USER@HOST/NAME"


def opened(url: str, *, create: bool) -> BaseStorage:
    """The storage of this address. An address that does not answer is a UsageError, without its password."""
    if url.startswith("journal:"):
        return _journal(Path(url.removeprefix("journal:")), create)
    if "://" not in url:
        raise UsageError(f"{without_password(url)} is no storage of studies: give {KINDS}")
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if file is not None and not create and not file.exists():
        raise UsageError(f"there is no {file}: `study run` begins a study")
    try:
        with alone_in(file.absolute().parent) if file is not None else nullcontext():  # two that create the tables break them
            # SQLAlchemy means another driver by the bare name than the one that `[postgres]` installs
            return _database(url.replace("postgresql://", "postgresql+psycopg2://", 1), local=file is not None)
    except ImportError as error:
        raise UsageError(f"{without_password(url)} wants a driver ({error}): pip install -e '.[postgres]' has PostgreSQL's") from error
    except Exception as error:
        reason = without_password(" ".join(str(error.__cause__ or error).split()))[:300]
        raise UsageError(f"the storage {without_password(url)} cannot be opened: {reason}; give {KINDS}") from error


def _database(url: str, *, local: bool) -> RDBStorage:
    options: dict[str, Any] = {"connect_args": {"timeout": BUSY}} if local else {"pool_pre_ping": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # heartbeats are called experimental
        storage = _Database(url, engine_kwargs=options, heartbeat_interval=BEAT, grace_period=GRACE)
    if local:
        _serialise(storage.engine)
    return storage


def _serialise(engine: Any) -> None:
    """Have SQLite's transactions take their turn before they read: Optuna's locked reads are none there, and two workers could
    both take one trial."""
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def manual(connection: Any, _: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        _begin(connection.connection.dbapi_connection)

    engine.dispose()  # connections that were opened before


def _begin(connection: sqlite3.Connection) -> None:
    """Take the turn. What a killed process left half-written is undone by the next one, and SQLite has nobody wait for that."""
    give_up = time.monotonic() + BUSY
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # the lower byte, of all kinds of it
            if not busy or time.monotonic() > give_up:
                raise
            time.sleep(0.05)


class _Database(RDBStorage):
    """A database whose busy moments end no heartbeat."""

    def record_heartbeat(self, trial_id: int) -> None:
        with suppress(Exception):
            super().record_heartbeat(trial_id)


def _journal(file: Path, create: bool) -> BaseStorage:
    if not create and not file.exists():
        raise UsageError(f"there is no {file}: `study run` begins a study")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _Journal(JournalFileBackend(str(file)))
    except OSError as error:
        raise UsageError(f"the journal {file} cannot be opened: {error.strerror}") from error


class _Journal(JournalStorage, BaseHeartbeat):
    """A journal file with signs of life, which Optuna's has not; they go by the machines' clocks."""

    def record_heartbeat(self, trial_id: int) -> None:
        with suppress(Exception):
            self.set_trial_user_attr(trial_id, "beat", time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running: list[FrozenTrial] = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        return [trial._trial_id for trial in running if time.time() - trial.user_attrs.get("beat", time.time()) > GRACE]

    def get_heartbeat_interval(self) -> int:
        return BEAT

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Study, FrozenTrial], None] | None:
        return None


def address(url: str | None, declared: str | None, name: str) -> str:
    """The storage that is asked for: on the command line, by TBPS_STUDY_STORAGE, in the file; else a file of its own."""
    given = url or os.environ.get("TBPS_STUDY_STORAGE") or declared
    return given or f"sqlite:///studies/{name}.db"
