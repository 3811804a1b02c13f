"""Where they walk: backgrounds, and what stands between pedestrian and camera.

Scene units: the image's height is 1, x runs from 0 to the image's width. Backgrounds are muted and low in contrast, so
that the pedestrian stands out.
"""

from __future__ import annotations

from random import Random

from PIL import Image, ImageDraw

from datasets._walkers_canvas import OVERSAMPLING, RGB, Canvas, Point, blend, oval, rounded, shade


class Scene:
    """A picture that is drawn on in scene units."""

    def __init__(self, width: int, height: int, colour: RGB) -> None:
        self.picture = Image.new("RGB", (width, height), colour)
        self._draw, self._unit = ImageDraw.Draw(self.picture), height
        self.width = width / height

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
        self._draw.rectangle((x0 * self._unit, y0 * self._unit, x1 * self._unit, y1 * self._unit), fill=colour)

    def polygon(self, points: list[Point], colour: RGB) -> None:
        self._draw.polygon([(x * self._unit, y * self._unit) for x, y in points], fill=colour)

    def line(self, points: list[Point], colour: RGB, width: float) -> None:
        self._draw.line([(x * self._unit, y * self._unit) for x, y in points], fill=colour, width=max(1, round(width * self._unit)))


def draw_background(random: Random, width: int, height: int) -> Image.Image:
    """A background, OVERSAMPLING times as large as the image."""
    light = random.uniform(0.86, 1.1)
    scene = Scene(width * OVERSAMPLING, height * OVERSAMPLING, (200, 200, 200))
    random.choice((_street, _wall, _park, _shop, _pavement))(scene, random, light)
    return scene.picture


def _muted(random: Random, light: float, *colours: RGB) -> RGB:
    """One of the colours in this light, a little off."""
    red, green, blue = shade(random.choice(colours), light * random.uniform(0.94, 1.06))
    return red, green, blue


def _ground(scene: Scene, random: Random, light: float, horizon: float) -> None:
    """Paving that runs away from the viewer."""
    colour = _muted(random, light, (176, 172, 166), (158, 158, 160), (188, 178, 164), (142, 142, 146))
    scene.box(0, horizon, scene.width, 1, colour)
    joint, vanish = shade(colour, 0.9), scene.width * random.uniform(0.2, 0.8)
    for k in range(-6, 14):
        foot = vanish + (k - 4) * 0.16
        scene.line([(vanish + (foot - vanish) * 0.25, horizon), (foot, 1)], joint, 0.005)
    y, step = horizon, 0.02
    while y < 1:
        y, step = y + step, step * 1.35
        scene.line([(0, y), (scene.width, y)], joint, 0.005)


def _windows(scene: Scene, random: Random, light: float, bottom: float) -> None:
    glass = _muted(random, light, (112, 128, 140), (96, 106, 116), (140, 150, 156))
    x = random.uniform(-0.08, 0.02)
    while x < scene.width:
        for y in (0.03, 0.22, 0.41):
            if y + 0.13 < bottom:
                scene.box(x, y, x + 0.085, y + 0.13, shade(glass, random.uniform(0.88, 1.12)))
                scene.line([(x + 0.042, y), (x + 0.042, y + 0.13)], shade(glass, 1.3), 0.006)
        x += 0.15


def _street(scene: Scene, random: Random, light: float) -> None:
    horizon = random.uniform(0.52, 0.66)
    facade = _muted(random, light, (196, 186, 172), (182, 176, 172), (170, 156, 146), (204, 200, 190))
    scene.box(0, 0, scene.width, horizon, facade)
    _windows(scene, random, light, horizon)
    scene.box(0, horizon - 0.03, scene.width, horizon, shade(facade, 0.8))
    _ground(scene, random, light, horizon)
    if random.random() < 0.6:
        _car(scene, random, light, horizon)
    if random.random() < 0.4:
        _lamp(scene, random, light, horizon)
    if random.random() < 0.5:
        _stranger(scene, random, light, horizon)


