"""The annotation files of text-based person search: one JSON list of records, read strictly, images checked cheaply."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeGuard, get_args

from bench.contracts import Dataset, ImageRecord, Split, SplitName, UsageError

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
WALKERS = "`--dataset walkers` needs no download"


class Counts(NamedTuple):
    """The size of a split."""

    identities: int
    images: int
    captions: int


def read_records(file: Path, image_root: Path, *, path_key: str, renamed: Mapping[str, str] | None = None) -> dict[SplitName, Split]:
    """Every split of an annotation file: a list of records {"id", `path_key`, "captions", "split"}; other keys are let be.

    All three splits are in the result, an absent one empty. `renamed` gives other names to images. Whatever is malformed is
    a UsageError that names the file and the record, counted from 0.
    """
    records = _read_list(file)
    pairs: dict[SplitName, list[tuple[ImageRecord, list[str]]]] = {name: [] for name in SPLITS}
    seen: dict[tuple[SplitName, str], int] = {}
    for number, record in enumerate(records):
        try:
            split, image, captions = _read_record(record, path_key, renamed or {})
            first = seen.setdefault((split, image.path), number)
            if first != number:
                raise ValueError(f"image {image.path!r} of split {split!r} already stands in record {first}; keep one of them")
        except ValueError as error:
            raise UsageError(f"{file}: record {number}: {error}") from None
        pairs[split].append((image, captions))
    return {name: Split.from_pairs(name, image_root, pairs[name]) for name in SPLITS}


def _read_list(file: Path) -> list[Any]:
    """The file's JSON list. `utf-8-sig`: a byte order mark, as some editors leave it, is no error."""
    try:
        records = json.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); give a readable annotation file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8 or get the annotation file again") from None
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, ValueError) else ""
        raise UsageError(f"{file}: not JSON{where}; get the annotation file again") from None
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else f"a {type(records).__name__}"
        raise UsageError(f"{file}: holds {found}; it must hold a list of records, get the annotation file again")
    return records


def _read_record(record: Any, path_key: str, renamed: Mapping[str, str]) -> tuple[SplitName, ImageRecord, list[str]]:
    """One record, or a ValueError that says the rule."""
    if not isinstance(record, dict):
        raise ValueError(f"is a {type(record).__name__}; make it an object with the keys id, {path_key}, captions, split")
    missing = [key for key in ("id", path_key, "captions", "split") if key not in record]
    if missing:
        raise ValueError(f"lacks {', '.join(map(repr, missing))}; add what is missing")
    if record["split"] not in SPLITS:
        raise ValueError(f"'split' must be one of {', '.join(SPLITS)}, not {_shown(record['split'])}")
    path = _checked_path(record[path_key], path_key)
    return record["split"], ImageRecord(renamed.get(path, path), _checked_pid(record["id"])), _checked_captions(record["captions"])


def _checked_pid(pid: Any) -> int:
    if type(pid) is not int or not 0 <= pid < 2**63:  # `type`, since True is an instance of int
        raise ValueError(f"'id' must be a whole number from 0 on, not {_shown(pid)}")
    return pid


def _checked_captions(captions: Any) -> list[str]:
    if not isinstance(captions, list) or not captions:
        raise ValueError(f"'captions' must be a list of at least one text, not {_shown(captions)}")
    for caption in captions:
        if not _is_text(caption) or not caption.strip():
            raise ValueError(f"'captions' must hold texts with at least one word, not {_shown(caption)}; fix or drop that caption")
    return captions


def _checked_path(path: Any, key: str) -> str:
    """A path that stays below the image root on every system, in its one spelling (so that equal images are equal texts)."""
    if not _is_text(path) or not path:
        raise ValueError(f"{key!r} must be a path, not {_shown(path)}")
    clean = path.isprintable() and not any(character in path for character in "\\:")
    if not clean or any(part in ("", ".", "..") for part in path.split("/")):
        raise ValueError(f"{key!r} must be a plain path below the image folder, with forward slashes and no '..', not {_shown(path)}")
    return path


def _is_text(value: Any) -> TypeGuard[str]:
    """A string that UTF-8 can hold: JSON may spell half a surrogate pair, on which hashing would fail later."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _shown(value: Any) -> str:
    """A value for one line of an error: short, printable."""
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def missing_images(root: Path, paths: Iterable[str]) -> list[str]:
    """Which of the paths are no file below root, in order. One listing a folder: a stat a file takes minutes on network disks."""
    by_folder: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        folder, _, name = path.rpartition("/")
        by_folder[folder].add(name)
    missing = ((folder, name) for folder, names in by_folder.items() for name in names - _file_names(root / folder))
    return sorted(f"{folder}/{name}" if folder else name for folder, name in missing)


def _file_names(folder: Path) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


class AnnotatedDataset(Dataset):
    """A data set in IRRA's layout: `<data root>/<folder>/` holds an annotation file, and the images in `imgs/`."""

    folder: ClassVar[str]
    annotations: ClassVar[tuple[str, ...]]
    """Names under which the annotation file goes about; the first that is there is read."""
    path_key: ClassVar[str] = "file_path"
    obtain: ClassVar[str]
    """How the set is obtained: an imperative clause."""
    official: ClassVar[Mapping[SplitName, Counts]]
    """The published sizes, to set beside what is found."""

    _splits: dict[SplitName, Split] | None = None

    def split(self, name: SplitName) -> Split:
        """The records of a split, its images all there."""
        if self._splits is None:
            file = self._annotation_file()
            self._splits = read_records(file, self.images, path_key=self.path_key, renamed=self.renamed())
        split = self._splits[name]
        if not split.images:
            raise UsageError(f"{self.folder}: no record of split {name!r} in {self.root / self.folder}; {self._advice()}")
        self._require_images(split)
        return split

    @property
    def images(self) -> Path:
        """The folder that image paths are relative to."""
        return self.root / self.folder / "imgs"

    def renamed(self) -> Mapping[str, str]:
        """Images that go by another name on disk than in the annotation file."""
        return {}

    def _annotation_file(self) -> Path:
        folder = self.root / self.folder
        for name in self.annotations:
            if (folder / name).is_file():
                return folder / name
        found = f"no {' or '.join(self.annotations)} in {folder}" if folder.is_dir() else f"no folder {folder}"
        raise UsageError(f"{self.folder}: {found}; {self._advice()}")

    def _require_images(self, split: Split) -> None:
        missing = missing_images(split.root, (image.path for image in split.images))
        if missing:
            raise UsageError(
                f"{self.folder}: {len(missing)} of {len(split.images)} images of split {split.name!r} are missing, "
                f"such as {missing[0]}, below {split.root}; {self._advice()}"
            )

    def _advice(self) -> str:
        layout = f"so that {self.annotations[0]} and imgs/ stand in <data root>/{self.folder}"
        return f"{self.obtain}, unpack it {layout}, name another place with --data-root, or take another set: {WALKERS}"
