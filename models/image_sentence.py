"""Single-scale baseline: the whole image with the whole caption, by CMPM and CMPC."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from bench.contracts import Batch, Captions, Features, Preset, Vocabulary
from models._heads import GlobalAlignment
from models._presets import PAPER_TRAIN, SMALL_MODEL, SMALL_TRAIN
from models._two_towers import TwoTowerOptions, TwoTowers


class ImageSentenceOptions(TwoTowerOptions):
    """Knobs of the image-sentence baseline."""

    cmpm_weight: float = Field(1.0, ge=0, description="weight of CMPM")
    cmpc_weight: float = Field(4.0, ge=0, description="weight of CMPC")


class ImageSentence(TwoTowers):
    """Image-sentence baseline: ACSA's towers and global alignment (CMPM and CMPC), and nothing else."""

    Config = ImageSentenceOptions
    citation = "Zhang, Lu: Deep Cross-Modal Projection Learning for Image-Text Matching. ECCV 2018"
    presets: ClassVar = {
        "paper": Preset("Swin-Tiny and BERT-base with ACSA's recipe", train=PAPER_TRAIN),
        "small": Preset("from scratch, sized for 2 CPU cores", model=SMALL_MODEL, train=SMALL_TRAIN),
    }
    wants_phrases = False

    def __init__(self, config: ImageSentenceOptions, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.config: ImageSentenceOptions = config
        widths = (self.image_tower.width, self.text_tower.width, config.width)
        self.global_alignment = GlobalAlignment(*widths, vocabulary.n_classes)

    def encode_images(self, images: Tensor) -> Features:
        """`global` (N, D)."""
        return {"global": self.global_alignment.image(self.image_tower(images).final.mean(dim=(2, 3)))}

    def encode_captions(self, captions: Captions) -> Features:
        """`global` (T, D)."""
        return {"global": self.global_alignment.text(self.sentence(captions))}

    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        """`global` (Q, G) cosine."""
        return {"global": self.global_alignment.similarity(captions["global"], images["global"])}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """`cmpm` and `cmpc`."""
        image, text, labels = self.features(batch)
        weights = {"cmpm_weight": self.config.cmpm_weight, "cmpc_weight": self.config.cmpc_weight}
        return self.global_alignment.losses(image["global"], text["global"], labels, **weights)
