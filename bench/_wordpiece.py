"""Learning a WordPiece vocabulary, the same from the same words always.

`tokenizers` has a trainer; it breaks ties by the order of a hash table and so gives another vocabulary in every process.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import pairwise

CONTINUES = "##"
Pair = tuple[str, str]


def learn_pieces(words: Mapping[str, int], size: int) -> list[str]:
    """At most `size` pieces for words with their counts: the letters, then merges of neighbours, the most frequent pair first.

    Ties fall to the pair that sorts first. Pairs seen once are not merged: nothing is learnt from one spelling mistake.
    """
    letters = _letters(words, size)
    spelling = {word: spelled for word in words if set(spelled := _spell(word)) <= set(letters)}
    pieces = dict.fromkeys(letters)
    pairs = _Pairs(spelling, words)
    while len(pieces) < size and (pair := pairs.most_frequent()) is not None:
        pieces[_joined(pair)] = None  # several pairs may spell one piece
        pairs.merge(pair)
    return list(pieces)


class _Pairs:
    """Neighbouring pieces of the words, counted, with the count kept up to date under merges."""

    def __init__(self, spelling: dict[str, list[str]], frequency: Mapping[str, int]) -> None:
        self.spelling, self.frequency = spelling, frequency
        self.counts: Counter[Pair] = Counter()
        self.words_of: defaultdict[Pair, set[str]] = defaultdict(set)
        for word in spelling:
            self._add(word)
        self.heap = [(-count, pair) for pair, count in self.counts.items()]
        heapify(self.heap)

    def most_frequent(self) -> Pair | None:
        """The pair to merge next; None when no pair is seen twice. The heap holds old counts too: those are passed over."""
        while self.heap:
            count, pair = heappop(self.heap)
            if self.counts[pair] == -count >= 2:
                return pair
        return None

    def merge(self, pair: Pair) -> None:
        """Write the pair as one piece wherever it stands."""
        touched: set[Pair] = set()
        for word in self.words_of.pop(pair):
            touched.update(pairwise(self.spelling[word]))
            self.counts.subtract({p: n * self.frequency[word] for p, n in Counter(pairwise(self.spelling[word])).items()})
            self.spelling[word] = _merged(self.spelling[word], pair)
            touched.update(self._add(word))
        for changed in touched:
            heappush(self.heap, (-self.counts[changed], changed))

    def _add(self, word: str) -> list[Pair]:
        pairs = list(pairwise(self.spelling[word]))
        for pair in pairs:
            self.counts[pair] += self.frequency[word]
            self.words_of[pair].add(word)
        return pairs


def _letters(words: Mapping[str, int], size: int) -> list[str]:
    """The pieces of one letter in sorted order: the most frequent ones, if they would fill more than half of the vocabulary."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for piece in _spell(word):
            counts[piece] += count
    return sorted(sorted(counts, key=lambda piece: (-counts[piece], piece))[: max(size // 2, 1)])


def _spell(word: str) -> list[str]:
    return [word[0], *(CONTINUES + letter for letter in word[1:])]


def _joined(pair: Pair) -> str:
    return pair[0] + pair[1].removeprefix(CONTINUES)


def _merged(spelled: list[str], pair: Pair) -> list[str]:
    merged: list[str] = []
    for piece in spelled:
        if merged and (merged[-1], piece) == pair:
            merged[-1] = _joined(pair)
        else:
            merged.append(piece)
    return merged
