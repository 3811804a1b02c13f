"""Dots with intervals of a report: scores, differences, cost, breakdowns, pointing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bench.canvas import INK, PALE, drawing
from bench.report._style import Style, Styles, finish, legend, marker, records, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Paths = tuple[Path, Path]
FORM = {"words": "words a caption", "phrases": "noun phrases a caption", "camera": "camera"}
"""Breakdowns by a caption's form and by camera, and how they are called."""
GROUPS = 36
"""Most attributes that one figure shows, the most frequent first."""
COSTS = {
    "parameters": ("parameters, millions", 1e6),
    "flops": ("GFLOPs, an image and a caption", 1e9),
    "ms_image": ("ms an image: encode", 1.0),
    "ms_query": ("ms a query: encode and search", 1.0),
    "index_bytes": ("index, KiB an image", 1024.0),
    "peak_mib": ("peak memory, MiB", 1.0),
}
"""Columns of the cost, how they are called, and their unit."""


class Interval(NamedTuple):
    value: float
    low: float
    high: float


def _interval(axes: Axes, y: float, told: Interval, style: Style, size: float = 7.5) -> None:
    """A marker, and its interval where there is one."""
    if math.isfinite(told.low) and math.isfinite(told.high):
        axes.plot([told.low, told.high], [y, y], color=style.colour, linewidth=1.8, solid_capstyle="butt")
        for end in (told.low, told.high):
            axes.plot([end, end], [y - 0.07, y + 0.07], color=style.colour, linewidth=1.8)
    axes.plot([told.value], [y], linestyle="none", zorder=3, **marker(style, size))


