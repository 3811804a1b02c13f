"""What the pedestrian is drawn on: an oversized picture and, beside it, a map of which part each pixel shows.

Shapes are given in figure units: x to the right of the body's axis, y down from the crown, 1 is the body's height.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, hypot, pi, sin

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]

OVERSAMPLING = 3
"""Pixels drawn for one pixel of the image along each axis: the reduction smooths the edges."""
PARTS = ("head", "hair", "headwear", "glasses", "upper", "lower", "shoes", "carried", "logo")
BODY = len(PARTS) + 1
"""What the part map holds where the pedestrian shows but no named part does; part k of PARTS is k + 1, elsewhere is 0."""


@dataclass(frozen=True)
class Cloth:
    """What a surface is made of."""

    colour: RGB
    pattern: str = "plain"
    accent: RGB = (255, 255, 255)

    def darker(self, factor: float) -> Cloth:
        return replace(self, colour=shade(self.colour, factor), accent=shade(self.accent, factor))


@lru_cache(maxsize=4096)
def shade(colour: RGB, factor: float) -> RGB:
    """The colour made darker (below 1) or lighter."""
    red, green, blue = (max(0, min(255, round(channel * factor))) for channel in colour)
    return red, green, blue


@lru_cache(maxsize=4096)
def blend(one: RGB, other: RGB, share: float) -> RGB:
    """`share` of the other colour in the one."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def rounded(points: Sequence[Point], times: int = 2) -> list[Point]:
    """A closed polygon with its corners cut (Chaikin), so that it looks round."""
    for _ in range(times):
        cut: list[Point] = []
        for (x, y), (u, v) in zip(points, [*points[1:], points[0]], strict=True):
            cut += ((0.75 * x + 0.25 * u, 0.75 * y + 0.25 * v), (0.25 * x + 0.75 * u, 0.25 * y + 0.75 * v))
        points = cut
    return list(points)


def oval(x: float, y: float, rx: float, ry: float, corners: int = 20) -> list[Point]:
    """A polygon close to an ellipse."""
    return [(x + rx * cos(2 * pi * k / corners), y + ry * sin(2 * pi * k / corners)) for k in range(corners)]


def limb(joints: Sequence[Point], widths: Sequence[float], *, hem: bool = False) -> list[Point]:
    """The outline of a limb that runs through the joints, as wide as said at each, with round ends; with a hem the last is cut straight."""
    left: list[Point] = []
    right: list[Point] = []
    for k, ((x, y), width) in enumerate(zip(joints, widths, strict=True)):
        (x0, y0), (x1, y1) = joints[max(k - 1, 0)], joints[min(k + 1, len(joints) - 1)]
        length = hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = width / 2 * (y1 - y0) / length, width / 2 * (x0 - x1) / length
        left.append((x + dx, y + dy))
        right.append((x - dx, y - dy))
    end = [] if hem else _cap(joints[-2], joints[-1], widths[-1])
    return [*_cap(joints[1], joints[0], widths[0]), *left, *end, *right[::-1]]


def _cap(before: Point, end: Point, width: float) -> list[Point]:
    """What rounds off the end of a limb that comes from `before`."""
    (x0, y0), (x, y) = before, end
    length = hypot(x - x0, y - y0) or 1.0
    along, across = (x - x0) / length * width / 2, (y - y0) / length * width / 2
    return [(x + along * c + across * s, y + across * c - along * s) for c, s in ((0.7, 0.7), (1.0, 0.0), (0.7, -0.7))]


