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

from bench.contracts import Split, SplitName, Track, absent
from bench.findings import Finding, Severity
from bench.images import FORMATS, MAX_PIXELS

MAX_BYTES = 64 * 2**20
"""A file of more bytes than this is no photograph of a pedestrian; it is not read."""
SIDE = 16
"""The perceptual hash is of SIDE x SIDE frequencies, a bit each: 256 bits."""
FLAT = 8
"""Grey levels between the darkest and the lightest pixel below which an image has nothing to compare."""
CHUNK = 512

Words = NDArray[np.uint64]
PROBLEMS: Mapping[str, tuple[str, str]] = {
    "empty": ("image-empty", "image files are empty (zero bytes)"),
    "foreign": ("image-foreign", "files are no image of a known format"),
    "cut": ("image-truncated", "images are truncated or damaged"),
    "large": ("image-too-large", f"images are absurdly large (over {MAX_PIXELS // 10**6} megapixels or {MAX_BYTES // 2**20} MiB)"),
    "unreadable": ("image-unreadable", "image files cannot be read"),
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
    there: list[tuple[str, Split, str, int]] = []
    findings: list[Finding] = []
    for name, split in splits.items():
        gone = absent(split.root, (image.path for image in split.images))
        skipped = set(gone.missing) | set(gone.outside)
        there += [(name, split, image.path, image.pid) for image in split.images if image.path not in skipped]
        findings += _absent_findings(name, split, gone.missing, gone.outside)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow has to say of bad files is said here in one table
        looks = track(_looks([split.root / path for _, split, path, _ in there], workers), f"looking at images of {label}", len(there))
        looked = [Looked(name, path, pid, look) for (name, _, path, pid), look in zip(there, looks, strict=True)]
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


def _absent_findings(name: str, split: Split, missing: list[str], outside: list[str]) -> Iterator[Finding]:
    total = f"of {len(split.images):,} images of {name}"
    if outside:
        yield Finding.of(
            "image-outside",
            Severity.UNUSABLE,
            f"{len(outside):,} {total} are links that lead out of the image folder",
            outside,
            "a run stops: what came out of an archive is read nowhere else",
            "put the files themselves there, or make the whole image folder a link",
        )
    if missing:
        yield Finding.of(
            "image-missing",
            Severity.UNUSABLE,
            f"{len(missing):,} {total} are missing{_whole_folders(split, missing)}",
            missing,
            "a run stops",
            "get the images and put them where the annotations say; look for a folder that was not unpacked",
        )


def _whole_folders(split: Split, missing: list[str]) -> str:
    """The folders of which no image is there, where others are whole."""
    here = {image.path.partition("/")[0] for image in split.images} - {image.path for image in split.images}
    gone = {path.partition("/")[0] for path in missing}
    present = {image.path.partition("/")[0] for image in split.images if image.path not in set(missing)}
    whole = sorted((gone - present) & here)
    return f", all of {', '.join(whole)}" if whole and present and len(whole) <= 7 else ""


def image_findings(looked: Sequence[Looked]) -> Iterator[Finding]:
    """What is wrong with files that are there."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in looked:
        if one.look.problem:
            found[one.look.problem].append(f"{one.split}: {one.path}")
    for problem, (code, what) in PROBLEMS.items():
        if paths := found[problem]:
            number = f"{len(paths):,} of {len(looked):,} "
            yield Finding.of(code, Severity.UNUSABLE, number + what, paths, "a run stops at the first of them", "get these files again")
