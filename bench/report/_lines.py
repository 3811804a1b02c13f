"""Curves and maps of a report: ranks, learning, heat."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.canvas import INK, drawing
from bench.report._style import Style, Styles, finish, legend, marker, records, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Paths = tuple[Path, Path]
RANK_TICKS = (1, 2, 5, 10, 20, 50, 100)
LABEL_LETTERS, SLANTED = 26, 14
"""Letters of a heat map's tick label, and beyond how many it is slanted."""


def rank_curves(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """R_k over k, with bands."""
    found = shown(style_of, table)
    with drawing(7.6, 5.2, *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.08)
        axes = figure.subplots()
        for model, style in found.items():
            rows = table[table["model"] == model].sort_values("k")
            _band(axes, rows["k"], rows["low"], rows["high"], style)
            marked = [place for place, k in enumerate(rows["k"]) if k in RANK_TICKS]
            axes.plot(rows["k"], rows["R"], color=style.colour, linestyle=style.dash, linewidth=2, markevery=marked, **marker(style, 6))
        axes.set_xscale("log")
        ticks = [k for k in RANK_TICKS if k <= table["k"].max()]
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.set_xlim(0.93, table["k"].max() * 1.06)
        axes.set_ylim(top=min(101.5, axes.get_ylim()[1]))
        finish(axes, "", "k (logarithmic)", "queries with a match among the first k, %")
        legend(figure, found, line=True)


def learning(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """R1 and mAP on val over the epochs: mean over seeds, and the band that they span."""
    found = shown(style_of, table)
    with drawing(10.5, 4.8, *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
        for axes, metric in zip(figure.subplots(1, 2, sharex=True), ("R1", "mAP"), strict=True):
            for model, style in found.items():
                _course(axes, table[table["model"] == model], metric, style)
            finish(axes, metric, "epoch", f"val {metric}, %")
            axes.set_ylim(bottom=0)
            axes.xaxis.get_major_locator().set_params(integer=True)
        legend(figure, found, line=True)


def _course(axes: Axes, rows: pd.DataFrame, metric: str, style: Style) -> None:
    spread = rows.groupby("epoch")[metric].agg(["mean", "min", "max"])
    epochs = spread.index.to_series()
    if rows["seed"].nunique() > 1:
        _band(axes, epochs, spread["min"], spread["max"], style)
    every = max(1, len(spread) // 10)
    axes.plot(epochs, spread["mean"], color=style.colour, linestyle=style.dash, linewidth=2, markevery=every, **marker(style, 5.5))


def _band(axes: Axes, x: pd.Series, low: pd.Series, high: pd.Series, style: Style) -> None:
    """Its edges are drawn too: pale areas alone cannot be told apart in grey."""
    axes.fill_between(x, low, high, color=style.colour, alpha=0.13, linewidth=0)
    for edge in (low, high):
        axes.plot(x, edge, color=style.colour, linestyle=style.dash, linewidth=0.7, alpha=0.7)


def heat(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """A map a panel: a value for each row and column, written into its field with its interval. All panels share one scale."""
    panels = list(dict.fromkeys(table["panel"])) if "panel" in table else [""]
    rows, columns = list(dict.fromkeys(table["row"])), list(dict.fromkeys(table["column"]))
    told = table if "panel" in table else table.assign(panel="")
    width = 2.4 + len(panels) * 1.2 * len(columns) + 0.5 * (len(panels) - 1)
    with drawing(width, 1.7 + 0.62 * len(rows), *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for place, (panel, field) in enumerate(zip(panels, axes, strict=True)):
            mapped = field.imshow(
                _grid(told[told["panel"] == panel], rows, columns), "cividis_r", vmin=_least(told), vmax=_most(told), aspect="auto"
            )
            for row in records(told[told["panel"] == panel]):
                _write_field(field, rows.index(row["row"]), columns.index(row["column"]), row, _least(told), _most(told))
            field.set_title(panel, fontsize=11, color=INK)
            slanted = max(map(len, columns)) > SLANTED
            field.set_xticks(
                range(len(columns)), [_short(name) for name in columns], rotation=25 if slanted else 0, ha="right" if slanted else "center"
            )
            field.set_yticks(range(len(rows)), [_short(name) for name in rows])
            field.tick_params(labelsize=9.5, length=0, labelleft=place == 0)
            field.grid(visible=False)
            field.spines[:].set_visible(False)
            for edge in range(1, len(columns)):
                field.axvline(edge - 0.5, color="white", linewidth=2)
            for edge in range(1, len(rows)):
                field.axhline(edge - 0.5, color="white", linewidth=2)
        figure.colorbar(mapped, ax=list(axes), label="R1, %", shrink=0.9)


def _least(table: pd.DataFrame) -> float:
    return float(table["value"].min())


def _most(table: pd.DataFrame) -> float:
    return float(table["value"].max())


def _grid(table: pd.DataFrame, rows: list[str], columns: list[str]) -> NDArray[np.float64]:
    """(rows, columns), not a number where nothing was measured."""
    found = np.full((len(rows), len(columns)), np.nan)
    for row in records(table):
        found[rows.index(row["row"]), columns.index(row["column"])] = row["value"]
    return found


def _write_field(axes: Axes, y: int, x: int, row: dict[str, Any], least: float, most: float) -> None:
    """The value, and its interval where there is one, light on dark and dark on light."""
    dark = row["value"] - least > 0.45 * (most - least)
    colour = "white" if dark else INK
    known = all(math.isfinite(row.get(end, math.nan)) for end in ("low", "high"))
    axes.text(x, y - (0.12 if known else 0), f"{row['value']:.1f}", ha="center", va="center", fontsize=11, color=colour)
    if known:
        axes.text(x, y + 0.22, f"{row['low']:.1f} – {row['high']:.1f}", ha="center", va="center", fontsize=7.5, color=colour)


def _short(name: str) -> str:
    return name if len(name) <= LABEL_LETTERS else name[: LABEL_LETTERS - 1] + "…"
