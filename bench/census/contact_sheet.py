"""A contact sheet of a data set whose truth is known: near twins side by side, images with their parts' boxes, captions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bench.canvas import INK, PALE, drawing, plain
from bench.contracts import Box, Grounding, Split, Twins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IMAGES, ROWS = 4, 5
"""Images of an identity, and pairs of twins, on a sheet."""
LETTERS = 66
"""Of a line of a caption."""
COLUMN, ROW, TOP = 5.0, 3.25, 0.85
"""Inches: width of an identity, height of a row, of what stands above them."""


def contact_sheet(split: Split, grounding: Grounding, twins: Sequence[Twins], path: Path, *, title: str) -> None:
    """Draw the first pairs of twins, a pair a row: the first image of each with the boxes of its parts, and below that image's caption."""
    pairs, colours = twins[:ROWS], _part_colours(grounding)
    height = TOP + ROW * len(pairs)
    with drawing(2 * COLUMN, height, path) as figure:
        figure.text(0.02, 1 - 0.2 / height, plain(title), fontsize=14, color=INK, va="top")
        for place, (part, colour) in enumerate(colours.items()):
            figure.text(0.02 + place / 10.5, 1 - 0.62 / height, f"\u25a0 {part}", fontsize=10, color=colour, va="top")
        grid = figure.add_gridspec(
            len(pairs), 2, left=0.02, right=0.98, top=1 - (TOP + 0.22) / height, bottom=0.0, wspace=0.07, hspace=0.17
        )
        for number, pair in enumerate(pairs):
            for side, pid in enumerate((pair.one, pair.other)):
                cells = grid[number, side].subgridspec(2, IMAGES, height_ratios=[4, 1], wspace=0.05, hspace=0.05)
                heading = f"identity {pid}" + ("" if side else f"; its near twin differs: {pair.differ}")
                _identity(figure, cells, split, grounding, pid, colours, heading=heading)


def _identity(figure: Any, cells: Any, split: Split, grounding: Grounding, pid: int, colours: Mapping[str, Any], *, heading: str) -> None:
    rows = [row for row, image in enumerate(split.images) if image.pid == pid][:IMAGES]
    for place, row in enumerate(rows):
        axes = figure.add_subplot(cells[0, place])
        _image(axes, split.root / split.images[row].path, grounding.parts[row] if not place else {}, colours)
        if not place:
            axes.set_title(plain(heading), loc="left", fontsize=9.5, color=INK)
    caption = next((caption.text for caption in split.captions if caption.image == rows[0]), "")
    words = figure.add_subplot(cells[1, :])
    words.axis("off")
    words.text(0, 1, "\n".join(textwrap.wrap(plain(caption), LETTERS)), va="top", fontsize=9, color=INK)


def _image(axes: Axes, path: Path, parts: Mapping[str, Box], colours: Mapping[str, Any]) -> None:
    from matplotlib.patches import Rectangle

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    height, width = pixels.shape[:2]
    axes.imshow(pixels, interpolation="lanczos", aspect="equal")
    for part, (left, top, right, bottom) in parts.items():
        size = (right - left) * width, (bottom - top) * height
        axes.add_patch(Rectangle((left * width - 0.5, top * height - 0.5), *size, fill=False, edgecolor=colours[part], linewidth=1.8))
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_edgecolor(PALE)


def _part_colours(grounding: Grounding) -> dict[str, Any]:
    import seaborn

    names = sorted({part for parts in grounding.parts for part in parts})
    return dict(zip(names, seaborn.color_palette("bright", len(names)), strict=True))
