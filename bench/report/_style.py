"""How models are told apart in a report's figures, and what the figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

from bench.canvas import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0b4f8a", "#d55e00", "#3a9bdc", "#8f2d77", "#009e73", "#b8860b", "#444444", "#cc79a7")
"""Told apart by the colour-blind (after Okabe and Ito), neighbours of different lightness."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1, 1)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)), (0, (2.5, 1)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p")


class Style(NamedTuple):
    """A model's colour, dash and marker."""

    colour: str
    dash: Any
    marker: str

    @property
    def filled(self) -> bool:
        return self.marker not in ("^", "D")


def styles(models: Sequence[str]) -> dict[str, Style]:
    """One for each model, by place. The three lists have no common length, so that 8 x 7 x 11 models differ in something."""
    return {
        model: Style(COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)], MARKERS[i % len(MARKERS)])
        for i, model in enumerate(dict.fromkeys(models))
    }


Styles = Mapping[str, Style]


def shown(found: Styles, table: pd.DataFrame) -> dict[str, Style]:
    """The styles of the models of a table, in its order."""
    return {model: found[model] for model in dict.fromkeys(table["model"])}


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as mappings."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def marker(style: Style, size: float = 7.0) -> dict[str, Any]:
    """Keywords that draw a marker, filled or hollow."""
    face = style.colour if style.filled else "white"
    return {
        "marker": style.marker,
        "markersize": size,
        "markerfacecolor": face,
        "markeredgecolor": style.colour,
        "markeredgewidth": 1.4,
    }


def finish(axes: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Titles; no frame above and to the right."""
    axes.set_title(title, fontsize=11, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=10)
    axes.set_ylabel(y, fontsize=10)
    axes.tick_params(labelsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)


def legend(figure: Figure, found: dict[str, Style], *, line: bool = False, more: dict[str, str] | None = None) -> None:
    """All models below the axes, where nothing is hidden; then `more`, named black markers."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=style.colour, linestyle=style.dash if line else "-", linewidth=2.0, label=name.lstrip("_"), **marker(style))
        for name, style in found.items()
    ]
    handles += [
        Line2D([], [], color=INK, linestyle="none", marker=shape, markersize=9, markeredgewidth=1.5, label=name)
        for name, shape in (more or {}).items()
    ]
    longest = max(len(str(handle.get_label())) for handle in handles)
    room = int(figure.get_figwidth() / (0.078 * longest + 0.8))  # inches a letter, and beside the text
    figure.legend(
        handles=handles, loc="outside lower center", ncols=max(1, min(room, len(handles))), fontsize=10, frameon=False, handlelength=3.2
    )
