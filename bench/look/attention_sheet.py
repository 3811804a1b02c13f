"""What phrases attend to, drawn over the image: bright where the model's attention is, dark where it is not."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.canvas import INK, PALE, drawing, plain
from bench.contracts import WHOLE, Box
from bench.figures import MATCH, MISS, pixels, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

PHRASES = 6
"""Most phrases of a caption that are drawn."""
CAPTION_INCHES, IMAGE_INCHES, ROW_INCHES, TITLE_INCHES = 3.1, 1.2, 2.75, 0.8
DIMMEST = 0.22
"""Brightness of a place that gets no attention, of one."""


@dataclass(frozen=True)
class AttendedPhrase:
    """A phrase, its attention to each image token, and what it speaks of: None where that is not known."""

    text: str
    weights: Sequence[float]
    part: str | None
    box: Box | None
    right: bool | None
    """Whether the token of highest attention contains the centre of the part's box."""


@dataclass(frozen=True)
class AttentionRow:
    """A caption, its image, and what its phrases attend to there."""

    caption: str
    image: Path
    tokens: Sequence[Box]
    phrases: Sequence[AttendedPhrase]


def attention_map(tokens: Sequence[Box], weights: Sequence[float], height: int, width: int) -> NDArray[np.float64]:
    """(height, width) attention a pixel, the highest being one: each token's weight lies evenly on its place, the whole image's nowhere."""
    found = np.zeros((height, width))
    for box, weight in zip(tokens, weights, strict=True):
        if box != WHOLE:
            rows = slice(round(box.top * height), round(box.bottom * height))
            columns = slice(round(box.left * width), round(box.right * width))
            found[rows, columns] += weight / max(1, found[rows, columns].size)
    return found / max(float(found.max()), np.finfo(float).tiny)


def attention_sheet(rows: Sequence[AttentionRow], path: Path, *, title: str) -> None:
    """Draw a row a caption: its text, its image, and the image once more for each phrase."""
    columns = min(PHRASES, max((len(row.phrases) for row in rows), default=1))
    width = CAPTION_INCHES + (columns + 1) * IMAGE_INCHES + 0.5
    height = TITLE_INCHES + max(1, len(rows)) * ROW_INCHES
    with drawing(width, height, path) as figure:
        figure.text(0.2 / width, 1 - 0.25 / height, plain(title), fontsize=14, color=INK, va="center")
        how = "Bright: attended to. Dashed: the part that the phrase speaks of. ✓: the region attended to most holds the part's centre."
        figure.text(0.2 / width, 1 - 0.52 / height, how, fontsize=9.5, color=INK, va="center")
        grid = figure.add_gridspec(
            max(1, len(rows)),
            columns + 2,
            width_ratios=[CAPTION_INCHES, *[IMAGE_INCHES] * (columns + 1)],
            left=0.2 / width,
            right=1 - 0.2 / width,
            bottom=0.1 / height,
            top=1 - (TITLE_INCHES + 0.35) / height,
            wspace=0.1,
            hspace=0.32,
        )
        for place, row in enumerate(rows):
            _row(figure, grid, place, row)


def _row(figure: Figure, grid: GridSpec, place: int, row: AttentionRow) -> None:
    text = figure.add_subplot(grid[place, 0])
    text.set_axis_off()
    told = wrapped(row.caption, 36) or "(empty caption)"
    text.text(0, 0.98, told, transform=text.transAxes, va="top", fontsize=10, linespacing=1.3, color=INK)
    image = pixels(row.image)
    _panel(figure.add_subplot(grid[place, 1]), image, "its image", PALE)
    for column, phrase in enumerate(row.phrases[:PHRASES]):
        axes = figure.add_subplot(grid[place, 2 + column])
        mark, colour = {True: ("✓ ", MATCH), False: ("✗ ", MISS), None: ("", INK)}[phrase.right]
        label = textwrap.fill(mark + plain(phrase.text), 15, max_lines=2, placeholder="…")
        shown = None if image is None else _lit(image, attention_map(row.tokens, phrase.weights, *image.shape[:2]))
        _panel(axes, shown, label, colour)
        if phrase.box is not None and image is not None:
            _outline(axes, phrase.box, *image.shape[:2])


def _lit(image: NDArray[Any], attention: NDArray[np.float64]) -> NDArray[np.uint8]:
    lit: NDArray[np.uint8] = (image * (DIMMEST + (1 - DIMMEST) * attention[..., None])).astype(np.uint8)
    return lit


def _panel(axes: Axes, image: NDArray[Any] | None, label: str, colour: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.set_title(label, fontsize=8.5, color=INK if colour == PALE else colour, pad=4)
    for spine in axes.spines.values():
        spine.set(visible=True, edgecolor=colour, linewidth=1.5)
    if image is None:
        axes.set_facecolor("#d9d9d9")
        axes.set_box_aspect(2)
    else:
        axes.imshow(image, interpolation="nearest")


def _outline(axes: Axes, box: Box, height: int, width: int) -> None:
    from matplotlib.patches import Rectangle

    corner, size = (box.left * width - 0.5, box.top * height - 0.5), ((box.right - box.left) * width, (box.bottom - box.top) * height)
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="white", linewidth=2.4))
    axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor="black", linewidth=1.2, linestyle=(0, (3, 2))))
