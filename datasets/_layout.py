"""IRRA's layout, in which the three real sets go about: `<data root>/<folder>/` holds an annotation file, and the images in `imgs/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from bench.contracts import Dataset, Defect, Split, SplitName, Survey, UsageError, absent
from datasets._annotations import SPLITS, Entry, Gathered, entries, gather, read_list

DERIVED = ("{split}_reid.json", "processed_data/{split}_reid.json", "processed_data/{split}.json")
"""A file a split, as NAFS, ACSA, TBPS-CLIP and RaSa derive them; val may be lacking."""
SPELT = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
WALKERS = "`--dataset walkers` needs no download"


class AnnotatedDataset(Dataset):
    """A data set in IRRA's layout."""

    folder: ClassVar[str]
    annotations: ClassVar[tuple[str, ...]]
    """Names under which the annotations go about, DERIVED aside; the first that is there is read. `{split}`: a file a split."""
    obtain: ClassVar[str]
    """How the set is obtained: an imperative clause."""

    def split(self, name: SplitName) -> Split:
        """The records of a split, its images all there."""
        if name not in self._whole:
            split = self._sound.split(name, self.images)
            if not split.images:
                raise UsageError(f"{self.folder}: no record of split {name!r} in {self.root / self.folder}; {self._advice()}")
            self._require_images(split)
            self._whole[name] = split
        return self._whole[name]

    def survey(self) -> Survey:
        read = self._read()
        return Survey({name: read.split(name, self.images) for name in SPLITS}, tuple(read.defects))

    def choices(self) -> Mapping[str, str]:
        names = ", ".join(file.relative_to(self.root / self.folder).as_posix() for file, _ in self._sources())
        return {"annotations": names} | {f"image {old}": f"is {new} here" for old, new in self._sound.renamed.items()}

    @property
    def images(self) -> Path:
        """The folder that image paths are relative to."""
        return self.root / self.folder / "imgs"

    def renamed(self) -> Mapping[str, str]:
        """Images that go by another name on disk than in the annotation file."""
        return {}

    @cached_property
    def _sound(self) -> Gathered:
        """All records, read once."""
        return self._carved(self._read().sound(self._where()))

    @cached_property
    def _whole(self) -> dict[SplitName, Split]:
        """The splits whose images were looked for and are there."""
        return {}

    def _carved(self, read: Gathered) -> Gathered:
        """What was read, after a split that the set lacks has been carved out."""
        return read

    def _read(self) -> Gathered:
        return gather(self._entries(), self.renamed())

    def _entries(self) -> Iterator[Entry | Defect]:
        sources = self._sources()
        for file, split in sources:
            yield from entries(read_list(file), split=split, where=f"{file.name}: " if len(sources) > 1 else "")

    def _where(self) -> Path:
        """What an error about a record names: the file, or of several their folder."""
        sources = self._sources()
        return sources[0][0] if len(sources) == 1 else sources[0][0].parent

    def _sources(self) -> list[tuple[Path, SplitName | None]]:
        """The annotation files, and the split of each where a split has a file of its own."""
        folder = self.root / self.folder
        for name in (*self.annotations, *DERIVED):
            if "{split}" not in name:
                found: list[tuple[Path, SplitName | None]] = [(folder / name, None)]
            else:
                found = [(folder / name.format(split=spelt), split) for split in SPLITS for spelt in SPELT[split]]
            if there := [(file, split) for file, split in found if file.is_file()]:
                return there
        names = " or ".join(name for name in self.annotations if "{split}" not in name)
        missing = f"no {names} (nor {DERIVED[0]}) in {folder}" if folder.is_dir() else f"no folder {folder}"
        raise UsageError(f"{self.folder}: {missing}; {self._advice()}")

    def _require_images(self, split: Split) -> None:
        missing, outside = absent(split.root, (image.path for image in split.images))
        of_all = f"of {len(split.images)} images of split {split.name!r}"
        if outside:
            advice = "put the files themselves there, or make the whole of imgs a link"
            where = f"lead out of {split.root}, such as {outside[0]}"
            raise UsageError(f"{self.folder}: {len(outside)} {of_all} are links that {where}; {advice}")
        if missing:
            where = f"such as {missing[0]}, below {split.root}"
            raise UsageError(f"{self.folder}: {len(missing)} {of_all} are missing, {where}; {self._advice()}")

    def _advice(self) -> str:
        layout = f"so that {self.annotations[0]} and imgs/ stand in <data root>/{self.folder}"
        return f"{self.obtain}, unpack it {layout}, name another place with --data-root, or take another set: {WALKERS}"
