"""What the pedestrian wears below the neck, from legs to arms, in figure units (see `_walkers_canvas`)."""

from __future__ import annotations

from collections.abc import Mapping

from datasets._walkers_body import Body, Limb, Pose
from datasets._walkers_canvas import Canvas, Cloth, blend, limb, oval, rounded, shade
from datasets._walkers_identity import NONE

LIGHT_INNER = Cloth((226, 224, 218))
"""What shows in the opening of a jacket or a coat."""
_HEM = {"t-shirt": 0.535, "shirt": 0.545, "sweater": 0.53, "hoodie": 0.55, "jacket": 0.515, "coat": 0.72, "dress": 0.74}
_FLARE = {"coat": 0.03, "dress": 0.055}
_LEG_WIDTHS = {"trousers": (0.1, 0.084, 0.074), "jeans": (0.094, 0.07, 0.06), "leggings": (0.086, 0.06, 0.045)}


# ---------------------------------------------------------------------------------------------------------------- legs


def draw_legs(canvas: Canvas, attributes: Mapping[str, str], cloths: Mapping[str, Cloth], body: Body, pose: Pose) -> None:
    """Legs with what they wear, the farther one darker; then the seat of the garment."""
    farther = 0 if pose.view == "side" else None
    for number, leg in enumerate(body.legs):
        dim = 0.8 if number == farther else 1.0
        _leg(canvas, attributes, {part: cloth.darker(dim) for part, cloth in cloths.items()}, leg, body.girth)
        _shoe(canvas, attributes["shoes.type"], cloths["shoes"].darker(dim), cloths["skin"].darker(dim), leg, pose.view)
    if attributes["lower.type"] == "skirt":
        hem = body.hip + 0.035
        canvas.shape(
            rounded(
                [(-body.waist, 0.46), (body.waist, 0.46), (body.hip * 1.05, 0.56), (hem, 0.71), (-hem, 0.71), (-body.hip * 1.05, 0.56)], 1
            ),
            cloths["lower"],
            "lower",
        )
        fold = shade(cloths["lower"].colour, 0.78)
        for x in (-0.4, 0.1, 0.5):
            canvas.stroke([(x * body.hip, 0.56), (x * hem * 1.15, 0.7)], fold, 0.007)
    elif attributes["lower.type"] != NONE:
        canvas.shape(
            rounded([(-body.waist, 0.45), (body.waist, 0.45), (body.hip, 0.56), (0.02, 0.6), (-0.02, 0.6), (-body.hip, 0.56)], 1),
            cloths["lower"],
            "lower",
            edge=1,
        )


def _leg(canvas: Canvas, attributes: Mapping[str, str], cloths: Mapping[str, Cloth], leg: Limb, girth: float) -> None:
    kind, cloth = attributes["lower.type"], cloths["lower"]
    joints = (leg.root, leg.middle, leg.end)
    if kind in _LEG_WIDTHS:
        widths = _LEG_WIDTHS[kind]
        canvas.shape(limb(joints, (widths[0] * girth, widths[1] * (0.5 + girth / 2), widths[2]), hem=True), cloth, "lower")
        if kind == "jeans":
            _denim(canvas, leg, cloth)
        return
    canvas.shape(limb(joints, (0.08 * girth, 0.058 * (0.5 + girth / 2), 0.04)), cloths["skin"])
    if kind == "shorts":
        (x, y), (u, v) = leg.root, leg.middle
        end = (x + 0.86 * (u - x), y + 0.86 * (v - y))
        canvas.shape(limb((leg.root, end), (0.1 * girth, 0.098 * (0.4 + 0.6 * girth)), hem=True), cloth, "lower")


def _denim(canvas: Canvas, leg: Limb, cloth: Cloth) -> None:
    """The worn thigh, the turn-up."""
    worn = blend(cloth.colour, (255, 255, 255), 0.28)
    (x, y), (u, v), (p, q) = leg.root, leg.middle, leg.end
    canvas.stroke([(x + 0.3 * (u - x), y + 0.3 * (v - y)), (u, v)], worn, 0.022)
    canvas.shape(limb(((p, q - 0.035), (p, q - 0.012)), (0.064, 0.062)), Cloth(worn), "lower")


