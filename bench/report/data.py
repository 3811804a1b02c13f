"""`data.json`: all that a report says. It is made from finished runs once; page, tables and figures are made from it alone.

Percent throughout, differences in points. Lists stand in the order in which they are shown: models by R1, the best first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import checkpoint
from bench.errors import UsageError

SCHEMA_VERSION = 1
DATA = "data.json"


class Told(BaseModel):
    """Base of what a report says."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Value(Told):
    """A metric of a model on test: mean over its seeds, and how far that can be believed (`bench/stats.py`)."""

    mean: float
    n: int
    """Seeds."""
    deviation: float | None = None
    """Standard deviation over seeds."""
    over_seeds: tuple[float, float] | None = None
    """95 % t interval of the mean: other seeds, the same people."""
    over_identities: tuple[float, float] | None = None
    """95 % bootstrap interval: the same trained models, other people."""
    group: str = ""
    """Models that share a letter cannot be told apart; empty where nothing was tested."""


class RunRow(Told):
    """A run that a model's row is made of."""

    name: str
    seed: int
    commit: str | None = None
    dirty: bool | None = None
    epochs: int | None = None
    selected_epoch: int | None = None
    val: Mapping[str, float] = {}
    test: Mapping[str, float]
    i2t: Mapping[str, float]


class ModelRow(Told):
    """Runs that differ in their seed alone."""

    label: str
    model: str
    preset: str | None = None
    config_hash: str
    runs: tuple[RunRow, ...]
    t2i: Mapping[str, Value]
    i2t: Mapping[str, Value]
    cost: Mapping[str, float] = {}
    """Medians over the runs; `bench/cost.py` says what each is."""


class Difference(Told):
    """`first` minus `second` on the same queries (`bench.stats.Comparison`)."""

    metric: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    corrected: float
    over_seeds: bool
    better: str | None
    smallest: float
    """The smallest true difference that this test set can show of two such models, however many seeds are run."""
    smallest_here: float
    """... with the seeds that were run."""


class Discordance(Told):
    """McNemar's test of R1 (`bench.stats.mcnemar`): queries that one of the two has right and the other has not."""

    first: str
    second: str
    only_first: float
    only_second: float
    p: float
    corrected: float


class Table(Told):
    """A plain table, for figures."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | float | bool | None, ...], ...]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Table:
        columns = [[None if pd.isna(value) else value for value in frame[name].tolist()] for name in frame]
        return cls(columns=tuple(map(str, frame.columns)), rows=tuple(zip(*columns, strict=True)))

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(list(self.rows), columns=list(self.columns))


class Section(Told):
    """Runs that may be compared: of one data set, protocol and selection rule."""

    dataset: str
    protocol: str
    selection: str
    fingerprint: str
    test: Mapping[str, int]
    """Identities, images, captions."""
    chance: float | None = None
    ceiling: float | None = None
    models: tuple[ModelRow, ...]
    differences: tuple[Difference, ...] = ()
    mcnemar: tuple[Discordance, ...] = ()
    statements: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    """What to mind when reading the section's tables."""
    tables: Mapping[str, Table] = {}
    look: Annotated[str, Field(pattern=r"^look/(\d+/)?retrievals\.html$")] | None = None
    """Where, beside the report, retrievals can be looked through (`bench look`); None where there is no such page."""


class PublishedRow(Told):
    """What a paper printed, with where it was read."""

    method: str
    dataset: str
    R1: float
    R5: float | None = None
    R10: float | None = None
    mAP: float | None = None
    mINP: float | None = None
    source: str
    caveats: tuple[str, ...] = ()


class Report(Told):
    """A whole report."""

    schema_version: int = SCHEMA_VERSION
    title: str
    command: str
    """What makes the report again."""
    sections: tuple[Section, ...]
    published: tuple[PublishedRow, ...] = ()
    caveats: Mapping[str, str] = {}
    """What the words in `published` mean."""
    left_out: tuple[tuple[str, str], ...] = ()
    """Runs that are not in it, and why."""

    def write(self, folder: Path) -> Path:
        """Write `data.json` whole or not at all; where it is."""
        file = folder / DATA
        checkpoint.write_text(file, json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n")
        return file


def read(file: Path) -> Report:
    """The report in a `data.json`. UsageError where it cannot be read as one."""
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"schema_version is {content.get('schema_version')!r}, not {SCHEMA_VERSION}: make the report anew from its runs"
            )
        return Report.model_validate(content)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise UsageError(f"{file} is no report's {DATA}: {'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {file} as a report's {DATA} ({' '.join(str(error).split())})") from error


def frames(tables: Mapping[str, Table], names: Sequence[str] | None = None) -> dict[str, pd.DataFrame]:
    """The tables that figures are drawn from."""
    return {name: table.frame() for name, table in tables.items() if names is None or name in names}
