"""Finished runs, from results folders or from the store: what reports and reproductions are made of.

A run is taken as it says it is: its `result.json` is checked, and what cannot be used is left out with the reason, never silently.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench import record
from bench.contracts import Track, silently
from bench.errors import UsageError
from bench.metrics import METRICS
from bench.store import Store
from bench.validation import dotted, first_problem

PER_QUERY, HISTORY, CONFIG = "per_query.parquet", "metrics.jsonl", "config.yaml"
OUTCOMES = {"R1": "first_match", "R5": "first_match", "R10": "first_match", "mAP": "AP", "mINP": "INP"}
"""The column of `per_query.parquet` that a metric is the mean of."""
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Summary = dict[str, Percent]
"""R1 R5 R10 mAP mINP, percent."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Data(_Part):
    fingerprint: str
    splits: dict[str, dict[str, int]]


class Environment(_Part):
    git_commit: str | None = None
    git_dirty: bool | None = None
    hardware: dict[str, Any] = {}


class FinishedRecord(_Part):
    """What of `result.json` (`bench/record.py`) a report reads."""

    finished: Literal[True]
    protocol: str
    selection: str
    model: str
    dataset: str
    preset: str | None = None
    seed: int
    config_hash: str
    data: Data
    environment: Environment = Environment()
    metrics: dict[Literal["val", "test"], dict[Literal["t2i", "i2t"], Summary]]
    chance: dict[Literal["t2i", "i2t"], dict[str, float]] = {}
    ceiling: float | None = None
    selected_epoch: int | None = None
    epochs: int | None = None
    cost: dict[str, float] = {}
    mlflow_run_id: str | None = None

    @model_validator(mode="after")
    def _test_is_whole(self) -> FinishedRecord:
        for direction in ("t2i", "i2t"):
            told = self.metrics.get("test", {}).get(direction, {})
            if missing := [name for name in METRICS if name not in told]:
                raise ValueError(f"metrics.test.{direction} lacks {', '.join(missing)}")
        if "test" not in self.data.splits:
            raise ValueError("data.splits lacks test")
        return self


@dataclass(frozen=True)
class Finished:
    """A finished run: its name, its folder and what it obtained."""

    name: str
    folder: Path
    record: FinishedRecord
    ended: int = 0
    """Of two runs of one configuration and seed the later counts: milliseconds, or nanoseconds of the file."""
    study: str | None = None
    """The study that made the run, where the store tells."""

    def outcomes(self) -> pd.DataFrame | None:
        """`image`, `pid` and the outcomes of each text-to-image query of test; None where there are none that can be read."""
        try:
            return pd.read_parquet(self.folder / PER_QUERY, columns=["image", "pid", *dict.fromkeys(OUTCOMES.values())])
        except (OSError, ValueError):
            return None

    def history(self) -> list[dict[str, Any]]:
        """An epoch a mapping; what cannot be read is left out."""
        try:
            lines = (self.folder / HISTORY).read_text(encoding="utf-8").splitlines()
            return [values for values in map(json.loads, lines) if isinstance(values, dict)]
        except (OSError, ValueError):
            return []

    def options(self) -> dict[str, Any]:
        """The run's configuration by dotted keys; {} where it cannot be read."""
        try:
            return dict(dotted(yaml.load((self.folder / CONFIG).read_text(encoding="utf-8"), Loader=_Loader)))
        except (OSError, ValueError, AttributeError, yaml.YAMLError):
            return {}


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""A safe loader; the one in C where there is one, since there may be a thousand files."""


class LeftOut(NamedTuple):
    """A run that is not in a report, and why."""

    name: str
    why: str


@dataclass
class Found:
    """Runs to report on, and those that are not."""

    runs: list[Finished] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)

    def add(self, name: str, folder: Path, ended: int = 0, study: str | None = None) -> None:
        """Take the run in a folder, or say why not."""
        try:
            content = record.read(folder)
            if not content:
                raise UsageError(f"no {record.RESULT}")
            if not content.get("finished"):
                raise UsageError("not finished")
            self.runs.append(Finished(name, folder, FinishedRecord.model_validate(content), ended, study))
        except UsageError as error:
            self.left_out.append(LeftOut(name, str(error).partition("; the run begins anew")[0]))
        except ValidationError as error:
            self.left_out.append(LeftOut(name, first_problem(error, record.RESULT)))

    def latest(self) -> Found:
        """Without the earlier ones of several runs of one configuration, seed and data: another store, or begun anew."""
        last: dict[tuple[Any, ...], Finished] = {}
        for run in sorted(self.runs, key=lambda run: (run.ended, run.name)):
            last[_identity(run.record)] = run
        kept = {id(run) for run in last.values()}
        repeats = [LeftOut(run.name, "run again later, with the same configuration and seed") for run in self.runs if id(run) not in kept]
        return Found([run for run in self.runs if id(run) in kept], [*self.left_out, *repeats])


def _identity(told: FinishedRecord) -> tuple[Any, ...]:
    return told.dataset, told.data.fingerprint, told.protocol, told.selection, told.model, told.config_hash, told.seed


def in_folders(folders: Sequence[Path], track: Track = silently) -> Found:
    """All runs below folders, whatever their depth; the folders that `--resume never` set aside are left out, with that reason.

    Raises UsageError where a folder is none or holds no run.
    """
    found = Found()
    for root in folders:
        if not root.is_dir():
            raise UsageError(f"--results {root} is no folder; give the folder that runs were kept in (`list runs` shows them)")
        files = sorted(root.rglob(record.RESULT))
        if not files:
            raise UsageError(
                f"--results {root} holds no {record.RESULT}; `python -m bench list runs --output-dir {root}` shows what is there"
            )
        for file in track(files, f"read {root}", len(files)):
            _take(found, file, root)
    return found.latest()


def _take(found: Found, file: Path, root: Path) -> None:
    name = str(file.parent.relative_to(root)) if file.parent != root else root.name
    if "-earlier" in file.parent.name:
        found.left_out.append(LeftOut(name, "set aside by --resume never"))
    elif not file.parent.name.startswith("."):  # a record on its way
        found.add(name, file.parent, file.stat().st_mtime_ns)


def by_store_id(root: Path, wanted: Iterable[str]) -> dict[str, Path]:
    """Folders of runs by the id that the store knows them by: for those whose files the store lacks."""
    ids = set(wanted)
    if not ids or not root.is_dir():
        return {}
    known = Found()
    for file in root.rglob(record.RESULT):
        _take(known, file, root)
    return {run.record.mlflow_run_id: run.folder for run in known.runs if run.record.mlflow_run_id in ids}


def in_store(experiment: str, results: Sequence[Path], scratch: Path, track: Track = silently) -> Found:
    """All model runs of an experiment, from the files they left in the store; what it lacks is looked for in folders of results.

    Files that lie on another machine are copied into `scratch`. Raises UsageError where there is no store, experiment or run.
    """
    store = Store()
    stored = store.runs(experiment)
    if not stored:
        raise UsageError(f"experiment {experiment!r} has no finished run that was evaluated on test; `python -m bench run` makes one")
    found, missing = Found(), []
    for run in track(stored, f"read {experiment}", len(stored)):
        folder = store.folder(run, scratch)
        if (folder / record.RESULT).is_file() and (folder / PER_QUERY).is_file():
            found.add(run.name, folder, run.ended, run.study)
        else:
            missing.append((run, folder))
    here = {id_: folder for root in results for id_, folder in by_store_id(root, [run.run_id for run, _ in missing]).items()}
    for run, folder in missing:
        found.add(run.name, here.get(run.run_id, folder), run.ended, run.study)
    return found.latest()
