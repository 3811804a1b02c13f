"""ICFG-PEDES: 54,522 photographs of 4,102 pedestrians cut from MSMT17, one caption each.

Layout: `<data root>/ICFG-PEDES/ICFG-PEDES.json` (or `ICFG_PEDES.json`) and `<data root>/ICFG-PEDES/imgs/{train,test}/`. These two folders
are MSMT17's, not the split. The set has no val: the protocol holds identities of train out for it, a share of them drawn from a seed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import Field

from bench.contracts import Counts, DataOptions
from datasets._annotations import Gathered
from datasets._layout import AnnotatedDataset


class ICFGOptions(DataOptions):
    """How val is carved out of train."""

    val: float = Field(0.1, gt=0, lt=1, description="share of train's identities held out as val, where the annotations have none")
    seed: int = Field(0, description="seed of the draw of those identities")


class ICFGPEDES(AnnotatedDataset):
    """ICFG-PEDES (Ding et al., 2021): 4,102 identities, identity-centric captions, one an image; val is held out of train."""

    Config = ICFGOptions
    citation = (
        "Ding, Ding, Shao, Tao: Semantically Self-Aligned Network for Text-to-Image Part-aware Person Re-identification. 2021. "
        "https://arxiv.org/abs/2107.12666"
    )
    folder = "ICFG-PEDES"
    annotations = ("ICFG-PEDES.json", "ICFG_PEDES.json", "ICFG-PEDES-{split}.json", "icfg_{split}.json")
    obtain = "ask its authors for it by e-mail (https://github.com/zifyloo/SSAN)"
    official = {  # noqa: RUF012 - declared as a ClassVar by the base
        "train": Counts(identities=3102, images=34674, captions=34674),
        "test": Counts(identities=1000, images=19848, captions=19848),
    }

    config: ICFGOptions
    _carving: str | None = None

    def camera(self, path: str) -> str | None:
        """MSMT17's, 1 to 15: the third number of `0627_010_05_0303afternoon_1591_0.jpg`."""
        found = re.search(r"(?:^|/)\d+_\d+_(\d+)_[^/]*$", path)
        return str(int(found.group(1))) if found else None

    def choices(self) -> Mapping[str, str]:
        told = super().choices()
        return {**told, "val": self._carving} if self._carving else told

    def _carved(self, read: Gathered) -> Gathered:
        if read.images["train"] and not read.images["val"]:
            self._carving = read.carve("val", self.config.val, self.config.seed)
        return read
