"""One picture of one pedestrian: wardrobe, pose, scene, camera, and what of it all can be seen. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import pi
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from datasets._walkers_body import Pose, pose_body
from datasets._walkers_canvas import OVERSAMPLING, PARTS, RGB, Canvas, Cloth, oval
from datasets._walkers_carried import draw_carried
from datasets._walkers_clothes import draw_arm, draw_legs, draw_trunk
from datasets._walkers_head import draw_head
from datasets._walkers_identity import Identity
from datasets._walkers_scene import draw_background, draw_occluder

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are the first pixels outside."""

PALETTE: Mapping[str, RGB] = {
    "black": (36, 36, 40),
    "white": (242, 242, 240),
    "grey": (140, 143, 148),
    "red": (204, 34, 42),
    "blue": (40, 88, 204),
    "green": (38, 146, 68),
    "yellow": (248, 214, 44),
    "orange": (243, 128, 26),
    "pink": (248, 152, 194),
    "purple": (124, 54, 172),
    "brown": (118, 74, 40),
}
_HAIR: Mapping[str, RGB] = {
    "black": (34, 29, 28),
    "brown": (98, 60, 34),
    "blond": (226, 190, 108),
    "grey": (172, 172, 176),
    "red": (176, 74, 30),
}
_SKIN: tuple[RGB, ...] = ((246, 214, 190), (236, 196, 166), (222, 176, 142), (196, 146, 110), (154, 106, 76), (108, 72, 52))
_DENIM: Mapping[str, RGB] = {"blue": (62, 100, 170), "black": (44, 44, 50), "grey": (134, 138, 144)}

_LEAST_PIXELS: Mapping[str, float] = {
    "head": 60,
    "hair": 14,
    "headwear": 24,
    "glasses": 5,
    "upper": 180,
    "lower": 140,
    "shoes": 26,
    "carried": 20,
    "logo": 45,
}
"""Pixels of a part, in an image of 128 x 64, below which no one would speak of it."""


@dataclass(frozen=True)
class PartSeen:
    """`box` bounds the pixels that show the part, `share` is how much of it nothing in front of the pedestrian hides."""

    box: Box
    share: float
    clear: bool
    """Enough of it can be seen to speak of it."""


@dataclass(frozen=True)
class Picture:
    """One drawn image with its truth. `parts` has the parts that show at all."""

    image: Image.Image
    view: str
    parts: Mapping[str, PartSeen]


def draw_picture(identity: Identity, random: Random, *, height: int, width: int, occlusion: float) -> Picture:
    """Draw the pedestrian once, in a pose, a place and a light of its own."""
    pose = draw_pose(random)
    canvas = _placed_canvas(random, height, width, mirrored=pose.mirrored)
    _draw_shadow(canvas)
    _draw_pedestrian(canvas, identity, pose)
    whole = _counts(canvas.parts)
    if random.random() < occlusion:
        draw_occluder(canvas, random)
    image = _shaded(canvas.picture.reduce(OVERSAMPLING), canvas.parts, random)
    return Picture(_filmed(image, random), pose.view, _seen(canvas.parts, whole, height))


def draw_pose(random: Random) -> Pose:
    view = random.choices(("front", "back", "side"), (0.42, 0.26, 0.32))[0]
    return Pose(view, random.random() < 0.5, random.uniform(0, 2 * pi), random.uniform(0.55, 1.0))


def _placed_canvas(random: Random, height: int, width: int, *, mirrored: bool) -> Canvas:
    """The background, and the pedestrian's place in a crop that is never quite right."""
    background = draw_background(random, width, height)
    size = height * random.uniform(0.84, 0.93)
    top = random.uniform(0.035, 0.075) * height
    return Canvas(background, width * (0.5 + random.uniform(-0.06, 0.06)), top, size, mirrored=mirrored)


def _draw_shadow(canvas: Canvas) -> None:
    for rx, darkness in ((0.2, 0.9), (0.14, 0.8)):
        canvas.dim(oval(0.02, 0.985, rx, 0.024), darkness)


