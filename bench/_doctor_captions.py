"""What captions tell: those that several identities share, and those that are no English description."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping

from bench.contracts import Split
from bench.findings import Finding, Severity

COMMON = frozenset("a an the is are and with in of on to at his her he she has have wears wearing man woman person this it their".split())
"""Words of which an English sentence of some length has at least one."""
LONG = 6
"""Words from which on a caption without a common word is no English."""
CODE = re.compile(
    r"[{}<>\\|=]|;\s*$|\w\(\)|\w\[|\b(?:def|import|return|lambda|elif|print|self|None|null|void)\b\s*[\w.(:]*\s*[(:=]|https?://|^\s*(?:import|from|def)\s\w+"
)
"""What stands in programs and mark-up, never in a description of a person."""


def caption_findings(splits: Mapping[str, Split]) -> Iterator[Finding]:
    """Everything that the captions tell, split by split."""
    for name, split in splits.items():
        texts = [caption.text for caption in split.captions]
        yield from _shared(name, split)
        yield from _repeated(name, texts)
        for code, rule, what, action in _RULES:
            if found := [text for text in texts if rule(text)]:
                yield Finding.of(code, _severity(name), f"{len(found):,} {name} captions {what}", _short(found), _effect(name), action)


def _shared(name: str, split: Split) -> Iterator[Finding]:
    """Equal captions (case and spaces aside) of different people. No ranking finds all of them first: a caption has one ranking."""
    queries: dict[str, Counter[int]] = defaultdict(Counter)
    for caption in split.captions:
        queries[" ".join(caption.text.lower().split())][split.images[caption.image].pid] += 1
    shared = {text: pids for text, pids in queries.items() if len(pids) > 1}
    if not shared:
        return
    n_shared = sum(pids.total() for pids in shared.values())
    lost = sum(pids.total() - max(pids.values()) for pids in shared.values())
    examples = [f"{len(pids)} identities: {_cut(text)}" for text, pids in sorted(shared.items(), key=lambda item: -len(item[1]))]
    bound = 100 * (1 - lost / len(split.captions))
    learns = "the same words are said to be right and wrong at once"
    yield Finding(
        "caption-shared",
        _severity(name),
        f"{n_shared:,} of {len(split.captions):,} {name} captions are shared by several identities ({len(shared):,} texts)",
        n_shared,
        learns if name == "train" else f"R1 is ill-posed there: no model can exceed {bound:.2f} %",
        "nothing, if this is the published set: state it; in a set of your own, tell them apart",
        tuple(examples[:5]),
    )


def _repeated(name: str, texts: list[str]) -> Iterator[Finding]:
    counts = Counter(texts)
    n_repeats = len(texts) - len(counts)
    if n_repeats:
        commonest = [f"{count} times: {_cut(text)}" for text, count in counts.most_common(5) if count > 1]
        what = f"{n_repeats:,} of {len(texts):,} {name} captions repeat another word for word"
        effect = "fewer different queries than captions: intervals that count each are too narrow"
        yield Finding("caption-repeated", Severity.NOTE, what, n_repeats, effect, "nothing", tuple(commonest))


def _wordless(text: str) -> bool:
    return not any(character.isalnum() for character in text)


def _foreign(text: str) -> bool:
    """Letters that are not Latin, or many words and not one of the commonest of English."""
    if not text.isascii() and any(character.isalpha() and not _latin(character) for character in text):
        return True
    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) >= LONG and COMMON.isdisjoint(words)


def _latin(character: str) -> bool:
    return "LATIN" in unicodedata.name(character, "") or character in "ªº"


def _code(text: str) -> bool:
    return CODE.search(text) is not None


_RULES: tuple[tuple[str, Callable[[str], bool], str, str], ...] = (
    ("caption-wordless", _wordless, "have no word", "write or drop them"),
    ("caption-not-english", _foreign, "do not look English", "look at them; translate or drop them in a set of your own"),
    ("caption-code", _code, "look like program code or mark-up", "look at them; write them anew in a set of your own"),
)


def _severity(name: str) -> Severity:
    """In train such captions are noise that everyone has; among the queries they decide results."""
    return Severity.NOTE if name == "train" else Severity.CHANGES


def _effect(name: str) -> str:
    return "noise in training" if name == "train" else "queries that describe nobody: no model can answer them but by chance"


def _short(texts: list[str]) -> list[str]:
    return [_cut(text) for text in texts]


def _cut(text: str) -> str:
    """A caption for one line: no control character, not long."""
    clean = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return clean if len(clean) <= 90 else f"{clean[:87]}..."
