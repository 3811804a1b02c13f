"""Figures of a search, as PNG: its history, what each option did, the trials' curves, and which options mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.canvas import INK, PALE, drawing, plain
from bench.study.declared import MAXIMISED, Search, label
from bench.study.search.attempts import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATES = {"complete": ("#0072b2", "o"), "pruned": ("#d55e00", "x"), "failed": (PALE, "v")}
"""Colour and marker of a trial's state, told apart without colour too."""
COLUMNS = 4


def draw(search: Search, rows: Sequence[Row], importances: Mapping[str, float], folder: Path) -> list[Path]:
    """Whatever can be drawn of these trials; where each figure lies."""
    ended = [row for row in rows if row.values is not None and row.state in STATES]
    if not ended:
        return []
    drawn = [history(search, ended, folder / "history.png"), slices(search, ended, folder / "slices.png")]
    drawn.append(coordinates(search, ended, folder / "parallel.png"))
    if any(row.curve for row in ended):
        drawn.append(curves(search, ended, folder / "curves.png"))
    if importances:
        drawn.append(importance(search, importances, folder / "importances.png"))
    if len(search.file.objective) > 1:
        drawn.append(front(search, ended, folder / "front.png"))
    return drawn


def history(search: Search, rows: Sequence[Row], path: Path) -> Path:
    """The objective of each trial, and the best so far among the complete ones."""
    with drawing(8.5, 4.6, path) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        _scatter(axes, rows, [float(row.number) for row in rows])
        complete = [row for row in rows if row.state == "complete" and row.values]
        better = max if search.file.objective[0] in MAXIMISED else min
        best = [better(_value(row) for row in complete[: place + 1]) for place in range(len(complete))]
        axes.step([row.number for row in complete], best, where="post", color=INK, linewidth=1.6, label="best so far")
        _titled(axes, f"study {search.name}", "trial", _name(search))
        axes.legend(frameon=False, fontsize=9)
    return path


def slices(search: Search, rows: Sequence[Row], path: Path) -> Path:
    """The objective over each option, a panel an option."""
    keys = [key for key in search.space if any(key in row.params for row in rows)]
    down = math.ceil(len(keys) / COLUMNS)
    with drawing(3.2 * min(COLUMNS, len(keys)) + 0.6, 2.9 * down + 0.6, path) as figure:
        figure.set_layout_engine("constrained", w_pad=0.08, h_pad=0.08)
        panels = list(figure.subplots(down, min(COLUMNS, len(keys)), squeeze=False, sharey=True).flat)
        for place, (key, axes) in enumerate(zip(keys, panels, strict=False)):
            _scatter(axes, [row for row in rows if key in row.params], _along(search, key, rows, axes))
            _titled(axes, "", key, _name(search) if place % COLUMNS == 0 else "")
        for axes in panels[len(keys) :]:
            axes.set_axis_off()
        figure.suptitle(plain(f"study {search.name}"), fontsize=11, color=INK, x=0.01, ha="left")
        shown = {name: mark for axes in panels for mark, name in zip(*axes.get_legend_handles_labels(), strict=True)}
        figure.legend(list(shown.values()), list(shown), loc="outside upper right", ncols=len(shown), frameon=False, fontsize=9)
    return path


def _along(search: Search, key: str, rows: Sequence[Row], axes: Axes) -> list[float]:
    """Where trials stand along an option's axis; choices stand side by side."""
    values = [row.params[key] for row in rows if key in row.params]
    span = search.space[key]
    if span.choices is None:
        if span.log:
            _logarithmic(axes)
        return [float(value) for value in values]
    labels = list(dict.fromkeys(str(value) for value in _labels(search, key)))
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.5, len(labels) - 0.5)
    return [float(labels.index(str(value))) for value in values]


