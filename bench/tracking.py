"""Where a run is recorded beside its results folder: in MLflow, nowhere, or in lists (for tests). The only import of mlflow.

Tracking never costs a run more than one warning. No error of MLflow leaves this module, each call into it has a deadline
(a thread that hangs is left behind), and while a store does not answer, what was to be recorded waits and is tried again
ever more rarely, and once more at the end. `import mlflow` takes a second: it happens when a run starts, not before.
"""

from __future__ import annotations

import json
import logging
import math
import os
import posixpath
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

from bench.errors import UsageError
from bench.outbox import CALL, Outbox, Record, alone_in, within, without_password
from bench.progress import Reporter

Status = Literal["FINISHED", "FAILED", "KILLED"]
PARENT_TAG = "mlflow.parentRunId"
"""A run whose tags hold its parent's run id under this key is shown as the parent's child (a study's trial)."""
DEFAULT_URI = "sqlite:///mlflow.db"
PARAM_LIMIT, TAG_LIMIT, NAME_LIMIT, DIGEST_LIMIT = 6000, 5000, 250, 16
"""Characters at most of a value, a tag, a name and a data set's digest; MLflow takes 36 of the last, which is no sight."""
OPENING, UPLOAD, CLOSING = 60.0, 120.0, 10.0
"""Seconds until a call into MLflow is given up: to open a store, to copy a file, to stop sampling the machine."""


class Tracker(Protocol):
    """Where one run is recorded: `start`, then anything in any order, then `end`. None of it raises."""

    run_id: str | None
    """The store's name of the run; None before `start` and where nothing is stored."""
    address: str | None
    """What to pass to `mlflow ui --backend-store-uri`; a server's own URL if it begins with http."""

    def start(self, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None = None) -> None:
        """Open a run, or continue `run_id` after a resume (a new run if the store does not know it any more)."""

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers of one step (epoch). What is not finite is left out."""

    def dataset(self, name: str, fingerprint: str, source: str, counts: Mapping[str, int], context: str) -> None:
        """Record a data set the run reads: its SHA-256, where it comes from, what it holds, what it is used for."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file (or a folder) to the run, into `folder` there."""

    def end(self, status: Status = "FINISHED") -> None:
        """Close the run."""


def tracker(kind: str, reporter: Reporter) -> Tracker:
    """The tracker called "mlflow" or "none"."""
    if kind == "mlflow":
        return MLflowTracker(reporter)
    if kind == "none":
        return NoTracker()
    raise UsageError(f"unknown tracker {kind!r}: choose 'mlflow' or 'none'")


class NoTracker:
    """Records nothing."""

    run_id: str | None = None
    address: str | None = None

    def start(
        self, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None = None
    ) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def dataset(self, name: str, fingerprint: str, source: str, counts: Mapping[str, int], context: str) -> None: ...

    def artifact(self, path: Path, folder: str | None = None) -> None: ...

    def end(self, status: Status = "FINISHED") -> None: ...


@dataclass
class MemoryTracker:
    """Keeps all it is told, for tests; a metric's name that MLflow would refuse is an error here."""

    run_id: str | None = None
    address: str | None = None
    starts: list[dict[str, Any]] = field(default_factory=list)
    """The arguments of each `start`."""
    points: list[tuple[int | None, dict[str, float]]] = field(default_factory=list)
    """(step, values) of each `metrics`."""
    datasets: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[tuple[Path, str | None]] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)

    def start(self, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None = None) -> None:
        self.starts.append({"experiment": experiment, "name": name, "params": dict(params), "tags": dict(tags), "run_id": run_id})
        self.run_id = run_id or f"memory-{len(self.starts)}"

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        if refused := [name for name in values if stored_name(name) != name]:
            raise ValueError(f"MLflow takes letters, digits, '_', '-', '.', ' ' and '/' in a metric's name, but got {refused}")
        self.points.append((step, dict(values)))

    def dataset(self, name: str, fingerprint: str, source: str, counts: Mapping[str, int], context: str) -> None:
        self.datasets.append({"name": name, "fingerprint": fingerprint, "source": source, "counts": dict(counts), "context": context})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        self.artifacts.append((path, folder))

    def end(self, status: Status = "FINISHED") -> None:
        self.statuses.append(status)


