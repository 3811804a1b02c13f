"""One's own data set, without code: a table with a row a caption and the columns `split`, `pid`, `image`, `caption`.

It is named by its path: `--dataset photos/album.csv` (or `.json`, a list of objects; `.jsonl`, an object a line). `image` is a path
relative to the table's folder. `pid` says who is on it: whole numbers stand as they are, names are numbered in sorted order. Further
columns are kept (`columns`), and `camera` is the image's camera. Without a column `split`, val and test are held out by identity, drawn
from a seed; without rows of val, val alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from bench.contracts import DataOptions, Dataset, Defect, Split, SplitName, Survey, UsageError, absent
from datasets._annotations import SPLITS, Entry, Gathered, Keys, entry, gather
from datasets._table_rows import Row, read_rows

_COLUMNS = Keys(pid=("pid", "id"), path=("image", "file_path", "img_path"), captions=("caption", "captions"))


class TableOptions(DataOptions):
    """How splits are carved out that the table does not name."""

    val: float = Field(0.1, gt=0, lt=1, description="share of identities held out of train as val")
    test: float = Field(0.2, gt=0, lt=1, description="share of identities held out as test, where the table has no column split")
    seed: int = Field(0, description="seed of the draw of those identities")


class Table(Dataset):
    """Your own set, without code: a table (CSV, JSON, JSON Lines) named by its path, as in `--dataset photos/album.csv`."""

    Config = TableOptions
    citation = "Your own: the table's author. This project holds no data of it."
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".json", ".jsonl")

    config: TableOptions

    def splits(self) -> tuple[SplitName, ...]:
        return tuple(name for name in SPLITS if self._sound.images[name])

    def split(self, name: SplitName) -> Split:
        """The records of a split, its images all there."""
        if name not in self._whole:
            self._whole[name] = self._looked_for(self._sound.split(name, self._table().parent))
        return self._whole[name]

    def _looked_for(self, split: Split) -> Split:
        name = split.name
        if not split.images:
            raise UsageError(f"{self._table()}: no row of split {name!r}; add some, or leave the column split away to have it carved out")
        missing, outside = absent(split.root, (image.path for image in split.images))
        for paths, problem in ((outside, "are links that lead out of"), (missing, "are missing below")):
            if paths:
                those = f"{len(paths)} of {len(split.images)} images of split {name!r} {problem} {split.root}, such as {paths[0]}"
                raise UsageError(f"{self._table()}: column 'image': {those}; paths are relative to the table's folder")
        return split

    def survey(self) -> Survey:
        read, _ = self._read()
        return Survey({name: read.split(name, self._table().parent) for name in SPLITS}, tuple(read.defects))

    def choices(self) -> Mapping[str, str]:
        return self._carving[1]

    def columns(self, name: SplitName) -> Mapping[str, Sequence[Any]]:
        return self._sound.columns(name)

    def camera(self, path: str) -> str | None:
        """What the column `camera` holds."""
        held = next((images[path] for images in self._sound.images.values() if path in images), None)
        camera = held.first.further.get("camera") if held else None
        return None if camera in (None, "") else str(camera)

    def _table(self) -> Path:
        if self.file is None:
            raise UsageError("table: name the file itself, as in --dataset photos/album.csv (.csv, .json, .jsonl)")
        if not self.file.is_file():
            raise UsageError(f"{self.file}: no such file; name a table with the columns split, pid, image, caption")
        return self.file

    @property
    def _sound(self) -> Gathered:
        """All rows, with val and test carved out where the table does not name them."""
        return self._carving[0]

    @cached_property
    def _whole(self) -> dict[SplitName, Split]:
        """The splits whose images were looked for and are there."""
        return {}

    @cached_property
    def _carving(self) -> tuple[Gathered, dict[str, str]]:
        """The rows, read once, and what was decided."""
        read, choices = self._read()
        read.sound(self._table())
        options = self.config
        try:
            if not read.images["test"] and not read.images["val"] and choices.pop("split", ""):
                choices["test"] = read.carve("test", options.test, options.seed)
            if read.images["train"] and not read.images["val"]:
                choices["val"] = read.carve("val", options.val, options.seed)
        except UsageError as error:
            raise UsageError(f"{self._table()}: {error}") from None
        return read, choices

    def _read(self) -> tuple[Gathered, dict[str, str]]:
        """The rows as they stand; and `split`, `pid` where the table lacks splits or has names for numbers."""
        rows = read_rows(self._table())
        splitless = not any(isinstance(row, tuple) and isinstance(row[1], dict) and "split" in row[1] for row in rows)
        numbered, named = _numbered([_entry(row, splitless) for row in rows])
        choices = {"split": "none in the table"} if splitless else {}
        return gather(numbered), choices | ({"pid": "names, numbered in sorted order"} if named else {})


def _entry(row: Row | Defect, splitless: bool) -> Entry | Defect:
    if isinstance(row, Defect):
        return row
    found = entry(row[1], row[0], _COLUMNS, splitless=splitless, names=True)
    return replace(found, what=f"column {found.what}") if isinstance(found, Defect) and found.what.startswith("'") else found


def _numbered(found: Iterable[Entry | Defect]) -> tuple[list[Entry | Defect], bool]:
    """Identities as whole numbers; and whether they were names."""
    found = list(found)
    pids = {str(one.pid) for one in found if isinstance(one, Entry)}
    whole = all(pid.isascii() and pid.isdecimal() and len(pid) < 19 for pid in pids)
    named = not whole or len(set(map(int, pids))) < len(pids)  # `7` and `007` are two people
    number = {pid: place if named else int(pid) for place, pid in enumerate(sorted(pids))}
    return [replace(one, pid=number[str(one.pid)]) if isinstance(one, Entry) else one for one in found], named
