"""ACSA: the whole image with the sentence, and image tokens of several scales with noun phrases.

Zhong Ji, Junhua Hu, Deyin Liu, Lin Yuanbo Wu, Ye Zhao: "Asymmetric Cross-Scale Alignment for Text-Based Person Search", IEEE
Transactions on Multimedia 25 (2022), arXiv 2212.11958. Composition only: the parts are in `_scales`, `_heads`, `_towers`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from bench.contracts import Batch, Box, Captions, Features, HotPath, InputSpec, Preset, Vocabulary
from models._heads import CrossScaleAlignment, GlobalAlignment, LocalScore, SoftmaxOver
from models._presets import PAPER_TRAIN, SMALL_MODEL, SMALL_TRAIN
from models._scales import AttentionWindows, ChannelRegions, GridWindows, Regions, StripeRegions, Whole, Windows, cell_boxes
from models._towers import Maps
from models._two_towers import TwoTowerOptions, TwoTowers


class ACSAOptions(TwoTowerOptions):
    """Knobs of ACSA. Defaults mend the released code; the preset `released` sets each oddity back."""

    whole: Whole = Field("pooled", description="the whole-image token: the 'pooled' vector, or the 'mean' of the others (released)")
    regions: Regions = Field("stripes", description="'stripes' of the image, or 'channels' of the pooled vector (released)")
    n_regions: int = Field(4, gt=0, description="number of stripes")
    windows: Windows = Field("grid", description="'grid' cells of the earlier stage, or its 'attention' windows (released)")
    window_rows: int = Field(2, gt=0, description="rows of the window grid")
    window_columns: int = Field(2, gt=0, description="columns of the window grid")
    mask_padding: bool = Field(True, description="empty phrase slots take no part; released: they are encoded as '[PAD]' and do")
    joint_norm: bool = Field(False, description="LayerNorm over phrases and features together (released), else a phrase for itself")
    softmax_over: SoftmaxOver = Field("candidates", description="what the cross-scale loss ranks; released: 'texts' in both terms")
    cmpm_floor: float | None = Field(None, description="a CMPM below this is dropped from the loss (released: 0.5)")
    freeze_heads: bool = Field(False, description="random heads that the released code froze by a slip of indices stay frozen")
    cmpm_weight: float = Field(1.0, ge=0, description="weight of CMPM")
    cmpc_weight: float = Field(4.0, ge=0, description="weight of CMPC")
    cross_scale_weight: float = Field(0.1, ge=0, description="weight of the cross-scale loss")
    scale: float = Field(20.0, gt=0, description="factor before the softmax of the attention and of the cross-scale loss")
    leaky_slope: float = Field(0.1, ge=0, description="slope of the LeakyReLU below zero")
    score: LocalScore = Field("mean", description="direction of the cross-scale similarity that is ranked (released: 'i2t')")
    fusion_weight: float | None = Field(None, ge=0, le=1, description="share of the cross-scale similarity; null: tuned on val")

    @model_validator(mode="after")
    def _frozen_heads_exist(self) -> ACSAOptions:
        if self.freeze_heads and (self.regions, self.windows) != ("channels", "attention"):
            raise ValueError("model.freeze_heads freezes heads of the released code: it needs regions=channels and windows=attention")
        return self


class ACSA(TwoTowers):
    """Asymmetric cross-scale alignment: sentence and noun phrases against the whole image, its regions and its windows."""

    Config = ACSAOptions
    citation = (
        "Ji, Hu, Liu, Wu, Zhao: Asymmetric Cross-Scale Alignment for Text-Based Person Search. "
        "IEEE Transactions on Multimedia 25, 7699-7709 (2022). arXiv:2212.11958"
    )
    presets: ClassVar = {
        "paper": Preset(
            "Swin-Tiny and BERT-base, the published recipe, defects mended",
            train=PAPER_TRAIN,
        ),
        "released": Preset(
            "the public code's computation as it is, each oddity a switch",
            model={
                "whole": "mean",  # not the global feature
                "regions": "channels",  # "head", "upper", ... are channel groups of the pooled vector
                "windows": "attention",  # taken before the shift is undone, so that they wrap around the border
                "mask_padding": False,  # the length that should mask is the sentence's, always above ten
                "joint_norm": True,  # LayerNorm((10, 768))
                "softmax_over": "texts",  # both terms are normalised along the text axis
                "cmpm_floor": 0.5,  # the term vanishes from a batch once it is small
                "freeze_heads": True,  # a range of parameter indices that is off by seventeen
                "score": "i2t",  # the other direction is computed and thrown away
                # frozen: the authors start from a BERT that NAFS had tuned on CUHK-PEDES and did not publish; give one that is
                # tuned for the task with --set model.text.source=FOLDER, or expect less
                "text": {"frozen": True, "frozen_dropout": True},  # and in training mode: nothing that it says can be remembered
                "max_phrase_tokens": 40,
            },
            train={**PAPER_TRAIN, "decay_all": True, "clip_norm": None},
        ),
        "small": Preset(
            "from scratch, sized for 2 CPU cores",
            # 0.1 leaves untrained towers little to learn from: of 0.1, 1 and 3, this had the best val R1 on walkers (seed 0)
            model={**SMALL_MODEL, "cross_scale_weight": 3.0},
            train=SMALL_TRAIN,
        ),
    }

    def __init__(self, config: ACSAOptions, vocabulary: Vocabulary) -> None:
        released_windows = config.windows == "attention"
        super().__init__(config, vocabulary, tap_windows=released_windows)
        image, text = self.image_tower, self.text_tower
        self.config: ACSAOptions = config
        self.global_alignment = GlobalAlignment(image.width, text.width, config.width, vocabulary.n_classes)
        if config.regions == "channels":
            self.regions: ChannelRegions | StripeRegions = ChannelRegions(config.width, config.width)
        else:
            self.regions = StripeRegions(image.width, config.width, config.n_regions)
        if released_windows:
            count = image.tap.n_windows if image.tap is not None else 0
            self.windows: AttentionWindows | GridWindows = AttentionWindows(image.earlier_width, config.width, count)
        else:
            self.windows = GridWindows(image.earlier_width, config.width, config.window_rows, config.window_columns)
        self.cross_scale = CrossScaleAlignment(
            text.width,
            config.width,
            joint_norm=config.max_phrases if config.joint_norm else None,
            scale=config.scale,
            leaky_slope=config.leaky_slope,
        )
        if config.freeze_heads:
            self._freeze_as_released()

    @classmethod
    def input_spec(cls, config: Any) -> InputSpec:
        spec = super().input_spec(config)
        return spec if config.mask_padding else replace(spec, phrase_filler="[PAD]")

    def encode_images(self, images: Tensor) -> Features:
        """`global` (N, D), and `query` and `value` (N, R, D) of R = 1 + regions + windows tokens."""
        maps = self.image_tower(images)
        pooled = self.global_alignment.image(maps.final.mean(dim=(2, 3)))  # (N, D)
        return {"global": pooled, **self.cross_scale.image_features(self._tokens(maps, pooled))}

    def encode_captions(self, captions: Captions) -> Features:
        """`global` (T, D), `key` and `value` (T, P, D), `present` (T, P)."""
        phrases = self.text_tower.phrases(captions.phrases, captions.phrase_token_mask)  # (T, P, D')
        present = captions.phrase_mask if self.config.mask_padding else torch.ones_like(captions.phrase_mask)
        text = self.cross_scale.text_features(phrases, present)
        return {"global": self.global_alignment.text(self.sentence(captions)), **text}

    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        """`global` (Q, G) cosine, and `cross_scale` (Q, G)."""
        return {
            "global": self.global_alignment.similarity(captions["global"], images["global"]),
            "cross_scale": self.cross_scale.similarity(captions, images, self.config.score),
        }

    def first_stage(self, captions: Features, images: Features) -> Tensor:
        """The `global` similarity, (Q, G)."""
        return self.global_alignment.similarity(captions["global"], images["global"])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """`cmpm`, `cmpc` and `cross_scale`; L = CMPM + 4 CMPC + 0.1 L_cross."""
        c = self.config
        image, text, labels = self.features(batch)
        terms = self.global_alignment.losses(image["global"], text["global"], labels, cmpm_weight=c.cmpm_weight, cmpc_weight=c.cmpc_weight)
        if c.cmpm_floor is not None:  # times false, not dropped: a term that is not finite stays visible
            terms["cmpm"] = terms["cmpm"] * (terms["cmpm"].detach() >= c.cmpm_weight * c.cmpm_floor)
        return terms | {"cross_scale": c.cross_scale_weight * self.cross_scale.loss(text, image, labels, c.softmax_over)}

    @classmethod
    def hot_paths(cls, device: torch.device, *, quick: bool) -> Iterator[HotPath]:
        from models import _hot_paths  # what nothing but `bench perf` uses

        yield from _hot_paths.scoring(device, quick=quick)
        yield from _hot_paths.frozen_step(cls, device, quick=quick)

    def mixing(self) -> dict[str, float] | None:
        w = self.config.fusion_weight
        return None if w is None else {"global": 1 - w, "cross_scale": w}

    def attention(self, captions: Features, images: Features) -> Tensor:
        return self.cross_scale.attention(captions, images)

    def token_boxes(self) -> tuple[Box, ...] | None:
        """The whole image, its stripes, its windows. The released code's channel groups and wrapped windows lie nowhere."""
        if not (isinstance(self.regions, StripeRegions) and isinstance(self.windows, GridWindows)):
            return None
        final, earlier = self.image_tower.grids
        return (Box(0, 0, 1, 1), *cell_boxes(final, self.config.n_regions, 1), *cell_boxes(earlier, *self.windows.grid))

    def _tokens(self, maps: Maps, pooled: Tensor) -> Tensor:
        """(N, R, D) image tokens: the whole image, then regions, then windows."""
        regions = self.regions(pooled if isinstance(self.regions, ChannelRegions) else maps.final)
        windows = self.windows(maps.window_attention if isinstance(self.windows, AttentionWindows) else maps.earlier)
        local = torch.cat([regions, windows], dim=1)  # (N, R - 1, D)
        whole = pooled if self.config.whole == "pooled" else local.mean(dim=1)
        return torch.cat([whole[:, None], local], dim=1)

    def _freeze_as_released(self) -> None:
        """The heads within the released code's index range: 13.9 M random weights in its 3x3 form that never learn."""
        assert isinstance(self.regions, ChannelRegions)
        assert isinstance(self.windows, AttentionWindows)
        head, upper, lower, _ = self.regions.project
        for part in (self.regions.mix, self.windows.mix, head, upper):
            part.requires_grad_(False)
        lower.get_parameter("0.weight").requires_grad_(False)
