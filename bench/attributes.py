"""What a caption names: colours, garments, footwear, carried things, hair, ..., by canonical names from a fixed vocabulary.

By words, not by meaning: `attributes` says that a caption names a red thing and a coat, not that the coat is red. The vocabulary is
`bench/_attribute_words.py`. Kinds: colour, garment, footwear, headwear, eyewear, accessory, carried, vehicle, pattern, sleeves, hair,
person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from bench._attribute_words import COLOURS, HAIR, NEUTRAL, PLURALS, SHADED, SHADES, TERMS

Attribute = tuple[str, str]
"""Kind and canonical name: ("colour", "dark blue"), ("garment", "t-shirt"), ("hair", "long")."""
Words = tuple[str, ...]

KINDS = ("colour", *TERMS)
_WORD = re.compile(r"[a-z0-9]+", re.IGNORECASE | re.ASCII)


class Named(NamedTuple):
    """`caption[start:end]` names the attribute."""

    start: int
    end: int
    attribute: Attribute


def attributes(caption: str) -> frozenset[Attribute]:
    """The attributes that a caption names, plurals, spellings and terms of several words put together.

    >>> sorted(attributes("A man in a navy-blue T shirt, with long black hair."))
    [('colour', 'black'), ('colour', 'dark blue'), ('garment', 't-shirt'), ('hair', 'long'), ('person', 'man')]
    """
    return frozenset(found.attribute for found in named(caption))


def named(caption: str) -> tuple[Named, ...]:
    """As `attributes`, each place by itself, in order. Of terms that overlap the first counts, of those the longest."""
    found = list(_WORD.finditer(caption))
    words = [word.group().lower() for word in found]
    taken = sorted({*_terms(words), *_hair(words)})
    return tuple(Named(found[first].start(), found[last - 1].end(), attribute) for first, last, attribute in taken)


def _terms(words: Sequence[str]) -> Iterator[tuple[int, int, Attribute]]:
    """First word, word after the last, attribute."""
    place = 0
    while place < len(words):
        for known in _starting_with(words[place]):
            if tuple(words[place : place + len(known)]) == known:
                attribute = vocabulary()[known]
                if attribute is not None:
                    yield place, place + len(known), attribute
                place += len(known)
                break
        else:
            place += 1


def _hair(words: Sequence[str]) -> Iterator[tuple[int, int, Attribute]]:
    """`long, black hair`, `long-haired`; `hair is short and curly`."""
    for place, word in enumerate(words):
        if word in ("hair", "hairs", "haired"):
            before = place - _run(words[:place][::-1])
            yield from _hair_styles(words, before, place)
            if words[place + 1 : place + 2] in (["is"], ["was"]):
                yield from _hair_styles(words, place + 2, place + 2 + _run(words[place + 2 :]))


def _run(words: Sequence[str]) -> int:
    """How many of the words, from the first on, may stand between a style and the hair it is of."""
    return next((number for number, word in enumerate(words) if word not in _beside_hair()), len(words))


def _hair_styles(words: Sequence[str], first: int, end: int) -> Iterator[tuple[int, int, Attribute]]:
    for start in range(first, end):
        for length in (1, 2):
            name = _hair_terms().get(tuple(words[start : start + length]))
            if name is not None and start + length <= end:
                yield start, start + length, ("hair", name)


# ---------------------------------------------------------------------------------------------------------- vocabulary


@lru_cache(maxsize=1)
def vocabulary() -> dict[Words, Attribute | None]:
    """Every term, by its words, with what it names; None: it names nothing, and is there to hide the shorter terms in it."""
    known: dict[Words, Attribute | None] = {form: None for term in _listed(NEUTRAL) for form in _forms(term)}
    for kind, names in TERMS.items():
        for name, terms in names.items():
            known |= {form: (kind, name) for term in _listed(terms) for form in _forms(term)}
    return known | _colour_terms()


def _colour_terms() -> dict[Words, Attribute]:
    plain = {tuple(_WORD.findall(term)): name for name, terms in COLOURS.items() for term in terms.split()}
    shaded = {
        (shade, *words): ("colour", f"{depth} {name}") for words, name in plain.items() for shade, depth in SHADES.items() if name in SHADED
    }
    coloured = {(*words, tail): ("colour", name) for words, name in plain.items() for tail in ("colored", "coloured") if len(words) == 1}
    return {words: ("colour", name) for words, name in plain.items()} | coloured | shaded


@lru_cache(maxsize=1 << 14)
def _starting_with(word: str) -> tuple[Words, ...]:
    """The terms that begin with the word, the longest first."""
    return tuple(sorted((term for term in vocabulary() if term[0] == word), key=len, reverse=True))


@lru_cache(maxsize=1)
def _hair_terms() -> dict[Words, str]:
    return {tuple(term.split()): name for name, terms in HAIR.items() for term in _listed(terms)}


@lru_cache(maxsize=1)
def _beside_hair() -> frozenset[str]:
    colours = {word for words in _colour_terms() for word in words}
    styles = {word for words in _hair_terms() for word in words}
    return frozenset(colours | styles | {"and", "blond", "blonde", "very", "thick"})


def _listed(terms: str) -> list[str]:
    return [" ".join(term.split()) for term in terms.split(",")]


def _forms(term: str) -> Iterator[Words]:
    """Its words in the singular and, where they have one, in the plural."""
    *front, last = term.split()
    yield (*front, last)
    plural = PLURALS.get(last) or (last if last.endswith("s") and not last.endswith("ss") else _plural(last))
    yield (*front, plural)


def _plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith("y") and word[-2] not in "aeiou" else f"{word}s"
