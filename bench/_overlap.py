"""Has a saved model seen what it is evaluated on? Identities where the data is that it was trained on, else images by their bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench import registry
from bench.config import RunConfig
from bench.contracts import Dataset, Split, UsageError, absent
from bench.data import limited
from bench.progress import Reporter


def overlap(trained: RunConfig, split: Split, reporter: Reporter, *, data_root: Path | None, allowed: bool) -> dict[str, Any]:
    """What the train split of a run and an evaluated split share: for the record, and a warning.

    A split of the same images whose identities were trained on (another carve-out, say) is refused unless `allowed`: its numbers
    would mean nothing. Images that another set happens to hold too are counted and told: nobody can undo that they were cut from
    one source. `identities` or `images` is null where it cannot be or was not checked, and `unchecked` says why.
    """
    if split.name == "train":
        return {"identities": None, "images": None, "unchecked": "the train split was asked for"}
    try:
        train = _train_split(trained, data_root, reporter)
    except UsageError as error:
        reporter.warn(f"whether {trained.dataset_label}, on which the model was trained, shares images with this split is unknown: {error}")
        return {"identities": None, "images": None, "unchecked": "the data of the training is not at hand"}
    if train.root.resolve() == split.root.resolve():
        return {"identities": _identities(train, split, allowed, reporter), "images": None, "unchecked": "the same set: by identity"}
    shared = same_files(train, split, reporter)
    if shared:
        seen = f"{len(shared)} of {len(split.images)} images of {split.name} (such as {shared[0]})"
        reporter.warn(
            f"{seen} stand in the train split of {trained.dataset_label} too, byte for byte: this is no evaluation on unseen images"
        )
    return {"identities": None, "images": len(shared), "unchecked": "identities of two sets; images that were saved anew"}


def _train_split(trained: RunConfig, data_root: Path | None, reporter: Reporter) -> Split:
    """The run's train split, from where it was or else below another root."""
    kind = registry.load("dataset", trained.dataset_name)
    try:
        return _opened(kind(trained.data_root, trained.data), trained.limit, reporter)
    except UsageError:
        if data_root is None or data_root == trained.data_root:
            raise
        return _opened(kind(data_root, trained.data), trained.limit, reporter)


def _opened(dataset: Dataset, limit: int | None, reporter: Reporter) -> Split:
    dataset.prepare(reporter.track)
    split = dataset.split("train")
    return split if limit is None else limited(split, limit)


def _identities(train: Split, split: Split, allowed: bool, reporter: Reporter) -> int:
    shared = {image.pid for image in train.images} & {image.pid for image in split.images}
    if shared:
        what = f"{len(shared)} of {split.n_identities} identities of {split.name} were trained on"
        if not allowed:
            raise UsageError(f"{what} (is the split carved out with another seed?); take the run's own data options, or --allow-overlap")
        reporter.warn(f"{what}: this is no evaluation on unseen people")
    return len(shared)


def same_files(train: Split, split: Split, reporter: Reporter) -> list[str]:
    """The images of `split` whose bytes an image of `train` has too. Only files of equal size are read."""
    sizes = _by_size(train)
    candidates = {path: size for size, paths in _by_size(split).items() if size in sizes for path in paths}
    theirs = [train.root / path for size in set(candidates.values()) for path in sizes[size]]
    digests = {_digest(file) for file in reporter.track(theirs, "images seen in training", len(theirs))}
    ours: Iterable[str] = reporter.track(sorted(candidates), "images to evaluate on", len(candidates))
    return [path for path in ours if _digest(split.root / path) in digests]


def _by_size(split: Split) -> Mapping[int, list[str]]:
    gone = absent(split.root, (image.path for image in split.images))
    skipped = {*gone.missing, *gone.outside}
    paths: dict[int, list[str]] = defaultdict(list)
    for image in split.images:
        if image.path not in skipped:
            paths[(split.root / image.path).stat().st_size].append(image.path)
    return paths


def _digest(file: Path) -> bytes:
    return sha256(file.read_bytes()).digest()