class Canvas:
    """An RGB picture and the part map (one byte a pixel), `margin` image pixels larger on each side than the image to come."""

    def __init__(self, background: Image.Image, axis: float, top: float, height: float, *, mirrored: bool) -> None:
        """`background` is oversampled; the body's axis, its crown and its height are in pixels of the part map."""
        self.picture = background
        self.parts = Image.new("L", (background.width // OVERSAMPLING, background.height // OVERSAMPLING))
        self._draw, self._mark = ImageDraw.Draw(self.picture), ImageDraw.Draw(self.parts)
        self._axis, self.top, self.height, self._side = axis, top, height, -1 if mirrored else 1
        self._line = max(2, round(height / 45))

    def _placed(self, points: Iterable[Point], scale: int) -> list[Point]:
        return [(scale * (self._axis + self._side * x * self.height), scale * (self.top + y * self.height)) for x, y in points]

    def shape(self, points: Sequence[Point], cloth: Cloth, part: str | None = None, *, edge: float = 0.74) -> None:
        """A filled polygon with an edge of a darker shade (`edge` 1: none), which shows `part` from now on."""
        placed = self._placed(points, OVERSAMPLING)
        if cloth.pattern == "plain":
            self._draw.polygon(placed, fill=cloth.colour)
        else:
            self._weave(placed, cloth)
        if edge != 1:
            self._draw.line([*placed, placed[0]], fill=shade(cloth.colour, edge), width=self._line)
        self._mark.polygon(self._placed(points, 1), fill=_place(part))

    def stroke(self, points: Sequence[Point], colour: RGB, width: float, part: str | None = None) -> None:
        """A line, its width in figure units."""
        pixels = max(1, round(width * self.height * OVERSAMPLING))
        self._draw.line(self._placed(points, OVERSAMPLING), fill=colour, width=pixels, joint="curve")
        if part is not None:
            self._mark.line(self._placed(points, 1), fill=_place(part), width=max(1, round(width * self.height)))

    def hide(self, points: Sequence[Point], colour: RGB) -> None:
        """A polygon in front of the pedestrian."""
        self._draw.polygon(self._placed(points, OVERSAMPLING), fill=colour)
        self._mark.polygon(self._placed(points, 1), fill=0)

    def hide_line(self, points: Sequence[Point], colour: RGB, width: float) -> None:
        """A line in front of the pedestrian, its width in figure units."""
        self._draw.line(self._placed(points, OVERSAMPLING), fill=colour, width=max(1, round(width * self.height * OVERSAMPLING)))
        self._mark.line(self._placed(points, 1), fill=0, width=max(1, round(width * self.height)))

    def dim(self, points: Sequence[Point], factor: float) -> None:
        """Darken what is there: a shadow."""
        placed = self._placed(points, OVERSAMPLING)
        x0, y0 = (int(min(point[axis] for point in placed)) for axis in (0, 1))
        x1, y1 = (int(max(point[axis] for point in placed)) + 1 for axis in (0, 1))
        mask = Image.new("L", (x1 - x0, y1 - y0))
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in placed], fill=round(255 * (1 - factor)))
        self.picture.paste((0, 0, 0), (x0, y0), mask)

    def _weave(self, placed: list[Point], cloth: Cloth) -> None:
        """Fill a placed polygon with patterned cloth. The pattern hangs on the body, not on the polygon."""
        x0, y0 = (int(min(point[axis] for point in placed)) - 1 for axis in (0, 1))
        x1, y1 = (int(max(point[axis] for point in placed)) + 2 for axis in (0, 1))
        mask = Image.new("L", (x1 - x0, y1 - y0))
        ImageDraw.Draw(mask).polygon([(x - x0, y - y0) for x, y in placed], fill=255)
        layer = Image.new("RGB", mask.size, cloth.colour)
        unit = self.height * OVERSAMPLING
        origin = (OVERSAMPLING * self._axis - x0, OVERSAMPLING * self.top - y0)
        _PATTERNS[cloth.pattern](ImageDraw.Draw(layer), layer.size, origin, unit, cloth.accent)
        self.picture.paste(layer, (x0, y0), mask)


def _place(part: str | None) -> int:
    return BODY if part is None else PARTS.index(part) + 1


def _lines(origin: float, spacing: float, extent: int) -> Iterable[float]:
    """Where lines of that spacing fall within [0, extent) when one goes through `origin`."""
    first = origin % spacing - spacing
    return (first + k * spacing for k in range(int(extent / spacing) + 3))


def _striped(draw: ImageDraw.ImageDraw, size: tuple[int, int], origin: Point, unit: float, accent: RGB) -> None:
    for y in _lines(origin[1], 0.052 * unit, size[1]):
        draw.rectangle((0, y, size[0], y + 0.02 * unit), fill=accent)


def _checked(draw: ImageDraw.ImageDraw, size: tuple[int, int], origin: Point, unit: float, accent: RGB) -> None:
    for x in _lines(origin[0], 0.06 * unit, size[0]):
        draw.rectangle((x, 0, x + 0.017 * unit, size[1]), fill=accent)
    for y in _lines(origin[1], 0.06 * unit, size[1]):
        draw.rectangle((0, y, size[0], y + 0.017 * unit), fill=accent)


def _dotted(draw: ImageDraw.ImageDraw, size: tuple[int, int], origin: Point, unit: float, accent: RGB) -> None:
    radius, spacing = 0.0135 * unit, 0.052 * unit
    for row, y in enumerate(_lines(origin[1], spacing, size[1])):
        for x in _lines(origin[0] + row % 2 * spacing / 2, spacing, size[0]):
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=accent)


_PATTERNS = {"striped": _striped, "checked": _checked, "dotted": _dotted}
