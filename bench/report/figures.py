"""Figures of a report, each as SVG and PNG, from plain tables: the same tables give the same bytes.

One figure serves all: models differ in colour (which the colour-blind tell apart), in dash and in marker, so that it reads in
grey too. Tables are long, values percent; models stand in the order in which a table first names them. A table that is missing or empty
costs its figure, and nothing else.

| table | columns |
|---|---|
| `scores` | model, metric, seed (missing: the mean over seeds), value, low, high (of the mean) |
| `differences` | first, second, metric, difference, low, high: first minus second, in points |
| `rank_curves` | model, k, R, low, high |
| `history` | model, seed, epoch, R1, mAP: val, text to image |
| `cost` | model, R1, low, high, and the keys of `bench/cost.py` |
| `heat` | row, column, value; where known panel, low, high |
| `breakdown` | by, group, model, queries, identities, R1, low, high (`bench/report/breakdown.py`) |
| `pointing` | `bench/report/pointing.py` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.canvas import plain
from bench.contracts import Track, silently
from bench.report import _bars as bars
from bench.report import _lines as lines
from bench.report._style import Styles, styles

Tables = Mapping[str, pd.DataFrame]
Draw = Callable[[pd.DataFrame, tuple[Path, Path], Styles], None]


@dataclass(frozen=True)
class Drawing:
    """A figure that was drawn: `<name>.svg` and `<name>.png`."""

    name: str
    title: str
    about: str
    """What it shows and how to read it, for a caption and for those who do not see it."""


_INTERVAL = "Bars are 95 % intervals by bootstrap over identities"
FIGURES: Mapping[str, tuple[str, str, str, Draw]] = {
    "scores": (
        "scores",
        "Test scores",
        "Markers are means over seeds, ticks below them single seeds; bars are 95 % intervals.",
        bars.scores,
    ),
    "differences": (
        "differences",
        "Differences between models",
        "Each row is one pair, first minus second, on the same queries; an interval that touches zero shows no difference.",
        bars.differences,
    ),
    "rank_curves": (
        "rank_curves",
        "Share of queries with a match among the first k",
        "Mean over seeds; bands are 95 % intervals by bootstrap over identities.",
        lines.rank_curves,
    ),
    "learning": (
        "history",
        "Validation over the epochs",
        "Lines are means over seeds, bands span the seeds.",
        lines.learning,
    ),
    "cost": ("cost", "Cost against accuracy", f"Further left is cheaper, further up is better. {_INTERVAL}.", bars.cost),
    "heat": ("heat", "What each combination obtains", "Test R1, mean over seeds, and its 95 % interval; darker is higher.", lines.heat),
    "attributes": (
        "breakdown",
        "R1 by what a caption names",
        f"{_INTERVAL}; beside each name its queries and identities.",
        bars.by_attribute,
    ),
    "captions": (
        "breakdown",
        "R1 by caption length, phrases and camera",
        f"{_INTERVAL}; beside each name its queries and identities.",
        bars.by_form,
    ),
    "pointing": (
        "pointing",
        "Does a phrase attend to the part it speaks of?",
        f"{_INTERVAL}; beside each part its phrases and identities. Black: what uniform attention reaches, what pointing always at one "
        "region reaches at most, and at one region for each part.",
        bars.pointing,
    ),
}
"""Name of the figure: its table, title, how to read it, and what draws it."""


def draw(tables: Tables, folder: Path, track: Track = silently) -> list[Drawing]:
    """Draw all figures that the tables allow into `folder`; what was drawn, in the order of FIGURES. A model looks alike in all of them."""
    found = styles(_models(tables))
    drawn = []
    for name, (table, title, how, make) in track(FIGURES.items(), "figures", len(FIGURES)):
        rows = _rows(name, tables.get(table))
        if len(rows):
            make(rows, (folder / f"{name}.svg", folder / f"{name}.png"), found)
            drawn.append(Drawing(name, title, f"{title}{'' if title.endswith('?') else '.'} {how}"))
    return drawn


def _models(tables: Tables) -> list[str]:
    """All models, in the order of the figures that name them, whatever the order of the tables."""
    told = (tables[table] for table, *_ in FIGURES.values() if table in tables)
    return [plain(str(model)) for table in told if "model" in table for model in table["model"]]


def _rows(name: str, table: pd.DataFrame | None) -> pd.DataFrame:
    """The part of a table that a figure shows, names made plain."""
    if table is None or table.empty:
        return pd.DataFrame()
    rows = table.copy()
    for column in ("model", "first", "second", "group", "panel", "row", "column", "part"):
        if column in rows:
            rows[column] = [plain(str(value)) for value in rows[column]]
    if name in ("attributes", "captions"):
        rows = rows[rows["by"].isin(bars.FORM) == (name == "captions")]
    return rows.reset_index(drop=True)