def _logarithmic(axes: Axes) -> None:
    """With plain numbers: text is drawn as it stands, and powers are mathematics."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _labels(search: Search, key: str) -> list[str]:
    return [label(choice) for choice in search.space[key].choices or ()]


def coordinates(search: Search, rows: Sequence[Row], path: Path) -> Path:
    """A line a trial through all its options, each scaled to its range; the better the darker."""
    import seaborn

    keys = list(search.space)
    complete = sorted((row for row in rows if row.state == "complete"), key=_value)
    with drawing(1.5 * len(keys) + 3, 4.4, path) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        colours = seaborn.color_palette("cividis_r", max(2, len(complete)))
        if search.file.objective[0] not in MAXIMISED:
            complete.reverse()
        for row, colour in zip(complete, colours, strict=False):
            axes.plot(range(len(keys)), [_place(search, key, row.params[key]) for key in keys], color=colour, linewidth=1.6, alpha=0.9)
        axes.set_xticks(range(len(keys)), [f"{key.partition('.')[2]}\n{_ends(search, key)}" for key in keys], fontsize=8.5)
        axes.set_yticks([])
        ends = (_value(complete[0]), _value(complete[-1])) if complete else (math.nan, math.nan)
        title = f"study {search.name}: val {search.file.objective[0]} from {ends[0]:.1f} (pale) to {ends[1]:.1f} (dark)"
        _titled(axes, title, "", "low to high, or as listed")
    return path


def _place(search: Search, key: str, value: Any) -> float:
    span = search.space[key]
    if span.choices is not None:
        labels = _labels(search, key)
        return labels.index(str(value)) / max(1, len(labels) - 1)
    low, high, value = float(span.low or 0), float(span.high or 1), float(value)
    if span.log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return float((value - low) / (high - low))


def _ends(search: Search, key: str) -> str:
    span = search.space[key]
    return ", ".join(_labels(search, key)) if span.choices is not None else f"{span.low:g} to {span.high:g}"


def curves(search: Search, rows: Sequence[Row], path: Path) -> Path:
    """What trials reported epoch by epoch; a pruned one ends in a cross."""
    with drawing(8.5, 4.6, path) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for state, (colour, _) in STATES.items():
            for place, row in enumerate(row for row in rows if row.state == state and row.curve):
                epochs = sorted(row.curve)
                values = [row.curve[epoch] for epoch in epochs]
                axes.plot(epochs, values, color=colour, linewidth=1.1, alpha=0.75, label=state if not place else None)
                if state == "pruned":
                    axes.plot(epochs[-1:], values[-1:], "x", color=colour, markersize=7)
        _titled(axes, f"study {search.name}", "epoch", _name(search))
        axes.legend(frameon=False, fontsize=9)
    return path


def importance(search: Search, shares: Mapping[str, float], path: Path) -> Path:
    """The share of the objective's variance that each option explains."""
    names = list(shares)[::-1]
    with drawing(7.0, 0.42 * len(names) + 1.4, path) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        axes.barh(names, [100 * shares[name] for name in names], color=STATES["complete"][0], height=0.6)
        _titled(axes, f"study {search.name}: what mattered (fANOVA, of few trials a guess)", "share of the variance, %", "")
    return path


def front(search: Search, rows: Sequence[Row], path: Path) -> Path:
    """The first two objectives against each other."""
    with drawing(6.5, 4.8, path) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        pairs = [row.values for row in rows if row.state == "complete" and row.values]
        axes.plot([pair[1] for pair in pairs], [pair[0] for pair in pairs], "o", color=STATES["complete"][0])
        _titled(axes, f"study {search.name}", search.file.objective[1], _name(search))
    return path


def _scatter(axes: Axes, rows: Sequence[Row], x: Sequence[float]) -> None:
    for state, (colour, marker) in STATES.items():
        points = [(place, _value(row)) for place, row in zip(x, rows, strict=True) if row.state == state]
        if points:
            axes.scatter([at for at, _ in points], [value for _, value in points], color=colour, marker=marker, s=30, label=state, zorder=3)


def _value(row: Row) -> float:
    return row.values[0] if row.values else math.nan


def _name(search: Search) -> str:
    first = search.file.objective[0]
    return f"val {first}, %" if first in MAXIMISED else first


def _titled(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(plain(title), fontsize=11, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
