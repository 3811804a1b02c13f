"""What a caption may say of a picture, and the noun phrases that say it of one part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from datasets._walkers_identity import COLOURS, NONE, VALUES, colours_of

Facts = dict[str, str]
"""Attribute -> value, as an identity has them or as a caption states them. `image.view` is a fact of the image alone."""


@dataclass(frozen=True)
class Phrase:
    """Words that speak of one part and state some facts."""

    text: str
    part: str
    states: Mapping[str, str]

    def __add__(self, more: str) -> Phrase:
        return Phrase(self.text + more, self.part, self.states)


def speakable(attributes: Mapping[str, str], view: str, clear: set[str]) -> Facts:
    """The facts that can be seen in a picture, given the parts that are clear in it."""
    facts = {key: value for key, value in attributes.items() if value != NONE and key.split(".")[0] in clear | {"person"}}
    if attributes["hair.style"] == "bald" and "head" in clear and attributes["headwear.type"] == NONE:
        facts["hair.style"] = "bald"
    elif attributes["headwear.type"] != NONE and attributes["hair.style"] not in _seen_below_headwear(view):
        facts.pop("hair.style", None)
    if attributes["upper.pattern"] == "logo" and "logo" not in clear:
        facts.pop("upper.pattern", None)
    if attributes["upper.pattern"] == "plain" and view != "front":
        facts.pop("upper.pattern", None)  # from there, a garment with a logo looks the same
    return {**facts, "image.view": view}


def _seen_below_headwear(view: str) -> Sequence[str]:
    return ("long",) if view == "front" else ("long", "ponytail")


def misread(facts: Mapping[str, str], random: Random, share: float) -> Facts:
    """The facts with about a share of them replaced by another value of the attribute: an annotator's errors."""
    return {key: _wrong(facts, key, random) if share and random.random() < share else value for key, value in facts.items()}


def _wrong(facts: Mapping[str, str], key: str, random: Random) -> str:
    part, prop = key.split(".")
    values = ("front", "back", "side") if part == "image" else VALUES[key]
    if prop == "colour" and part != "hair":
        values = colours_of(part, facts.get(f"{part}.type", "")) if part != "carried" else COLOURS
    others = [value for value in values if value not in (facts[key], "bald", "hood")]
    return random.choice(others)


# --------------------------------------------------------------------------------------------------------------- words

_COLOUR_WORDS = {"grey": ("grey", "gray"), "purple": ("purple", "purple", "violet")}
_HAIR_WORDS = {"grey": ("grey", "gray"), "blond": ("blond", "blonde"), "red": ("red", "ginger")}
_UPPER = {
    "t-shirt": ("T-shirt", "t-shirt", "tee"),
    "shirt": ("shirt", "button-up shirt", "buttoned shirt", "collared shirt"),
    "sweater": ("sweater", "jumper", "pullover"),
    "hoodie": ("hoodie", "hooded sweatshirt", "hooded top"),
    "jacket": ("jacket", "short jacket", "open jacket"),
    "coat": ("coat", "long coat", "overcoat"),
    "dress": ("dress",),
}
_LOWER = {
    "trousers": ("trousers", "slacks"),
    "jeans": ("jeans", "denim jeans"),
    "shorts": ("shorts",),
    "skirt": ("skirt",),
    "leggings": ("leggings", "tight leggings"),
}
_SHOES = {
    "shoes": ("leather shoes", "plain shoes"),
    "boots": ("boots", "ankle boots"),
    "sneakers": ("sneakers", "trainers", "sports shoes"),
    "sandals": ("sandals", "open sandals"),
}
_HEADWEAR = {"cap": ("cap", "baseball cap"), "beanie": ("beanie", "knitted hat", "woolly hat"), "hat": ("brimmed hat", "wide-brimmed hat")}
_CARRIED = {
    "backpack": ("backpack", "rucksack"),
    "handbag": ("handbag", "purse"),
    "shoulder bag": ("shoulder bag", "crossbody bag"),
    "shopping bag": ("shopping bag", "paper bag"),
    "suitcase": ("suitcase", "rolling suitcase"),
    "umbrella": ("umbrella", "folded umbrella"),
    "book": ("book",),
    "phone": ("phone", "mobile phone", "cell phone"),
}
_PATTERN_WORDS = {
    "striped": ("striped", "striped", "stripy"),
    "checked": ("checked", "checkered", "plaid"),
    "dotted": ("dotted", "spotted", "polka-dot"),
    "plain": ("plain",),
}
_PATTERN_TAILS = {
    "striped": (" with stripes", " with horizontal stripes"),
    "checked": (" with a check pattern",),
    "dotted": (" with dots", " with polka dots"),
    "logo": (" with a logo on the chest", " with a logo", " with a print on the front", " with a logo on the front"),
}
_WHERE = {
    "backpack": " on {his} back",
    "handbag": " in {his} hand",
    "shoulder bag": " over {his} shoulder",
    "shopping bag": " in {his} hand",
    "umbrella": " in {his} hand",
    "book": " in one hand",
}


