"""Single-scale baseline: regions of the image with noun phrases, by cross-attention."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from bench.contracts import Batch, Box, Captions, Features, Preset, Vocabulary
from models._heads import CrossScaleAlignment, LocalScore
from models._presets import PAPER_TRAIN, SMALL_MODEL, SMALL_TRAIN
from models._scales import StripeRegions, cell_boxes
from models._two_towers import TwoTowerOptions, TwoTowers


class RegionPhraseOptions(TwoTowerOptions):
    """Knobs of the region-phrase baseline."""

    n_regions: int = Field(4, gt=0, description="number of horizontal stripes")
    scale: float = Field(20.0, gt=0, description="factor before the softmax of the attention and of the loss")
    leaky_slope: float = Field(0.1, ge=0, description="slope of the LeakyReLU below zero")
    score: LocalScore = Field("mean", description="direction of the similarity that is ranked")


class RegionPhrase(TwoTowers):
    """Region-phrase baseline: ACSA's towers and cross-attention between stripes of the image and noun phrases, nothing else."""

    Config = RegionPhraseOptions
    citation = (
        "Lee, Chen, Hua, Hu, He: Stacked Cross Attention for Image-Text Matching. ECCV 2018; "
        "the operator and loss as in Ji et al.: Asymmetric Cross-Scale Alignment for Text-Based Person Search. IEEE TMM 2022"
    )
    presets: ClassVar = {
        "paper": Preset("Swin-Tiny and BERT-base with ACSA's recipe", train=PAPER_TRAIN),
        "small": Preset("from scratch, sized for 2 CPU cores", model=SMALL_MODEL, train=SMALL_TRAIN),
    }

    def __init__(self, config: RegionPhraseOptions, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.config: RegionPhraseOptions = config
        self.regions = StripeRegions(self.image_tower.width, config.width, config.n_regions)
        self.cross_scale = CrossScaleAlignment(
            self.text_tower.width, config.width, joint_norm=None, scale=config.scale, leaky_slope=config.leaky_slope
        )

    def encode_images(self, images: Tensor) -> Features:
        """`query` and `value`, each (N, R, D)."""
        return self.cross_scale.image_features(self.regions(self.image_tower(images).final))

    def encode_captions(self, captions: Captions) -> Features:
        """`key` and `value` (T, P, D), `present` (T, P)."""
        phrases = self.text_tower.phrases(captions.phrases, captions.phrase_token_mask)
        return self.cross_scale.text_features(phrases, captions.phrase_mask)

    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        """`cross_scale` (Q, G)."""
        return {"cross_scale": self.cross_scale.similarity(captions, images, self.config.score)}

    def attention(self, captions: Features, images: Features) -> Tensor:
        return self.cross_scale.attention(captions, images)

    def token_boxes(self) -> tuple[Box, ...]:
        """The stripes, from top to bottom."""
        return cell_boxes(self.image_tower.grids[0], self.config.n_regions, 1)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """`cross_scale`: the KL of both directions."""
        image, text, labels = self.features(batch)
        return {"cross_scale": self.cross_scale.loss(text, image, labels, "candidates")}