def _wall(scene: Scene, random: Random, light: float) -> None:
    horizon = random.uniform(0.72, 0.86)
    brick = _muted(random, light, (172, 140, 126), (186, 178, 166), (160, 158, 158), (200, 190, 172))
    scene.box(0, 0, scene.width, horizon, brick)
    mortar, row, y = shade(brick, 1.1), 0, 0.0
    while y < horizon:
        scene.line([(0, y), (scene.width, y)], mortar, 0.006)
        for k in range(-1, 7):
            x = k * 0.1 + row % 2 * 0.05
            scene.line([(x, y), (x, min(y + 0.04, horizon))], mortar, 0.005)
        y, row = y + 0.04, row + 1
    if random.random() < 0.5:
        x, y = random.uniform(0, scene.width - 0.1), random.uniform(0.08, 0.4)
        scene.box(x, y, x + 0.13, y + 0.17, _muted(random, light, (222, 216, 200), (150, 160, 150), (196, 188, 150)))
        scene.box(x + 0.02, y + 0.03, x + 0.11, y + 0.08, _muted(random, light, (150, 140, 130), (120, 130, 140)))
    _ground(scene, random, light, horizon)


def _park(scene: Scene, random: Random, light: float) -> None:
    horizon = random.uniform(0.46, 0.6)
    scene.box(0, 0, scene.width, horizon, _muted(random, light, (204, 214, 220), (214, 214, 210)))
    for _ in range(random.randint(3, 6)):
        x, y, size = random.uniform(0, scene.width), random.uniform(0.1, 0.34), random.uniform(0.1, 0.2)
        leaf = _muted(random, light, (128, 146, 112), (112, 132, 104), (146, 154, 118))
        scene.box(x - 0.014, y, x + 0.014, horizon + 0.03, _muted(random, light, (116, 100, 84)))
        scene.polygon(oval(x, y, size * 0.8, size, 14), leaf)
        scene.polygon(oval(x - size * 0.25, y - size * 0.3, size * 0.4, size * 0.5, 12), shade(leaf, 1.1))
    scene.box(0, horizon, scene.width, 1, _muted(random, light, (150, 164, 124), (140, 152, 116), (162, 166, 130)))
    x, lean = scene.width * random.uniform(0.35, 0.65), random.uniform(-0.1, 0.1)
    scene.polygon(
        [(x - 0.05, horizon), (x + 0.05, horizon), (x + 0.34 + lean, 1), (x - 0.34 + lean, 1)],
        _muted(random, light, (190, 182, 164), (178, 172, 160)),
    )
    if random.random() < 0.4:
        _bench(scene, random, light, horizon)
    if random.random() < 0.35:
        _stranger(scene, random, light, horizon)


def _shop(scene: Scene, random: Random, light: float) -> None:
    horizon = random.uniform(0.68, 0.8)
    frame = _muted(random, light, (120, 112, 104), (96, 100, 104), (150, 140, 126))
    scene.box(0, 0, scene.width, horizon, frame)
    pane = random.uniform(0.2, 0.3)
    x = random.uniform(-pane, 0)
    while x < scene.width:
        glass = _muted(random, light, (164, 176, 180), (146, 156, 162), (184, 184, 172))
        scene.box(x + 0.012, 0.15, x + pane - 0.012, horizon - 0.06, glass)
        for y in (0.36, 0.5):
            scene.box(x + 0.02, y, x + pane - 0.02, y + 0.012, shade(glass, 0.8))
            for k in range(3):
                scene.box(
                    x + 0.03 + k * 0.06,
                    y - 0.07,
                    x + 0.07 + k * 0.06,
                    y,
                    blend(glass, _muted(random, light, (170, 120, 110), (110, 130, 160), (190, 176, 120)), 0.45),
                )
        scene.polygon([(x + 0.02, 0.15), (x + 0.08, 0.15), (x + 0.02, 0.34)], blend(glass, (255, 255, 255), 0.3))
        x += pane
    awning = _muted(random, light, (150, 104, 100), (104, 122, 132), (124, 136, 112), (176, 160, 126))
    for k in range(-1, 12):
        scene.polygon(
            [(k * 0.08, 0), (k * 0.08 + 0.08, 0), (k * 0.08 + 0.08, 0.11), (k * 0.08 + 0.04, 0.13), (k * 0.08, 0.11)],
            awning if k % 2 else (216, 212, 202),
        )
    _ground(scene, random, light, horizon)


