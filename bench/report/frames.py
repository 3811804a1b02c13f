"""The tables that a section's figures are drawn from (`bench/report/figures.py` says their columns)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from bench import attention, config, per_query
from bench.contracts import Track
from bench.errors import UsageError
from bench.report.breakdown import breakdown, rank_curves
from bench.report.data import Difference, ModelRow, Table
from bench.report.finished import Finished
from bench.report.heat import heat
from bench.report.pointing import pointing
from bench.stats import Identities

INDIFFERENT = (*config.INDIFFERENT, "seed")
"""Beginnings of options that do not tell rows apart."""
FIGURED = 8
"""Models that figures show, the best by R1: more cannot be told apart by eye."""
LETTERS = ("R1", "mAP", "mINP")


def tables(
    models: Sequence[ModelRow],
    differences: Sequence[Difference],
    runs: Mapping[str, Sequence[Finished]],
    people: Identities | None,
    track: Track,
) -> dict[str, Table]:
    """All tables that have a row. `runs`: those of each model, by its label."""
    shown = models[:FIGURED]
    labels = [model.label for model in shown]
    frames = {
        "scores": pd.DataFrame(_scores(shown)),
        "differences": pd.DataFrame(_differences(differences, labels)),
        "history": pd.DataFrame(_history({label: runs[label] for label in labels})),
        "cost": pd.DataFrame(_cost(shown)),
        "heat": heat([(m.model, runs[m.label][0].options(), _r1(m)) for m in models], INDIFFERENT),
    }
    if people is not None:
        frames |= _of_queries({label: runs[label] for label in labels}, people, track)
    return {name: Table.of(frame) for name, frame in frames.items() if len(frame)}


def _scores(models: Sequence[ModelRow]) -> Iterator[dict[str, object]]:
    for model in models:
        for metric in LETTERS:
            value = model.t2i[metric]
            low, high = value.over_identities or value.over_seeds or (None, None)
            yield {"model": model.label, "metric": metric, "seed": None, "value": value.mean, "low": low, "high": high}
            for run in model.runs:
                yield {"model": model.label, "metric": metric, "seed": run.seed, "value": run.test[metric], "low": None, "high": None}


def _r1(model: ModelRow) -> tuple[float, float | None, float | None]:
    """Mean and interval."""
    value = model.t2i["R1"]
    return value.mean, *(value.over_identities or value.over_seeds or (None, None))


def _differences(differences: Sequence[Difference], labels: Sequence[str]) -> Iterator[dict[str, object]]:
    for d in differences:
        if d.first in labels and d.second in labels:
            yield {key: getattr(d, key) for key in ("first", "second", "metric", "difference", "low", "high")}


def _history(runs: Mapping[str, Sequence[Finished]]) -> Iterator[dict[str, object]]:
    for label, group in runs.items():
        for run in group:
            for values in run.history():
                told = {metric: values.get(f"val/t2i/{metric}") for metric in ("R1", "mAP")}
                yield {"model": label, "seed": run.record.seed, "epoch": values.get("epoch"), **told}


def _cost(models: Sequence[ModelRow]) -> Iterator[dict[str, object]]:
    for model in models:
        if model.cost:
            value = model.t2i["R1"]
            low, high = value.over_identities or (None, None)
            yield {"model": model.label, "R1": value.mean, "low": low, "high": high, **model.cost}


def _of_queries(runs: Mapping[str, Sequence[Finished]], people: Identities, track: Track) -> dict[str, pd.DataFrame]:
    """What needs the outcomes of each query: of the models whose every seed tells them, over the same queries."""
    told: dict[str, list[pd.DataFrame]] = {}
    for label, group in runs.items():
        try:
            found = [per_query.read(run.folder) for run in group]
        except UsageError:
            continue
        if all("caption" in table and np.array_equal(table["pid"], people.pids) for table in found):
            told[label] = found
    if not told:
        return {}
    return {"rank_curves": rank_curves(told, people), "breakdown": breakdown(told, track), "pointing": _pointing(runs, told)}


def _pointing(runs: Mapping[str, Sequence[Finished]], queries: Mapping[str, Sequence[pd.DataFrame]]) -> pd.DataFrame:
    """Of the models whose every seed tells what phrases attend to."""
    found = {label: [attention.read(run.folder) for run in runs[label]] for label in queries}
    attended = {
        label: [table for table in group if table is not None] for label, group in found.items() if all(t is not None for t in group)
    }
    return pointing(attended, next(iter(queries.values()))[0]["pid"].tolist())
