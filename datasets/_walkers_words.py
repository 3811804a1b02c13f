"""The vocabulary of the captions: the words there are for each value of an attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Words = Mapping[str, Sequence[str]]

COLOURS: Words = {"grey": ("grey", "gray"), "purple": ("purple", "purple", "violet")}
"""Colours that go by another name than their own."""
HAIR_COLOURS: Words = {"blond": ("blond", "blonde"), "red": ("red", "ginger")}

NOUNS: Mapping[str, Words] = {
    "upper": {
        "t-shirt": ("T-shirt", "t-shirt", "tee"),
        "shirt": ("shirt", "button-up shirt", "buttoned shirt", "collared shirt"),
        "sweater": ("sweater", "jumper", "pullover"),
        "hoodie": ("hoodie", "hooded sweatshirt", "hooded top"),
        "jacket": ("jacket", "jacket", "short|jacket"),
        "coat": ("coat", "long|coat", "overcoat"),
        "dress": ("dress",),
    },
    "lower": {
        "trousers": ("trousers", "slacks"),
        "jeans": ("jeans", "jeans", "denim jeans"),
        "shorts": ("shorts",),
        "skirt": ("skirt",),
        "leggings": ("leggings", "tight|leggings"),
    },
    "shoes": {
        "shoes": ("leather shoes", "flat|shoes"),
        "boots": ("boots", "boots", "ankle boots"),
        "sneakers": ("sneakers", "trainers", "sports shoes"),
        "sandals": ("sandals", "open|sandals"),
    },
    "headwear": {
        "cap": ("cap", "baseball cap"),
        "beanie": ("beanie", "knitted hat", "woolly hat"),
        "hat": ("brimmed hat", "wide-brimmed|hat"),
    },
    "carried": {
        "backpack": ("backpack", "backpack", "rucksack"),
        "handbag": ("handbag", "purse"),
        "shoulder bag": ("shoulder bag", "crossbody bag"),
        "shopping bag": ("shopping bag", "paper bag"),
        "suitcase": ("suitcase", "rolling suitcase"),
        "umbrella": ("umbrella", "folded|umbrella"),
        "book": ("book",),
        "phone": ("phone", "mobile phone", "cell phone"),
    },
}
"""Part -> type -> its nouns. What stands before a bar goes before the colour: `a long red coat`, `a red overcoat`."""
GLASSES: Words = {"glasses": ("glasses", "glasses", "clear glasses"), "sunglasses": ("sunglasses", "sunglasses", "dark sunglasses")}

PATTERNS: Words = {
    "striped": ("striped", "striped", "stripy"),
    "checked": ("checked", "checkered", "plaid"),
    "dotted": ("dotted", "spotted", "polka-dot"),
    "plain": ("plain",),
}
PATTERN_TAILS: Words = {
    "striped": (" with stripes", " with horizontal stripes"),
    "checked": (" with a check pattern",),
    "dotted": (" with dots", " with polka dots"),
    "logo": (" with a logo on the chest", " with a logo", " with a print on the front", " with a logo on the front"),
}
HELD: Mapping[str, str] = {
    "backpack": " on {his} back",
    "handbag": " in {his} hand",
    "shoulder bag": " over {his} shoulder",
    "shopping bag": " in {his} hand",
    "umbrella": " in {his} hand",
    "book": " in one hand",
}

PEOPLE: Words = {"man": ("man", "man", "man", "guy", "gentleman", "male"), "woman": ("woman", "woman", "woman", "lady", "female")}
ANYONE = ("person", "pedestrian")
BUILDS: Words = {"slim": ("slim", "thin", "slender"), "stocky": ("stocky", "heavyset", "broad")}
VIEWS: Words = {
    "front": ("walking towards the camera", "facing the camera"),
    "back": ("walking away from the camera", "facing away from the camera"),
    "side": ("walking past the camera", "walking sideways to the camera"),
}
SEEN: Words = {"front": ("seen from the front",), "back": ("seen from behind", "from behind"), "side": ("seen from the side", "in profile")}

WEARS = ("is wearing", "is wearing", "wears", "has on", "is dressed in", "was wearing")
WEARS_TOO = ("is also wearing", "also wears", "also has on", "is wearing", "wears")

Verb = tuple[str, str, str]
"""`is carrying`, `carries`, `carrying`."""
_CARRYING: Verb = ("is carrying", "carries", "carrying")
HOLDING: Verb = ("is holding", "holds", "holding")
_CARRIES: Mapping[str, Sequence[Verb]] = {
    "suitcase": (("is pulling", "pulls", "pulling"), ("is dragging", "drags", "dragging")),
    "phone": (("is talking on", "talks on", "talking on"), HOLDING),
    "book": (HOLDING,),
    "shoulder bag": (_CARRYING, ("has", "has", "with")),
    "backpack": (_CARRYING, ("has", "has", "with"), ("is wearing", "wears", "wearing")),
}


def carrying(kind: str) -> Sequence[Verb]:
    """What one does with the thing."""
    return _CARRIES.get(kind, (_CARRYING, HOLDING))


def vague(part: str, kind: str) -> str | None:
    """A word that fits several kinds of the part, and so states none."""
    if part == "carried":
        return "bag" if kind == "backpack" or kind.endswith("bag") else None
    if part == "lower":
        return "pants" if kind in ("trousers", "jeans", "leggings") else None
    return {
        "upper": None if kind in ("coat", "jacket", "dress") else "top",
        "shoes": None if kind == "sandals" else "shoes",
        "headwear": "hat",
    }[part]


def plural(part: str, kind: str) -> bool:
    """Whether the thing takes `are`."""
    return part == "shoes" or (part == "lower" and kind != "skirt")


def article(words: str) -> str:
    """The words with `a` or `an` before them."""
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"
