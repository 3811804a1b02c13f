"""Figures of a run, as PNG files: its training curves, and what its model finds for some captions."""

from __future__ import annotations

import math
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

from bench.canvas import INK, PALE, drawing, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

MATCH, MISS = "#00805a", "#d1430b"
"""A bluish green and an orange red, which the colour-blind tell apart too."""
CAPTION_INCHES, IMAGE_INCHES, ROW_INCHES, TITLE_INCHES = 3.9, 1.12, 2.25, 0.75
"""A retrieval sheet's measures: widths of its caption and of each image, heights of each row and of the title."""
CAPTION_LETTERS, CAPTION_LINES = 46, 10
"""Room for a caption on a retrieval sheet."""


@dataclass(frozen=True)
class RetrievalRow:
    """A caption, and the images its model ranks first: `gallery`, `matches` and `similarities` run parallel, nearest first."""

    caption: str
    query_image: Path | None
    """The image that the caption was written for."""
    gallery: Sequence[Path]
    matches: Sequence[bool]
    similarities: Sequence[float]


def curves(
    history: Sequence[Mapping[str, float]],
    path: Path,
    *,
    title: str,
    chance: float | None,
    ceiling: float | None,
    selected: int | None = None,
) -> None:
    """Draw the losses (left) and val R1 and mAP (right) over the epochs.

    `history` has a mapping an epoch: `epoch`, `train/loss`, `train/<term>`, `val/t2i/R1`, `val/t2i/mAP` (percent); what
    is missing or not finite is left out. `chance` and `ceiling` are R1 in percent, `selected` is an epoch.
    """
    with drawing(11.0, 4.6, path) as figure:
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.08)
        figure.suptitle(plain(title), fontsize=13, color=INK)
        left, right = figure.subplots(1, 2)
        _losses(left, history)
        for value, name in ((chance, "chance"), (ceiling, "ceiling")):
            if value is not None:
                _reference(right, value, name)
        _scores(right, history, selected)
        if selected is not None:
            for axes in (left, right):
                axes.axvline(selected, color=PALE, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)


def _losses(axes: Axes, history: Sequence[Mapping[str, float]]) -> None:
    import seaborn

    terms = list(dict.fromkeys(key for record in history for key in record if key.startswith("train/") and key != "train/loss"))
    colours = seaborn.color_palette("colorblind", len(terms))
    if len(terms) != 1:  # a single term is the sum
        _line(axes, history, "train/loss", "sum" if terms else "loss", INK, linewidth=2.6)
    for term, colour in zip(terms, colours, strict=True):
        _line(axes, history, term, term.removeprefix("train/"), colour)
    _finish(axes, "training loss", "loss (mean over the epoch)")


def _scores(axes: Axes, history: Sequence[Mapping[str, float]], selected: int | None) -> None:
    import seaborn

    blue, orange = seaborn.color_palette("colorblind", 2)
    _line(axes, history, "val/t2i/R1", "R1", blue, linewidth=2.6)
    _line(axes, history, "val/t2i/mAP", "mAP", orange)
    for epoch, value in _points(history, "val/t2i/R1"):
        if epoch == selected:
            label = f"selected: epoch {selected}, R1 {value:.1f} %"
            axes.plot([epoch], [value], "o", markersize=13, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.8, label=label)
    _finish(axes, "text to image, validation", "percent")


