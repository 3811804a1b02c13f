"""The pedestrian's head: face, hair, headwear, glasses, in figure units (see `_walkers_canvas`)."""

from __future__ import annotations

from collections.abc import Mapping

from datasets._walkers_canvas import Canvas, Cloth, limb, oval, rounded, shade
from datasets._walkers_identity import NONE

_Y, _RX, _RY = 0.086, 0.052, 0.068
"""Centre and radii of the head."""


def draw_head(canvas: Canvas, attributes: Mapping[str, str], cloths: Mapping[str, Cloth], view: str) -> None:
    """Neck, head and all that is on it, in the order in which one covers the other."""
    style, wear = attributes["hair.style"], attributes["headwear.type"]
    hair = cloths["hair"]
    if style != "bald" and wear != "hood" and view != "back":
        _hair_behind(canvas, style, hair, view)
    canvas.shape(limb([(0, 0.12), (0, 0.178)], [0.052, 0.06]), cloths["skin"].darker(0.88), "head", edge=1)
    _face(canvas, cloths["skin"], view)
    if style != "bald" and wear != "hood":
        _hair(canvas, style, hair, view)
    if attributes["glasses.type"] != NONE and view != "back":
        _glasses(canvas, attributes["glasses.type"], view)
    if wear != NONE:
        _HEADWEAR[wear](canvas, cloths["upper" if wear == "hood" else "headwear"], view)


def _face(canvas: Canvas, skin: Cloth, view: str) -> None:
    ear = skin.darker(0.92)
    if view == "side":
        canvas.shape(
            rounded(
                [
                    (-0.052, 0.05),
                    (-0.02, 0.016),
                    (0.03, 0.02),
                    (0.054, 0.06),
                    (0.066, 0.1),
                    (0.05, 0.108),
                    (0.044, 0.148),
                    (0.0, 0.15),
                    (-0.045, 0.12),
                ],
                1,
            ),
            skin,
            "head",
        )
        canvas.shape(oval(-0.008, 0.095, 0.011, 0.017, 10), ear, "head")
        canvas.shape(oval(0.036, 0.083, 0.006, 0.008, 8), Cloth((40, 32, 30)), "head", edge=1)
        return
    for side in (-1, 1):
        canvas.shape(oval(side * _RX, 0.093, 0.011, 0.017, 10), ear, "head")
    canvas.shape(oval(0, _Y, _RX, _RY), skin, "head")
    if view == "front":
        for side in (-1, 1):
            canvas.shape(oval(side * 0.02, 0.084, 0.0065, 0.0075, 8), Cloth((40, 32, 30)), "head", edge=1)
            canvas.stroke([(side * 0.012, 0.069), (side * 0.03, 0.068)], shade(skin.colour, 0.6), 0.006)
        canvas.stroke([(-0.013, 0.122), (0.0, 0.126), (0.013, 0.122)], (176, 84, 78), 0.008)
        canvas.stroke([(0.0, 0.09), (0.004, 0.106)], shade(skin.colour, 0.8), 0.006)


def _hair_behind(canvas: Canvas, style: str, hair: Cloth, view: str) -> None:
    """What falls behind face and neck."""
    back = hair.darker(0.86)
    if style == "long" and view == "front":
        for side in (-1, 1):
            strand = [(side * 0.048, 0.05), (side * 0.064, 0.13), (side * 0.066, 0.23)]
            canvas.shape(limb(strand, [0.03, 0.046, 0.03]), back, "hair")
    elif style == "ponytail" and view == "front":
        canvas.shape(limb([(0.03, 0.05), (0.078, 0.09), (0.082, 0.2)], [0.035, 0.045, 0.02]), back, "hair")


def _hair(canvas: Canvas, style: str, hair: Cloth, view: str) -> None:
    if style == "bun":
        x, y = (-0.062, 0.03) if view == "side" else (0.0, -0.008)
        canvas.shape(oval(x, y, 0.032, 0.028), hair, "hair")
    {"front": _hair_front, "back": _hair_back, "side": _hair_side}[view](canvas, style, hair)


def _hair_front(canvas: Canvas, style: str, hair: Cloth) -> None:
    low = 0.13 if style == "long" else 0.085
    canvas.shape(
        rounded(
            [
                (-0.058, low),
                (-0.06, 0.05),
                (-0.035, 0.006),
                (0.035, 0.006),
                (0.06, 0.05),
                (0.058, low),
                (0.047, low),
                (0.043, 0.062),
                (0.012, 0.046),
                (-0.03, 0.056),
                (-0.045, 0.068),
                (-0.047, low),
            ],
            1,
        ),
        hair,
        "hair",
    )


def _hair_back(canvas: Canvas, style: str, hair: Cloth) -> None:
    if style == "long":
        outline = [(-0.045, 0.01), (0.045, 0.01), (0.066, 0.08), (0.078, 0.26), (0.0, 0.285), (-0.078, 0.26), (-0.066, 0.08)]
    else:
        outline = [
            (-0.04, 0.008),
            (0.04, 0.008),
            (0.062, 0.06),
            (0.054, 0.125),
            (0.02, 0.142),
            (-0.02, 0.142),
            (-0.054, 0.125),
            (-0.062, 0.06),
        ]
    canvas.shape(rounded(outline), hair, "hair")
    if style == "ponytail":
        canvas.shape(limb([(0, 0.06), (0.004, 0.13), (0.0, 0.26)], [0.03, 0.062, 0.024]), hair.darker(1.12), "hair", edge=0.6)


