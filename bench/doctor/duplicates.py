"""Images that stand more than once: the same bytes (SHA-256), or the same picture saved anew (perceptual hash)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from bench.contracts import Track, silently
from bench.doctor.findings import Finding, Severity, many
from bench.doctor.images import Looked, Words

RADIUS = 16
"""Of 256 bits. A picture saved anew, or at half or double size, differs in 12 at most; another of the same person hardly ever in less
than 30."""
BLOCK = 256
"""Rows that are compared with all others at once."""
Pair = tuple[Looked, Looked]
SAME = ("byte for byte", "saved anew")


def duplicate_findings(looked: Sequence[Looked], track: Track = silently) -> Iterator[Finding]:
    """Duplicates within and across the splits of a set."""
    exact = list(_same_bytes(looked))
    distinct = _distinct(looked)
    alike = list(_alike(distinct, distinct, track))
    for kind, pairs in (("exact", exact), ("alike", alike)):
        yield from _across(kind, pairs)
        yield from _within(kind, pairs)


def foreign_findings(looked: Sequence[Looked], other: Sequence[Looked], name: str, track: Track = silently) -> Iterator[Finding]:
    """Images that another data set has too."""
    by_digest: dict[bytes, Looked] = {one.look.digest: one for one in other if one.look.digest}
    exact = [(one, by_digest[one.look.digest]) for one in looked if one.look.digest and one.look.digest in by_digest]
    known = {one.path for one, _ in exact}
    alike = {one.path: (one, twin) for one, twin in _alike(looked, _distinct(other), track) if one.path not in known}
    for kind, pairs in (("exact", exact), ("alike", list(alike.values()))):
        if pairs:
            tested = sum("train" in (one.split, twin.split) and one.split != twin.split for one, twin in pairs)
            where = f"{tested:,} of them in train of the one and in val or test of the other"
            yield Finding.of(
                f"image-in-other-set-{kind}",
                Severity.CHANGES if tested else Severity.NOTE,
                f"{many(len(pairs), 'image')} of {name} too ({_kind(kind)}), {where}",
                [f"{_told(one)} = {name} {_told(twin)}" for one, twin in pairs],
                f"training on one of the two sets and testing on the other is not zero-shot; results on this set alone stand ({name})",
                "state it, or leave these images out of such an evaluation",
            )


def _across(kind: str, pairs: Sequence[Pair]) -> Iterator[Finding]:
    by_splits: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for one, other in pairs:
        if one.split != other.split:
            by_splits[one.split, other.split].append((one, other))
    for (first, second), found in by_splits.items():
        yield Finding.of(
            f"image-twice-across-{kind}",
            Severity.CHANGES,
            f"{many(len(found), 'pair')} of images in {first} and {second}: one picture ({_kind(kind)})",
            [f"{_told(one)} = {_told(other)}" for one, other in found],
            f"{second} is not unseen: its results are too good",
            "look at them; keep each picture in one split",
        )


def _within(kind: str, pairs: Sequence[Pair]) -> Iterator[Finding]:
    inside = [pair for pair in pairs if pair[0].split == pair[1].split]
    people = [pair for pair in inside if pair[0].pid != pair[1].pid]
    if people:
        yield Finding.of(
            f"image-twice-two-identities-{kind}",
            Severity.CHANGES,
            f"{many(len(people), 'pair')} of images of two identities: one picture ({_kind(kind)})",
            [f"{_told(one)} (identity {one.pid}) = {other.path} (identity {other.pid})" for one, other in people],
            "one of the two is labelled wrongly: a right answer counts as wrong",
            "look at them; give both one identity, or drop one",
        )
    if len(inside) > len(people):
        own = [f"{_told(one)} = {other.path}" for one, other in inside if one.pid == other.pid]
        what = f"{many(len(own), 'pair')} of images of one identity: one picture ({_kind(kind)})"
        yield Finding.of(
            f"image-twice-{kind}", Severity.NOTE, what, own, "an identity has fewer views than images", "nothing in a published set"
        )


def _kind(kind: str) -> str:
    return SAME[kind == "alike"]


def _told(one: Looked) -> str:
    return f"{one.split} {one.path}"


def _distinct(looked: Sequence[Looked]) -> list[Looked]:
    """The first of each group of equal files, so that a placeholder that stands a thousand times makes no million pairs."""
    return list({one.look.digest: one for one in reversed(looked) if one.look.digest}.values())[::-1]


def _same_bytes(looked: Sequence[Looked]) -> Iterator[Pair]:
    """Pairs of equal files. The same path in two splits is told elsewhere."""
    by_digest: dict[bytes, list[Looked]] = defaultdict(list)
    for one in looked:
        if one.look.digest:
            by_digest[one.look.digest].append(one)
    for group in by_digest.values():
        yield from (pair for pair in _pairs(group) if pair[0].path != pair[1].path)


def _pairs(group: Sequence[Looked], most: int = 50) -> Iterator[Pair]:
    """All pairs of a small group; of a large one (a placeholder, say, a thousand times) each with the first."""
    return combinations(group, 2) if len(group) <= most else ((group[0], other) for other in group[1:])


def _alike(looked: Sequence[Looked], other: Sequence[Looked], track: Track) -> Iterator[Pair]:
    """Pairs of pictures within RADIUS; where `other` is `looked`, each once."""
    ones, theirs = [one for one in looked if one.look.words is not None], [one for one in other if one.look.words is not None]
    if ones and theirs:
        for row, column in near(_stacked(ones), _stacked(theirs), same=looked is other, track=track):
            yield ones[row], theirs[column]


def _stacked(looked: Sequence[Looked]) -> Words:
    return np.stack([one.look.words for one in looked if one.look.words is not None])


def near(ones: Words, others: Words, *, same: bool = False, radius: int = RADIUS, track: Track = silently) -> Iterator[tuple[int, int]]:
    """Rows of (N, 4) and (M, 4) words that differ in `radius` bits at most. `same`: both are one, and each pair comes once.

    By blocks, so that no N x M matrix exists; a pair is looked at whole only if its first word is near.
    """
    for start in track(range(0, len(ones), BLOCK), "comparing images"):
        block, offset = ones[start : start + BLOCK], start if same else 0
        first = np.bitwise_count(block[:, None, 0] ^ others[None, offset:, 0])  # (BLOCK, M - offset)
        rows, columns = np.nonzero(first <= radius)
        columns += offset
        if same:
            later = columns > rows + start
            rows, columns = rows[later], columns[later]
        distances = np.bitwise_count(block[rows] ^ others[columns]).sum(axis=1)
        for row, column in zip(rows[distances <= radius], columns[distances <= radius], strict=True):
            yield int(row) + start, int(column)
