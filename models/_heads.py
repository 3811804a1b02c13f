"""The two alignments: the whole image with the sentence, and image tokens with phrases.

Dimension letters: B pairs, N images, T captions, Q queries, G gallery, R image tokens, P phrases, D width, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from bench.contracts import BatchNorm1d
from models._attention import BOTH, Direction, cross_scale_similarity, phrase_attention
from models._losses import cmpc, cmpm, similarity_kl

LocalScore = Literal["mean", "i2t", "t2i"]
SoftmaxOver = Literal["candidates", "texts"]


class GlobalAlignment(nn.Module):
    """Whole image with sentence: a batch-normalised vector of each side, CMPM and CMPC (Zhang and Lu, ECCV 2018).

    A linear layer stands before the norm only where a tower is not `width` wide.
    """

    def __init__(self, image_width: int, text_width: int, width: int, n_classes: int) -> None:
        super().__init__()
        self.image = projection(image_width, width)
        self.text = projection(text_width, width)
        self.classifier = nn.Parameter(torch.empty(width, n_classes))
        nn.init.xavier_uniform_(self.classifier)

    def losses(self, image: Tensor, text: Tensor, labels: Tensor, *, cmpm_weight: float, cmpc_weight: float) -> dict[str, Tensor]:
        """(B, D), (B, D), (B,) -> weighted terms `cmpm` and `cmpc`. Computed in float32: the features' norms are the scale."""
        with torch.autocast(device_type=image.device.type, enabled=False):
            image, text = image.float(), text.float()
            return {
                "cmpm": cmpm_weight * cmpm(image, text, labels),
                "cmpc": cmpc_weight * cmpc(image, text, labels, self.classifier),
            }

    @staticmethod
    def similarity(text: Tensor, image: Tensor) -> Tensor:
        """(Q, D), (G, D) -> (Q, G) cosine."""
        return normalize(text.float(), dim=1) @ normalize(image.float(), dim=1).T


def _compared(features: Tensor) -> Tensor:
    """Features as they are compared: in training in float32, whatever the towers computed in; later as the harness hands them over."""
    return features.float() if torch.is_grad_enabled() else features


def projection(width_in: int, width: int) -> nn.Sequential:
    """(N, width_in) -> (N, width), batch-normalised."""
    norm = BatchNorm1d(width)
    norm.bias.requires_grad_(False)  # a shift common to all says nothing of anyone; as in the released code
    return nn.Sequential(nn.Identity() if width_in == width else nn.Linear(width_in, width, bias=False), norm)


class CrossScaleAlignment(nn.Module):
    """Image tokens with phrases by asymmetric cross-attention: the image gives query and value, the text key and value.

    `joint_norm` phrases is the released code's LayerNorm over the phrase and the feature axis together, which ties a caption's
    phrases to each other, to their places and to their number; None norms each phrase for itself.
    """

    def __init__(self, text_width: int, width: int, *, joint_norm: int | None, scale: float, leaky_slope: float) -> None:
        super().__init__()
        self.scale, self.leaky_slope = scale, leaky_slope
        self.image_query, self.image_value = nn.Linear(width, width), nn.Linear(width, width)
        self.text_key, self.text_value = nn.Linear(text_width, width), nn.Linear(text_width, width)
        shape = (width,) if joint_norm is None else (joint_norm, width)
        self.key_norm, self.value_norm = nn.LayerNorm(shape), nn.LayerNorm(shape)

    def image_features(self, tokens: Tensor) -> dict[str, Tensor]:
        """(N, R, D) image tokens -> `query` and `value`, each (N, R, D)."""
        return {"query": self.image_query(tokens), "value": self.image_value(tokens)}

    def text_features(self, phrases: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """(T, P, D') phrases and their (T, P) mask -> `key` and `value`, each (T, P, D), and `present` (T, P)."""
        key, value = self.key_norm(self.text_key(phrases)), self.value_norm(self.text_value(phrases))
        return {"key": key, "value": value, "present": mask}

    def directions(self, text: dict[str, Tensor], image: dict[str, Tensor], wanted: Sequence[Direction] = BOTH) -> tuple[Tensor, ...]:
        """(i2t, t2i), or the wanted ones, each (N, T). The norms and the softmax at scale 20 want float32."""
        query, value, key, text_value = (_compared(x) for x in (image["query"], image["value"], text["key"], text["value"]))
        with torch.autocast(device_type=query.device.type, enabled=False):
            return cross_scale_similarity(query, value, key, text_value, text["present"], self.scale, self.leaky_slope, wanted)

    def attention(self, text: dict[str, Tensor], image: dict[str, Tensor]) -> Tensor:
        """(N, P, R): how the phrases of N captions attend to the tokens of N images, row with row."""
        query, key = image["query"].float(), text["key"].float()
        return phrase_attention(query, key, text["present"], self.scale, self.leaky_slope)

    def similarity(self, text: dict[str, Tensor], image: dict[str, Tensor], score: LocalScore) -> Tensor:
        """(Q, G) of captions with images: one direction, or the mean of both."""
        if score != "mean":
            return self.directions(text, image, (score,))[0].T
        i2t, t2i = self.directions(text, image)
        return ((i2t + t2i) / 2).T

    def loss(self, text: dict[str, Tensor], image: dict[str, Tensor], labels: Tensor, over: SoftmaxOver) -> Tensor:
        """Scalar: the KL of both directions.

        `candidates` ranks texts for an image in i2t and images for a text in t2i. `texts`, as released, ranks texts in both.
        """
        i2t, t2i = self.directions(text, image)  # (B, B) images x texts
        return similarity_kl(i2t, labels, self.scale) + similarity_kl(t2i.T if over == "candidates" else t2i, labels, self.scale)
