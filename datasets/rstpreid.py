"""RSTPReid: 20,505 photographs of 4,101 pedestrians cut from MSMT17, two captions each.

Layout: `<data root>/RSTPReid/data_captions.json` and `<data root>/RSTPReid/imgs/`. Public. An early download holds 3,901 / 100 / 100
identities instead of 3,701 / 200 / 200; its authors ask to download it again.
"""

from __future__ import annotations

import re

from bench.contracts import Counts, Edition
from datasets._layout import AnnotatedDataset


class RSTPReid(AnnotatedDataset):
    """RSTPReid (Zhu et al., 2021): 4,101 identities from 15 cameras, 5 images each, 2 captions an image."""

    citation = (
        "Zhu, Wang, Li, Wan, Jin, Wang, Hu, Hua: DSSL: Deep Surroundings-person Separation Learning for Text-based Person Retrieval. "
        "ACM Multimedia 2021. https://arxiv.org/abs/2109.05534"
    )
    folder = "RSTPReid"
    annotations = ("data_captions.json", "data_captions_{split}.json", "rstp_{split}.json")
    obtain = "download it through the links of https://github.com/NjtechCVLab/RSTPReid-Dataset"
    official = {  # noqa: RUF012 - declared as a ClassVar by the base
        "train": Counts(identities=3701, images=18505, captions=37010),
        "val": Counts(identities=200, images=1000, captions=2000),
        "test": Counts(identities=200, images=1000, captions=2000),
    }
    editions = (
        Edition(
            {"train": 3901, "val": 100, "test": 100},
            "the early download, whose split its authors withdrew",
            "download it again through the links of https://github.com/NjtechCVLab/RSTPReid-Dataset",
        ),
    )

    def camera(self, path: str) -> str | None:
        """MSMT17's, 1 to 15: the number after `c` in `0000_c5_0022.jpg`."""
        found = re.search(r"_c(\d+)_[^/]*$", path)
        return str(int(found.group(1))) if found else None