def _hair_side(canvas: Canvas, style: str, hair: Cloth) -> None:
    if style == "long":
        outline = [
            (0.048, 0.05),
            (0.04, 0.008),
            (-0.03, 0.0),
            (-0.066, 0.05),
            (-0.075, 0.16),
            (-0.085, 0.26),
            (-0.03, 0.27),
            (-0.012, 0.17),
            (-0.012, 0.07),
            (0.02, 0.055),
        ]
    else:
        outline = [
            (0.05, 0.052),
            (0.042, 0.01),
            (-0.02, 0.0),
            (-0.062, 0.04),
            (-0.062, 0.1),
            (-0.045, 0.135),
            (-0.026, 0.12),
            (-0.016, 0.07),
            (0.02, 0.052),
        ]
    canvas.shape(rounded(outline, 1), hair, "hair")
    if style == "ponytail":
        canvas.shape(limb([(-0.05, 0.045), (-0.098, 0.08), (-0.1, 0.2)], [0.03, 0.052, 0.02]), hair.darker(1.1), "hair")


def _glasses(canvas: Canvas, kind: str, view: str) -> None:
    frame, lens = Cloth((24, 22, 24)), Cloth((26, 26, 30) if kind == "sunglasses" else (205, 226, 238))
    eyes = [(0.04, 0.016)] if view == "side" else [(-0.023, 0.021), (0.023, 0.021)]
    canvas.stroke([(-0.01, 0.08), (0.045, 0.08)] if view == "side" else [(-0.05, 0.079), (0.05, 0.079)], frame.colour, 0.011, "glasses")
    for x, radius in eyes:
        canvas.shape(oval(x, 0.085, radius, 0.017, 12), frame, "glasses", edge=1)
        canvas.shape(oval(x, 0.085, radius * 0.68, 0.0115, 12), lens, "glasses", edge=1)


# ------------------------------------------------------------------------------------------------------------ headwear


def _cap(canvas: Canvas, cloth: Cloth, view: str) -> None:
    dome = [(-0.06, 0.056), (-0.058, 0.012), (-0.025, -0.018), (0.025, -0.018), (0.058, 0.012), (0.06, 0.056)]
    canvas.shape(rounded(dome, 1), cloth, "headwear")
    canvas.stroke([(0, -0.012), (0, 0.045)], shade(cloth.colour, 0.7), 0.006)
    if view == "front":
        canvas.shape(
            rounded([(-0.052, 0.046), (0.052, 0.046), (0.066, 0.066), (0.03, 0.074), (-0.03, 0.074), (-0.066, 0.066)], 1),
            cloth.darker(0.8),
            "headwear",
        )
    elif view == "side":
        canvas.shape(rounded([(0.03, 0.036), (0.062, 0.04), (0.122, 0.06), (0.118, 0.07), (0.04, 0.062)], 1), cloth.darker(0.8), "headwear")
    else:
        canvas.shape(oval(0, 0.05, 0.02, 0.012, 12), cloth.darker(0.5), "headwear")


def _beanie(canvas: Canvas, cloth: Cloth, view: str) -> None:
    canvas.shape(oval(0, -0.04, 0.02, 0.018, 12), cloth.darker(1.15), "headwear")
    canvas.shape(rounded([(-0.06, 0.06), (-0.06, 0.0), (-0.025, -0.035), (0.025, -0.035), (0.06, 0.0), (0.06, 0.06)], 1), cloth, "headwear")
    canvas.shape([(-0.064, 0.034), (0.064, 0.034), (0.063, 0.064), (-0.063, 0.064)], cloth.darker(0.84), "headwear")


def _hat(canvas: Canvas, cloth: Cloth, view: str) -> None:
    canvas.shape(oval(0.008 if view == "side" else 0, 0.046, 0.112, 0.02), cloth.darker(0.86), "headwear")
    canvas.shape(
        rounded([(-0.056, 0.046), (-0.05, -0.03), (-0.02, -0.042), (0.02, -0.042), (0.05, -0.03), (0.056, 0.046)], 1), cloth, "headwear"
    )
    canvas.stroke([(-0.052, 0.03), (0.052, 0.03)], shade(cloth.colour, 0.5), 0.014)


def _hood(canvas: Canvas, cloth: Cloth, view: str) -> None:
    if view == "front":
        around = [
            (-0.07, 0.15),
            (-0.078, 0.07),
            (-0.045, -0.005),
            (0.0, -0.02),
            (0.045, -0.005),
            (0.078, 0.07),
            (0.07, 0.15),
            (0.03, 0.185),
            (0.04, 0.14),
            (0.044, 0.08),
        ]
        canvas.shape(rounded([*around, (0.0, 0.032), (-0.044, 0.08), (-0.04, 0.14), (-0.03, 0.185)], 1), cloth, "headwear")
    elif view == "back":
        canvas.shape(
            rounded([(-0.07, 0.17), (-0.08, 0.07), (-0.045, -0.008), (0.045, -0.008), (0.08, 0.07), (0.07, 0.17)], 2), cloth, "headwear"
        )
    else:
        canvas.shape(
            rounded(
                [
                    (0.042, 0.165),
                    (0.03, 0.12),
                    (0.034, 0.05),
                    (0.046, 0.02),
                    (0.01, -0.018),
                    (-0.05, 0.0),
                    (-0.09, 0.07),
                    (-0.07, 0.18),
                    (-0.01, 0.19),
                ],
                1,
            ),
            cloth,
            "headwear",
        )


_HEADWEAR = {"cap": _cap, "beanie": _beanie, "hat": _hat, "hood": _hood}
