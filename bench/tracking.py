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
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench._trackers import MemoryTracker as MemoryTracker
from bench._trackers import NoTracker as NoTracker
from bench._trackers import Status as Status
from bench._trackers import Tracker as Tracker
from bench._trackers import stored_name as stored_name
from bench.errors import UsageError
from bench.outbox import CALL, Outbox, Record, alone_in, within, without_password
from bench.progress import Reporter

PARENT_TAG = "mlflow.parentRunId"
"""A run whose tags hold its parent's run id under this key is shown as the parent's child (a study's trial)."""
DEFAULT_URI = "sqlite:///mlflow.db"
PARAM_LIMIT, TAG_LIMIT, DIGEST_LIMIT = 6000, 5000, 16
"""Characters at most of a value, a tag and a data set's digest; MLflow takes 36 of the last, which is no sight."""
OPENING, UPLOAD, CLOSING = 60.0, 120.0, 10.0
"""Seconds until a call into MLflow is given up: to open a store, to copy a file, to stop sampling the machine."""


@dataclass(frozen=True)
class Under:
    """Whose child a run is (None: nobody's), its name there, and the tags it has on top of its own."""

    parent: str | None
    name: str
    tags: Mapping[str, str]


def tracker(kind: str, reporter: Reporter, under: Under | None = None) -> Tracker:
    """The tracker called "mlflow" or "none"."""
    if kind == "mlflow":
        return MLflowTracker(reporter, under)
    if kind == "none":
        return NoTracker()
    raise UsageError(f"unknown tracker {kind!r}: choose 'mlflow' or 'none'")


class MLflowTracker:
    """Records to the store that MLFLOW_TRACKING_URI names, else to mlflow.db in the working directory."""

    def __init__(self, reporter: Reporter, under: Under | None = None) -> None:
        self.run_id: str | None = None
        self._under = under
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
        if self._under is not None:
            parent = {PARENT_TAG: self._under.parent} if self._under.parent else {}
            name, tags = self._under.name, {**tags, **self._under.tags, **parent}
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

    def tag(self, values: Mapping[str, str]) -> None:
        self._send("set tags", partial(self._tag, values))

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

    def close_children(self, parent: str, keep: Collection[str]) -> None:
        """End as KILLED the runs under `parent` that no process is at work on any more: all that run but those to `keep`."""

        def work() -> None:
            experiment = self._client.get_run(parent).info.experiment_id
            of_parent = f"tags.`{PARENT_TAG}` = '{parent}' and attributes.status = 'RUNNING'"
            for run in self._client.search_runs([experiment], of_parent, max_results=1000):
                if run.info.run_id not in keep:
                    self._client.set_terminated(run.info.run_id, "KILLED")

        try:
            self._client = self._client or within(OPENING, self._connect)
            within(CALL, work)
        except Exception as error:
            self._outbox.warn("close the runs of processes that died", error)

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
        if run_id is not None and (known := self._find(run_id)) is not None:
            self._client.update_run(run_id, status="RUNNING")
            self.run_id = run_id
            self._tag(tags)
            return run_id, set(known.data.params)
        run = self._client.create_run(self._experiment(experiment), tags=_stored_tags(tags), run_name=name)
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

    def _tag(self, values: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in _stored_tags(values).items()])

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


def _stored_tags(values: Mapping[str, str]) -> dict[str, str]:
    return {stored_name(key): _cut(value, TAG_LIMIT) for key, value in values.items()}


def client(uri: str) -> Any:
    """A client of the store at `uri`, with this project's settings."""
    _settle(uri)
    from mlflow import MlflowClient

    _hush()
    return MlflowClient(uri)


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
