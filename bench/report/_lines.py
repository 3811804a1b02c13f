"""Curves and maps of a report: ranks, learning, heat."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bench.canvas import drawing
from bench.heat_map import heat_map
from bench.report._style import Style, Styles, finish, legend, marker, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Paths = tuple[Path, Path]
RANK_TICKS = (1, 2, 5, 10, 20, 50, 100)


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
    """Maps of R1 (`bench/heat_map.py`); no model has a style in them."""
    heat_map(table, *paths, scale="R1, %")
