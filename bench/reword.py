"""Text augmentation: words left out, sentences and phrases reordered, attribute words exchanged for others that the data uses alike.

A caption's phrases follow its changes: they are never looked for anew, so that every extractor's phrases are changed alike.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from random import Random
from typing import NamedTuple

from torch import Tensor

from bench._augment_options import AugmentOptions
from bench.attributes import Attribute, named
from bench.contracts import Captions, InputSpec
from bench.phrases import Phrase
from bench.text import Tokenizer, encode_captions

LEAST = 2
"""Identities whose captions must use two terms alike before one may stand for the other."""
RARE = 0.05
"""Share of a term's uses that another must have to stand for it."""
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_ARTICLE = re.compile(r"\b(an?)\s+$", re.IGNORECASE)

Phrases = tuple[Phrase, ...]
Synonyms = Mapping[tuple[Attribute, str], Mapping[str, int]]
"""An attribute and a term for it, in lower case -> the terms that may stand for that one, with the weights they are drawn by."""


class Edit(NamedTuple):
    """`caption[start:end]` becomes `text`."""

    start: int
    end: int
    text: str


class Reworder:
    """Changes the captions of a split, and encodes what they have become."""

    def __init__(
        self,
        captions: Sequence[str],
        phrases: Sequence[Phrases],
        pids: Sequence[int],
        *,
        tokenizer: Tokenizer,
        spec: InputSpec,
        options: AugmentOptions,
    ) -> None:
        """`phrases` may be empty where the model wants none; `pids` (T,) are the captions' identities."""
        self._captions, self._tokenizer, self._spec, self._options = captions, tokenizer, spec, options
        self._phrases = phrases or [()] * len(captions)
        self._synonyms = learn_synonyms(captions, pids) if options.synonyms else {}

    def __call__(self, rows: Tensor, seeds: Iterable[str]) -> Captions:
        """The captions at `rows` (n,), each changed by chance of its own seed."""
        changed = [self._changed(row, Random(seed)) for row, seed in zip(rows.tolist(), seeds, strict=True)]
        texts, phrases = [caption for caption, _ in changed], [found for _, found in changed]
        return encode_captions(texts, self._tokenizer, self._spec, phrases if self._spec.max_phrases else [])

    def _changed(self, row: int, random: Random) -> tuple[str, Phrases]:
        caption, phrases, options = self._captions[row], self._phrases[row], self._options
        if options.synonyms:
            caption, phrases = edited(caption, phrases, exchanged(caption, phrases, self._synonyms, random, share=options.synonyms))
        if options.drop_words:
            caption, phrases = edited(caption, phrases, dropped(caption, random, share=options.drop_words))
        if options.reorder and random.random() < options.reorder:
            caption, phrases = reordered(caption, phrases, random)
        return caption, phrases


# ------------------------------------------------------------------------------------------------------------ changes


def edited(caption: str, phrases: Phrases, edits: Sequence[Edit]) -> tuple[str, Phrases]:
    """A caption after edits (in order, apart), and its phrases where they are then; a phrase of which nothing is left is gone."""
    text, done = "", 0
    places: list[int] = []  # where each character has come to begin
    for edit in [*edits, Edit(len(caption), len(caption), "")]:
        places += range(len(text), len(text) + edit.start - done)
        text += caption[done : edit.start]
        places += [len(text)] * (edit.end - edit.start)
        text += edit.text
        done = edit.end
    places.append(len(text))
    return text, _phrases_at(text, ((places[phrase.start], places[phrase.end]) for phrase in phrases))


def _phrases_at(caption: str, spans: Iterable[tuple[int, int]]) -> Phrases:
    """The phrases at these places, without the spaces at their ends; none where there is no letter."""
    trimmed = [(end - len(caption[start:end].lstrip()), start + len(caption[start:end].rstrip())) for start, end in spans]
    found = (Phrase(caption[start:end], start, end) for start, end in trimmed if start < end)
    return tuple(phrase for phrase in found if _WORD.search(phrase.text))


