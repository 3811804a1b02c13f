"""Records of text-based person search as files spell them: each is read into an entry or a defect, entries are gathered by image.

Nothing stops at a bad record: whoever needs all of them sound (`Gathered.sound`) raises what was found first, and `data check` tells all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, get_args

from bench.contracts import Defect, ImageRecord, Split, SplitName, UsageError

SPLITS: tuple[SplitName, ...] = get_args(SplitName)


class Keys(NamedTuple):
    """The names under which a record holds its parts; of several, the first that is there is read."""

    pid: tuple[str, ...] = ("id", "image_id")
    path: tuple[str, ...] = ("file_path", "img_path", "image")
    captions: tuple[str, ...] = ("captions", "caption")


ANNOTATIONS = Keys()
"""CUHK-PEDES and ICFG-PEDES say `file_path`, RSTPReid `img_path`; APTM's files `image`, `image_id` and one `caption` a record."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A sound record: one image with its captions, or with one of several where each has a record of its own (`single`)."""

    where: str
    split: SplitName | None
    path: str
    pid: int | str
    captions: tuple[str, ...]
    single: bool
    further: Mapping[str, Any]
    """What the record holds besides."""


class _Broken(ValueError):
    """A rule that a record breaks, and how."""

    def __init__(self, rule: str, what: str) -> None:
        super().__init__(what)
        self.rule = rule


# ------------------------------------------------------------------------------------------------------------ records


def read_list(file: Path) -> list[Any]:
    """A file's JSON list. What is none is a UsageError."""
    try:
        records = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        where = f" ({error})" if isinstance(error, ValueError) else ""
        raise UsageError(f"{file}: not JSON{where}; get the file again") from None
    if not isinstance(records, list) or not records:
        found = "an empty list" if records == [] else f"a {type(records).__name__}"
        raise UsageError(f"{file}: holds {found}; it must hold a list of records, get the file again")
    return records


def read_text(file: Path) -> str:
    """A file's text. `utf-8-sig`: a byte order mark, as some editors leave it, is no error."""
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file}: cannot be read ({error.strerror}); give a readable file") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 at byte {error.start}; save it as UTF-8 or get the file again") from None


def read_records(file: Path, image_root: Path) -> dict[SplitName, Split]:
    """Every split of an annotation file, an absent one empty. What is malformed is a UsageError that names the record."""
    gathered = gather(entries(read_list(file))).sound(file)
    return {name: gathered.split(name, image_root) for name in SPLITS}


def entries(
    records: Iterable[Any], keys: Keys = ANNOTATIONS, *, split: SplitName | None = None, where: str = ""
) -> Iterator[Entry | Defect]:
    """The entries of a list of records, counted from 0. `split`: of records that name none; `where` goes before their number."""
    for number, record in enumerate(records):
        yield entry(record, f"{where}record {number}", keys, split=split)


def entry(
    record: Any, where: str, keys: Keys = ANNOTATIONS, *, split: SplitName | None = None, splitless: bool = False, names: bool = False
) -> Entry | Defect:
    """One record. `splitless`: it may name no split; `names`: its identity may be a name instead of a number."""
    try:
        if not isinstance(record, dict):
            raise _Broken("record", f"is a {type(record).__name__}; make it an object with the keys {_spelt(keys)}, split")
        path_key, pid_key, captions_key = _present(record, keys, split is not None or splitless)
        captions, single = _captions(record[captions_key], captions_key)
        further = {str(key): value for key, value in record.items() if key not in ("split", path_key, pid_key, captions_key)}
        pid = _pid(record[pid_key], pid_key, names)
        return Entry(where, _split(record.get("split"), split), _path(record[path_key], path_key), pid, captions, single, further)
    except _Broken as broken:
        return Defect(where, broken.rule, str(broken))


def _present(record: Mapping[Any, Any], keys: Keys, splitless: bool) -> tuple[str, str, str]:
    """The names under which this record has its path, identity and captions."""
    found = [next((key for key in spellings if key in record), None) for spellings in (keys.path, keys.pid, keys.captions)]
    missing = [spellings[0] for key, spellings in zip(found, (keys.path, keys.pid, keys.captions), strict=True) if key is None]
    missing += ["split"] if "split" not in record and not splitless else []
    if missing:
        raise _Broken("keys", f"lacks {', '.join(map(repr, missing))}; add what is missing")
    path, pid, captions = found
    assert path is not None
    assert pid is not None
    assert captions is not None
    return path, pid, captions


def _spelt(keys: Keys) -> str:
    return ", ".join(spellings[0] for spellings in (keys.pid, keys.path, keys.captions))


def _split(named: Any, split: SplitName | None) -> SplitName | None:
    if named is None:
        return split
    if not isinstance(named, str) or named not in SPLITS:
        raise _Broken("split", f"'split' must be one of {', '.join(SPLITS)}, not {shown(named)}")
    if split is not None and named != split:
        raise _Broken("split", f"'split' is {named!r} in the file of {split!r}; move the record or mend its split")
    return named


def _pid(pid: Any, key: str, names: bool) -> int | str:
    if names and _is_text(pid) and pid.strip():
        return pid.strip()
    if type(pid) is not int or not 0 <= pid < 2**63:  # `type`, since True is an instance of int
        raise _Broken("identity", f"{key!r} must be {'a name or ' if names else ''}a whole number from 0 on, not {shown(pid)}")
    return pid


