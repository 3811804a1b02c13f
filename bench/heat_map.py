"""A heat map: a value for each row and column, written into its field with its interval, or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.canvas import INK, PALE, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_LETTERS, SLANTED = 26, 14
"""Letters of a tick label, and beyond how many it is slanted."""


def heat_map(table: pd.DataFrame, *paths: Path, scale: str, title: str = "") -> None:
    """A map a panel; all share one scale, whose name and unit `scale` is.

    `table`: `row`, `column`, `value`; where known `panel`, `low`, `high`, and `note`, which stands where there is no value.
    """
    told = table if "panel" in table else table.assign(panel="")
    panels, rows, columns = (list(dict.fromkeys(told[name])) for name in ("panel", "row", "column"))
    least, most = (float(end) if math.isfinite(end) else 0.0 for end in (told["value"].min(), told["value"].max()))
    width = 2.4 + len(panels) * 1.2 * len(columns) + 0.5 * (len(panels) - 1)
    with drawing(width, 1.7 + 0.62 * len(rows) + (0.3 if title else 0), *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for place, (panel, field) in enumerate(zip(panels, axes, strict=True)):
            fields: list[dict[str, Any]] = told[told["panel"] == panel].to_dict("records")
            grid = _grid(fields, rows, columns)
            mapped = field.imshow(grid, "cividis_r", vmin=least, vmax=most, aspect="auto")
            for row in fields:
                _write_field(field, rows.index(row["row"]), columns.index(row["column"]), row, least, most)
            field.set_title(panel, fontsize=11, color=INK)
            _label(field, rows, columns)
            field.tick_params(labelsize=9.5, length=0, labelleft=place == 0)
        figure.colorbar(mapped, ax=list(axes), label=scale, shrink=0.9)
        if title:
            figure.suptitle(title, fontsize=12, color=INK)


def _label(axes: Axes, rows: list[str], columns: list[str]) -> None:
    slanted = max(map(len, columns)) > SLANTED
    axes.set_xticks(
        range(len(columns)), [_short(name) for name in columns], rotation=25 if slanted else 0, ha="right" if slanted else "center"
    )
    axes.set_yticks(range(len(rows)), [_short(name) for name in rows])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for edge in range(1, len(columns)):
        axes.axvline(edge - 0.5, color="white", linewidth=2)
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="white", linewidth=2)


def _grid(fields: list[dict[str, Any]], rows: list[str], columns: list[str]) -> NDArray[np.float64]:
    """(rows, columns), not a number where nothing was measured."""
    found = np.full((len(rows), len(columns)), np.nan)
    for row in fields:
        found[rows.index(row["row"]), columns.index(row["column"])] = row["value"]
    return found


def _write_field(axes: Axes, y: int, x: int, row: Mapping[str, Any], least: float, most: float) -> None:
    """The value, and its interval where there is one, light on dark and dark on light; without a value, the note."""
    if not math.isfinite(row["value"]):
        axes.text(x, y, row.get("note", ""), ha="center", va="center", fontsize=8.5, color=PALE)
        return
    dark = row["value"] - least > 0.45 * (most - least)
    colour = "white" if dark else INK
    known = all(math.isfinite(row.get(end, math.nan)) for end in ("low", "high"))
    axes.text(x, y - (0.12 if known else 0), f"{row['value']:.1f}", ha="center", va="center", fontsize=11, color=colour)
    if known:
        axes.text(x, y + 0.22, f"{row['low']:.1f} – {row['high']:.1f}", ha="center", va="center", fontsize=7.5, color=colour)


def _short(name: str) -> str:
    return name if len(name) <= LABEL_LETTERS else name[: LABEL_LETTERS - 1] + "…"