def _draw_pedestrian(canvas: Canvas, identity: Identity, pose: Pose) -> None:
    """From what is behind to what is in front."""
    attributes, cloths = identity.attributes, wardrobe(identity)
    body, carried, view = pose_body(attributes, pose), attributes["carried.type"], pose.view
    far, near = body.arms
    hidden = view == "back" and carried == "book"  # held before the chest

    def carry(*kinds: str) -> None:
        if carried in kinds:
            draw_carried(canvas, carried, cloths["carried"], body, view)

    if view == "side":
        canvas.top += (0.942 - max(leg.end[1] for leg in body.legs)) * canvas.height  # the lower foot stands on the ground
        draw_arm(canvas, attributes, cloths, far, body.girth, dim=0.8)
    if hidden:
        draw_arm(canvas, attributes, cloths, near, body.girth)
        carry("book")
    carry("suitcase")
    draw_legs(canvas, attributes, cloths, body, pose)
    draw_trunk(canvas, attributes, cloths["upper"], body, pose)
    if view != "side":
        draw_arm(canvas, attributes, cloths, far, body.girth)
    carry("backpack")
    draw_head(canvas, attributes, cloths, view)
    if not hidden:
        draw_arm(canvas, attributes, cloths, near, body.girth)
        carry("handbag", "shoulder bag", "shopping bag", "umbrella", "book", "phone")


def wardrobe(identity: Identity) -> dict[str, Cloth]:
    """The colours of this identity, each a little off its name's; near twins share what is off."""
    random = Random(f"walkers wardrobe {identity.looks}")
    skin = random.choice(_SKIN)
    cloths = {"skin": Cloth(_off(random, skin, 0.03))}
    for part in ("hair", "headwear", "upper", "lower", "shoes", "carried"):
        table = _HAIR if part == "hair" else _DENIM if identity.attributes.get(f"{part}.type") == "jeans" else PALETTE
        colour = _off(random, table.get(identity.attributes[f"{part}.colour"], (128, 128, 128)), 0.06)
        pattern = identity.attributes["upper.pattern"] if part == "upper" else "plain"
        cloths[part] = Cloth(colour, "plain" if pattern == "logo" else pattern, _accent(colour))
    return cloths


def _off(random: Random, colour: RGB, amount: float) -> RGB:
    """The colour, a little lighter or darker and a little towards another hue."""
    light = random.uniform(1 - amount, 1 + amount)
    red, green, blue = (round(max(0.0, min(255.0, channel * light + random.uniform(-60, 60) * amount))) for channel in colour)
    return red, green, blue


def _accent(colour: RGB) -> RGB:
    """What patterns and emblems on cloth of this colour are printed in: white, or dark on what is light."""
    light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return (250, 250, 248) if light < 165 else (52, 54, 66)


# -------------------------------------------------------------------------------------------------------------- camera


def _shaded(image: Image.Image, parts: Image.Image, random: Random) -> Image.Image:
    """Light from one side, on the pedestrian only."""
    pixels = np.asarray(image, dtype=np.float32)  # (H, W, 3)
    mask = np.asarray(parts) > 0  # (H, W)
    columns = np.linspace(-1, 1, mask.shape[1], dtype=np.float32)
    light = 1 + random.uniform(-0.22, 0.22) * columns  # (W,)
    pixels = np.where(mask[..., None], pixels * light[None, :, None], pixels)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _filmed(image: Image.Image, random: Random) -> Image.Image:
    """Resolution, focus, colour cast, exposure, contrast and noise of a camera; all mild."""
    width, height = image.size
    scale = random.uniform(0.62, 1.0)
    if scale < 0.9:
        small = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(small, Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.BICUBIC)
    if (blur := random.uniform(0.0, 0.5)) > 0.2:
        image = image.filter(ImageFilter.GaussianBlur(blur * height / 128))
    pixels = np.asarray(image, dtype=np.float32)
    cast = np.array([random.uniform(0.94, 1.06) for _ in range(3)], dtype=np.float32)
    pixels = (pixels - 128) * random.uniform(0.88, 1.06) + 128
    pixels = pixels * (cast * random.uniform(0.86, 1.1))
    noise = np.random.default_rng(random.getrandbits(63)).standard_normal(pixels.shape, dtype=np.float32)
    pixels += random.uniform(1.0, 5.0) * noise
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


# --------------------------------------------------------------------------------------------------------------- truth


def _counts(parts: Image.Image) -> NDArray[np.int64]:
    """(PARTS + 2,) pixels that show each part."""
    return np.bincount(np.asarray(parts).ravel(), minlength=len(PARTS) + 2)


def _seen(parts: Image.Image, whole: NDArray[np.int64], height: int) -> dict[str, PartSeen]:
    """The parts that show, from the part map and the pixels they had before anything stood in front."""
    pixels, counts, seen = np.asarray(parts), _counts(parts), {}
    for place, part in enumerate(PARTS, start=1):
        if counts[place]:
            here = pixels == place
            rows, columns = np.flatnonzero(here.any(axis=1)), np.flatnonzero(here.any(axis=0))
            share = float(counts[place] / whole[place])
            clear = share >= 0.5 and counts[place] >= _LEAST_PIXELS[part] * (height / 128) ** 2
            box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
            seen[part] = PartSeen(box, round(share, 3), bool(clear))
    return seen
