"""Heat maps of R1 over options: where the rows of one model fill a grid of two options, or of three, as the cells of an ablation do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

COLUMNS = ("panel", "row", "column", "value", "low", "high")
AXES = (2, 3)
"""Fewest and most options that a map has room for."""
Options = Mapping[str, Any]
Told = tuple[float, float | None, float | None]
"""R1 in percent, and its interval where one is known."""


def heat(rows: Sequence[tuple[str, Options, Told]], indifferent: Sequence[str] = ()) -> pd.DataFrame:
    """COLUMNS (the figure's), a row a cell; empty where no model has a grid.

    `rows`: the model, the options of its run by dotted key, and what it obtained. Options that begin with one of `indifferent` are left
    out. The option with the fewest values (the last of equals) makes the panels where there are three.
    """
    cells = [cell for model in dict.fromkeys(row[0] for row in rows) for cell in _cells(model, rows, tuple(indifferent))]
    return pd.DataFrame(cells, columns=list(COLUMNS))


def _cells(model: str, rows: Sequence[tuple[str, Options, Told]], indifferent: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    mine = [(options, told) for name, options, told in rows if name == model]
    values = {
        key: list(dict.fromkeys(str(options.get(key)) for options, _ in mine)) for key in dict.fromkeys(k for o, _ in mine for k in o)
    }
    axes = [key for key, found in values.items() if len(found) > 1 and not key.startswith(indifferent)]
    places = {tuple(str(options.get(key)) for key in axes) for options, _ in mine}
    if not AXES[0] <= len(axes) <= AXES[1] or len(places) < len(mine):
        return
    panel = min(reversed(axes), key=lambda key: len(values[key])) if len(axes) == AXES[1] else None
    down, across = (key for key in axes if key != panel)
    order = {key: {value: place for place, value in enumerate(_ordered(found))} for key, found in values.items()}
    for options, told in sorted(mine, key=lambda one: [order[key][str(one[0].get(key))] for key in (panel or down, down, across)]):
        title = f"{model}, {_named(panel, options)}" if panel else model
        yield title, _named(down, options), _named(across, options), *told


def _ordered(values: Sequence[str]) -> list[str]:
    """Numbers by size, else as they came."""
    try:
        return sorted(values, key=float)
    except ValueError:
        return list(values)


def _named(key: str, options: Options) -> str:
    return f"{key.rpartition('.')[2]} {options.get(key)}"