def _captions(captions: Any, key: str) -> tuple[tuple[str, ...], bool]:
    """The captions, and whether the record has but one that stands by itself (`caption`)."""
    single = key == "caption" and isinstance(captions, str)
    texts = [captions] if single else captions
    if not isinstance(texts, list) or not texts:
        raise _Broken("captions", f"{key!r} must be a list of at least one text, not {shown(captions)}")
    for caption in texts:
        if not _is_text(caption) or not caption.strip():
            raise _Broken("captions", f"{key!r} must hold texts with at least one word, not {shown(caption)}; fix or drop that caption")
    return tuple(texts), single


def _path(path: Any, key: str) -> str:
    """A path that stays below the image root on every system, in its one spelling (so that equal images are equal texts)."""
    if not _is_text(path) or not path:
        raise _Broken("path", f"{key!r} must be a path, not {shown(path)}")
    plain = path.isprintable() and not any(character in path for character in "\\:")
    if not plain or any(part in ("", ".", "..") for part in path.split("/")):
        leaves = path.startswith(("/", "\\")) or ":" in path or ".." in path.replace("\\", "/").split("/")
        rule = "a plain path below the image folder, with forward slashes and no '..'"
        raise _Broken("outside" if leaves else "path", f"{key!r} must be {rule}, not {shown(path)}")
    return path


def _is_text(value: Any) -> TypeGuard[str]:
    """A string that UTF-8 can hold: JSON may spell half a surrogate pair, on which hashing would fail later."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def shown(value: Any) -> str:
    """A value for one line of an error: short, printable."""
    try:
        text = ascii(value)
    except (RecursionError, ValueError):  # nested without end; a number of thousands of digits
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."


# ----------------------------------------------------------------------------------------------------------- gathering


@dataclass(slots=True)
class Held:
    """An image, and its captions, each with what its record held besides."""

    image: ImageRecord
    rows: list[tuple[str, Mapping[str, Any]]]
    first: Entry


@dataclass(frozen=True)
class Gathered:
    """The images of each split by path, what was wrong with other records, and which images go by another name here."""

    images: dict[SplitName, dict[str, Held]] = field(default_factory=lambda: {name: {} for name in SPLITS})
    defects: list[Defect] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)

    def split(self, name: SplitName, root: Path) -> Split:
        return Split.from_pairs(name, root, ((held.image, [text for text, _ in held.rows]) for held in self.images[name].values()))

    def columns(self, name: SplitName) -> dict[str, tuple[Any, ...]]:
        """What records held besides, by key: a value a caption of the split, in its order; None where a record lacks it."""
        rows = [further for _, held in sorted(self.images[name].items()) for _, further in held.rows]
        return {key: tuple(row.get(key) for row in rows) for key in dict.fromkeys(key for row in rows for key in row)}

    def sound(self, file: Path) -> Gathered:
        """Itself, or a UsageError about the first defect."""
        if not self.defects:
            return self
        first, more = self.defects[0], len(self.defects) - 1
        others = f" (and {more} more, which `data check` lists)" if more else ""
        raise UsageError(f"{file}: {first.where}: {first.what}{others}")

    def carve(self, name: SplitName, share: float, seed: int) -> str:
        """Move this share of train's identities, whole, to the split `name`; what was done, in words.

        An identity's place in the draw depends on it and the seed alone: adding or dropping others moves few.
        """
        pids = {held.image.pid for held in self.images["train"].values()}
        drawn = sorted(pids, key=lambda pid: sha256(f"{name} {seed} {pid}".encode()).digest())[: max(1, round(share * len(pids)))]
        if len(drawn) == len(pids):
            raise UsageError(f"{len(pids)} identities are too few to hold {name} out of them; name the split of each record")
        moved = {path: held for path, held in self.images["train"].items() if held.image.pid in set(drawn)}
        self.images[name].update(moved)
        for path in moved:
            del self.images["train"][path]
        return f"{len(drawn)} of {len(pids)} identities of train, held out (share {share:g}, seed {seed})"


def gather(found: Iterable[Entry | Defect], renamed: Mapping[str, str] | None = None) -> Gathered:
    """Entries by split and image. `renamed` gives other names to images. An entry of no split goes to train."""
    gathered, renamed = Gathered(), renamed or {}
    for one in found:
        if isinstance(one, Entry) and one.path in renamed:
            gathered.renamed[one.path] = renamed[one.path]
        problem = one if isinstance(one, Defect) else _add(gathered, one, renamed.get(one.path, one.path))
        if problem is not None:
            gathered.defects.append(problem)
    for held in (held for images in gathered.images.values() for held in images.values() if held.first.single):
        held.rows.sort(key=lambda row: (row[0], repr(row[1])))  # so that nothing hangs on the order of rows
    return gathered


def _add(gathered: Gathered, entry: Entry, path: str) -> Defect | None:
    name = entry.split or "train"
    assert isinstance(entry.pid, int)
    rows = [(caption, entry.further) for caption in entry.captions]
    held = gathered.images[name].setdefault(path, Held(ImageRecord(path, entry.pid), rows, entry))
    if held.first is entry:
        return None
    stands = f"image {path!r} of split {name!r} already stands in {held.first.where}"
    if held.image.pid != entry.pid:
        return Defect(entry.where, "repeated", f"{stands}, as identity {held.first.pid}; keep one of them")
    if not (held.first.single and entry.single):
        return Defect(entry.where, "repeated", f"{stands}; keep one of them")
    held.rows.extend(rows)
    return None
