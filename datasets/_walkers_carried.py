"""What pedestrians carry, in figure units (see `_walkers_canvas`)."""

from __future__ import annotations

from datasets._walkers_body import Body
from datasets._walkers_canvas import Canvas, Cloth, blend, limb, oval, rounded, shade


def draw_carried(canvas: Canvas, kind: str, cloth: Cloth, body: Body, view: str) -> None:
    """The thing itself; the arm that holds it is drawn elsewhere."""
    {
        "backpack": _backpack,
        "shoulder bag": _shoulder_bag,
        "handbag": _handbag,
        "shopping bag": _shopping_bag,
        "suitcase": _suitcase,
        "umbrella": _umbrella,
        "book": _book,
        "phone": _phone,
    }[kind](canvas, cloth, body, view)


def _backpack(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    if view == "back":
        w = 0.088
        canvas.shape(
            rounded(
                [(-w, 0.21), (-0.05, 0.18), (0.05, 0.18), (w, 0.21), (w * 1.05, 0.43), (0.06, 0.46), (-0.06, 0.46), (-w * 1.05, 0.43)], 1
            ),
            cloth,
            "carried",
        )
        canvas.shape(rounded([(-0.062, 0.33), (0.062, 0.33), (0.066, 0.435), (-0.066, 0.435)], 1), cloth.darker(0.84), "carried")
        canvas.stroke([(-0.06, 0.25), (0.06, 0.25)], shade(cloth.colour, 0.6), 0.008)
    elif view == "front":
        for side in (-1, 1):
            x = side * body.shoulder
            canvas.shape(limb([(x * 0.52, 0.178), (x * 0.62, 0.28), (x * 0.84, 0.385)], [0.034, 0.036, 0.026]), cloth, "carried")
    else:
        d = body.shoulder
        canvas.shape(
            rounded([(-d * 0.7, 0.19), (-d - 0.05, 0.19), (-d - 0.105, 0.25), (-d - 0.1, 0.43), (-d * 0.8, 0.45)], 1), cloth, "carried"
        )
        canvas.shape(
            rounded([(-d - 0.06, 0.32), (-d - 0.12, 0.34), (-d - 0.115, 0.42), (-d - 0.05, 0.43)], 1), cloth.darker(0.84), "carried"
        )
        canvas.shape(
            limb([(-d * 0.6, 0.175), (d * 0.35, 0.21), (d * 0.3, 0.3), (-d * 0.7, 0.38)], [0.026, 0.026, 0.026, 0.02]), cloth, "carried"
        )


def _shoulder_bag(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    """Across the body: the strap over one shoulder, the bag at the other hip."""
    if view == "side":
        canvas.stroke([(-0.01, 0.17), (0.02, 0.45)], cloth.colour, 0.018, "carried")
        x = 0.015
    else:
        x = body.hip + 0.03
        canvas.stroke([(-body.shoulder * 0.55, 0.178), (x - 0.03, 0.46)], cloth.colour, 0.02, "carried")
    canvas.shape(rounded([(x - 0.07, 0.44), (x + 0.06, 0.44), (x + 0.065, 0.55), (x - 0.075, 0.55)], 1), cloth, "carried")
    canvas.shape(rounded([(x - 0.07, 0.44), (x + 0.06, 0.44), (x + 0.05, 0.495), (x - 0.06, 0.495)], 1), cloth.darker(0.84), "carried")


def _handbag(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    x, y = body.hand
    canvas.stroke(
        [(x - 0.035, y + 0.06), (x - 0.022, y + 0.005), (x + 0.022, y + 0.005), (x + 0.035, y + 0.06)],
        shade(cloth.colour, 0.8),
        0.014,
        "carried",
    )
    canvas.shape(
        rounded([(x - 0.055, y + 0.055), (x + 0.055, y + 0.055), (x + 0.075, y + 0.14), (x - 0.075, y + 0.14)], 1), cloth, "carried"
    )
    canvas.shape(oval(x, y + 0.075, 0.009, 0.009, 8), Cloth((224, 196, 110)), "carried", edge=1)


def _shopping_bag(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    x, y = body.hand
    for side in (-1, 1):
        canvas.stroke([(x + side * 0.03, y + 0.05), (x, y)], shade(cloth.colour, 0.7), 0.009, "carried")
    canvas.shape([(x - 0.066, y + 0.045), (x + 0.066, y + 0.045), (x + 0.07, y + 0.215), (x - 0.07, y + 0.215)], cloth, "carried")
    canvas.shape(
        [(x - 0.036, y + 0.1), (x + 0.036, y + 0.1), (x + 0.036, y + 0.15), (x - 0.036, y + 0.15)],
        Cloth(blend(cloth.colour, (255, 255, 255), 0.6)),
        "carried",
        edge=1,
    )


def _suitcase(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    """On wheels: behind who walks past, beside who walks towards."""
    x, y = body.hand
    box, half = (x - 0.1, 0.085) if view == "side" else (x + 0.01, 0.066)
    for side in (-1, 1):
        canvas.stroke([(x, y), (box + side * 0.03, 0.7)], (90, 92, 98), 0.01, "carried")
        canvas.shape(oval(box + side * half * 0.65, 0.985, 0.016, 0.016, 10), Cloth((40, 40, 44)), "carried", edge=1)
    canvas.shape(rounded([(box - half, 0.7), (box + half, 0.7), (box + half, 0.975), (box - half, 0.975)], 1), cloth, "carried")
    for offset in (-half / 2, 0.0, half / 2):
        canvas.stroke([(box + offset, 0.735), (box + offset, 0.945)], shade(cloth.colour, 0.78), 0.009)


def _umbrella(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    """Closed, like a stick."""
    x, y = body.hand
    end = x + (0.07 if view == "side" else 0.05)
    canvas.stroke([(x - 0.012, y - 0.05), (x, y)], (96, 64, 40), 0.018, "carried")
    canvas.stroke([(x + 0.9 * (end - x), y + 0.36), (end, y + 0.44)], (110, 110, 114), 0.01, "carried")
    canvas.shape(limb([(x, y), (x + 0.3 * (end - x), y + 0.12), (x + 0.9 * (end - x), y + 0.38)], [0.026, 0.066, 0.02]), cloth, "carried")
    canvas.stroke([(x + 0.01, y + 0.03), (x + 0.8 * (end - x), y + 0.33)], shade(cloth.colour, 0.72), 0.008)


def _book(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    x, y = body.hand
    canvas.shape([(x - 0.06, y - 0.075), (x + 0.05, y - 0.085), (x + 0.056, y + 0.055), (x - 0.054, y + 0.065)], cloth, "carried")
    canvas.stroke([(x + 0.053, y - 0.08), (x + 0.058, y + 0.055)], (246, 242, 230), 0.012, "carried")
    canvas.stroke([(x - 0.03, y - 0.035), (x + 0.025, y - 0.04)], blend(cloth.colour, (255, 255, 255), 0.6), 0.014)


def _phone(canvas: Canvas, cloth: Cloth, body: Body, view: str) -> None:
    x, y = body.hand
    canvas.shape([(x - 0.002, y - 0.055), (x + 0.03, y - 0.05), (x + 0.022, y + 0.025), (x - 0.01, y + 0.02)], cloth, "carried")
