"""Who walks: an identity is a set of attribute values, and many identities have a near twin that differs in one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

COLOURS = ("black", "white", "grey", "red", "blue", "green", "yellow", "orange", "pink", "purple", "brown")
BUILDS = ("slim", "average", "stocky")
NONE = "none"
"""The value of an attribute that an identity does not have: the colour of no bag."""

VALUES: Mapping[str, Sequence[str]] = {
    "person.gender": ("man", "woman"),
    "person.build": BUILDS,
    "hair.style": ("short", "long", "ponytail", "bun", "bald"),
    "hair.colour": ("black", "brown", "blond", "grey", "red"),
    "headwear.type": ("cap", "beanie", "hat", "hood"),
    "headwear.colour": COLOURS,
    "glasses.type": ("glasses", "sunglasses"),
    "upper.type": ("t-shirt", "shirt", "sweater", "hoodie", "jacket", "coat", "dress"),
    "upper.colour": COLOURS,
    "upper.pattern": ("plain", "striped", "checked", "dotted", "logo"),
    "upper.sleeves": ("short", "long"),
    "lower.type": ("trousers", "jeans", "shorts", "skirt", "leggings"),
    "lower.colour": COLOURS,
    "shoes.type": ("shoes", "boots", "sneakers", "sandals"),
    "shoes.colour": COLOURS,
    "carried.type": ("backpack", "handbag", "shoulder bag", "shopping bag", "suitcase", "umbrella", "book", "phone"),
    "carried.colour": COLOURS,
}
"""Every attribute, `part.property`, and its values apart from NONE."""

JEANS_COLOURS = ("blue", "black", "grey")
LEGGINGS_COLOURS = ("black", "grey", "purple", "blue")
PHONE_COLOURS = ("black",)
PATTERNED = ("t-shirt", "shirt", "sweater", "dress")
"""Upper garments that are worn in every pattern; hoodies also bear logos; jackets and coats are plain."""

_ALIKE = ({"trousers", "jeans"}, {"trousers", "leggings"}, {"jeans", "leggings"}, {"shoes", "sneakers"}, {"jacket", "sweater"})
"""Values that a small picture tells apart badly: no twin differs in them alone."""


@dataclass(frozen=True)
class Identity:
    """A pedestrian. `attributes` has every key of VALUES. `looks` seeds what no word is said of: skin, shade, folds."""

    pid: int
    split: str
    attributes: Mapping[str, str]
    looks: int
    twin: int | None = None


def draw_identities(seed: int, sizes: Mapping[str, int], twins: float) -> list[Identity]:
    """The identities of all splits, numbered through; about a share `twins` of each split has its twin in that split."""
    identities: list[Identity] = []
    for split, count in sizes.items():
        identities += _draw_split(Random(f"walkers identities {seed} {split}"), split, len(identities), count, twins)
    return identities


def _draw_split(random: Random, split: str, first: int, count: int, twins: float) -> list[Identity]:
    """No two identities of a split have the same attributes."""
    taken: set[tuple[str, ...]] = set()
    identities: list[Identity] = []
    twinned = 2 * round(count * twins / 2)
    while len(identities) < count:
        pid = first + len(identities)
        if len(identities) < twinned and len(identities) % 2:
            one = identities[-1]
            identities[-1] = replace(one, twin=pid)
            new = Identity(pid, split, _one_changed(one.attributes, random), one.looks, one.pid)
        else:
            new = Identity(pid, split, draw_attributes(random), random.getrandbits(32))
        if tuple(new.attributes.values()) not in taken:
            taken.add(tuple(new.attributes.values()))
            identities.append(new)
    return identities


def draw_attributes(random: Random) -> dict[str, str]:
    """A plausible pedestrian, every key of VALUES in its order."""
    gender = random.choice(VALUES["person.gender"])
    build = random.choices(BUILDS, (0.3, 0.4, 0.3))[0]
    chosen = {"person.gender": gender, "person.build": build}
    chosen |= _draw_upper(random, gender) | _draw_lower(random, gender)
    if chosen["upper.type"] == "dress":
        chosen["lower.type"] = chosen["lower.colour"] = NONE
    chosen |= _draw_head(random, gender, hooded=chosen["upper.type"] == "hoodie")
    chosen["shoes.type"] = _pick(random, {"shoes": 0.3, "boots": 0.25, "sneakers": 0.35, "sandals": 0.1 if gender == "woman" else 0.06})
    chosen["shoes.colour"] = _colour(random)
    chosen |= _draw_carried(random, gender)
    return {key: chosen[key] for key in VALUES}


def _draw_upper(random: Random, gender: str) -> dict[str, str]:
    weights = {"t-shirt": 0.22, "shirt": 0.16, "sweater": 0.14, "hoodie": 0.14, "jacket": 0.17, "coat": 0.17}
    kind = _pick(random, weights | ({"dress": 0.18} if gender == "woman" else {}))
    pattern = "plain"
    if kind in PATTERNED:
        pattern = _pick(random, {"plain": 0.4, "striped": 0.2, "checked": 0.14, "dotted": 0.12, "logo": 0.14})
    elif kind == "hoodie":
        pattern = _pick(random, {"plain": 0.65, "logo": 0.35})
    sleeves = {"t-shirt": "short", "shirt": None, "dress": None}.get(kind, "long") or random.choice(("short", "long"))
    return {"upper.type": kind, "upper.colour": _colour(random), "upper.pattern": pattern, "upper.sleeves": sleeves}


def _draw_lower(random: Random, gender: str) -> dict[str, str]:
    women = {"trousers": 0.24, "jeans": 0.24, "shorts": 0.14, "skirt": 0.24, "leggings": 0.14}
    kind = _pick(random, women if gender == "woman" else {"trousers": 0.42, "jeans": 0.34, "shorts": 0.24})
    return {"lower.type": kind, "lower.colour": random.choice(colours_of("lower", kind))}


def _draw_head(random: Random, gender: str, *, hooded: bool) -> dict[str, str]:
    women = {"short": 0.22, "long": 0.4, "ponytail": 0.22, "bun": 0.16}
    style = _pick(random, women if gender == "woman" else {"short": 0.76, "long": 0.07, "bald": 0.17})
    colour = NONE if style == "bald" else _pick(random, {"black": 0.32, "brown": 0.28, "blond": 0.2, "grey": 0.1, "red": 0.1})
    wear = _pick(random, {NONE: 0.62, "cap": 0.15, "beanie": 0.13, "hat": 0.1} | ({"hood": 0.3} if hooded else {}))
    return {
        "hair.style": style,
        "hair.colour": colour,
        "headwear.type": wear,
        "headwear.colour": NONE if wear in (NONE, "hood") else _colour(random),  # a hood has the colour of its hoodie
        "glasses.type": _pick(random, {NONE: 0.68, "glasses": 0.19, "sunglasses": 0.13}),
    }


def _draw_carried(random: Random, gender: str) -> dict[str, str]:
    weights = {NONE: 0.22, "backpack": 0.2, "shoulder bag": 0.14, "shopping bag": 0.11, "suitcase": 0.1}
    weights |= {"umbrella": 0.07, "book": 0.06, "phone": 0.05, "handbag": 0.16 if gender == "woman" else 0.04}
    kind = _pick(random, weights)
    return {"carried.type": kind, "carried.colour": NONE if kind == NONE else random.choice(colours_of("carried", kind))}


def colours_of(part: str, kind: str) -> Sequence[str]:
    """The colours that this kind of thing comes in."""
    return {"jeans": JEANS_COLOURS, "leggings": LEGGINGS_COLOURS, "phone": PHONE_COLOURS}.get(kind, VALUES.get(f"{part}.colour", ()))


def _one_changed(attributes: Mapping[str, str], random: Random) -> dict[str, str]:
    """The attributes of a near twin: exactly one differs, one that belongs to a single part and shows."""
    key = random.choice([key for key in VALUES if other_values(attributes, key)])
    return {**attributes, key: random.choice(other_values(attributes, key))}


def other_values(attributes: Mapping[str, str], key: str) -> list[str]:
    """What this one attribute could be instead, all others as they are, so that the pedestrian stays possible and differs visibly."""
    value, (part, prop) = attributes[key], key.split(".")
    if value == NONE or part == "person" or value in ("bald", "hood", "dress") or (part == "hair" and attributes["headwear.type"] != NONE):
        return []
    kind = attributes.get(f"{part}.type", "")
    allowed: Sequence[str] = {
        "colour": colours_of(part, kind),
        "type": _other_types(attributes, part),
        "style": ("short", "long", "ponytail", "bun"),
        "pattern": VALUES[key] if kind in PATTERNED else ("plain", "logo") if kind == "hoodie" else (),
        "sleeves": VALUES[key] if kind in ("shirt", "dress") else (),
    }[prop]
    return [other for other in allowed if other != value and {other, value} not in _ALIKE]


def _other_types(attributes: Mapping[str, str], part: str) -> Sequence[str]:
    """Types that go with the colour, pattern and sleeves there are."""
    kinds = {
        "headwear": ("cap", "beanie", "hat"),
        "glasses": ("glasses", "sunglasses"),
        "upper": _other_uppers(attributes),
        "lower": ("trousers", "jeans", "shorts", "leggings") + (("skirt",) if attributes["person.gender"] == "woman" else ()),
    }.get(part, VALUES.get(f"{part}.type", ()))
    colour = attributes.get(f"{part}.colour", "")
    return [kind for kind in kinds if part == "glasses" or colour in colours_of(part, kind)]


def _other_uppers(attributes: Mapping[str, str]) -> Sequence[str]:
    if attributes["upper.sleeves"] == "short":
        return ("t-shirt", "shirt")
    plain = attributes["upper.pattern"] == "plain"
    hoodless = attributes["headwear.type"] != "hood"
    return (("shirt", "sweater", "hoodie", "jacket", "coat") if plain else ("shirt", "sweater")) if hoodless else ()


def _pick(random: Random, weights: Mapping[str, float]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def _colour(random: Random) -> str:
    """Black and white are worn more than the rest, though less than in any real street: colours are what the set is about."""
    return random.choices(COLOURS, (1.6, 1.4, 1.1, 1, 1.2, 1, 1, 1, 1, 1, 1))[0]
