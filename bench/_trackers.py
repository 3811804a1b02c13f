"""What a run is recorded with: the Tracker, nowhere, and in lists (for tests). MLflow's is in `tracking`."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]
NAME_LIMIT = 250
"""Characters of a name that MLflow stores."""


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

    def tag(self, values: Mapping[str, str]) -> None:
        """Set tags, over those of the same name: what becomes known on the way."""

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file (or a folder) to the run, into `folder` there."""

    def end(self, status: Status = "FINISHED") -> None:
        """Close the run."""

    def close_children(self, parent: str, keep: Collection[str]) -> None:
        """End as KILLED the runs under `parent` that no process is at work on any more: all that run but those to `keep`."""


class NoTracker:
    """Records nothing."""

    run_id: str | None = None
    address: str | None = None

    def start(
        self, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None = None
    ) -> None: ...

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...

    def dataset(self, name: str, fingerprint: str, source: str, counts: Mapping[str, int], context: str) -> None: ...

    def tag(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path, folder: str | None = None) -> None: ...

    def end(self, status: Status = "FINISHED") -> None: ...

    def close_children(self, parent: str, keep: Collection[str]) -> None: ...


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

    def tag(self, values: Mapping[str, str]) -> None:
        self.starts[-1]["tags"].update(values)

    def artifact(self, path: Path, folder: str | None = None) -> None:
        self.artifacts.append((path, folder))

    def end(self, status: Status = "FINISHED") -> None:
        self.statuses.append(status)

    def close_children(self, parent: str, keep: Collection[str]) -> None: ...


def stored_name(name: str) -> str:
    """The name under which MLflow stores a metric, parameter or tag: what it refuses (`@` in `R@1`) becomes `_`."""
    return posixpath.normpath(re.sub(r"[^\w./ -]", "_", name)).lstrip("./")[:NAME_LIMIT] or "_"
