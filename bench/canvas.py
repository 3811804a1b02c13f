"""What all figures are drawn on: one style, written whole or not at all, the same bytes from the same content.

All text is drawn as it stands: `$` is no mathematics, control characters become spaces. No global state of matplotlib is
used or changed. matplotlib and seaborn (a second or two) are imported when the first figure is drawn.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110
"""Dots an inch of every PNG and JPEG."""
INK, PALE = "#222222", "#8a8a8a"
FONTS = ("DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "Arial Unicode MS")
"""Where a letter is looked for, in this order, among those that are installed."""


def plain(text: str) -> str:
    """One line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


@contextmanager
def drawing(width: float, height: float, *paths: Path) -> Iterator[Figure]:
    """A figure of so many inches, in the common style, that is written to `paths`: each whole or not at all: .svg, .jpg, or .png.

    An SVG keeps its text as text, to be searched and read aloud; it bears no date.
    """
    import matplotlib
    import seaborn
    from matplotlib.figure import Figure
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    literal: dict[Any, Any] = {
        "text.parse_math": False,
        "text.usetex": False,
        "axes.formatter.use_mathtext": False,
        "font.family": "sans-serif",
        "svg.fonttype": "none",
        "svg.hashsalt": "tbps-bench",
    }
    literal |= {"font.sans-serif": [name for name in FONTS if name in installed]}
    with warnings.catch_warnings(), matplotlib.rc_context({**seaborn.axes_style("whitegrid"), **literal}):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing")  # drawn as a box
        figure = Figure(figsize=(width, height), dpi=DPI)
        yield figure
        for path in paths:
            _write(figure, path)


def _write(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".svg":
            canvas: Any = FigureCanvasSVG(figure)
            canvas.print_svg(unfinished, metadata={"Date": None, "Creator": None})
        elif path.suffix == ".jpg":
            canvas = FigureCanvasAgg(figure)
            canvas.print_jpg(unfinished, pil_kwargs={"quality": 85, "optimize": True})
        else:
            canvas = FigureCanvasAgg(figure)
            canvas.print_png(unfinished, metadata={"Software": None})
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
