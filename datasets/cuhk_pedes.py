"""CUHK-PEDES: 40,206 images of 13,003 pedestrians from five sources, two captions each (a few have up to ten).

Layout: `<data root>/CUHK-PEDES/reid_raw.json` and `<data root>/CUHK-PEDES/imgs/{cam_a,cam_b,CUHK01,CUHK03,Market,test_query,train_query}/`.
Given on request. Some copies hold only `cam_a`, `cam_b` and `CUHK01`: the check of the images tells. Identities count from 1, and
are told apart only.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.contracts import Counts, Edition, absent
from datasets._layout import AnnotatedDataset

_MISLABELLED = ("test_query/p7446_s9899.jpg", "test_query/p7447_s9899.jpg")
"""Two names of one test image: the annotation file says the one, some copies of the images the other."""


class CUHKPEDES(AnnotatedDataset):
    """CUHK-PEDES (Li et al., 2017): 13,003 identities, the first and most used set of text-based person search."""

    citation = "Li, Xiao, Li, Zhou, Yue, Wang: Person Search with Natural Language Description. CVPR 2017. https://arxiv.org/abs/1702.05729"
    folder = "CUHK-PEDES"
    annotations = (
        "reid_raw.json",
        "caption_all.json",
        "CUHK-PEDES.json",
        "captions.json",
        "CUHK-PEDES-{split}.json",
        "cuhk_{split}.json",
    )
    obtain = (
        "ask its authors for it by e-mail from a university address "
        "(https://github.com/ShuangLI59/Person-Search-with-Natural-Language-Description)"
    )
    official = {  # noqa: RUF012 - declared as a ClassVar by the base
        "train": Counts(identities=11003, images=34054, captions=68126),
        "val": Counts(identities=1000, images=3078, captions=6158),
        "test": Counts(identities=1000, images=3074, captions=6156),
    }
    editions = (
        Edition(
            {"train": 11000, "val": 1000, "test": 1000},
            "the copy made for SSAN and MFPE, which drops three train identities with a single image",
            "take the annotation file as its authors give it",
        ),
    )

    def renamed(self) -> Mapping[str, str]:
        """The mislabelled test image goes by the name it has on disk, if it is there under one name only."""
        missing, outside = absent(self.images, _MISLABELLED)
        there = [name for name in _MISLABELLED if name not in (*missing, *outside)]
        return dict.fromkeys(missing, there[0]) if len(there) == 1 else {}
