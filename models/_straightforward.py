"""Cross-scale scoring as it is usually written, a loop over captions: what `bench perf` sets the product's beside. Nothing else uses it.

Dimension letters: I images, T captions, R image tokens, P phrases, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, leaky_relu, normalize

SCALE, SLOPE, EPSILON = 20.0, 0.1, 1e-8


def loop_over_captions(query: Tensor, value: Tensor, key: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """(I, R, D), (I, R, D), (T, P, D), (T, P, D) -> two (I, T): each caption is tiled over all images, and every context is made."""
    columns = []
    for one_key, one_text in zip(key, text, strict=True):
        keys, texts = (x.expand(len(query), *x.shape).contiguous() for x in (one_key, one_text))  # (I, P, D)
        i2t = cosine_similarity(value, _attended(query, keys, texts), dim=-1).mean(dim=1)
        t2i = cosine_similarity(texts, _attended(keys, query, value), dim=-1).mean(dim=1)
        columns.append((i2t, t2i))
    return torch.stack([c[0] for c in columns], dim=1), torch.stack([c[1] for c in columns], dim=1)


def _attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(I, Q, D), (I, S, D), (I, S, D) -> (I, Q, D) contexts."""
    near = leaky_relu(normalize(key, dim=-1) @ normalize(query, dim=-1).mT, SLOPE)  # (I, S, Q)
    near = near / (near.norm(dim=2, keepdim=True) + EPSILON)
    context: Tensor = (SCALE * near).softmax(dim=1).mT @ value
    return context
