"""What a caption may say of a picture, and the noun phrases that say it of one part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from datasets import _walkers_words as words
from datasets._walkers_identity import COLOURS, NONE, VALUES, colours_of
from datasets._walkers_spans import Facts, Phrase


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


# -------------------------------------------------------------------------------------------------------------- naming


class Namer:
    """Names parts, saying of each what it likes of the facts it was given."""

    def __init__(self, facts: Facts, random: Random, possessive: str) -> None:
        self.facts, self._random, self._possessive = facts, random, possessive
        self._colours = {name: random.choice(spellings) for name, spellings in words.COLOURS.items()}  # one spelling a caption
        self._hair_colours = {**self._colours, **{name: random.choice(spellings) for name, spellings in words.HAIR_COLOURS.items()}}

    def name(self, part: str) -> Phrase:
        """A noun phrase with its article."""
        makers = {"hair": self._hair, "headwear": self._headwear, "glasses": self._glasses, "upper": self._upper, "carried": self._carried}
        return makers[part]() if part in makers else self._simple(part)

    def described(self, part: str) -> Phrase:
        """A clause: `jacket is red`, `hair is long and brown`. Only for parts whose colour is known."""
        if part == "hair":
            return self._hair_described()
        front, noun, states = self._noun(part)
        verb = "are" if words.plural(part, self.facts[f"{part}.type"]) else "is"
        return Phrase(f"{front}{noun} {verb} {self._colour_word(part)}", part, states | self._stated(f"{part}.colour"))

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _stated(self, *keys: str) -> Facts:
        return {key: self.facts[key] for key in keys}

    def _colour_word(self, part: str) -> str:
        value = self.facts[f"{part}.colour"]
        return (self._hair_colours if part == "hair" else self._colours).get(value, value)

    def _noun(self, part: str) -> tuple[str, str, Facts]:
        """A word for the thing, what goes before its colour, and what both state: a vague word states nothing."""
        kind = self.facts[f"{part}.type"]
        vague = words.vague(part, kind)
        if vague and self._chance(0.4 if kind == "shoes" else 0.16):
            return "", vague, {}
        front, _, noun = self._random.choice(words.NOUNS[part][kind]).rpartition("|")
        return f"{front} " if front else "", noun, self._stated(f"{part}.type")

    def _coloured(self, part: str, share: float = 0.93, pattern: str = "") -> tuple[str, Facts]:
        """A noun, mostly with its colour before it, without an article."""
        front, noun, states = self._noun(part)
        if f"{part}.colour" not in self.facts or not self._chance(share):
            return f"{front}{pattern}{noun}", states
        if pattern == "plain ":
            front, pattern = f"plain {front}", ""
        return f"{front}{self._colour_word(part)} {pattern}{noun}", states | self._stated(f"{part}.colour")

    def _counted(self, part: str, noun: str) -> str:
        """`a skirt`, `trousers`, `a pair of trousers`."""
        if not words.plural(part, self.facts[f"{part}.type"]):
            return words.article(noun)
        return f"a pair of {noun}" if self._chance(0.22) else noun

    def _simple(self, part: str) -> Phrase:
        noun, states = self._coloured(part)
        return Phrase(self._counted(part, noun), part, states)

    def _upper(self) -> Phrase:
        pattern, pattern_tail, pattern_states = self._pattern()
        noun, states = self._coloured("upper", 0.94, pattern)
        front, tail, sleeve_states = self._sleeves(free=not pattern_tail)
        return Phrase(words.article(front + noun) + pattern_tail + tail, "upper", states | pattern_states | sleeve_states)

    def _pattern(self) -> tuple[str, str, Facts]:
        """The pattern as an adjective or as a tail, or unsaid."""
        pattern = self.facts.get("upper.pattern")
        if pattern is None or not self._chance(0.12 if pattern == "plain" else 0.72):
            return "", "", {}
        if pattern == "logo" or (pattern != "plain" and self._chance(0.25)):
            return "", self._random.choice(words.PATTERN_TAILS[pattern]), self._stated("upper.pattern")
        return f"{self._random.choice(words.PATTERNS[pattern])} ", "", self._stated("upper.pattern")

    def _sleeves(self, *, free: bool) -> tuple[str, str, Facts]:
        """The sleeves before the noun or, where the place after it is free, there; or unsaid."""
        if self.facts["upper.type"] not in ("shirt", "dress", "t-shirt", "sweater") or not self._chance(0.25):
            return "", "", {}
        length, states = self.facts["upper.sleeves"], self._stated("upper.sleeves")
        if free and self._chance(0.4):
            return "", f" with {length} sleeves", states
        return f"{length}-sleeved ", "", states

    def _headwear(self) -> Phrase:
        if self.facts["headwear.type"] == "hood":
            text = self._random.choice(("the hood up", f"the hood over {self._possessive} head"))
            return Phrase(text, "headwear", self._stated("headwear.type"))
        return self._simple("headwear")

    def _glasses(self) -> Phrase:
        word = self._random.choice(words.GLASSES[self.facts["glasses.type"]])
        return Phrase(f"a pair of {word}" if self._chance(0.22) else word, "glasses", self._stated("glasses.type"))

    def _carried(self) -> Phrase:
        kind = self.facts["carried.type"]
        noun, states = self._coloured("carried", 0.9 if kind != "phone" else 0.2)
        held = words.HELD.get(kind, "") if "carried.type" in states and self._chance(0.3) else ""
        return Phrase(words.article(noun) + held.format(his=self._possessive), "carried", states)

    def _hair(self) -> Phrase:
        style = self.facts.get("hair.style")
        if style == "bald":
            return Phrase("a bald head", "hair", self._stated("hair.style"))
        colour = f"{self._colour_word('hair')} " if style is None or self._chance(0.85) else ""
        states = self._stated("hair.colour") if colour else {}
        if style is None or (colour and self._chance(0.15)):
            return Phrase(f"{colour}hair", "hair", states)
        tail = words.article(f"{colour}{style}"), f"{colour}hair in a {style}", f"{colour}hair tied {'up ' * (style == 'bun')}in a {style}"
        text = self._random.choice(tail) if style in ("ponytail", "bun") else f"{style} {colour}hair"
        return Phrase(text, "hair", states | self._stated("hair.style"))

    def _hair_described(self) -> Phrase:
        style, colour = self.facts.get("hair.style"), self._colour_word("hair")
        front = {"long": "long and ", "short": "short and "}.get(style or "", "")
        tail = {"ponytail": " and tied in a ponytail", "bun": " and tied up in a bun"}.get(style or "", "")
        states = self._stated("hair.colour") | (self._stated("hair.style") if front or tail else {})
        return Phrase(f"hair is {front}{colour}{tail}", "hair", states)