def _shoe(canvas: Canvas, kind: str, cloth: Cloth, skin: Cloth, leg: Limb, view: str) -> None:
    x, y = leg.end
    if view == "side":
        sole_points = [
            (x - 0.035, y - 0.012),
            (x + 0.02, y - 0.018),
            (x + 0.065, y + 0.022),
            (x + 0.1, y + 0.03),
            (x + 0.102, y + 0.058),
            (x - 0.042, y + 0.058),
        ]
    else:
        sole_points = [
            (x - 0.026, y - 0.02),
            (x + 0.026, y - 0.02),
            (x + 0.036, y + 0.03),
            (x + 0.033, y + 0.058),
            (x - 0.033, y + 0.058),
            (x - 0.036, y + 0.03),
        ]
    if kind == "boots":
        top = (x + 0.42 * (leg.middle[0] - x), y + 0.42 * (leg.middle[1] - y))
        canvas.shape(limb((top, leg.end), (0.072, 0.06)), cloth, "shoes")
    canvas.shape(rounded(sole_points, 1), skin if kind == "sandals" else cloth, None if kind == "sandals" else "shoes")
    left, right = min(p[0] for p in sole_points) + 0.006, max(p[0] for p in sole_points) - 0.004
    if kind == "sandals":
        canvas.stroke([(left, y + 0.052), (right, y + 0.052)], cloth.colour, 0.018, "shoes")
        for across in (0.008, 0.03):
            canvas.stroke([(left + 0.006, y + across), (right - 0.01, y + across + 0.006)], cloth.colour, 0.014, "shoes")
    elif kind == "sneakers":
        canvas.stroke([(left, y + 0.053), (right, y + 0.053)], (250, 250, 248), 0.015, "shoes")
        canvas.stroke([(x - 0.012, y + 0.002), (x + 0.018, y + 0.008)], (250, 250, 248), 0.009, "shoes")
    else:
        canvas.stroke([(left, y + 0.056), (right, y + 0.056)], shade(cloth.colour, 0.5), 0.007, "shoes")


# --------------------------------------------------------------------------------------------------------------- trunk


def draw_trunk(canvas: Canvas, attributes: Mapping[str, str], cloth: Cloth, body: Body, pose: Pose) -> None:
    """The upper garment without its sleeves."""
    kind = attributes["upper.type"]
    hem, flare = _HEM[kind], _FLARE.get(kind, 0.0)
    if pose.view == "side":
        d = body.shoulder
        outline = [
            (-0.03, 0.165),
            (0.03, 0.168),
            (d * 0.9, 0.24),
            (d * 1.08, 0.32),
            (body.waist * 1.1, 0.42),
            (body.hip + flare * 0.9, hem - 0.03),
            (body.hip + flare, hem),
            (-body.hip - flare, hem),
            (-body.hip - flare * 0.9, hem - 0.03),
            (-body.waist, 0.42),
            (-d * 1.05, 0.28),
            (-d * 0.8, 0.2),
        ]
    else:
        s = body.shoulder
        left = [
            (-0.036, 0.158),
            (-s * 0.5, 0.177),
            (-s * 0.88, 0.196),
            (-s * 0.98, 0.235),
            (-s * 0.88, 0.3),
            (-body.waist, 0.4),
            (-body.hip, 0.5),
            (-body.hip - flare * 0.9, hem - 0.02),
            (-body.hip - flare, hem),
            (-body.hip * 0.7, hem + 0.003),
        ]
        outline = left + [(-x, y) for x, y in left[::-1]]
    canvas.shape(rounded(outline, 1), cloth, "upper")
    _DETAILS.get(kind, _nothing)(canvas, cloth, body, pose.view, hem)
    if attributes["upper.pattern"] == "logo" and pose.view == "front":
        canvas.shape(oval(0, 0.305, 0.048, 0.04), Cloth(cloth.accent), "logo", edge=1)
        canvas.shape([(-0.026, 0.32), (0, 0.276), (0.026, 0.32)], Cloth(cloth.colour), "logo", edge=1)


def _nothing(canvas: Canvas, cloth: Cloth, body: Body, view: str, hem: float) -> None:
    return


def _shirt(canvas: Canvas, cloth: Cloth, body: Body, view: str, hem: float) -> None:
    seam, collar = shade(cloth.colour, 0.62), Cloth(blend(cloth.colour, (255, 255, 255), 0.55))
    if view == "front":
        canvas.stroke([(0, 0.19), (0, hem - 0.005)], seam, 0.006)
        for y in (0.25, 0.32, 0.39, 0.46):
            canvas.shape(oval(0.0, y, 0.0075, 0.0075, 8), Cloth(seam), "upper", edge=1)
        for side in (-1, 1):
            canvas.shape([(side * 0.042, 0.155), (0, 0.2), (side * 0.035, 0.215)], collar, "upper")
    else:
        canvas.shape([(-0.04, 0.152), (0.04, 0.152), (0.045, 0.178), (-0.045, 0.178)], collar, "upper")


def _open(canvas: Canvas, cloth: Cloth, body: Body, view: str, hem: float) -> None:
    """Jacket and coat: open in front over something light, with lapels; a seam and pockets from the side."""
    seam = shade(cloth.colour, 0.6)
    if view == "front":
        canvas.shape(
            [(-0.032, 0.168), (0.032, 0.168), (0.026, 0.3), (0.022, min(hem, 0.53)), (-0.022, min(hem, 0.53)), (-0.026, 0.3)],
            LIGHT_INNER,
            "upper",
        )
        for side in (-1, 1):
            canvas.shape(
                [(side * 0.04, 0.158), (side * 0.064, 0.215), (side * 0.026, 0.3), (side * 0.02, 0.18)], cloth.darker(0.84), "upper"
            )
    else:
        canvas.stroke([(-0.045, 0.185), (0.045, 0.185)], seam, 0.012)
        if view == "back":
            canvas.stroke([(0, 0.44), (0, hem)], seam, 0.006)
    for side in (-1, 1) if view == "front" else (0,) if view == "side" else ():
        x = side * body.waist * 0.66
        canvas.stroke([(x - 0.018, 0.445), (x + 0.018, 0.435)], seam, 0.009)
    if hem < 0.6:
        canvas.stroke([(-body.hip, hem - 0.012), (body.hip, hem - 0.012)], seam, 0.012)


