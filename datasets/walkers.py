"""The embedded data set: pedestrians drawn from a seed, whose truth is known.

Layout: `<data root>/walkers-<hash>/{data_captions.json,truth.json,parameters.json,imgs/}`, the hash that of the parameters. The
annotation file is in RSTPReid's format; `datasets/_walkers_truth.py` describes the truth.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, ClassVar, Literal
from uuid import uuid4

from pydantic import Field

from bench.contracts import DataOptions, Dataset, Grounding, Split, SplitName, Track, Twins, UsageError, silently
from datasets._annotations import read_records
from datasets._walkers_captions import write_caption
from datasets._walkers_draw import Picture, draw_picture
from datasets._walkers_identity import Identity, draw_identities
from datasets._walkers_phrases import misread, speakable
from datasets._walkers_spans import Caption
from datasets._walkers_truth import (
    FORMAT,
    Truth,
    grounding,
    identity_truth,
    image_truth,
    known_facts,
    oracle_r1,
    read_truth,
    stated_facts,
    twins,
)

VERSION = 3
"""Raise it whenever the same parameters come to give other pictures, captions or truth."""
CAPTIONS = 2
"""Captions an image."""
_SIZES: Mapping[str, tuple[Mapping[str, int], int]] = {
    "tiny": ({"train": 12, "val": 6, "test": 8}, 2),
    "small": ({"train": 300, "val": 60, "test": 100}, 4),
    "rstpreid": ({"train": 3701, "val": 200, "test": 200}, 5),
}
"""Identities of each split, and images an identity."""


class WalkersOptions(DataOptions):
    """What a set of walkers is drawn from: the same options always give the same set."""

    size: Literal["tiny", "small", "rstpreid"] = Field(
        "small", description="identities train/val/test x images each: tiny 12/6/8 x 2, small 300/60/100 x 4, rstpreid 3701/200/200 x 5"
    )
    seed: int = Field(0, description="seed of everything that is drawn")
    twins: float = Field(
        0.5, ge=0, le=1, description="share of identities that have a near twin in their split, differing in one attribute"
    )
    occlusion: float = Field(0.15, ge=0, le=1, description="probability that something stands in front of the pedestrian")
    wrong_facts: float = Field(0.0, ge=0, le=1, description="probability that a fact, as a train caption sees it, is wrong")
    height: int = Field(128, ge=32, le=1024, description="height of the images, in pixels")
    width: int = Field(64, ge=16, le=1024, description="width of the images, in pixels")


class Walkers(Dataset):
    """Walkers: pedestrians drawn from a seed, with near twins, captions and known truth; needs no download."""

    Config = WalkersOptions
    citation = "Drawn by this project (datasets/walkers.py): no photograph, no person, no third party's data. Free to use with it."
    free: ClassVar[bool] = True
    default_preset: ClassVar[str] = "small"

    config: WalkersOptions

    @property
    def folder(self) -> Path:
        """Where this set is, or will be."""
        return self.root / f"walkers-{sha256(self._parameters().encode()).hexdigest()[:8]}"

    def prepare(self, track: Track) -> None:
        """Draw the set if it is not there. It appears whole or not at all: a half-written one is never read."""
        if self._is_whole():
            return
        unfinished = self.root / f".{self.folder.name}-{uuid4().hex}"
        try:
            self._write(unfinished, track)
            self._publish(unfinished)
        except OSError as error:
            raise UsageError(
                f"walkers: cannot be drawn into {self.root} ({error.strerror}); name a place to write to with --data-root"
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def split(self, name: SplitName) -> Split:
        """The records of a split; draws the set first if need be."""
        return self._splits[name]

    def ceiling(self, name: SplitName) -> float:
        """Expected R1 of an oracle that knows all attributes and reads captions perfectly (see `oracle_r1`)."""
        split, truth = self.split(name), self._truth
        stated = [stated_facts(mentions) for image in split.images for mentions in truth["images"][image.path]["mentions"]]
        known = [known_facts(truth, image.path) for image in split.images]
        return oracle_r1(stated, split.caption_pids.numpy(), known, split.image_pids.numpy())

    def grounding(self, name: SplitName) -> Grounding:
        """The parts of each image that show, and which characters of its captions speak of which: `head`, `hair`, `headwear`, `glasses`,
        `upper`, `lower`, `shoes`, `carried`, `logo`. A phrase of the part `person` speaks of the whole, which has no box of its own.
        """
        return grounding(self._truth, [image.path for image in self.split(name).images], self.config.width, self.config.height)

    def camera(self, path: str) -> str:
        """The side that the image was seen from (front, back, side): every image has a camera of its own, and this is what can be told."""
        return str(self._truth["images"][path]["view"])

    def twins(self, name: SplitName) -> Sequence[Twins]:
        """Each pair once, in the order of the identities."""
        return twins(self._truth, name)

    @cached_property
    def _truth(self) -> Truth:
        self.prepare(silently)
        return read_truth(self.folder / "truth.json")

    @cached_property
    def _splits(self) -> Mapping[SplitName, Split]:
        self.prepare(silently)
        return read_records(self.folder / "data_captions.json", self.folder / "imgs")

    def _is_whole(self) -> bool:
        """`parameters.json` is written last."""
        return (self.folder / "parameters.json").is_file()

    def _parameters(self) -> str:
        """What the set is drawn from. `caption_noise` is the name that `wrong_facts` has there, so that drawn sets keep their folder."""
        drawn = self.config.model_dump(exclude=set(DataOptions.model_fields))
        return json.dumps({"version": VERSION, "truth": FORMAT, "caption_noise": drawn.pop("wrong_facts"), **drawn}, sort_keys=True)

    def _publish(self, unfinished: Path) -> None:
        """Put the finished folder into its place, unless another process was first."""
        if self.folder.is_dir() and not self._is_whole():
            self.folder.rename(unfinished.with_name(f"{unfinished.name}-spoilt"))
            shutil.rmtree(unfinished.with_name(f"{unfinished.name}-spoilt"), ignore_errors=True)
        try:
            unfinished.rename(self.folder)
        except OSError:
            if not self._is_whole():
                raise

    def _write(self, folder: Path, track: Track) -> None:
        sizes, images = _SIZES[self.config.size]
        identities = draw_identities(self.config.seed, sizes, self.config.twins)
        (folder / "imgs").mkdir(parents=True)
        truth: dict[str, Any] = {"format": FORMAT, "identities": {str(i.pid): identity_truth(i) for i in identities}, "images": {}}
        records = []
        places = [(identity, number) for identity in identities for number in range(images)]
        for identity, number in track(places, "drawing walkers", len(places)):
            path = f"{identity.split}/{identity.pid:04d}_{number}.jpg"
            picture, captions = self._draw(identity, number)
            (folder / "imgs" / path).parent.mkdir(exist_ok=True)
            picture.image.save(folder / "imgs" / path, quality=92, subsampling=0)
            truth["images"][path] = image_truth(identity, picture, captions)
            records.append({"id": identity.pid, "img_path": path, "captions": [c.text for c in captions], "split": identity.split})
        _dump(folder / "data_captions.json", records)
        _dump(folder / "truth.json", truth)
        (folder / "parameters.json").write_text(self._parameters() + "\n", encoding="utf-8")

    def _draw(self, identity: Identity, number: int) -> tuple[Picture, list[Caption]]:
        """One image with its captions, from a seed of its own."""
        options, key = self.config, f"{self.config.seed} {identity.pid} {number}"
        picture = draw_picture(
            identity, Random(f"walkers picture {key}"), height=options.height, width=options.width, occlusion=options.occlusion
        )
        facts = speakable(identity.attributes, picture.view, {part for part, seen in picture.parts.items() if seen.clear})
        noise = options.wrong_facts if identity.split == "train" else 0.0
        return picture, list(_captions(facts, Random(f"walkers captions {key}"), noise))


def _captions(facts: dict[str, str], random: Random, noise: float) -> Iterator[Caption]:
    """CAPTIONS different captions, each by an annotator with errors of its own."""
    texts: set[str] = set()
    while len(texts) < CAPTIONS:
        caption = write_caption(misread(facts, random, noise), random)
        if caption.text not in texts:
            texts.add(caption.text)
            yield caption


def _dump(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
