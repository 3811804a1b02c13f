"""The nouns of data: records of images and captions, a split of them, what files hold of it, and the truth where that is known."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bench.errors import UsageError

SplitName = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image. `path` is relative to its split's `root`, with forward slashes, and unique within the split."""

    path: str
    pid: int


@dataclass(frozen=True, slots=True)
class CaptionRecord:
    """One caption of `split.images[image]`."""

    text: str
    image: int


@dataclass(frozen=True)
class Split:
    """The records of one split, no pixels. Images stand in sorted order of their paths, captions in order of their image.

    That order is the protocol's: ties in a ranking fall to the earlier path, whatever order a file was read in.
    """

    name: str
    root: Path
    images: tuple[ImageRecord, ...]
    captions: tuple[CaptionRecord, ...]
    written: tuple[int, ...] | None = field(default=None, compare=False, repr=False)
    """Each caption's number in the annotations (of this split, from 0), for what others have numbered so; None: not known."""

    @classmethod
    def from_pairs(cls, name: str, root: Path, pairs: Iterable[tuple[ImageRecord, Iterable[str]]]) -> Split:
        """Put images, each with its captions, into the protocol's order. A path given twice is a UsageError."""
        known = [(image, tuple(texts)) for image, texts in pairs]
        starts = list(accumulate((len(texts) for _, texts in known), initial=0))
        order = sorted(range(len(known)), key=lambda number: known[number][0].path)
        ordered = [known[number] for number in order]
        for (one, _), (next_one, _) in pairwise(ordered):
            if one.path == next_one.path:
                raise UsageError(f"{name}: image {one.path!r} stands twice in the annotations; give each image one record")
        images = tuple(image for image, _ in ordered)
        captions = tuple(CaptionRecord(text, place) for place, (_, texts) in enumerate(ordered) for text in texts)
        written = tuple(starts[number] + place for number in order for place in range(len(known[number][1])))
        return cls(name, root, images, captions, written)

    @cached_property
    def image_pids(self) -> Tensor:
        """(N,) int64 identities of the images."""
        return torch.tensor([image.pid for image in self.images], dtype=torch.int64)

    @cached_property
    def caption_pids(self) -> Tensor:
        """(T,) int64 identities of the captions: those of their images."""
        return torch.tensor([self.images[caption.image].pid for caption in self.captions], dtype=torch.int64)

    @cached_property
    def n_identities(self) -> int:
        return len({image.pid for image in self.images})

    def sizes(self) -> dict[str, int]:
        return {"identities": self.n_identities, "images": len(self.images), "captions": len(self.captions)}


# ------------------------------------------------------------------------------------------------ what a set's files hold


class Counts(NamedTuple):
    """The size of a split."""

    identities: int
    images: int
    captions: int


@dataclass(frozen=True)
class Edition:
    """A copy that goes about beside the published set, known by its identities a split."""

    identities: Mapping[SplitName, int]
    about: str
    action: str
    """What to do about it: an imperative clause."""


@dataclass(frozen=True, slots=True)
class Defect:
    """A record that a run refuses: where it stands, which rule it breaks (defects are told by it), what is wrong."""

    where: str
    rule: str
    what: str


@dataclass(frozen=True)
class Survey:
    """What a data set's files hold: every sound record as it stands there, before a split is carved out, and every other's defect.

    Whether the images are there is another question (`absent`).
    """

    splits: Mapping[SplitName, Split]
    defects: tuple[Defect, ...] = ()


class Absent(NamedTuple):
    """Paths that are no file below a root: there is none, or a link leads out of the root. Both sorted."""

    missing: list[str]
    outside: list[str]


def absent(root: Path, paths: Iterable[str]) -> Absent:
    """Which of the paths below `root` cannot be read. One listing a folder: a stat a file takes minutes on network disks.

    `root` itself may be a link, since whoever set it up put it there; what lies below came out of an archive, whose names and links
    are not to be trusted, and must lie below it once all links are followed.
    """
    by_folder: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        by_folder[folder].add(name)
    top, found = os.path.realpath(root), Absent([], [])
    for folder, names in by_folder.items():
        prefix = f"{folder}/" if folder else ""
        if not _inside(root / folder, top):
            found.outside.extend(prefix + name for name in names)
            continue
        entries = _listed(root / folder)
        out = {name for name in names if name in entries and entries[name].is_symlink() and not _inside(entries[name], top)}
        found.outside.extend(prefix + name for name in out)
        found.missing.extend(prefix + name for name in names - out if name not in entries or not _is_file(entries[name]))
    return Absent(sorted(found.missing), sorted(found.outside))


def _listed(folder: Path) -> dict[str, os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry for entry in entries}
    except (OSError, ValueError):  # ValueError: a name that no folder can have
        return {}


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _inside(path: os.PathLike[str], top: str) -> bool:
    try:
        return Path(os.path.realpath(path)).is_relative_to(top)
    except ValueError:
        return True  # a name that nothing can have is missing


# ------------------------------------------------------------------------------------------------------------ truth


class Box(NamedTuple):
    """A rectangle of an image, in fractions of its width and height."""

    left: float
    top: float
    right: float
    bottom: float


WHOLE = Box(0, 0, 1, 1)
"""The whole image."""


@dataclass(frozen=True)
class Grounding:
    """What is where on the images of a split and which words speak of it, where that is known."""

    parts: tuple[Mapping[str, Box], ...]
    """One an image, in the split's order: the boxes of its visible parts, by name."""
    phrases: tuple[tuple[tuple[int, int, str], ...], ...]
    """One a caption: (start, end, part), which says that the characters from start to end speak of that part."""


class Twins(NamedTuple):
    """Two identities of a split that differ in one thing alone."""

    one: int
    other: int
    differ: str
    """What tells them apart, in words."""