def _hooded(canvas: Canvas, cloth: Cloth, body: Body, view: str, hem: float) -> None:
    """A hood around the neck, a pouch in front, cords."""
    lining = cloth.darker(0.8)
    if view == "front":
        canvas.shape(
            rounded([(-0.075, 0.175), (-0.04, 0.145), (0.04, 0.145), (0.075, 0.175), (0.03, 0.215), (-0.03, 0.215)], 1), lining, "upper"
        )
        canvas.shape([(-0.05, 0.41), (0.05, 0.41), (0.068, 0.5), (-0.068, 0.5)], lining, "upper")
        for side in (-1, 1):
            canvas.stroke([(side * 0.022, 0.205), (side * 0.024, 0.28)], (240, 240, 236), 0.008)
    elif view == "back":
        canvas.shape(rounded([(-0.08, 0.16), (0.08, 0.16), (0.06, 0.25), (0, 0.285), (-0.06, 0.25)], 1), lining, "upper")
    else:
        canvas.shape(rounded([(0.02, 0.155), (-0.05, 0.14), (-0.1, 0.19), (-0.085, 0.245), (-0.02, 0.21)], 1), lining, "upper")
    canvas.stroke([(-body.hip, hem - 0.012), (body.hip, hem - 0.012)], shade(cloth.colour, 0.68), 0.014)


def _knitted(canvas: Canvas, cloth: Cloth, body: Body, view: str, hem: float) -> None:
    rib = shade(cloth.colour, 0.74)
    canvas.stroke([(-body.hip * 0.97, hem - 0.015), (body.hip * 0.97, hem - 0.015)], rib, 0.022)
    canvas.shape(rounded([(-0.05, 0.15), (0.05, 0.15), (0.045, 0.185), (-0.045, 0.185)], 1), cloth.darker(0.78), "upper")


def _belted(canvas: Canvas, cloth: Cloth, body: Body, view: str, hem: float) -> None:
    canvas.stroke([(-body.waist * 1.02, 0.405), (body.waist * 1.02, 0.405)], shade(cloth.colour, 0.55), 0.018)
    for x in (-0.55, 0.05, 0.6):
        canvas.stroke([(x * body.hip, 0.53), (x * (body.hip + 0.05), hem - 0.01)], shade(cloth.colour, 0.8), 0.006)


_DETAILS = {"shirt": _shirt, "jacket": _open, "coat": _open, "hoodie": _hooded, "sweater": _knitted, "dress": _belted}


# ---------------------------------------------------------------------------------------------------------------- arms


def draw_arm(
    canvas: Canvas, attributes: Mapping[str, str], cloths: Mapping[str, Cloth], arm: Limb, girth: float, *, dim: float = 1.0
) -> None:
    """One arm, in its sleeve."""
    skin, cloth = cloths["skin"].darker(dim), cloths["upper"].darker(dim)
    stout = 0.45 + 0.55 * girth
    _sleeve(canvas, arm, (0.052 * stout, 0.042 * stout, 0.032), skin, None)
    canvas.shape(oval(*arm.end, 0.021, 0.026, 12), skin)
    if attributes["upper.sleeves"] == "short":
        (x, y), (u, v) = arm.root, arm.middle
        joints = (arm.root, (x + 0.35 * (u - x), y + 0.35 * (v - y)), (x + 0.7 * (u - x), y + 0.7 * (v - y)))
        canvas.shape(limb(joints, (0.066 * stout, 0.072 * stout, 0.072 * stout), hem=True), cloth, "upper")
        return
    (x, y), (u, v) = arm.middle, arm.end
    wrist = (x + 0.86 * (u - x), y + 0.86 * (v - y))
    bulk = {"coat": 1.15, "jacket": 1.12, "hoodie": 1.1, "sweater": 1.04}.get(attributes["upper.type"], 0.95) * stout
    _sleeve(canvas, Limb(arm.root, arm.middle, wrist), (0.07 * bulk, 0.062 * bulk, 0.052 * bulk), cloth, "upper")


def _sleeve(canvas: Canvas, arm: Limb, widths: tuple[float, float, float], cloth: Cloth, part: str | None) -> None:
    """In one piece, or in two where the arm is bent so far that one outline would cross itself."""
    (x, y), (u, v), (p, q) = arm.root, arm.middle, arm.end
    if (u - x) * (p - u) + (v - y) * (q - v) < 0:
        canvas.shape(limb((arm.root, arm.middle), widths[:2]), cloth, part)
        canvas.shape(limb((arm.middle, arm.end), widths[1:]), cloth, part)
    else:
        canvas.shape(limb((arm.root, arm.middle, arm.end), widths), cloth, part)