class MLflowTracker:
    """Records to the store that MLFLOW_TRACKING_URI names, else to mlflow.db in the working directory."""

    def __init__(self, reporter: Reporter) -> None:
        self.run_id: str | None = None
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        self.address: str | None = without_password(uri)
        self._reporter = reporter
        self._outbox = Outbox(reporter)
        self._database = sqlite_file(uri)
        # Absolute, so that a change of the working directory does not move the store
        self._uri = f"sqlite:///{self._database.as_posix()}" if self._database else uri
        self._client: Any = None
        self._monitor: Any = None

    def start(self, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None = None) -> None:
        self._outbox, self.run_id = Outbox(self._reporter), None
        if self._database and not self._database.exists():
            self._reporter.note(f"MLflow creates its store {self.address}: some seconds, once")
        try:
            self._client = within(OPENING, self._connect)
            self.run_id, known = within(CALL, partial(self._open, experiment, name, tags, run_id))
        except Exception as error:
            self._client = None
            self._outbox.warn(f"open a run at {self.address}", error)
            return
        self._send("record the parameters", partial(self._params, {k: v for k, v in params.items() if stored_name(k) not in known}))
        self._watch(resumed=self.run_id == run_id)

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        finite = {name: float(value) for name, value in values.items() if math.isfinite(value)}
        self._send("record metrics", partial(self._metrics, finite, step or 0, time.time_ns() // 1_000_000))

    def dataset(self, name: str, fingerprint: str, source: str, counts: Mapping[str, int], context: str) -> None:
        self._send("record the data set", partial(self._dataset, name, fingerprint, source, json.dumps(dict(counts)), context))

    def artifact(self, path: Path, folder: str | None = None) -> None:
        if self._client is not None:
            copy = partial(self._client.log_artifact, self.run_id, str(path), folder)
            self._outbox.send(Record(f"copy {path.name}", copy, UPLOAD, keep=False))

    def end(self, status: Status = "FINISHED") -> None:
        if self._monitor is not None:
            with suppress(Exception):  # it has reported what was wrong with the store, or nobody will miss it
                within(CLOSING, self._monitor.finish)
        if self._client is not None:
            close = partial(self._client.set_terminated, self.run_id, status)
            self._outbox.send(Record(f"mark the run {status}", close), now=True)
        self._monitor = self._client = None

    def _send(self, what: str, work: Callable[[], object]) -> None:
        if self._client is not None:
            self._outbox.send(Record(what, work))

    # The calls into MLflow: each runs in a thread of its own, see `within`

    def _connect(self) -> Any:
        if self._database is None:
            return client(self._uri)
        with alone_in(self._database.parent):  # MLflow's migrations lock nothing, and two that create one store break it
            _probe(self._database)
            return client(self._uri)

    def _open(self, experiment: str, name: str, tags: Mapping[str, str], run_id: str | None) -> tuple[str, set[str]]:
        """The id of the run, and the names of the parameters it has: MLflow never takes another value for one."""
        from mlflow.entities import RunTag

        stored = {stored_name(key): _cut(value, TAG_LIMIT) for key, value in tags.items()}
        if run_id is not None and (known := self._find(run_id)) is not None:
            self._client.update_run(run_id, status="RUNNING")
            self._client.log_batch(run_id, tags=[RunTag(key, value) for key, value in stored.items()])
            return run_id, set(known.data.params)
        run = self._client.create_run(self._experiment(experiment), tags=stored, run_name=name)
        return run.info.run_id, set()

    def _find(self, run_id: str) -> Any | None:
        """The run of that id; None where the store has none, or it was deleted."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _experiment(self, name: str) -> str:
        """The id of the experiment, created if need be. Files go beside an SQLite store, wherever the run was started."""
        from mlflow.exceptions import MlflowException

        if (found := self._client.get_experiment_by_name(name)) is None:
            location = (self._database.parent / "mlruns" / name).as_uri() if self._database else None
            try:
                return str(self._client.create_experiment(name, location))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another run may have created it just now
                if found is None:
                    raise
        return str(found.experiment_id)

    def _params(self, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        self._client.log_batch(self.run_id, params=[Param(stored_name(key), _cut(value, PARAM_LIMIT)) for key, value in params.items()])

    def _metrics(self, values: Mapping[str, float], step: int, milliseconds: int) -> None:
        from mlflow.entities import Metric

        self._client.log_batch(self.run_id, metrics=[Metric(stored_name(k), v, milliseconds, step) for k, v in values.items()])

    def _dataset(self, name: str, fingerprint: str, source: str, profile: str, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        record = Dataset(name, fingerprint[:DIGEST_LIMIT], "local", json.dumps({"uri": source}), profile=profile)
        self._client.log_inputs(self.run_id, [DatasetInput(record, [InputTag("mlflow.data.context", context)])])

    def _watch(self, resumed: bool) -> None:
        """Sample the machine (processor, memory, disk, network, GPU) in a thread of MLflow's, every 10 s."""

        def build() -> Any:
            from mlflow.system_metrics import system_metrics_monitor as sampling

            monitor: Any = sampling.SystemMetricsMonitor
            return monitor(self.run_id, resume_logging=resumed, tracking_uri=self._uri)

        try:
            self._monitor = within(CALL, build)
            self._monitor.start()
        except Exception as error:
            self._outbox.warn("sample the machine", error)


def client(uri: str) -> Any:
    """A client of the store at `uri`, with this project's settings."""
    _settle(uri)
    from mlflow import MlflowClient

    _hush()
    return MlflowClient(uri)


def stored_name(name: str) -> str:
    """The name under which MLflow stores a metric, parameter or tag: what it refuses (`@` in `R@1`) becomes `_`."""
    return posixpath.normpath(re.sub(r"[^\w./ -]", "_", name)).lstrip("./")[:NAME_LIMIT] or "_"


def _cut(value: object, limit: int) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite store, absolute; None for other stores."""
    path = uri.removeprefix("sqlite:///")
    return Path(path).absolute() if path not in (uri, "", ":memory:") else None


def _probe(database: Path) -> None:
    """Raise if this file cannot be opened and written: MLflow would try ten times, for 100 s."""
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("BEGIN IMMEDIATE")


def _settle(uri: str) -> None:
    """Defaults that MLflow reads from the environment; the user's own settings there stand."""
    # No usage statistics from research machines; stdout belongs to the command line
    defaults = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    if uri.startswith("http"):
        defaults |= {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}  # not 120 s, 7 times
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _hush() -> None:
    """Silence the loggers that write to stderr; what matters comes as an exception and is reported."""
    if "MLFLOW_LOGGING_LEVEL" not in os.environ:
        for name in ("mlflow", "alembic", "sqlalchemy", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