def _points(history: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    """(epoch, value) where there is one."""
    found = [(record.get("epoch", place), record.get(key, math.nan)) for place, record in enumerate(history, start=1)]
    return [(epoch, value) for epoch, value in found if math.isfinite(value)]


def _line(axes: Axes, history: Sequence[Mapping[str, float]], key: str, label: str, colour: Any, linewidth: float = 1.8) -> None:
    if points := _points(history, key):
        epochs, values = zip(*points, strict=True)
        marker = "o" if len(points) <= 25 else None
        # matplotlib leaves labels that begin with an underscore out of a legend
        axes.plot(epochs, values, color=colour, linewidth=linewidth, marker=marker, markersize=4.5, label=plain(label).lstrip("_"))


def _finish(axes: Axes, title: str, ylabel: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=11, color=INK)
    axes.set_xlabel("epoch")
    axes.set_ylabel(ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    if axes.get_legend_handles_labels()[0]:
        # Below the axes, where it hides no curve
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4, fontsize=9, frameon=False)
    else:
        axes.text(0.5, 0.5, "nothing recorded", transform=axes.transAxes, ha="center", va="center", color=PALE)


def _reference(axes: Axes, value: float, name: str) -> None:
    """A horizontal line, named at its right end, outside the axes, where no curve can hide the name."""
    axes.axhline(value, color=INK, linewidth=1.2, linestyle=":", zorder=1)
    axes.annotate(f"{name}\n{value:.1f} %", (1.015, value), xycoords=("axes fraction", "data"), va="center", fontsize=8.5, color=INK)


def retrieval_sheet(queries: Sequence[RetrievalRow], path: Path, *, title: str) -> None:
    """Draw a row a query: its caption, the image it was written for, and what was found, framed green (match) or red."""
    columns = max((len(query.gallery) for query in queries), default=0)
    rows = max(len(queries), 1)
    width, height = CAPTION_INCHES + (columns + 1) * IMAGE_INCHES + 0.6, TITLE_INCHES + rows * ROW_INCHES
    with drawing(width, height, path) as figure:
        figure.text(0.2 / width, 1 - 0.32 / height, plain(title), fontsize=14, color=INK, va="center")
        grid = figure.add_gridspec(
            rows,
            columns + 2,
            width_ratios=[CAPTION_INCHES, *[IMAGE_INCHES] * (columns + 1)],
            left=0.2 / width,
            right=1 - 0.2 / width,
            bottom=0.1 / height,
            top=1 - TITLE_INCHES / height,
            wspace=0.12,
            hspace=0.26,
        )
        for row, query in enumerate(queries):
            _row(figure, grid, row, query)


def _row(figure: Figure, grid: GridSpec, row: int, query: RetrievalRow) -> None:
    from matplotlib.lines import Line2D

    text = figure.add_subplot(grid[row, 0])
    margin, top = text.get_position().x0, text.get_position().y1 + 0.32 / figure.get_figheight()
    figure.add_artist(Line2D([margin, 1 - margin], [top, top], color="#d9d9d9", linewidth=0.8))
    text.set_axis_off()
    text.text(
        0.0,
        0.98,
        wrapped(query.caption) or "(empty caption)",
        transform=text.transAxes,
        va="top",
        fontsize=10.5,
        linespacing=1.3,
        color=INK,
    )
    if query.query_image is not None:
        _picture(figure.add_subplot(grid[row, 1]), query.query_image, "its image", PALE, 1.5)
    found = zip(query.gallery, query.matches, query.similarities, strict=True)
    for rank, (image, match, similarity) in enumerate(found, start=1):
        mark, colour = ("✓", MATCH) if match else ("✗", MISS)
        _picture(figure.add_subplot(grid[row, 1 + rank]), image, f"{rank}  {mark}  {similarity:.3f}", colour, 4.0)


def _picture(axes: Axes, path: Path, label: str, colour: str, frame: float) -> None:
    """An image in a frame with a label above; a grey box that says so where there is none."""
    picture = pixels(path)
    axes.set(xticks=[], yticks=[])
    axes.set_title(label, fontsize=10, color=INK if colour == PALE else colour, pad=5)
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=frame)
    if picture is None:
        axes.set_facecolor("#d9d9d9")
        axes.set_box_aspect(2)
        note = "no image:\n" + textwrap.fill(plain(path.name), 12, max_lines=4, placeholder="…")
        axes.text(0.5, 0.5, note, transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color=INK)
    else:
        axes.imshow(picture, interpolation="lanczos")


def pixels(path: Path) -> Any | None:
    """(H, W, 3) uint8, at most 400 pixels high; None if the file cannot be read as an image."""
    import numpy
    from PIL import Image

    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files
            small = image.convert("RGB")
            small.thumbnail((400, 400))
            return numpy.asarray(small)
    except Exception:  # Pillow raises what it likes on a broken file
        return None


def wrapped(caption: str, letters: int = CAPTION_LETTERS) -> str:
    """A caption in at most CAPTION_LINES lines of about so many letters; wide ones count for two."""
    wide = any(east_asian_width(letter) in "WF" for letter in caption)
    room = letters // 2 if wide else letters
    return textwrap.fill(plain(caption), room, max_lines=CAPTION_LINES, placeholder=" …")
