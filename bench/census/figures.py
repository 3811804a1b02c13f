"""Figures of `data stats`: how long captions are, how many phrases and images there are, what captions name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.canvas import INK, PALE, drawing, plain
from bench.census.counts import Census, together

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 14
"""Names of a kind that are drawn, the commonest first."""
_PAINT = {
    **{
        "black": "#262626",
        "white": "#fbfbfb",
        "grey": "#8f8f8f",
        "red": "#c8323a",
        "blue": "#2f5fc4",
        "green": "#3a9550",
        "yellow": "#f0cf3c",
    },
    **{
        "brown": "#7a4c2a",
        "pink": "#f0a3c2",
        "orange": "#ec8a2e",
        "purple": "#7d459f",
        "beige": "#d8c3a5",
        "khaki": "#a89f6b",
        "gold": "#c9a227",
    },
    **{
        "dark blue": "#1b2a6b",
        "light blue": "#8ec5e8",
        "dark red": "#7b1e28",
        "dark": "#4a4a4a",
        "light": "#e9e9e4",
        "light grey": "#cfcfcf",
    },
    **{"dark grey": "#595959", "light brown": "#b08d65", "dark brown": "#4a2f1d", "light pink": "#f7c9d9", "dark green": "#1f4d2b"},
    **{"light green": "#a8d5a0", "turquoise": "#3fb8af", "silver": "#c4c8cc"},
}
FEW = 16
"""Different counts that are drawn as bars side by side; more are drawn as outlines."""


def draw_all(counted: Mapping[str, Census], folder: Path, *, title: str) -> Iterator[Path]:
    """Four PNG files in the folder. `counted`: by split."""
    measures = {
        "caption_length.png": ("words a caption", {name: census.words for name, census in counted.items()}),
        "phrases_a_caption.png": ("noun phrases a caption", {name: census.phrases for name, census in counted.items()}),
        "images_an_identity.png": ("images an identity", {name: census.images_an_identity for name, census in counted.items()}),
    }
    for file, (measure, values) in measures.items():
        _distribution(values, folder / file, measure=measure, title=title)
        yield folder / file
    _named(together(list(counted.values())), folder / "attributes.png", title=title)
    yield folder / "attributes.png"


def _distribution(values: Mapping[str, Sequence[int]], path: Path, *, measure: str, title: str) -> None:
    """The share of each count, by split, and the mean."""
    import seaborn
    from matplotlib.ticker import MaxNLocator

    every = [count for counts in values.values() for count in counts]
    few = max(every) - min(every) < FEW
    with drawing(7.6, 4.2, path) as figure:
        figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
        axes = figure.subplots()
        for place, (name, counts) in enumerate(values.items()):
            label, colour = f"{name}: mean {sum(counts) / len(counts):.1f}", seaborn.color_palette("colorblind")[place]
            if few:
                _bars_beside(axes, counts, label, colour, place=place, of=len(values))
            else:
                _outline(axes, counts, label, colour)
        axes.set_xlabel(measure, color=INK)
        axes.set_ylabel("share, percent", color=INK)
        axes.set_ylim(bottom=0)
        axes.set_xlim(min(every) - 1, max(every) + 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK)
        axes.legend(frameon=True, framealpha=0.9, edgecolor="none")
        seaborn.despine(ax=axes)


def _bars_beside(axes: Axes, counts: Sequence[int], label: str, colour: Any, *, place: int, of: int) -> None:
    shares = sorted(Counter(counts).items())
    width = 0.8 / of
    centres = [count + (place - (of - 1) / 2) * width for count, _ in shares]
    axes.bar(centres, [100 * n / len(counts) for _, n in shares], width=0.92 * width, color=colour, label=label, zorder=2)


def _outline(axes: Axes, counts: Sequence[int], label: str, colour: Any) -> None:
    import seaborn

    weights = [100 / len(counts)] * len(counts)
    style = {"element": "step", "alpha": 0.08, "linewidth": 1.7}
    seaborn.histplot(x=counts, weights=weights, discrete=True, fill=True, color=colour, label=label, ax=axes, **style)


def _named(census: Census, path: Path, *, title: str) -> None:
    """Colours and garments: the share of captions that name them."""
    with drawing(11.0, 5.2, path) as figure:
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
        figure.suptitle(plain(title), fontsize=12, color=INK, x=0.01, ha="left")
        left, right = figure.subplots(1, 2)
        _bars(left, census, "colour", "colours named")
        _bars(right, census, "garment", "garments named")


def _bars(axes: Axes, census: Census, kind: str, title: str) -> None:
    import seaborn

    names = list(census.named[kind])[:SHOWN]
    shares = [100 * census.named[kind][name] / max(census.captions, 1) for name in names]
    colours = [_paint(name) for name in names] if kind == "colour" else [seaborn.color_palette("colorblind")[0]] * len(names)
    axes.barh(names, shares, color=colours, edgecolor=PALE, linewidth=0.6, height=0.72)
    for row, share in enumerate(shares):
        axes.text(share, row, f" {share:.1f}", va="center", fontsize=8.5, color=INK)
    axes.invert_yaxis()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("captions that name it, percent", color=INK)
    axes.margins(x=0.1)
    axes.grid(visible=False, axis="y")
    seaborn.despine(ax=axes, left=True)


def _paint(name: str) -> str:
    """The colour of a colour's name."""
    return _PAINT.get(name, "#bbbbbb")
