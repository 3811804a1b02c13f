"""Reading the MLflow store: the model runs of an experiment, and the files they left there. Writing is `bench/tracking.py`'s."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse
from urllib.request import url2pathname

from bench.errors import UsageError
from bench.outbox import reason, within, without_password
from bench.tracking import DEFAULT_URI, OPENING, UPLOAD, client, sqlite_file

KIND, STUDY = "kind", "study"
"""Tags: of a run that is no run of a model (`report`, `study`), and of one that belongs to a study."""
FILES = ("result.json", "per_query.parquet", "attention.parquet", "metrics.jsonl", "config.yaml")
PAGE = 500


@dataclass(frozen=True)
class StoredRun:
    """A finished run of a model, as the store knows it."""

    run_id: str
    name: str
    ended: int
    """Milliseconds since 1970."""
    artifacts: str
    """URI of its files."""
    study: str | None
    """The study that the run belongs to."""


class Store:
    """The store that MLFLOW_TRACKING_URI names, else mlflow.db in the working directory."""

    def __init__(self) -> None:
        """UsageError where there is none, or it does not answer."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        shown, database = without_password(uri), sqlite_file(uri)
        if database is not None and not database.is_file():
            raise UsageError(f"there is no MLflow store at {shown}; name one by MLFLOW_TRACKING_URI, or give --results FOLDER instead")
        try:
            self._client: Any = within(OPENING, lambda: client(f"sqlite:///{database.as_posix()}" if database else uri))
            self._names = within(OPENING, lambda: sorted(str(one.name) for one in self._client.search_experiments()))
        except Exception as error:
            raise UsageError(f"the MLflow store {shown} does not answer ({reason(error)}); --results FOLDER needs none") from error

    def runs(self, experiment: str) -> list[StoredRun]:
        """The finished runs of an experiment that were evaluated on test, the earliest first. UsageError: no such experiment."""
        return within(OPENING, lambda: self._runs(experiment))

    def _runs(self, experiment: str) -> list[StoredRun]:
        known = self._client.get_experiment_by_name(experiment)
        if known is None:
            raise UsageError(f"the store has no experiment {experiment!r}; it has: {', '.join(self._names) or 'none'}")
        found, token = [], None
        while True:
            page = self._client.search_runs(
                [known.experiment_id],
                "attributes.status = 'FINISHED'",
                max_results=PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found += [run for run in page if KIND not in run.data.tags and "test/t2i/R1" in run.data.metrics]
            if not (token := page.token):
                break
        return [
            StoredRun(run.info.run_id, str(run.info.run_name), run.info.end_time or 0, run.info.artifact_uri, run.data.tags.get(STUDY))
            for run in found
        ]

    def folder(self, run: StoredRun, scratch: Path) -> Path:
        """A folder with the files that the run left: the store's own where it lies on this machine, else copied into `scratch`."""
        parts = urlparse(run.artifacts)
        if parts.scheme in ("", "file"):
            return Path(url2pathname(unquote(parts.path)))
        target = scratch / run.run_id
        target.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            self._copy(run, name, target)
        return target

    def _copy(self, run: StoredRun, name: str, target: Path) -> None:
        try:
            within(UPLOAD, lambda: self._client.download_artifacts(run.run_id, name, str(target)))
        except Exception:  # what is missing is told by whoever misses it
            return
