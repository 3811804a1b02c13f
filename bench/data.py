"""Split -> pixels, token ids and labels -> batches of pairs, whose content depends on the seed, the epoch and the step alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import torch
from torch import Tensor

from bench._augment_options import AugmentOptions
from bench.augment import NUMBERS, ImageAugment
from bench.contracts import Batch, CaptionRecord, Captions, ImageRecord, Split, UsageError
from bench.images import flip, normalise
from bench.pixels import ImageStore as ImageStore
from bench.pixels import ahead
from bench.reword import Reworder
from bench.sampling import sampler

PREFETCHED = 2
"""Batches prepared ahead of the one that trains."""

# ------------------------------------------------------------------------------------------------------------ split


def limited(split: Split, n: int) -> Split:
    """At most `n` images of a split (at least 2), for a quick look.

    Identities are kept whole, in the order of their first image, while they fit. A single identity would leave nothing to
    confuse: where fewer than two fit, the first two share the `n` images.
    """
    if n < 1:
        raise UsageError(f"--limit must be at least 1 image, not {n}")
    if n >= len(split.images):
        return split
    kept = sorted(_kept_images(split.images, n))
    place = {row: new for new, row in enumerate(kept)}
    captions = tuple(CaptionRecord(caption.text, place[caption.image]) for caption in split.captions if caption.image in place)
    return Split(split.name, split.root, tuple(split.images[row] for row in kept), captions)


def _kept_images(images: Sequence[ImageRecord], n: int) -> list[int]:
    rows_of: dict[int, list[int]] = {}
    for row, image in enumerate(images):
        rows_of.setdefault(image.pid, []).append(row)
    identities = list(rows_of.values())
    kept: list[int] = []
    for number, rows in enumerate(identities):
        if len(kept) + len(rows) > n:
            return kept if number >= 2 else _shared(identities[:2], n)
        kept += rows
    return kept


def _shared(identities: Sequence[list[int]], n: int) -> list[int]:
    """`n` images (at least one each) of two identities, evenly where both have enough."""
    first, second = (*identities, [])[:2]
    n_second = min(len(second), max(n // 2, 1))
    return first[: max(n - n_second, 1)] + second[:n_second]


def build_labels(split: Split) -> tuple[Tensor, int]:
    """The captions' pids renumbered 0..C-1 in sorted order, (T,) int64; and C."""
    classes = torch.tensor(sorted({image.pid for image in split.images}), dtype=torch.int64)  # (C,)
    return torch.searchsorted(classes, split.caption_pids), len(classes)


# ---------------------------------------------------------------------------------------------------------- batches


@dataclass(frozen=True)
class EncodedSplit:
    """A split as a model is fed it."""

    split: Split
    store: ImageStore
    captions: Captions
    labels: Tensor | None = None
    """(T,) int64 classes of the captions; None for a split that is not trained on."""
    reworder: Reworder | None = None
    """What changes captions at random when they are trained on."""


def trimmed(captions: Captions) -> Captions:
    """Without the columns that are padding in every caption, and in every phrase. Phrase slots stay."""
    longest = _longest(captions.token_mask)
    phrase_longest = _longest(captions.phrase_token_mask)
    return Captions(
        captions.tokens[:, :longest],
        captions.token_mask[:, :longest],
        captions.phrases[:, :, :phrase_longest],
        captions.phrase_token_mask[:, :, :phrase_longest],
        captions.phrase_mask,
    )


def _longest(mask: Tensor) -> int:
    """Tokens of the longest row of a mask (..., L)."""
    return int(mask.sum(-1).max()) if mask.numel() else 0


class PairBatches:
    """The (image, caption) pairs of a split in batches, in a sampler's order, changed at random where that is wanted.

    What a batch holds depends on the seed, the epoch and its step alone, so that a run can be resumed at any step. Of `world`
    processes, number `rank` gets every `world`-th pair of each batch: together they see what one process would.
    """

    def __init__(
        self,
        data: EncodedSplit,
        batch_size: int,
        seed: int,
        flip_probability: float = 0.5,
        *,
        instances: int | None = None,
        augment: AugmentOptions | None = None,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        """`batch_size` counts the pairs of all processes together, `instances` those of an identity (None: as they come)."""
        if data.labels is None:
            raise ValueError("pairs are for training: the split needs labels")
        self.data, self.labels, self.batch_size, self.seed = data, data.labels, batch_size, seed
        self.flip_probability, self.rank, self.world = flip_probability, rank, world
        self._sampler = sampler(data.labels, batch_size, instances=instances, world=world)
        self._augment = ImageAugment(augment, data.store.spec.mean) if augment is not None and augment.of_images else None
        self._image_of = torch.tensor([caption.image for caption in data.split.captions])  # (T,)

    def __len__(self) -> int:
        """Steps an epoch."""
        return self._sampler.steps

    def epoch(self, number: int, start_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from `start_step` on."""
        order = self._sampler.order(self._generator("order", number))  # (T,)
        jobs = (partial(self._batch, order, number, step) for step in range(start_step, len(self)))
        quick = self.data.store.in_memory and self._augment is None and self.data.reworder is None
        if quick or not self.data.store.workers:
            yield from (job() for job in jobs)
            return
        with ThreadPoolExecutor(1) as pool:  # one: it waits for the store's workers, which decode its images
            yield from ahead(pool, jobs, PREFETCHED)

    def _batch(self, order: Tensor, number: int, step: int) -> Batch:
        rows = order[step * self.batch_size : (step + 1) * self.batch_size]
        rows = rows[: len(rows) // self.world * self.world]  # as many pairs for each process
        mine = torch.arange(self.rank, len(rows), self.world)
        images = self.data.store.pixels(self._image_of[rows[mine]])
        images = flip(images, (self._numbers("flip", number, step, len(rows), 1)[mine, 0]) < self.flip_probability)
        if self._augment is not None:
            images = self._augment(images, self._numbers("augment", number, step, len(rows), NUMBERS)[mine])
        captions = self._captions(rows[mine], (f"{self.seed} {number} {step} {place}" for place in mine.tolist()))
        return Batch(normalise(images, self.data.store.spec), trimmed(captions), self.labels[rows[mine]])

    def _captions(self, rows: Tensor, seeds: Iterable[str]) -> Captions:
        return self.data.captions[rows] if self.data.reworder is None else self.data.reworder(rows, seeds)

    def _numbers(self, what: str, number: int, step: int, n: int, width: int) -> Tensor:
        """(n, width) in [0, 1), a row for each pair of the whole batch."""
        return torch.rand(n, width, generator=self._generator(what, number, step))

    def _generator(self, *what: object) -> torch.Generator:
        """Randomness of its own for each purpose, epoch and step: nothing else that draws numbers can shift it."""
        digest = sha256(repr((self.seed, *what)).encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))