def dropped(caption: str, random: Random, *, share: float) -> list[Edit]:
    """Each word left out with that probability (Wei and Zou, 2019, arXiv:1901.11196), never all."""
    words = list(_WORD.finditer(caption))
    out = [word for word in words if random.random() < share]
    if len(out) == len(words):
        out = out[1:]
    return [Edit(word.start(), len(caption) - len(caption[word.end() :].lstrip()), "") for word in out]


def reordered(caption: str, phrases: Phrases, random: Random) -> tuple[str, Phrases]:
    """The sentences in another order, and the phrases in another order than they stand in (a model takes the first so many)."""
    sentences = [found.span() for found in _SENTENCE.finditer(caption) if found.group().strip()]
    whole = all(any(start <= phrase.start and phrase.end <= end for start, end in sentences) for phrase in phrases)
    text, moved = (_joined(caption, phrases, random.sample(sentences, len(sentences)))) if whole else (caption, phrases)
    return text, tuple(random.sample(moved, len(moved)))


def _joined(caption: str, phrases: Phrases, sentences: Sequence[tuple[int, int]]) -> tuple[str, Phrases]:
    text, moved = "", list[Phrase]()
    for start, end in sentences:
        sentence = caption[start:end].strip()
        text += " " if text else ""
        shift = len(text) - (end - len(caption[start:end].lstrip()))
        inside = (phrase for phrase in phrases if start <= phrase.start and phrase.end <= end)
        moved += [Phrase(phrase.text, phrase.start + shift, phrase.end + shift) for phrase in inside]
        text += sentence
    return text, tuple(moved)


# ----------------------------------------------------------------------------------------------------------- synonyms


def learn_synonyms(captions: Sequence[str], pids: Sequence[int]) -> Synonyms:
    """Which terms the data uses alike, with how many identities' captions use them.

    One may stand for another if the vocabulary of attributes gives both the same name, the captions of LEAST identities use both, it is not
    RARE beside the other (a misspelling, a shade), says no more (`jacket` may stand for `leather jacket`, but not the reverse), and has
    the same number.
    """
    used: dict[int, set[tuple[Attribute, str]]] = defaultdict(set)
    for caption, pid in zip(captions, pids, strict=True):
        used[pid] |= {(place.attribute, _spelt(caption[place.start : place.end])) for place in named(caption)}
    uses = Counter(term for terms in used.values() for term in terms)
    alike = Counter((one, other) for terms in used.values() for one, other in permutations(terms, 2) if one[0] == other[0])
    found: dict[tuple[Attribute, str], dict[str, int]] = defaultdict(dict)
    for (one, other), count in sorted(alike.items()):
        if count >= LEAST and uses[other] >= RARE * uses[one] and _says_no_more(other[1], one[1]):
            found[one][other[1]] = uses[other]
    return found


def _says_no_more(other: str, one: str) -> bool:
    words, more = set(_WORD.findall(one.replace("-", " "))), set(_WORD.findall(other.replace("-", " ")))
    return not words < more and one.endswith("s") == other.endswith("s")


def exchanged(caption: str, phrases: Phrases, synonyms: Synonyms, random: Random, *, share: float) -> list[Edit]:
    """Each term for which others may stand, exchanged with that probability; `a` and `an` follow."""
    borders = {border for phrase in phrases for border in (phrase.start, phrase.end)}
    edits: list[Edit] = []
    for start, end, attribute in named(caption):
        others = synonyms.get((attribute, _spelt(caption[start:end])), {})
        chosen = bool(others) and random.random() < share
        if chosen and not borders & set(range(start + 1, end)) and (not edits or edits[-1].end <= start):
            new = _cased(random.choices(list(others), list(others.values()))[0], caption[start:end])
            edits += [*_article(caption, start, new), Edit(start, end, new)]
    return edits


def _spelt(term: str) -> str:
    return " ".join(term.lower().split())


def _cased(new: str, old: str) -> str:
    return new.upper() if old.isupper() and len(old) > 1 else new.capitalize() if old[0].isupper() else new


def _article(caption: str, start: int, new: str) -> list[Edit]:
    """The edit of the article before a word, if it takes the other."""
    found = _ARTICLE.search(caption[:start])
    right = "an" if new[0].lower() in "aeiou" else "a"
    if found is None or found.group(1).lower() == right:
        return []
    return [Edit(found.start(1), found.end(1), right if found.group(1).islower() else right.capitalize())]
