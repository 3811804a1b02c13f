"""`data stats`: the numbers a paper prints of a data set, counted from its records; no image is opened."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

from bench.attributes import KINDS, attributes
from bench.contracts import Split, Track, silently
from bench.phrases import noun_phrases

_WORD = re.compile(r"\w+(?:[-'’]\w+)*")


@dataclass(frozen=True)
class Census:
    """What was counted of one split. The sequences have an entry a caption, an identity, an image."""

    identities: int
    images: int
    captions: int
    words: Sequence[int]
    phrases: Sequence[int]
    images_an_identity: Sequence[int]
    captions_an_image: Sequence[int]
    vocabulary: frozenset[str]
    """Words in lower case."""
    named: Mapping[str, Mapping[str, int]]
    """Kind of attribute -> its name -> captions that name it, the most named first."""

    @cached_property
    def row(self) -> dict[str, Any]:
        """Plain values: sizes, and the least, mean and most of each sequence."""
        spreads = {"words": self.words, "phrases": self.phrases, "images_an_identity": self.images_an_identity}
        spreads |= {"captions_an_image": self.captions_an_image}
        sizes = {"identities": self.identities, "images": self.images, "captions": self.captions, "vocabulary": len(self.vocabulary)}
        return sizes | {name: _spread(values) for name, values in spreads.items()}


def take_census(split: Split, track: Track = silently) -> Census:
    """Count a split."""
    texts = [caption.text for caption in split.captions]
    words = [[word.lower() for word in _WORD.findall(text)] for text in texts]
    seen = [(len(noun_phrases(text)), attributes(text)) for text in track(texts, f"count {split.name}", len(texts))]
    captions_of = Counter(caption.image for caption in split.captions)
    return Census(
        split.n_identities,
        len(split.images),
        len(texts),
        words=[len(said) for said in words],
        phrases=[n for n, _ in seen],
        images_an_identity=list(Counter(image.pid for image in split.images).values()),
        captions_an_image=[captions_of[row] for row in range(len(split.images))],
        vocabulary=frozenset(word for said in words for word in said),
        named=_by_kind(Counter(attribute for _, named in seen for attribute in named)),
    )


def together(parts: Sequence[Census]) -> Census:
    """Several splits as one; an identity in two of them counts twice."""
    named: Counter[tuple[str, str]] = Counter()
    for part in parts:
        named.update({(kind, name): n for kind, names in part.named.items() for name, n in names.items()})
    return Census(
        sum(part.identities for part in parts),
        sum(part.images for part in parts),
        sum(part.captions for part in parts),
        words=[n for part in parts for n in part.words],
        phrases=[n for part in parts for n in part.phrases],
        images_an_identity=[n for part in parts for n in part.images_an_identity],
        captions_an_image=[n for part in parts for n in part.captions_an_image],
        vocabulary=frozenset().union(*(part.vocabulary for part in parts)),
        named=_by_kind(named),
    )


def _by_kind(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return {kind: {name: n for (of, name), n in ordered if of == kind} for kind in KINDS}


def _spread(values: Sequence[int]) -> dict[str, float]:
    return {"min": min(values), "mean": fmean(values), "max": max(values)} if values else {"min": 0, "mean": 0.0, "max": 0}
