"""Noisy correspondence: a data set some of whose train captions stand with wrong images. Every data set can be made so.

The images keep their places, identities and number of captions; texts change places. With `data.caption_noise` that share of the train
captions is drawn and each takes the place of another drawn one (a single cycle: none stays). With `data.noise_index` a file says it: an
integer array (T,), the i-th train pair, in the order of the annotation file, gets the text of pair `index[i]` (the format of RDE: Qin et
al., CVPR 2024, arXiv:2308.09911).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import DataOptions, Dataset, Grounding, Split, SplitName, UsageError
from bench.wrapped import Wrapped

Sources = NDArray[np.int64]
"""(T,) for the place of each caption, in the protocol's order: the caption whose text stands there."""


def with_noise(dataset: Dataset) -> Dataset:
    """The data set as its options want it: itself, or with train captions moved."""
    wanted = dataset.config.caption_noise > 0 or dataset.config.noise_index is not None
    return Noisy(dataset) if wanted else dataset


def account(dataset: Dataset) -> dict[str, Any] | None:
    """What was done to the train captions, for the record; None: nothing."""
    while isinstance(dataset, Wrapped) and not isinstance(dataset, Noisy):
        dataset = dataset.whole
    return dataset.account() if isinstance(dataset, Noisy) else None


class Noisy(Wrapped):
    """A data set with moved train captions. Val, test and all else are the clean set's."""

    def split(self, name: SplitName) -> Split:
        return self._train if name == "train" else self.whole.split(name)

    def ceiling(self, name: SplitName) -> float | None:
        return None if name == "train" else self.whole.ceiling(name)

    def grounding(self, name: SplitName) -> Grounding | None:
        """Phrases go with their texts, and may speak of parts that their image does not have."""
        truth = self.whole.grounding(name)
        if truth is None or name != "train":
            return truth
        return replace(truth, phrases=tuple(truth.phrases[source] for source in self.sources))

    def columns(self, name: SplitName) -> Mapping[str, Sequence[Any]]:
        """Values go with their texts."""
        columns = self.whole.columns(name)
        return columns if name != "train" else {key: [values[source] for source in self.sources] for key, values in columns.items()}

    @cached_property
    def sources(self) -> Sources:
        if self.config.noise_index is not None:
            return _indexed(self.whole, self.config.noise_index)
        return _drawn(len(self.whole.split("train").captions), self.config)

    def account(self) -> dict[str, Any]:
        """Captions of train, those moved, those now with an image of another identity, and the share of these."""
        pids = self.whole.split("train").caption_pids.numpy()
        wrong = int((pids != pids[self.sources]).sum())
        moved = int((self.sources != np.arange(len(pids))).sum())
        return {"captions": len(pids), "moved": moved, "wrong_identity": wrong, "wrong_share": wrong / max(len(pids), 1)}

    @cached_property
    def _train(self) -> Split:
        train = self.whole.split("train")
        texts = [train.captions[source].text for source in self.sources]
        return replace(train, captions=tuple(replace(caption, text=text) for caption, text in zip(train.captions, texts, strict=True)))


def _drawn(n: int, options: DataOptions) -> Sources:
    """round(share * n) captions in a circle, each with the text of the next. One alone cannot move."""
    digest = sha256(f"caption noise {options.noise_seed}".encode()).digest()
    circle = np.random.default_rng(list(digest)).permutation(n)[: round(options.caption_noise * n)]
    sources = np.arange(n)
    sources[circle] = np.roll(circle, -1)
    return sources


def _indexed(clean: Dataset, file: Path) -> Sources:
    """What the file says of the train pairs, which it numbers as the annotations have them.

    Where identities of train are held out as val, the file numbers them too; a pair that is to have a text of theirs keeps its own.
    """
    train, index = clean.split("train"), _read(file)
    whole = train if index.shape == (len(train.captions),) else clean.survey().splits.get("train", train)
    n = len(whole.captions)
    if index.shape != (n,):
        raise UsageError(f"data.noise_index: {file} has the shape {index.shape}, but train has {n} captions; take this data set's file")
    if not ((index >= 0) & (index < n)).all():
        raise UsageError(f"data.noise_index: {file} holds numbers outside 0 to {n - 1}; take this data set's file")
    number_of = dict(zip(_places(whole), range(n) if whole.written is None else whole.written, strict=True))
    numbers = [number_of[place] for place in _places(train)]
    row_of = {number: row for row, number in enumerate(numbers)}
    return np.array([row_of.get(int(index[number]), row) for row, number in enumerate(numbers)], dtype=np.int64)


def _places(split: Split) -> Iterator[tuple[str, int]]:
    """Of each caption its image, and which of its captions it is."""
    seen: Counter[int] = Counter()
    for caption in split.captions:
        yield split.images[caption.image].path, seen[caption.image]
        seen[caption.image] += 1


def _read(file: Path) -> NDArray[np.int64]:
    try:
        index = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no array of numbers"
        raise UsageError(f"data.noise_index: {file} cannot be read ({reason}); give a file .npy") from None
    if not isinstance(index, np.ndarray) or not np.issubdtype(index.dtype, np.integer):
        raise UsageError(f"data.noise_index: {file} does not hold whole numbers; give a file .npy with an index a caption")
    return index.astype(np.int64)