def article(words: str) -> str:
    """The words with `a` or `an` before them."""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def plural(part: str, kind: str) -> bool:
    """Whether the thing takes `are`."""
    return part == "shoes" or (part == "lower" and kind != "skirt")


class Namer:
    """Names parts, saying of each what it likes of the facts it was given."""

    def __init__(self, facts: Facts, random: Random, possessive: str) -> None:
        self.facts, self._random, self._possessive = facts, random, possessive

    def name(self, part: str) -> Phrase:
        """A noun phrase with its article."""
        return self._makers()[part]()

    def _makers(self) -> dict[str, Callable[[], Phrase]]:
        return {
            "hair": self._hair,
            "headwear": self._headwear,
            "glasses": self._glasses,
            "upper": self._upper,
            "lower": self._lower,
            "shoes": self._shoes,
            "carried": self._carried,
        }

    def described(self, part: str) -> Phrase:
        """A clause: `jacket is red`, `hair is long and brown`. Only for parts whose colour is known."""
        if part == "hair":
            return self._hair_described()
        noun, states = self._noun(part)
        colour = self._colour(part)
        verb = "are" if plural(part, self.facts[f"{part}.type"]) else "is"
        return Phrase(f"{noun} {verb} {colour}", part, states | self._stated(f"{part}.colour"))

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _stated(self, *keys: str) -> Facts:
        return {key: self.facts[key] for key in keys}

    def _colour(self, part: str) -> str:
        value = self.facts[f"{part}.colour"]
        return self._random.choice((_HAIR_WORDS if part == "hair" else _COLOUR_WORDS).get(value, (value,)))

    def _noun(self, part: str) -> tuple[str, Facts]:
        """A word for the thing, and what it states: a vague word states nothing."""
        kind = self.facts[f"{part}.type"]
        vague = _vague(part, kind)
        if vague and self.chance(0.4 if kind == "shoes" else 0.16):
            return vague, {}
        table = {"upper": _UPPER, "lower": _LOWER, "shoes": _SHOES, "headwear": _HEADWEAR, "carried": _CARRIED}[part]
        return self._random.choice(table[kind]), self._stated(f"{part}.type")

    def _coloured(self, part: str, share: float) -> tuple[str, Facts]:
        """A noun, mostly with its colour before it."""
        noun, states = self._noun(part)
        if f"{part}.colour" in self.facts and self.chance(share):
            return f"{self._colour(part)} {noun}", states | self._stated(f"{part}.colour")
        return noun, states

    def _upper(self) -> Phrase:
        noun, states = self._coloured("upper", 0.94)
        before, after = "", ""
        pattern = self.facts.get("upper.pattern")
        if pattern and self.chance(0.12 if pattern == "plain" else 0.72):
            states |= self._stated("upper.pattern")
            if pattern in _PATTERN_WORDS and self.chance(0.75 if pattern in _PATTERN_TAILS else 1):
                *adjectives, last = noun.split(" ") if noun.startswith(tuple(COLOURS)) or "gray" in noun else (noun,)
                noun = " ".join([*adjectives[:1], self._random.choice(_PATTERN_WORDS[pattern]), *adjectives[1:], last])
            else:
                after = self._random.choice(_PATTERN_TAILS[pattern])
        if self.facts["upper.type"] in ("shirt", "dress", "t-shirt", "sweater") and self.chance(0.25):
            states |= self._stated("upper.sleeves")
            length = self.facts["upper.sleeves"]
            before, after = (before, f" with {length} sleeves") if not after and self.chance(0.4) else (f"{length}-sleeved ", after)
        return Phrase(article(before + noun) + after, "upper", states)

    def _lower(self) -> Phrase:
        noun, states = self._coloured("lower", 0.93)
        if not plural("lower", self.facts["lower.type"]):
            return Phrase(article(noun), "lower", states)
        return Phrase(self._pair(noun), "lower", states)

    def _shoes(self) -> Phrase:
        noun, states = self._coloured("shoes", 0.93)
        return Phrase(self._pair(noun), "shoes", states)

    def _pair(self, noun: str) -> str:
        return f"a pair of {noun}" if self.chance(0.22) else noun

    def _headwear(self) -> Phrase:
        if self.facts["headwear.type"] == "hood":
            return Phrase(
                self._random.choice(("the hood up", f"the hood over {self._possessive} head")), "headwear", self._stated("headwear.type")
            )
        noun, states = self._coloured("headwear", 0.93)
        return Phrase(article(noun), "headwear", states)

    def _glasses(self) -> Phrase:
        kind = self.facts["glasses.type"]
        word = self._random.choice(
            {"glasses": ("glasses", "glasses", "clear glasses"), "sunglasses": ("sunglasses", "dark sunglasses")}[kind]
        )
        return Phrase(self._pair(word), "glasses", self._stated("glasses.type"))

    def _carried(self) -> Phrase:
        noun, states = self._coloured("carried", 0.9 if self.facts["carried.type"] != "phone" else 0.2)
        where = _WHERE.get(self.facts["carried.type"], "") if states.get("carried.type") and self.chance(0.3) else ""
        return Phrase(article(noun) + where.format(his=self._possessive), "carried", states)

    # ---------------------------------------------------------------------------------------------------------- hair

    def _hair(self) -> Phrase:
        style = self.facts.get("hair.style")
        if style == "bald":
            return Phrase("a bald head", "hair", self._stated("hair.style"))
        colour = f"{self._colour('hair')} " if style is None or self.chance(0.85) else ""
        states = self._stated("hair.colour") if colour else {}
        if style is None or (colour and self.chance(0.15)):
            return Phrase(f"{colour}hair", "hair", states)
        text = self._random.choice(
            {
                "short": (f"short {colour}hair",),
                "long": (f"long {colour}hair",),
                "ponytail": (article(f"{colour}ponytail"), f"{colour}hair tied in a ponytail", f"{colour}hair in a ponytail"),
                "bun": (f"{colour}hair in a bun", f"{colour}hair tied up in a bun", article(f"{colour}bun")),
            }[style]
        )
        return Phrase(text, "hair", states | self._stated("hair.style"))

    def _hair_described(self) -> Phrase:
        style, colour = self.facts.get("hair.style"), self._colour("hair")
        tail = {"long": "long and ", "short": "short and "}.get(style or "", "")
        end = {"ponytail": " and tied in a ponytail", "bun": " and tied up in a bun"}.get(style or "", "")
        states = self._stated("hair.colour") | (self._stated("hair.style") if tail or end else {})
        return Phrase(f"hair is {tail}{colour}{end}", "hair", states)


def _vague(part: str, kind: str) -> str | None:
    """A word that fits several kinds of the part."""
    if part == "carried":
        return "bag" if kind == "backpack" or kind.endswith("bag") else None
    if part == "lower":
        return "pants" if kind in ("trousers", "jeans", "leggings") else None
    return {
        "upper": None if kind in ("coat", "jacket", "dress") else "top",
        "shoes": None if kind == "sandals" else "shoes",
        "headwear": "hat",
    }[part]
