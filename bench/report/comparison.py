"""From finished runs to the sections of a report: what may share a table, what a row is, what is tested against what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench import stats
from bench.contracts import Track, silently
from bench.metrics import METRICS
from bench.report import frames as report_frames
from bench.report.data import Difference, Discordance, ModelRow, RunRow, Section, Value
from bench.report.finished import OUTCOMES, Finished
from bench.report.remarks import remarks
from bench.report.statements import statements

TESTED = ("R1", "mAP", "mINP")
"""Metrics by which models are tested against each other."""
MOST = 24
"""Models that are tested against each other, the best by R1: the number of pairs grows with its square."""

Floats = NDArray[np.float64]
Intervals = Mapping[tuple[str, str], tuple[float, float]]
"""Label and metric -> 95 % interval over identities."""


class Rows(NamedTuple):
    """Runs of one configuration, by seed, and what their queries obtained: None where that is not known."""

    label: str
    runs: tuple[Finished, ...]
    outcomes: Mapping[str, Floats] | None
    """Metric -> (S, Q), percent."""


def sections(runs: Sequence[Finished], track: Track = silently) -> tuple[Section, ...]:
    """One section for all runs that may be compared; others never share a table."""
    return tuple(_section(group, track) for group in apart(runs))


def apart(runs: Sequence[Finished]) -> list[list[Finished]]:
    """Runs that may be compared together, in the order of data set and number."""
    groups: dict[tuple[Any, ...], list[Finished]] = defaultdict(list)
    for run in runs:
        groups[comparable(run)].append(run)
    return [group for _, group in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]), item[0]))]


def comparable(run: Finished) -> tuple[Any, ...]:
    """What runs must share to stand in one table."""
    told = run.record
    return told.dataset, told.protocol, told.selection, told.data.fingerprint, tuple(sorted(told.data.splits["test"].items()))


def _section(runs: Sequence[Finished], track: Track) -> Section:
    told = runs[0].record
    people, rows = _rows(runs, track)
    intervals = _intervals(rows, people)
    models = sorted((_model(row, intervals) for row in rows), key=lambda model: (-model.t2i["R1"].mean, model.label))
    tested = [row for model in models[:MOST] for row in rows if row.label == model.label and row.outcomes is not None]
    differences = tuple(_differences(tested, people)) if people is not None else ()
    silent = [row.label for row in rows if row.outcomes is None]
    letters = {metric: _letters(metric, models, differences) for metric in TESTED}
    models = [_lettered(model, letters) for model in models]
    tables = report_frames.tables(models, differences, {row.label: row.runs for row in rows}, people, track)
    return Section(
        dataset=told.dataset,
        protocol=told.protocol,
        selection=told.selection,
        fingerprint=told.data.fingerprint,
        test=told.data.splits["test"],
        chance=told.chance.get("t2i", {}).get("R1"),
        ceiling=told.ceiling,
        models=tuple(models),
        differences=differences,
        mcnemar=tuple(_discordances(tested)) if people is not None else (),
        statements=tuple(statements(models, differences, told.data.splits["test"])),
        remarks=tuple(remarks({row.label: row.runs for row in rows}, silent, models, MOST)),
        tables=tables,
    )


# --------------------------------------------------------------------------------------------------------------- rows


def _rows(runs: Sequence[Finished], track: Track) -> tuple[stats.Identities | None, list[Rows]]:
    """The identities of the queries (None where no run tells its queries), and a row a configuration."""
    queries: pd.DataFrame | None = None
    rows = []
    for name, group in track((groups := labelled(runs)).items(), "read outcomes of queries", len(groups)):
        tables = [run.outcomes() for run in group]
        queries = next((table for table in (queries, *tables) if table is not None), None)
        rows.append(Rows(name, tuple(group), _outcomes(tables, queries)))
    if queries is None or queries["pid"].nunique() < 2:
        return None, [row._replace(outcomes=None) for row in rows]
    return stats.Identities(queries["pid"].to_numpy(np.int64)), rows


def labelled(runs: Sequence[Finished]) -> dict[str, list[Finished]]:
    """The runs of each row by its name: those of one model and configuration, by seed."""
    groups: dict[tuple[str, str], list[Finished]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.record.seed):
        groups[run.record.model, run.record.config_hash].append(run)
    labels = label(groups)
    return {labels[key]: group for key, group in groups.items()}


def label(groups: Mapping[tuple[str, str], Sequence[Finished]]) -> dict[tuple[str, str], str]:
    """A name a row: the model's, with preset and hash of the configuration only where that is needed to tell rows apart."""
    presets = {key: f"{key[0]} ({runs[0].record.preset or 'defaults'})" for key, runs in groups.items()}
    named: dict[tuple[str, str], str] = {}
    for key in groups:
        if sum(other[0] == key[0] for other in groups) == 1:
            named[key] = key[0]
        elif list(presets.values()).count(presets[key]) == 1:
            named[key] = presets[key]
        else:
            named[key] = f"{presets[key][:-1]}, {key[1]})"
    return named