def _pavement(scene: Scene, random: Random, light: float) -> None:
    """Seen from above, as a camera on a pole sees it."""
    _ground(scene, random, light, -0.1)
    kerb, lean = random.uniform(-0.1, scene.width * 0.5), random.uniform(-0.25, 0.25)
    road = _muted(random, light, (122, 124, 128), (136, 134, 132))
    side = random.choice((-1, 1))
    edge = scene.width if side > 0 else 0
    x = edge - side * abs(kerb) * 0.8
    scene.polygon([(x, 0), (x + lean, 1), (edge + side, 1), (edge + side, 0)], road)
    scene.line([(x, 0), (x + lean, 1)], shade(road, 1.45), 0.02)
    if random.random() < 0.4:
        y = random.uniform(0.1, 0.8)
        scene.polygon(oval(random.uniform(0, scene.width), y, 0.06, 0.03, 14), shade(road, 0.8))
    if random.random() < 0.4:
        _stranger(scene, random, light, random.uniform(0.2, 0.5))


# ------------------------------------------------------------------------------------------------------------- clutter


def _car(scene: Scene, random: Random, light: float, ground: float) -> None:
    x, y = random.uniform(-0.3, scene.width), ground + 0.04
    paint = _muted(random, light, (164, 168, 172), (120, 96, 92), (98, 110, 126), (206, 206, 202), (84, 84, 88))
    scene.polygon([(x + 0.06, y - 0.1), (x + 0.12, y - 0.17), (x + 0.3, y - 0.17), (x + 0.37, y - 0.1)], shade(paint, 0.66))
    scene.polygon(rounded([(x, y), (x, y - 0.09), (x + 0.05, y - 0.11), (x + 0.4, y - 0.1), (x + 0.46, y - 0.06), (x + 0.46, y)], 1), paint)
    for wheel in (0.1, 0.36):
        scene.polygon(oval(x + wheel, y, 0.04, 0.04, 14), (66, 66, 70))


def _lamp(scene: Scene, random: Random, light: float, ground: float) -> None:
    x, iron = random.uniform(0.02, scene.width), _muted(random, light, (94, 98, 100), (112, 112, 110))
    scene.box(x, 0.0, x + 0.014, ground + 0.03, iron)
    scene.polygon(oval(x + 0.007, 0.04, 0.03, 0.03, 10), (232, 226, 204))


def _bench(scene: Scene, random: Random, light: float, ground: float) -> None:
    x, wood = random.uniform(-0.1, scene.width - 0.1), _muted(random, light, (140, 116, 92), (124, 110, 98))
    for y in (ground - 0.03, ground, ground + 0.05):
        scene.box(x, y, x + 0.22, y + 0.016, wood)
    for leg in (0.02, 0.19):
        scene.box(x + leg, ground - 0.03, x + leg + 0.014, ground + 0.11, shade(wood, 0.7))


def _stranger(scene: Scene, random: Random, light: float, ground: float) -> None:
    """Someone far away, too small and too pale to be meant."""
    x = random.choice((random.uniform(0, 0.12), random.uniform(scene.width - 0.12, scene.width)))
    top, size = ground - 0.14, 0.2
    for y0, y1, half, colours in (
        (0.2, 0.55, 0.13, ((128, 128, 136), (150, 132, 126), (120, 132, 124))),
        (0.5, 1.0, 0.1, ((92, 94, 104), (110, 104, 100))),
    ):
        scene.box(x - half * size, top + y0 * size, x + half * size, top + y1 * size, _muted(random, light, *colours))
    scene.polygon(oval(x, top + 0.1 * size, 0.08 * size, 0.1 * size, 10), _muted(random, light, (186, 156, 136), (136, 104, 84)))


