"""ACSA: the whole image with the sentence, and image tokens of several scales with noun phrases.

Zhong Ji, Junhua Hu, Deyin Liu, Lin Yuanbo Wu, Ye Zhao: "Asymmetric Cross-Scale Alignment for Text-Based Person Search", IEEE
Transactions on Multimedia 25 (2022), arXiv 2212.11958. Composition only: the parts are in `_scales`, `_heads`, `_towers`. Scales and
the attention can be left out: `_cells` says what is aligned then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from bench.contracts import WHOLE, Batch, Box, Captions, Features, HotPath, InputSpec, Preset, Vocabulary
from models._cells import Alignments, ImageScale, TextScale, alignments
from models._heads import CrossScaleAlignment, GlobalAlignment, LocalScore, SoftmaxOver, projection
from models._presets import PAPER_TRAIN, SMALL_MODEL, SMALL_TRAIN
from models._scales import AttentionWindows, ChannelRegions, GridWindows, Regions, StripeRegions, Whole, Windows, cell_boxes
from models._towers import Maps
from models._two_towers import TwoTowerOptions, TwoTowers


class ACSAOptions(TwoTowerOptions):
    """Knobs of ACSA. Defaults mend the released code; the preset `released` sets each oddity back."""

    image_scales: tuple[ImageScale, ...] = Field(("whole", "regions", "windows"), description="scales of the image that are aligned")
    text_scales: tuple[TextScale, ...] = Field(("sentence", "phrases"), description="scales of the text that are aligned")
    cross_scale: bool = Field(True, description="image tokens attend to phrases; off: like with like, as one vector a side")
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
    def _scales_are_aligned(self) -> ACSAOptions:
        found, all_scales = self.alignments, len(self.image_scales) == 3
        if self.freeze_heads and not ((self.regions, self.windows) == ("channels", "attention") and all_scales):
            raise ValueError(
                "model.freeze_heads freezes heads of the released code: it needs all scales, regions=channels, windows=attention"
            )
        if self.whole == "mean" and self.image_scales == ("whole",):
            raise ValueError("model.whole=mean is the mean of the other tokens: add regions or windows to model.image_scales")
        if self.fusion_weight is not None and not (found.whole_with_sentence and found.attention):
            raise ValueError("model.fusion_weight weighs global against cross_scale, which these scales do not both have: leave it null")
        return self

    @property
    def alignments(self) -> Alignments:
        return alignments(self.image_scales, self.text_scales, cross_scale=self.cross_scale)


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
        scales, released_windows = config.image_scales, config.windows == "attention" and "windows" in config.image_scales
        super().__init__(config, vocabulary, tap_windows=released_windows)
        image, text, aligned = self.image_tower, self.text_tower, config.alignments
        self.config: ACSAOptions = config
        self.global_alignment: GlobalAlignment | None = None
        self.pool: nn.Module | None = None  # the global alignment's where there is one
        if aligned.whole_with_sentence:
            self.global_alignment = GlobalAlignment(image.width, text.width, config.width, vocabulary.n_classes)
        elif "whole" in scales or ("regions" in scales and config.regions == "channels"):
            self.pool = projection(image.width, config.width)
        self.regions = self._regions() if "regions" in scales else None
        self.windows = self._windows() if "windows" in scales else None
        self.cross_scale: CrossScaleAlignment | None = None
        self.local_alignment: GlobalAlignment | None = None
        if aligned.attention:
            self.cross_scale = CrossScaleAlignment(
                text.width,
                config.width,
                joint_norm=config.max_phrases if config.joint_norm else None,
                scale=config.scale,
                leaky_slope=config.leaky_slope,
            )
        if aligned.local_with_phrases:
            self.local_alignment = GlobalAlignment(config.width, text.width, config.width, vocabulary.n_classes)
        if config.freeze_heads:
            self._freeze_as_released()

    def _regions(self) -> ChannelRegions | StripeRegions:
        config = self.config
        if config.regions == "channels":
            return ChannelRegions(config.width, config.width)
        return StripeRegions(self.image_tower.width, config.width, config.n_regions)

    def _windows(self) -> AttentionWindows | GridWindows:
        config, image = self.config, self.image_tower
        if config.windows == "attention":
            return AttentionWindows(image.earlier_width, config.width, image.tap.n_windows if image.tap is not None else 0)
        return GridWindows(image.earlier_width, config.width, config.window_rows, config.window_columns)

    @classmethod
    def input_spec(cls, config: Any) -> InputSpec:
        spec = super().input_spec(config)
        if "phrases" not in config.text_scales:
            return replace(spec, max_phrases=0)
        return spec if config.mask_padding else replace(spec, phrase_filler="[PAD]")

    def encode_images(self, images: Tensor) -> Features:
        """`global` (N, D); `query` and `value` (N, R, D) of R = 1 + regions + windows tokens; `local` (N, D): those that are aligned."""
        maps = self.image_tower(images)
        pooled, features = self._pooled(maps), dict[str, Tensor]()
        if self.global_alignment is not None and pooled is not None:
            features["global"] = pooled
        if self.cross_scale is not None:
            features |= self.cross_scale.image_features(self._tokens(maps, pooled))
        if self.local_alignment is not None:
            features["local"] = self.local_alignment.image(self._local(maps, pooled).mean(dim=1))
        return features

    def encode_captions(self, captions: Captions) -> Features:
        """`global` (T, D); `key` and `value` (T, P, D) with `present` (T, P); `local` (T, D): those that are aligned."""
        features = self._phrase_features(captions) if "phrases" in self.config.text_scales else {}
        if self.global_alignment is not None:
            features["global"] = self.global_alignment.text(self.sentence(captions))
        return features

    def _phrase_features(self, captions: Captions) -> Features:
        phrases = self.text_tower.phrases(captions.phrases, captions.phrase_token_mask)  # (T, P, D')
        present = captions.phrase_mask if self.config.mask_padding else torch.ones_like(captions.phrase_mask)
        if self.cross_scale is not None:
            return self.cross_scale.text_features(phrases, present)
        assert self.local_alignment is not None
        return {"local": self.local_alignment.text(_mean(phrases, present))}

    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        """`global`, `cross_scale` and `local`, each (Q, G), where they are aligned."""
        found = {}
        if self.global_alignment is not None:
            found["global"] = self.global_alignment.similarity(captions["global"], images["global"])
        if self.cross_scale is not None:
            found["cross_scale"] = self.cross_scale.similarity(captions, images, self.config.score)
        if self.local_alignment is not None:
            found["local"] = self.local_alignment.similarity(captions["local"], images["local"])
        return found

    def first_stage(self, captions: Features, images: Features) -> Tensor | None:
        """The `global` similarity, (Q, G), where there is another to come after it."""
        if self.global_alignment is None or self.cross_scale is None:
            return None
        return self.global_alignment.similarity(captions["global"], images["global"])

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """`cmpm`, `cmpc` and `cross_scale`; L = CMPM + 4 CMPC + 0.1 L_cross. Of scales without attention, `local_cmpm` and `local_cmpc`."""
        c = self.config
        image, text, labels = self.features(batch)
        weights, terms = {"cmpm_weight": c.cmpm_weight, "cmpc_weight": c.cmpc_weight}, {}
        if self.global_alignment is not None:
            terms = self.global_alignment.losses(image["global"], text["global"], labels, **weights)
        if self.local_alignment is not None:
            local = self.local_alignment.losses(image["local"], text["local"], labels, **weights)
            terms |= {f"local_{name}": term for name, term in local.items()}
        if c.cmpm_floor is not None:  # times false, not dropped: a term that is not finite stays visible
            terms = {n: t * (t.detach() >= c.cmpm_weight * c.cmpm_floor) if n.endswith("cmpm") else t for n, t in terms.items()}
        if self.cross_scale is not None:
            terms["cross_scale"] = c.cross_scale_weight * self.cross_scale.loss(text, image, labels, c.softmax_over)
        return terms

    @classmethod
    def hot_paths(cls, device: torch.device, *, quick: bool) -> Iterator[HotPath]:
        from models._hot_paths import frozen_step, scoring  # what nothing but `bench perf` uses

        yield from scoring(device, quick=quick)
        yield from frozen_step(cls, device, quick=quick)

    def mixing(self) -> dict[str, float] | None:
        w = self.config.fusion_weight
        return None if w is None else {"global": 1 - w, "cross_scale": w}

    def attention(self, captions: Features, images: Features) -> Tensor | None:
        return None if self.cross_scale is None else self.cross_scale.attention(captions, images)

    def token_boxes(self) -> tuple[Box, ...] | None:
        """The whole image, its stripes, its windows. The released code's channel groups and wrapped windows lie nowhere."""
        released = isinstance(self.regions, ChannelRegions) or isinstance(self.windows, AttentionWindows)
        if released or self.cross_scale is None:
            return None
        final, earlier = self.image_tower.grids
        whole = [WHOLE] if "whole" in self.config.image_scales else []
        regions = cell_boxes(final, self.config.n_regions, 1) if self.regions is not None else ()
        windows = cell_boxes(earlier, *self.windows.grid) if isinstance(self.windows, GridWindows) else ()
        return (*whole, *regions, *windows)

    def _pooled(self, maps: Maps) -> Tensor | None:
        """(N, D) the whole image as one vector, where it is wanted."""
        pool = self.pool if self.global_alignment is None else self.global_alignment.image
        return None if pool is None else pool(maps.final.mean(dim=(2, 3)))

    def _local(self, maps: Maps, pooled: Tensor | None) -> Tensor:
        """(N, R, D) tokens of the regions, then of the windows."""
        found = []
        if self.regions is not None:
            found.append(self.regions(pooled if isinstance(self.regions, ChannelRegions) else maps.final))
        if self.windows is not None:
            found.append(self.windows(maps.window_attention if isinstance(self.windows, AttentionWindows) else maps.earlier))
        return torch.cat(found, dim=1)

    def _tokens(self, maps: Maps, pooled: Tensor | None) -> Tensor:
        """(N, R, D) image tokens: the whole image, then regions, then windows."""
        if self.config.image_scales == ("whole",):
            assert pooled is not None
            return pooled[:, None]
        local = self._local(maps, pooled)
        if "whole" not in self.config.image_scales:
            return local
        whole = pooled if self.config.whole == "pooled" else local.mean(dim=1)
        assert whole is not None
        return torch.cat([whole[:, None], local], dim=1)

    def _freeze_as_released(self) -> None:
        """The heads within the released code's index range: 13.9 M random weights in its 3x3 form that never learn."""
        assert isinstance(self.regions, ChannelRegions)
        assert isinstance(self.windows, AttentionWindows)
        head, upper, lower, _ = self.regions.project
        for part in (self.regions.mix, self.windows.mix, head, upper):
            part.requires_grad_(False)
        lower.get_parameter("0.weight").requires_grad_(False)


def _mean(phrases: Tensor, present: Tensor) -> Tensor:
    """(T, P, D') and (T, P) -> (T, D') mean of the phrases that are there; zero where there is none."""
    weight = present[..., None].to(phrases.dtype)
    return (phrases * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