def _outcomes(tables: Sequence[pd.DataFrame | None], queries: pd.DataFrame | None) -> dict[str, Floats] | None:
    """Metric -> (S, Q) percent; None unless every seed tells the same queries."""
    known = [table for table in tables if table is not None]
    if queries is None or len(known) < len(tables) or any(not table[["image", "pid"]].equals(queries[["image", "pid"]]) for table in known):
        return None
    return {metric: 100 * np.stack([_values(table, metric) for table in known]) for metric in METRICS}


def _values(table: pd.DataFrame, metric: str) -> Floats:
    column: Floats = table[OUTCOMES[metric]].to_numpy(np.float64)
    return column if metric in ("mAP", "mINP") else (column <= int(metric.removeprefix("R"))).astype(np.float64)


def _intervals(rows: Sequence[Rows], people: stats.Identities | None) -> Intervals:
    """By label and metric: of the rows of which it is known what their queries obtained."""
    known = [row for row in rows if row.outcomes is not None]
    if people is None or not known:
        return {}
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for metric in METRICS:
        told = people.intervals([row.outcomes[metric].mean(axis=0) for row in known if row.outcomes is not None])
        found |= {(row.label, metric): interval for row, interval in zip(known, told, strict=True)}
    return found


def _model(row: Rows, intervals: Intervals) -> ModelRow:
    told = row.runs[0].record
    return ModelRow(
        label=row.label,
        model=told.model,
        preset=told.preset,
        config_hash=told.config_hash,
        runs=tuple(map(_run, row.runs)),
        t2i={metric: _value(row, "t2i", metric, intervals.get((row.label, metric))) for metric in METRICS},
        i2t={metric: _value(row, "i2t", metric, None) for metric in METRICS},
        cost=_cost(row.runs),
    )


def _run(run: Finished) -> RunRow:
    told = run.record
    return RunRow(
        name=run.name,
        seed=told.seed,
        commit=told.environment.git_commit,
        dirty=told.environment.git_dirty,
        epochs=told.epochs,
        selected_epoch=told.selected_epoch,
        val=told.metrics.get("val", {}).get("t2i", {}),
        test=told.metrics["test"]["t2i"],
        i2t=told.metrics["test"]["i2t"],
    )


def _value(row: Rows, direction: Any, metric: str, over_identities: tuple[float, float] | None) -> Value:
    told = stats.over_seeds([run.record.metrics["test"][direction][metric] for run in row.runs])
    return Value(mean=told.mean, n=told.n, deviation=told.deviation, over_seeds=told.interval, over_identities=over_identities)


def _cost(runs: Sequence[Finished]) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run.record.cost)
    return {name: median(run.record.cost[name] for run in runs if name in run.record.cost) for name in names}


# -------------------------------------------------------------------------------------------------------------- tests


def _differences(rows: Sequence[Rows], people: stats.Identities) -> Iterator[Difference]:
    for metric in TESTED:
        for c in stats.compare({row.label: row.outcomes[metric] for row in rows if row.outcomes is not None}, people):
            yield Difference(
                metric=metric,
                first=c.first,
                second=c.second,
                difference=c.difference,
                low=c.interval.low,
                high=c.interval.high,
                p=c.p,
                corrected=c.corrected,
                over_seeds=c.over_seeds,
                better=c.better,
                smallest=stats.smallest_difference(c.identity_error, people.n - 1),
                smallest_here=stats.smallest_difference(c.error, c.freedom),
            )


def _discordances(rows: Sequence[Rows]) -> Iterator[Discordance]:
    pairs = [
        (a.label, b.label, stats.mcnemar(a.outcomes["R1"] > 0, b.outcomes["R1"] > 0))
        for a, b in combinations(rows, 2)
        if a.outcomes is not None and b.outcomes is not None
    ]
    for (first, second, told), corrected in zip(pairs, stats.holm([told.p for _, _, told in pairs]), strict=True):
        yield Discordance(first=first, second=second, **told._asdict(), corrected=corrected)


def _lettered(model: ModelRow, letters: Mapping[str, Mapping[str, str]]) -> ModelRow:
    values = {name: value.model_copy(update={"group": letters.get(name, {}).get(model.label, "")}) for name, value in model.t2i.items()}
    return model.model_copy(update={"t2i": values})


def _letters(metric: str, models: Sequence[ModelRow], differences: Sequence[Difference]) -> dict[str, str]:
    """Letters by `metric`, `a` being the best's, of the models that were tested."""
    told = [d for d in differences if d.metric == metric]
    tested = {name for d in told for name in (d.first, d.second)}
    ordered = sorted((model for model in models if model.label in tested), key=lambda model: -model.t2i[metric].mean)
    return stats.groups([model.label for model in ordered], ((d.first, d.second) for d in told if d.better is None))
