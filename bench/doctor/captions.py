"""What captions tell: those that several identities share, and those that are no English description."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from bench.contracts import Split, SplitName
from bench.doctor.findings import Finding, Severity, many

COMMON = frozenset(
    {"a", "an", "the", "is", "are", "and", "with", "in", "of", "on", "to", "at", "this", "it", "their", "his", "her", "he", "she"}
    | {"has", "have", "wears", "wearing", "man", "woman", "person"}
)
"""Words of which an English sentence of some length has at least one."""
LONG = 6
"""Words from which on a caption without a common word is no English."""
CODE = re.compile(
    r"[{}<>]|==|https?://|\w\(\)|\w\[\w|\bprint\(|\bself\.\w|\b\w+ ?= ?[\"'\[(\d]"
    r"|\b(?:def|import|lambda|elif)\s\w+\s*[(:.]|^\s*(?:import\s[\w.]+|from\s[\w.]+\simport\s.+)$"
)
"""What stands in programs and mark-up, never in a description of a person."""


def caption_findings(splits: Mapping[SplitName, Split]) -> Iterator[Finding]:
    """Everything that the captions tell, split by split."""
    for name, split in splits.items():
        texts = [caption.text for caption in split.captions]
        yield from _shared(name, split)
        yield from _repeated(name, texts)
        for rule in RULES:
            found = [_cut(text, place) for text in texts if (place := rule.place(text)) is not None]
            if found:
                what = f"{many(len(found), f'{name} caption')} {rule.what}"
                yield Finding.of(rule.code, _severity(name), what, found, _effect(name), rule.action)


def _shared(name: str, split: Split) -> Iterator[Finding]:
    """Equal captions (case and spaces aside) of different people. No ranking finds all of them first: a caption has one ranking."""
    queries: dict[str, Counter[int]] = defaultdict(Counter)
    for caption in split.captions:
        queries[" ".join(caption.text.lower().split())][split.images[caption.image].pid] += 1
    shared = {text: pids for text, pids in queries.items() if len(pids) > 1}
    if not shared:
        return
    lost = sum(pids.total() - max(pids.values()) for pids in shared.values())
    bound = f"R1 is ill-posed for these queries: no model exceeds {100 * (1 - lost / len(split.captions)):.2f} %"
    total = sum(pids.total() for pids in shared.values())
    examples = [f"{len(pids)} identities: {_cut(text)}" for text, pids in sorted(shared.items(), key=lambda item: -len(item[1]))]
    yield Finding(
        "caption-shared",
        _severity(name),
        f"{total:,} of {len(split.captions):,} {name} captions are shared by several identities ({many(len(shared), 'text')})",
        total,
        bound if name != "train" else "a match of one is no match of another",
        "in a published set nothing: state it; in a set of your own tell these people apart",
        tuple(examples[:5]),
    )


def _repeated(name: str, texts: list[str]) -> Iterator[Finding]:
    counts = Counter(texts)
    if repeats := len(texts) - len(counts):
        commonest = tuple(f"{count} times: {_cut(text)}" for text, count in counts.most_common(5) if count > 1)
        what = f"{repeats:,} of {len(texts):,} {name} captions repeat another word for word"
        effect = "fewer different queries than captions: intervals that count each are too narrow"
        yield Finding("caption-repeated", Severity.NOTE, what, repeats, effect, "nothing", commonest)


class Rule(NamedTuple):
    """What a caption should not be."""

    code: str
    place: Callable[[str], int | None]
    """Where in a caption it shows; None: nowhere."""
    what: str
    action: str


def _wordless(text: str) -> int | None:
    return None if any(character.isalnum() for character in text) else 0


def _foreign(text: str) -> int | None:
    """Where a letter is not Latin; 0 for many words and not one of the commonest of English."""
    if not text.isascii():
        for place, character in enumerate(text):
            if character.isalpha() and not unicodedata.name(character, "").startswith(("LATIN", "FULLWIDTH LATIN")):
                return place
    words = re.findall(r"[^\W\d_]+", text.lower())
    return 0 if len(words) >= LONG and COMMON.isdisjoint(words) else None


def _code(text: str) -> int | None:
    found = CODE.search(text)
    return found.start() if found else None


RULES = (
    Rule("caption-wordless", _wordless, "without a word", "write or drop them"),
    Rule("caption-not-english", _foreign, "that are not English", "look at them; translate or drop them in a set of your own"),
    Rule("caption-code", _code, "with program code or mark-up", "look at them; write them anew in a set of your own"),
)


def _severity(name: str) -> Severity:
    """In train such captions are noise that everyone has; among the queries they decide results."""
    return Severity.NOTE if name == "train" else Severity.CHANGES


def _effect(name: str) -> str:
    return "noise in training" if name == "train" else "queries that describe nobody: no model answers them but by chance"


def _cut(text: str, place: int = 0) -> str:
    """A caption for one line: no control character, not long, with what stands at `place` in it."""
    start = 0 if place < 60 else place - 30
    clean = " ".join("".join(character if character.isprintable() else " " for character in text[start : start + 400]).split())
    return ("..." if start else "") + (clean if len(clean) <= 90 else f"{clean[:87]}...")
