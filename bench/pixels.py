"""The pixels of a split's images: decoded once into memory or into a file that is kept, or each time they are asked for.

The kept file (`bench data prepare`, or a run whose split does not fit into memory) is an array .npy, uint8 (N, 3, H, W), memory-mapped,
in `<output folder>/.cache/pixels`. Its name holds what it was made from: the split's images with their sizes and times, the model's
resolution, the decoder. Another of these is another file; deleting the folder costs time only.
"""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from bench.contracts import InputSpec, Split, Track, UsageError, silently
from bench.images import DECODER, decode, normalise

T = TypeVar("T")
DEFAULT_BUDGET = 4 * 2**30
"""Bytes of decoded pixels that a split may hold in memory."""
ROOM = 2**30
"""Bytes that a file of pixels leaves free on its disk."""


class ImageStore:
    """The pixels of a split's images: of a prepared file if there is one, else decoded, once if they fit the budget.

    Where they do not and `cache` is given, the file is made now; else each image is decoded whenever it is asked for.
    """

    def __init__(
        self,
        split: Split,
        spec: InputSpec,
        budget_bytes: int = DEFAULT_BUDGET,
        track: Track = silently,
        workers: int | None = None,
        cache: Path | None = None,
        later: bool = False,
    ) -> None:
        """`workers`: threads that decode (Pillow works outside Python's lock); 0: the caller's alone; None: one a core, 8 at most.

        `cache`: the folder of prepared files. `later`: pixels are read when they are first asked for, if they ever are.
        """
        self.split, self.spec = split, spec
        self.workers = workers if workers is not None else min(os.cpu_count() or 1, 8)
        self._budget_bytes, self._track, self._cache = budget_bytes, track, cache
        if not later:
            self._pixels  # noqa: B018 - now, so that a bad image is told before anything is computed

    @cached_property
    def _pixels(self) -> Tensor | None:
        fits = self.n_bytes <= self._budget_bytes
        found = self._prepared(self._cache, self._track, make=not fits) if self._cache is not None else None
        return self._decode_all(self._track) if found is None and fits else found

    @property
    def n_bytes(self) -> int:
        return len(self.split.images) * 3 * self.spec.height * self.spec.width

    @property
    def in_memory(self) -> bool:
        """No image is decoded any more: the pixels are in memory, or mapped from a file."""
        return self._pixels is not None

    def pixels(self, rows: Tensor) -> Tensor:
        """uint8 (n, 3, H, W) of the images at `rows` (n,)."""
        if self._pixels is not None:
            return self._pixels[rows]
        pixels = self._room(len(rows))
        for place, image in enumerate(self._decoded(rows.tolist())):
            pixels[place] = image
        return pixels

    def images(self, rows: Tensor) -> Tensor:
        """float32 (n, 3, H, W), normalised, of the images at `rows` (n,)."""
        return normalise(self.pixels(rows), self.spec)

    def prepare(self, cache: Path, track: Track = silently) -> Path:
        """Make the file of this split's pixels, unless it is there; where it is. A place that cannot be written is a UsageError."""
        file = prepared_file(cache, self.split, self.spec)
        try:
            _write_once(file, self._shape(), lambda: self._tracked(track, f", kept in {cache}"))
        except OSError as error:
            raise UsageError(
                f"{cache}: {self.n_bytes / 2**30:.1f} GiB of pixels cannot be kept there ({error.strerror or error}); name another folder "
                "with --output-dir or make room"
            ) from None
        return file

    def _prepared(self, cache: Path, track: Track, *, make: bool) -> Tensor | None:
        """The prepared pixels. None: there are none, and they are not to be made, or cannot be."""
        file = prepared_file(cache, self.split, self.spec)
        mapped = _mapped(file, self._shape())
        if mapped is not None or not make or not _has_room(cache, self.n_bytes):
            return mapped
        try:
            _write_once(file, self._shape(), lambda: self._tracked(track, f", kept in {cache}"))
        except OSError:
            return None
        return _mapped(file, self._shape())

    def _decode_all(self, track: Track) -> Tensor:
        pixels = self._room(len(self.split.images))
        for row, image in enumerate(self._tracked(track)):
            pixels[row] = image
        return pixels

    def _shape(self) -> tuple[int, int, int, int]:
        return len(self.split.images), 3, self.spec.height, self.spec.width

    def _room(self, n: int) -> Tensor:
        return torch.empty(n, *self._shape()[1:], dtype=torch.uint8)

    def _tracked(self, track: Track, where: str = "") -> Iterable[Tensor]:
        n = len(self.split.images)
        return track(self._decoded(range(n)), f"decode {self.split.name}{where}", n)

    def _decoded(self, rows: Sequence[int]) -> Iterator[Tensor]:
        """The images in order, decoded by the workers a little ahead of whoever reads them."""
        paths = (self.split.root / self.split.images[row].path for row in rows)
        if not self.workers:
            yield from (decode(path, self.spec) for path in paths)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            yield from ahead(pool, (partial(decode, path, self.spec) for path in paths), 4 * self.workers)


def ahead(pool: ThreadPoolExecutor, jobs: Iterator[Callable[[], T]], depth: int) -> Iterator[T]:
    """The jobs' results in order, `depth` jobs begun ahead. Whoever stops early waits for no job that has not begun."""
    waiting: deque[Future[T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


# ------------------------------------------------------------------------------------------------------- prepared files


def prepared_file(cache: Path, split: Split, spec: InputSpec) -> Path:
    """Where the pixels of these images, as they are on disk now, are kept at this resolution."""
    digest = sha256(repr((DECODER, spec.height, spec.width)).encode())
    for image in split.images:
        digest.update(repr((image.path, _state(split.root / image.path))).encode())
    return cache / f"{split.name}-{spec.height}x{spec.width}-{digest.hexdigest()[:32]}.npy"


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of an image file; None where there is none, which decoding will say."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _has_room(cache: Path, n_bytes: int) -> bool:
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    return shutil.disk_usage(place).free > n_bytes + ROOM


def _mapped(file: Path, shape: tuple[int, ...]) -> Tensor | None:
    """The file's pixels, mapped; None unless it is whole. Copy on write: nothing done to the tensor reaches the file."""
    try:
        array = np.load(file, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return torch.from_numpy(array) if array.shape == shape and array.dtype == np.uint8 else None


def _write_once(file: Path, shape: tuple[int, ...], images: Callable[[], Iterable[Tensor]]) -> None:
    """Write the images unless the file is whole already. One process writes, others wait for it; a kill leaves no file of that name."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        for left in file.parent.glob(f".{file.stem}.*.part"):  # of a process that was killed: whoever lives holds the lock
            left.unlink()
        if _mapped(file, shape) is None:
            _write(file, shape, images())


def _write(file: Path, shape: tuple[int, ...], images: Iterable[Tensor]) -> None:
    """Beside, then renamed when it is on the disk: written one after the other, so that a full disk is an error and no signal."""
    part = file.with_name(f".{file.stem}.{uuid4().hex}.part")
    try:
        with part.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
            for image in images:
                out.write(image.numpy().data)
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