def _rows(axes: Axes, labels: Sequence[str], *, size: float = 10.0) -> None:
    """Named rows from top to bottom, without lines between them."""
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def scores(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """A panel a metric: the mean of each model with its interval, single seeds below it."""
    found, metrics = shown(style_of, table), list(dict.fromkeys(table["metric"]))
    with drawing(2.0 + 2.1 * len(metrics), 1.2 + 0.62 * len(found), *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            rows = table[table["metric"] == metric]
            for y, (model, style) in enumerate(found.items()):
                _score(axes, y, rows[rows["model"] == model], style)
            _rows(axes, list(found))
            finish(axes, metric, "%")


def _score(axes: Axes, y: int, rows: pd.DataFrame, style: Style) -> None:
    seeds = rows[rows["seed"].notna()]["value"]
    axes.plot(seeds, [y + 0.27] * len(seeds), linestyle="none", marker="|", markersize=7, markeredgewidth=1.3, color=style.colour)
    for row in records(rows[rows["seed"].isna()]):
        _interval(axes, y, Interval(row["value"], row["low"], row["high"]), style)


def differences(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """A panel a metric, a row a pair; the line is no difference."""
    pairs = list(dict.fromkeys(zip(table["first"], table["second"], strict=True)))
    metrics = list(dict.fromkeys(table["metric"]))
    plainly = Style(INK, "-", "o")
    with drawing(3.4 + 2.1 * len(metrics), 1.3 + 0.5 * len(pairs), *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.06)
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            axes.axvline(0, color=PALE, linewidth=1.2, zorder=1)
            for row in records(table[table["metric"] == metric]):
                apart = row["low"] > 0 or row["high"] < 0
                style = plainly if apart else plainly._replace(marker="D")  # hollow
                _interval(axes, pairs.index((row["first"], row["second"])), Interval(row["difference"], row["low"], row["high"]), style)
            _rows(axes, [f"{first} − {second}" for first, second in pairs])
            finish(axes, metric, "points")


def cost(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """A panel a cost that is known, R1 above it."""
    found = shown(style_of, table)
    if {"ms_caption", "ms_search"} <= {*table.columns}:
        table = table.assign(ms_query=table["ms_caption"] + table["ms_search"])
    known = [name for name in COSTS if name in table and table[name].notna().any()] or ["parameters"]
    columns = min(3, len(known))
    lines = math.ceil(len(known) / columns)
    with drawing(3.5 * columns + 0.6, 3.0 * lines + 0.7, *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
        for axes, name in zip(panels, known, strict=False):
            label, unit = COSTS[name]
            for row in records(table):
                _priced(axes, float(row.get(name, math.nan)) / unit, row, found[row["model"]])
            _cost_axis(axes, label)
        for axes in panels[::columns]:
            axes.set_ylabel("test R1, %", fontsize=10)
        for axes in panels[len(known) :]:
            axes.set_visible(False)
        legend(figure, found)


def _priced(axes: Axes, x: float, row: dict[str, Any], style: Style) -> None:
    if math.isfinite(x) and x > 0:
        if math.isfinite(row["low"]) and math.isfinite(row["high"]):
            axes.plot([x, x], [row["low"], row["high"]], color=style.colour, linewidth=1.8)
        axes.plot([x], [row["R1"]], linestyle="none", **marker(style, 9))


def _cost_axis(axes: Axes, label: str) -> None:
    """Logarithmic, from a round number to a round number, with plain ticks."""
    axes.set_xscale("log")
    low, high = axes.dataLim.intervalx
    if 0 < low <= high:
        round_numbers = [mantissa * 10.0**power for power in range(-9, 16) for mantissa in (1, 2, 5)]
        first = max(place for place, number in enumerate(round_numbers) if number < low)
        last = min(place for place, number in enumerate(round_numbers) if number > high)
        ticks = round_numbers[first : last + 1]
        axes.set_xlim(ticks[0], ticks[-1])
        shown = ticks[:: max(1, math.ceil(len(ticks) / 7))]
        axes.set_xticks(shown, [f"{tick:,.10g}" for tick in shown])
    axes.minorticks_off()
    finish(axes, "", label)


# -------------------------------------------------------------------------------------------------------- breakdowns


def by_attribute(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """The most frequent attributes, in as many columns as they need, by kind."""
    queries = table.groupby(["by", "group"], sort=False)["queries"].max()
    kept = set(queries.sort_values(ascending=False, kind="stable").index[:GROUPS])
    frequent = table[[(by, group) in kept for by, group in zip(table["by"], table["group"], strict=True)]]
    _columns(frequent, paths, style_of, {by: by for by in dict.fromkeys(frequent["by"])}, frequent_first=True)


def by_form(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """A panel for each of FORM that is there."""
    _columns(table, paths, style_of, {by: name for by, name in FORM.items() if by in set(table["by"])}, frequent_first=False)


def _columns(table: pd.DataFrame, paths: Paths, style_of: Styles, names: dict[str, str], *, frequent_first: bool) -> None:
    """A panel a kind, put one below another into two columns of about one height."""
    found = shown(style_of, table)
    groups = {by: _groups(table[table["by"] == by], frequent_first) for by in names}
    stacks = _stacked(groups)
    step = max(0.32, 0.13 * len(found) + 0.1)
    height = max(sum(step * len(groups[by]) + 0.55 for by in stack) for stack in stacks)
    low, high = table[["R1", "low"]].min().min(), table[["R1", "high"]].max().max()
    with drawing(5.6 * len(stacks), height + 0.8, *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.06)
        columns = figure.subfigures(1, len(stacks), squeeze=False)[0]
        for column, stack in zip(columns, stacks, strict=True):
            heights = [len(groups[by]) + 0.4 for by in stack]
            panels = column.subplots(len(stack), 1, squeeze=False, sharex=True, height_ratios=heights)[:, 0]
            for axes, by in zip(panels, stack, strict=True):
                _panel(axes, table[table["by"] == by], groups[by], found)
                finish(axes, names[by], "R1, %" if by == stack[-1] else "")
                axes.set_xlim(max(-1.5, low - 3), min(101.5, high + 3))
            _counted(panels[0], "queries / identities")
        legend(figure, found)


def _counted(axes: Axes, what: str) -> None:
    """Say what the numbers beside the names count."""
    at: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(what, (0, 1), xytext=(-6, 6), ha="right", fontsize=8.5, color=PALE, annotation_clip=False, **at)


def _groups(rows: pd.DataFrame, frequent_first: bool) -> list[str]:
    counts = rows.groupby("group", sort=False)["queries"].max()
    return list((counts.sort_values(ascending=False, kind="stable") if frequent_first else counts).index)


def _stacked(groups: dict[str, list[str]]) -> list[list[str]]:
    """The kinds, in order, in two columns that differ least in height; one where there is little."""
    kinds = list(groups)
    if len(kinds) == 1:
        return [kinds]
    heights = [len(groups[by]) + 2 for by in kinds]
    cut = min(range(1, len(kinds)), key=lambda place: abs(sum(heights[:place]) - sum(heights[place:])))
    return [kinds[:cut], kinds[cut:]]


def _panel(axes: Axes, rows: pd.DataFrame, groups: Sequence[str], found: dict[str, Style]) -> None:
    spread = 0.62 / max(1, len(found))
    for place, (model, style) in enumerate(found.items()):
        offset = (place - (len(found) - 1) / 2) * spread
        for row in records(rows[rows["model"] == model]):
            if row["group"] in groups:
                _interval(axes, groups.index(row["group"]) + offset, Interval(row["R1"], row["low"], row["high"]), style, 5.5)
    counts = {row["group"]: f"{row['queries']:,} / {row['identities']:,}" for row in records(rows)}
    _rows(axes, [f"{group}  {counts[group]}" for group in groups], size=9)
    for line in range(1, len(groups)):
        axes.axhline(line - 0.5, color="#ececec", linewidth=0.8, zorder=0)


def pointing(table: pd.DataFrame, paths: Paths, style_of: Styles) -> None:
    """A row a part: accuracy with its interval, and what uniform attention and the best single region reach."""
    found, parts = shown(style_of, table), list(dict.fromkeys(table["part"]))
    step = max(0.4, 0.18 * len(found) + 0.15)
    with drawing(7.6, step * len(parts) + 1.5, *paths) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.06)
        axes = figure.subplots()
        spread = 0.62 / max(1, len(found))
        for place, (model, style) in enumerate(found.items()):
            for row in records(table[table["model"] == model]):
                y = parts.index(row["part"]) + (place - (len(found) - 1) / 2) * spread
                _interval(axes, y, Interval(row["accuracy"], row["low"], row["high"]), style, 6.5)
                axes.plot([row["chance"]], [y], marker="|", markersize=11, markeredgewidth=1.6, color=INK, linestyle="none")
                for name, shape in (("constant", "x"), ("prior", "+")) if row["part"] == parts[0] else (("prior", "+"),):
                    axes.plot([row[name]], [y], marker=shape, markersize=7, markeredgewidth=1.4, color=INK, linestyle="none")
        counts = {row["part"]: f"{row['phrases']:,} / {row['identities']:,}" for row in records(table)}
        _rows(axes, [f"{part}  {counts[part]}" for part in parts], size=9.5)
        axes.set_xlim(-1.5, 101.5)
        _counted(axes, "phrases / identities")
        finish(axes, "", "phrases that point to their part, %")
        legend(figure, found, more={"uniform": "|", "one region": "x", "a region for each part": "+"})
