"""Text that remembers which of its characters speak of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Facts = dict[str, str]
"""Attribute -> value, as an identity has them or as a caption states them. `image.view` is a fact of the image alone."""


@dataclass(frozen=True)
class Phrase:
    """Words that speak of one part and state some facts."""

    text: str
    part: str
    states: Mapping[str, str]


Piece = str | Phrase
Sentence = list[Piece]
"""Begins in lower case and ends without a stop."""


@dataclass(frozen=True)
class Mention:
    """Characters [start, end) of a caption speak of `part` and state these facts."""

    start: int
    end: int
    part: str
    states: Mapping[str, str]


@dataclass(frozen=True)
class Caption:
    text: str
    mentions: tuple[Mention, ...]


def assemble(sentences: Sequence[Sentence]) -> Caption:
    """Put sentences together: capitals, full stops, and where each phrase has come to stand."""
    text, mentions = "", []
    for sentence in sentences:
        text += " " if text else ""
        start = len(text)
        for piece in sentence:
            if isinstance(piece, Phrase):
                if piece.states:
                    mentions.append(Mention(len(text), len(text) + len(piece.text), piece.part, piece.states))
                text += piece.text
            else:
                text += piece
        text = text[:start] + text[start].upper() + text[start + 1 :] + "."
    return Caption(text, tuple(mentions))
