"""The pedestrian's body in a pose: joints and girths, in figure units (see `_walkers_canvas`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import cos, sin

from datasets._walkers_canvas import Point

_BUILD = {"slim": 0.82, "average": 1.0, "stocky": 1.28}
"""Girth, compared with the average."""


@dataclass(frozen=True)
class Pose:
    """How the pedestrian is seen: `view` is front, back or side; `phase` of the walking cycle in radians; `stride` 0 to 1."""

    view: str
    mirrored: bool
    phase: float
    stride: float


@dataclass(frozen=True)
class Limb:
    """Three joints, from the trunk outwards: hip, knee, ankle, or shoulder, elbow, hand."""

    root: Point
    middle: Point
    end: Point


@dataclass(frozen=True)
class Body:
    """Joints and girths of a pose. Of two limbs the first is the farther one (side) or the left of the picture."""

    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    shoulder: float
    waist: float
    hip: float
    girth: float

    @property
    def hand(self) -> Point:
        """The hand that carries."""
        return self.arms[1].end


def pose_body(attributes: Mapping[str, str], pose: Pose) -> Body:
    """The joints of this pedestrian in this pose."""
    girth = _BUILD[attributes["person.build"]]
    woman = attributes["person.gender"] == "woman"
    if pose.view == "side":
        widths = (0.068 * girth, 0.062 * girth, 0.07 * girth)
        swing = pose.stride * sin(pose.phase)
        legs = (_side_leg(-swing), _side_leg(swing))
        arms = (_side_arm(swing), _side_arm(-swing))
    else:
        widths = ((0.106 if woman else 0.118) * girth, (0.07 if woman else 0.088) * girth, 0.09 * girth)
        swing = sin(pose.phase) * pose.stride
        legs = (_facing_leg(-1, swing, girth), _facing_leg(1, swing, girth))
        arms = (_facing_arm(-1, swing, widths[0]), _facing_arm(1, swing, widths[0]))
    return Body(legs, (arms[0], _carrying(arms[1], attributes["carried.type"], pose.view)), *widths, girth)


def _side_leg(swing: float) -> Limb:
    thigh = 0.43 * swing
    bend = 0.12 + (0.5 * -swing if swing < 0 else 0.0)
    knee = (0.225 * sin(thigh), 0.5 + 0.225 * cos(thigh))
    return Limb((0.0, 0.5), knee, (knee[0] + 0.215 * sin(thigh - bend), knee[1] + 0.215 * cos(thigh - bend)))


def _side_arm(swing: float) -> Limb:
    angle = 0.55 * swing
    elbow = (0.145 * sin(angle) - 0.005, 0.215 + 0.145 * cos(angle))
    return Limb((-0.005, 0.215), elbow, (elbow[0] + 0.135 * sin(angle + 0.35), elbow[1] + 0.135 * cos(angle + 0.35)))


def _facing_leg(side: int, swing: float, girth: float) -> Limb:
    lift = 0.04 * max(0.0, side * swing)
    return Limb((side * 0.045 * girth, 0.5), (side * (0.05 * girth + lift * 0.2), 0.725 - lift * 0.4), (side * 0.05 * girth, 0.94 - lift))


def _facing_arm(side: int, swing: float, shoulder: float) -> Limb:
    reach = shoulder + 0.022
    return Limb(
        (side * shoulder * 0.86, 0.226),
        (side * reach, 0.35),
        (side * (reach + 0.012 * side * swing), 0.475 - 0.025 * max(0, -side * swing)),
    )


def _carrying(arm: Limb, carried: str, view: str) -> Limb:
    """The arm that carries: bent for a phone or a book, hanging for what hangs from the hand."""
    x, y = arm.root
    ahead = view == "side"
    if carried == "phone":
        return Limb(arm.root, (x + 0.06, y + 0.11), (0.07 if ahead else 0.078, 0.13))
    if carried == "book":
        return Limb(arm.root, (x + (0.0 if ahead else 0.03), y + 0.145), (0.115 if ahead else 0.055, 0.345))
    if carried in ("handbag", "shopping bag", "umbrella", "suitcase"):
        lean = -0.07 if carried == "suitcase" and ahead else 0.03
        return Limb(arm.root, (x + lean / 2 + (0 if ahead else 0.02), y + 0.14), (x + lean + (0 if ahead else 0.025), y + 0.27))
    return arm