# ----------------------------------------------------------------------------------------------------------- occluders


def draw_occluder(canvas: Canvas, random: Random) -> None:
    """Something in front of the pedestrian; the part map forgets what it hides."""
    random.choice((_bollard, _bicycle, _passer_by, _post))(canvas, random)


def _bollard(canvas: Canvas, random: Random) -> None:
    x, top, half = random.uniform(-0.12, 0.12), random.uniform(0.62, 0.72), 0.055
    canvas.hide(rounded([(x - half, top), (x + half, top), (x + half, 1.2), (x - half, 1.2)], 1), (104, 106, 110))
    canvas.hide([(x - half, top + 0.08), (x + half, top + 0.08), (x + half, top + 0.12), (x - half, top + 0.12)], (214, 210, 200))


def _bicycle(canvas: Canvas, random: Random) -> None:
    x, paint = random.uniform(-0.08, 0.08), random.choice(((70, 84, 96), (112, 70, 66), (80, 100, 84)))
    wheels = [(x - 0.2, 0.88), (x + 0.2, 0.88)]
    for wheel, y in wheels:
        canvas.hide_line([*oval(wheel, y, 0.13, 0.13, 28), (wheel + 0.13, y)], (52, 52, 56), 0.022)
        for k in range(0, 28, 4):
            canvas.hide_line([(wheel, y), oval(wheel, y, 0.13, 0.13, 28)[k]], (150, 150, 152), 0.005)
    saddle, bars, crank = (x - 0.1, 0.66), (x + 0.14, 0.62), (x - 0.02, 0.88)
    canvas.hide_line([wheels[0], saddle, crank, wheels[0]], paint, 0.02)
    canvas.hide_line([crank, (x + 0.15, 0.69), saddle], paint, 0.022)
    canvas.hide_line([wheels[1], bars, (x + 0.1, 0.6)], paint, 0.02)
    canvas.hide([(x - 0.15, 0.645), (x - 0.05, 0.64), (x - 0.06, 0.665), (x - 0.14, 0.67)], (48, 44, 44))


def _passer_by(canvas: Canvas, random: Random) -> None:
    """The shoulder of someone close to the camera, at the lower edge."""
    side, top = random.choice((-1, 1)), random.uniform(0.5, 0.68)
    coat = random.choice(((92, 94, 100), (124, 112, 104), (98, 108, 116), (140, 138, 134)))
    edge = side * 0.32
    canvas.hide(
        rounded(
            [
                (edge, top - 0.02),
                (side * 0.16, top + 0.02),
                (side * 0.05, top + 0.14),
                (side * 0.02, 1.25),
                (edge * 2, 1.25),
                (edge * 2, top),
            ],
            2,
        ),
        coat,
    )
    canvas.hide(oval(side * 0.3, top - 0.08, 0.1, 0.13, 18), random.choice(((54, 44, 38), (92, 74, 58), (130, 128, 126))))


def _post(canvas: Canvas, random: Random) -> None:
    x, half = random.choice((-1, 1)) * random.uniform(0.03, 0.15), random.uniform(0.018, 0.034)
    iron = random.choice(((110, 114, 116), (134, 130, 124), (88, 96, 92)))
    canvas.hide([(x - half, -0.4), (x + half, -0.4), (x + half, 1.3), (x - half, 1.3)], iron)
    canvas.hide([(x - half, -0.4), (x - half * 0.4, -0.4), (x - half * 0.4, 1.3), (x - half, 1.3)], shade(iron, 1.2))
