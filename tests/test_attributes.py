"""What captions name, by hand-written examples, and of every walker what its truth says is stated."""

import json
import random
import string
from pathlib import Path

import pytest

from bench.attributes import KINDS, attributes, named, vocabulary
from bench.contracts import silently
from datasets.walkers import Walkers, WalkersOptions


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a dark blue T-shirt", {("colour", "dark blue"), ("garment", "t-shirt")}),
        ("navy tees", {("colour", "dark blue"), ("garment", "t-shirt")}),
        ("He wears grey trousers.", {("colour", "grey"), ("garment", "trousers")}),
        ("gray slacks, GRAY PANTS", {("colour", "grey"), ("garment", "trousers")}),
        ("short black pants", {("colour", "black"), ("garment", "trousers")}),
        ("black short pants", {("colour", "black"), ("garment", "shorts")}),
        ("blue jeans", {("colour", "blue"), ("garment", "jeans")}),
        ("a jean jacket", {("garment", "denim jacket")}),
        ("a red dress shirt and dress shoes", {("colour", "red"), ("garment", "shirt"), ("footwear", "leather shoes")}),
        ("a black-and-white striped dress", {("colour", "black"), ("colour", "white"), ("pattern", "striped"), ("garment", "dress")}),
        ("two scarves, many boxes and cherries", {("accessory", "scarf"), ("carried", "box")}),
        ("long, dark brown hair", {("hair", "long"), ("colour", "dark brown")}),
        ("a long-haired woman", {("hair", "long"), ("person", "woman")}),
        ("Her hair is short and blonde", {("hair", "short"), ("hair", "blond")}),
        ("his hair was black and long. A long coat", {("hair", "long"), ("colour", "black"), ("garment", "coat")}),
        ("a long coat under black hair", {("garment", "coat"), ("colour", "black")}),
        ("shoulder-length hair in a pony tail", {("hair", "long"), ("hair", "ponytail")}),
        ("long sleeved shirt", {("sleeves", "long"), ("garment", "shirt")}),
        ("a bag on top of a bike", {("carried", "bag"), ("vehicle", "bicycle")}),
        ("a cream-colored purse", {("colour", "beige"), ("carried", "handbag")}),
        ("an elderly pedestrian looks at the dressed window", set()),
        ("", set()),
        ("红色 İİ a red\u2019coat", {("colour", "red"), ("garment", "coat")}),
    ],
)
def test_names(caption: str, expected: set[tuple[str, str]]) -> None:
    assert attributes(caption) == expected


def test_places_are_those_of_the_words() -> None:
    caption = "İn a dark-blue coat"  # the first letter is longer in lower case
    found = [(caption[place.start : place.end], place.attribute[1]) for place in named(caption)]
    assert found == [
        ("dark-blue", "dark blue"),
        ("coat", "coat"),
    ]


def test_places_are_in_order_and_within_any_text() -> None:
    chance, terms = random.Random(0), sorted(" ".join(term) for term in vocabulary())
    for _ in range(300):
        caption = "".join(chance.choice([*terms[:: chance.randint(1, 40)], " ", "-", "hair", *string.printable]) for _ in range(20))
        places = [(found.start, found.end) for found in named(caption)]
        assert places == sorted(places)
        assert all(0 <= start < end <= len(caption) for start, end in places)


def test_every_attribute_is_of_a_known_kind() -> None:
    assert {attribute[0] for attribute in vocabulary().values() if attribute} <= set(KINDS)


def test_finds_what_walkers_state(tmp_path: Path) -> None:
    """Colours and kinds of clothes, by their names in the truth."""
    walkers = Walkers(tmp_path, WalkersOptions(size="tiny"))
    walkers.prepare(silently)
    truth, split = json.loads((walkers.folder / "truth.json").read_text())["images"], walkers.split("train")
    captions, missed = iter(split.captions), set()
    for mentions in (mentions for image in split.images for mentions in truth[image.path]["mentions"]):
        found = attributes(next(captions).text)
        facts = [fact for mention in mentions for fact in mention["states"].items()]
        missed |= {fact for fact in facts if (wanted := _as_attribute(*fact)) and wanted not in found}
    # which captions call leather shoes or flat shoes, and ginger: of their own kinds here
    assert missed <= {("shoes.type", "shoes"), ("hair.colour", "red")}


def _as_attribute(key: str, value: str) -> tuple[str, str] | None:
    part, prop = key.split(".")
    if prop == "colour":
        return ("hair" if value == "blond" else "colour", value)
    kinds = {
        "upper": "garment",
        "lower": "garment",
        "shoes": "footwear",
        "headwear": "headwear",
        "carried": "carried",
        "glasses": "eyewear",
    }
    return (kinds[part], value) if prop == "type" else None
