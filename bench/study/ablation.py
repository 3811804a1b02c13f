"""What an ablation says: each cell's mean over its seeds with a t interval, as a table and as a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.canvas import INK, PALE, drawing
from bench.stats import OverSeeds, over_seeds
from bench.study.declared import Search, label
from bench.study.search.attempts import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def heat_map(search: Search, found: Sequence[Cell], path: Path) -> Path:
    """Rows: the first option; columns: the second; a panel for each combination of the others. A cell that cannot be run says so."""
    first, second, *others = [*search.file.grid, "", ""][: max(2, len(search.file.grid))]
    panels = list(dict.fromkeys(tuple(cell.options[key] for key in others) for cell in found))
    down, across = [_labels(found, key) for key in (first, second)]
    with drawing((2.2 * len(across) + 0.4) * len(panels) + 2.6, 0.95 * len(down) + 1.9, path) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        shades = [cell.told.mean for cell in found if cell.told is not None]
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True).flat, panels, strict=True):
            title = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in zip(others, panel, strict=True))
            of_panel = [cell for cell in found if tuple(cell.options[key] for key in others) == panel]
            _panel(axes, of_panel, first, second, down, across, (min(shades, default=0), max(shades, default=1)))
            axes.set_title(title, fontsize=11, color=INK)
            axes.set_xlabel(second, fontsize=9.5)
            axes.set_ylabel(first if panel == panels[0] else "", fontsize=9.5)
        figure.suptitle(f"study {search.name}: test R1, %: mean [95 % interval over seeds]", fontsize=12, color=INK)
    return path


def _labels(found: Sequence[Cell], key: str) -> list[str]:
    return list(dict.fromkeys(cell.options.get(key, "") for cell in found))


def _panel(
    axes: Axes, found: Sequence[Cell], first: str, second: str, down: Sequence[str], across: Sequence[str], ends: tuple[float, float]
) -> None:
    import seaborn

    palette = seaborn.color_palette("cividis_r", 256)
    for cell in found:
        x, y = across.index(cell.options.get(second, "")), down.index(cell.options.get(first, ""))
        if cell.told is None:
            text = "left out" if cell.reason else "not run yet"
            axes.add_patch(_field(x, y, "#f2f2f2"))
            axes.text(x, y, text, ha="center", va="center", fontsize=8.5, color=PALE)
            continue
        share = (cell.told.mean - ends[0]) / ((ends[1] - ends[0]) or 1.0)
        axes.add_patch(_field(x, y, palette[round(255 * share)]))
        told = cell.told.interval
        between = f"\n[{told.low:.1f}, {told.high:.1f}]" if told is not None else "\none seed"
        colour = "white" if share > 0.55 else INK
        axes.text(x, y, f"{cell.told.mean:.1f}{between}", ha="center", va="center", fontsize=9.5, color=colour)
    axes.set(xlim=(-0.5, len(across) - 0.5), ylim=(len(down) - 0.5, -0.5))
    axes.set_xticks(range(len(across)), across, fontsize=9.5)
    axes.set_yticks(range(len(down)), down, fontsize=9.5)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _field(x: float, y: float, colour: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=colour, edgecolor="none")
