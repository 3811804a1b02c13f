"""What an ablation says: each cell's mean over its seeds with a t interval, as a table and as a heat map."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from bench.heat_map import heat_map
from bench.stats import OverSeeds, over_seeds
from bench.study.declared import Search, label
from bench.study.search.attempts import Row

METRIC = "test/t2i/R1"


@dataclass(frozen=True)
class Cell:
    """A cell of the grid: what its runs obtained, or why there are none."""

    options: Mapping[str, str]
    """Option -> label."""
    told: OverSeeds | None
    """Of R1 on test, percent."""
    reason: str
    """Why it cannot be run; "" where it can."""


def cells(search: Search, rows: Sequence[Row]) -> list[Cell]:
    """All cells of the grid, in its order; one without a complete run has no number yet."""
    reasons = {_options(cell): reason for cell, reason in search.judged[1]}
    values: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for row in rows:
        if row.state == "complete":
            values.setdefault(tuple((key, row.params[key]) for key in search.file.grid), []).append(row.metrics[METRIC])
    found = []
    for combination in product(*search.file.grid.values()):
        options = _options(dict(zip(search.file.grid, combination, strict=True)))
        told = over_seeds(values[options]) if options in values else None
        found.append(Cell(dict(options), told, reasons.get(options, "")))
    return found


def _options(cell: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((key, label(value)) for key, value in cell.items())


def said(told: OverSeeds | None) -> str:
    """`48.5 ± 2.4 [42.8, 54.2] (3)`: mean, standard deviation, interval, seeds."""
    if told is None:
        return ""
    if told.interval is None:
        return f"{told.mean:.1f} ({told.n})"
    return f"{told.mean:.1f} ± {told.deviation:.1f} [{told.interval.low:.1f}, {told.interval.high:.1f}] ({told.n})"


def draw_cells(search: Search, found: Sequence[Cell], path: Path) -> Path:
    """Rows: the first option; columns: the second; a panel for each combination of the others. A cell that cannot be run says so."""
    first, second, *others = [*search.file.grid, "", ""][: max(2, len(search.file.grid))]
    rows = []
    for cell in found:
        panel = ", ".join(f"{key.partition('.')[2]} {cell.options[key]}" for key in others)
        rows.append((panel, cell.options[first], cell.options.get(second, ""), *_value(cell), "left out" if cell.reason else "not run yet"))
    table = pd.DataFrame(rows, columns=["panel", "row", "column", "value", "low", "high", "note"])
    across = f", columns: {second}" if second else ""
    title = f"study {search.name}: test R1, mean and 95 % interval over seeds\nrows: {first}{across}"
    heat_map(table, path, scale="R1, %", title=title)
    return path


def _value(cell: Cell) -> tuple[float, float, float]:
    """Mean and ends of the interval; not a number where there is none."""
    if cell.told is None:
        return math.nan, math.nan, math.nan
    return cell.told.mean, *(cell.told.interval or (math.nan, math.nan))
