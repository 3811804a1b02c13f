"""What image files tell: each is read whole, decoded and hashed, in threads (Pillow and hashlib work outside Python's lock)."""

from __future__ import annotations

import os
import stat
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.contracts import Absent, Split, SplitName, Track, absent
from bench.doctor.findings import Finding, Severity
from bench.images import FORMATS, MAX_PIXELS

MAX_BYTES = 64 * 2**20
"""A file of more bytes than this is no photograph of a pedestrian; it is not read."""
SIDE = 16
"""The perceptual hash is of SIDE x SIDE frequencies, a bit each: 256 bits."""
FLAT = 8
"""Grey levels between the darkest and the lightest pixel below which an image has nothing to compare."""
CHUNK = 512
MOST_FOLDERS = 7
"""Folders that a finding names; of more, examples tell."""

Words = NDArray[np.uint64]
PROBLEMS: Mapping[str, tuple[str, str]] = {
    "empty": ("image-empty", "empty (zero bytes)"),
    "foreign": ("image-foreign", "no image of a known format"),
    "cut": ("image-truncated", "truncated or damaged"),
    "large": ("image-too-large", f"absurdly large (over {MAX_PIXELS // 10**6} megapixels or {MAX_BYTES // 2**20} MiB)"),
    "unreadable": ("image-unreadable", "unreadable"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at an image file found: what is wrong with it, else its SHA-256 and its perceptual hash (None: it is flat)."""

    problem: str | None = None
    digest: bytes = b""
    words: Words | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """An image of a split, and what the look at it found."""

    split: str
    path: str
    pid: int
    look: Look


def look_at(file: Path) -> Look:
    """Read a file whole, once. Whatever it is, this raises nothing."""
    try:
        with file.open("rb") as opened:
            kind = os.fstat(opened.fileno())
            if not stat.S_ISREG(kind.st_mode):
                return Look("unreadable")
            if kind.st_size > MAX_BYTES:
                return Look("large")
            content = opened.read()
    except (OSError, ValueError):
        return Look("unreadable")
    if not content:
        return Look("empty")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return Look("large")
            return Look(None, sha256(content).digest(), _words(image.convert("L")))
    except Image.DecompressionBombError:
        return Look("large")
    except UnidentifiedImageError:
        return Look("foreign")
    except Exception:  # on broken files Pillow raises nearly anything: SyntaxError, struct.error, ...
        return Look("cut")


def _words(grey: Image.Image) -> Words | None:
    """The perceptual hash (DCT) as four words of 64 bits."""
    darkest, lightest = grey.getextrema()
    assert not isinstance(darkest, tuple)
    assert not isinstance(lightest, tuple)
    if lightest - darkest < FLAT:
        return None
    return np.packbits(imagehash.phash(grey, hash_size=SIDE).hash.ravel()).view(np.uint64)


def look_at_all(
    splits: Mapping[SplitName, Split], label: str, track: Track, workers: int | None = None
) -> tuple[list[Looked], list[Finding]]:
    """Every image that is there, looked at; and what is missing or lies outside."""
    gone = {name: absent(split.root, (image.path for image in split.images)) for name, split in splits.items()}
    skipped = {name: {*one.missing, *one.outside} for name, one in gone.items()}
    there = [
        (name, split.root, one.path, one.pid) for name, split in splits.items() for one in split.images if one.path not in skipped[name]
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow has to say of bad files is said here in one table
        looks = track(_looks([root / path for _, root, path, _ in there], workers), f"looking at images of {label}", len(there))
        looked = [Looked(name, path, pid, look) for (name, _, path, pid), look in zip(there, looks, strict=True)]
    folders = {path.partition("/")[0] for _, _, path, _ in there}
    findings = [finding for name, split in splits.items() for finding in _absent_findings(name, len(split.images), gone[name], folders)]
    return looked, findings


def _looks(files: Sequence[Path], workers: int | None) -> Iterator[Look]:
    """In order. By the chunk, so that no more than one is waited for when the check is interrupted."""
    count = workers if workers is not None else min(os.cpu_count() or 1, 8)
    if not count:
        yield from map(look_at, files)
        return
    waiting = iter(files)
    with ThreadPoolExecutor(count) as pool:
        while chunk := list(islice(waiting, CHUNK)):
            yield from pool.map(look_at, chunk)


def _absent_findings(name: str, n_images: int, gone: Absent, folders: set[str]) -> Iterator[Finding]:
    """`folders`: the topmost ones of which some image of the set is there."""
    total = f"of {n_images:,} images of {name}"
    if gone.outside:
        yield Finding.of(
            "image-outside",
            Severity.UNUSABLE,
            f"{len(gone.outside):,} {total}: links that lead out of the image folder",
            gone.outside,
            "a run stops: what came out of an archive is read nowhere else",
            "put the files themselves there, or make the whole image folder a link",
        )
    if gone.missing:
        whole = sorted({path.partition("/")[0] for path in gone.missing if "/" in path} - folders)
        named = f", among them all of {', '.join(whole)}" if 0 < len(whole) <= MOST_FOLDERS else ""
        yield Finding.of(
            "image-missing",
            Severity.UNUSABLE,
            f"{len(gone.missing):,} {total}: missing{named}",
            gone.missing,
            "a run stops",
            "get the images and put them where the annotations say; look for a folder that was not unpacked",
        )


def image_findings(looked: Sequence[Looked]) -> Iterator[Finding]:
    """What is wrong with files that are there."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in looked:
        if one.look.problem:
            found[one.look.problem].append(f"{one.split}: {one.path}")
    for problem, (code, what) in PROBLEMS.items():
        if paths := found[problem]:
            number = f"{len(paths):,} of {len(looked):,} image files: {what}"
            yield Finding.of(code, Severity.UNUSABLE, number, paths, "a run stops at the first of them", "get these files again")
