"""Cross-scale attention and the similarity it gives: pure functions of tensors.

Dimension letters: I images, T captions, R image tokens (whole image, regions, windows), P phrases, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, normalize

EPSILON = 1e-8
HELD = 2**23
"""Elements of each of the two products that are held at once: 32 MiB in float32."""
NEAR = 2**18
"""Elements of a product that are worked on at once where no gradient is kept: they stay in a core's cache."""

Direction = Literal["i2t", "t2i"]
BOTH: tuple[Direction, ...] = ("i2t", "t2i")


def cross_scale_similarity(
    image_query: Tensor,
    image_value: Tensor,
    text_key: Tensor,
    text_value: Tensor,
    phrase_mask: Tensor | None = None,
    temperature_scale: float = 20.0,
    leaky_slope: float = 0.1,
    directions: Sequence[Direction] = BOTH,
) -> tuple[Tensor, ...]:
    """Similarity of each image with each caption by attention between image tokens and phrases, in both directions.

    One direction attends from queries q to sources s: a = LeakyReLU(cos(source, query)); a is divided by its L2 norm over
    the *queries*; alpha = softmax over s of `temperature_scale` * a; the context of q is sum_s alpha V_s. The similarity is
    the mean over q of cos(V_q, context of q). ACSA (Ji et al., IEEE TMM 2022), asymmetric cross-attention; the operator is
    SCAN's (Lee et al., ECCV 2018) with a normalisation over queries.

    The cosine needs no context of width D. With d_qs = V_q . V_s and the Gram matrix G of the sources' values, it is
    (sum_s alpha_qs d_qs) / (|V_q| sqrt(alpha_q' G alpha_q)). So two matrix products carry nearly all the work. The rest is
    done a few captions at a time, with the images along the innermost axis: each of its steps is a pass over near memory.

    Args:
        image_query, image_value: (I, R, D).
        text_key, text_value: (T, P, D). Where all four are bfloat16 the products are, and the rest is float32.
        phrase_mask: (T, P) bool, True where a phrase stands; the rest take no part. None: all do.
        temperature_scale: the factor before the softmax.
        leaky_slope: slope of the LeakyReLU below zero.
        directions: the wanted ones. The products are common to both; of the rest, one direction costs half.

    Returns:
        A matrix a direction, by default (i2t, t2i), each (I, T) of cosines in [-1, 1]: image tokens attend to phrases, and
        phrases to image tokens. A caption without any phrase has 0 with every image.
    """
    images = _images(image_query, image_value)
    if phrase_mask is None:
        phrase_mask = torch.ones(text_key.shape[:2], dtype=torch.bool, device=text_key.device)
    a_caption = text_key.shape[1] * image_query.shape[0] * image_query.shape[1]  # elements of a product
    rows = [
        _block(images, _texts(text_key[some], text_value[some], phrase_mask[some]), temperature_scale, leaky_slope, directions)
        for some in _slices(len(text_key), HELD // max(1, a_caption))
    ]
    return tuple(torch.cat(parts).T for parts in zip(*rows, strict=True))


class _Images(NamedTuple):
    """The image side, its tokens first and the images along the axis that pairs will have innermost."""

    query: Tensor  # (R, I, D) of length 1
    value: Tensor  # (R, I, D)
    norm: Tensor  # (R, I) lengths of the values
    gram: Tensor  # (R, R, I) of the values


class _Texts(NamedTuple):
    """The text side. Where no phrase stands, key and value are zero."""

    key: Tensor  # (T, P, D) of length 1
    value: Tensor  # (T, P, D)
    norm: Tensor  # (T, P, 1) lengths of the values
    gram: Tensor  # (T, P, P) of the values
    bias: Tensor  # (T, P, 1, 1) of a logit: 0, or as good as minus infinity where no phrase stands
    share: Tensor  # (T, P, 1) of a phrase in the caption's mean


def _images(query: Tensor, value: Tensor) -> _Images:
    """(I, R, D), (I, R, D)."""
    by_token = value.transpose(0, 1).contiguous()  # (R, I, D)
    unit = normalize(query, dim=-1, eps=EPSILON).transpose(0, 1).contiguous()
    value = _wide(value)
    return _Images(unit, by_token, _wide(by_token).norm(dim=-1), (value @ value.mT).permute(1, 2, 0).contiguous())


def _texts(key: Tensor, value: Tensor, mask: Tensor) -> _Texts:
    """(T, P, D), (T, P, D), (T, P)."""
    absent = ~mask[:, :, None]  # (T, P, 1)
    key, value = normalize(key, dim=-1, eps=EPSILON).masked_fill(absent, 0), value.masked_fill(absent, 0)
    wide = _wide(value)
    bias = torch.zeros_like(wide[..., :1]).masked_fill(absent, torch.finfo(wide.dtype).min)
    share = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)  # (T, P), all 0 for a caption without any phrase
    return _Texts(key, value, wide.norm(dim=-1, keepdim=True), wide @ wide.mT, bias[..., None], share.to(wide.dtype)[..., None])


def _wide(x: Tensor) -> Tensor:
    """What is not a product of features is computed in float32 or wider."""
    return x.float() if x.dtype is torch.bfloat16 else x


def _block(images: _Images, texts: _Texts, scale: float, slope: float, directions: Sequence[Direction]) -> list[Tensor]:
    """(T, I) a direction, of as many captions as the two products may be held of."""
    cosines, products = _products(texts.key, images.query), _products(texts.value, images.value)  # (T, P, R, I)
    kept = torch.is_grad_enabled() or cosines.is_cuda  # then few large steps are better than many near ones
    parts = []
    for some in _slices(len(cosines), len(cosines) if kept else NEAR // max(1, cosines[0].numel())):
        affinity, inner, near = leaky_relu(cosines[some], slope), products[some], _Texts(*(x[some] for x in texts))
        attends = {"i2t": _image_attends, "t2i": _text_attends}
        parts.append([attends[direction](affinity, inner, images, near, scale) for direction in directions])
    return [torch.cat(part) for part in zip(*parts, strict=True)]


def _slices(n: int, size: int) -> Iterator[slice]:
    """Slices of `size` rows, 1 at least, that cover n rows; an empty one where there is no row."""
    size = max(1, size)
    return (slice(start, start + size) for start in range(0, max(1, n), size))


def phrase_attention(
    image_query: Tensor,
    text_key: Tensor,
    phrase_mask: Tensor,
    temperature_scale: float = 20.0,
    leaky_slope: float = 0.1,
) -> Tensor:
    """The weights alpha of `cross_scale_similarity` by which phrases attend to image tokens, N captions with N images, row with row.

    (N, R, D), (N, P, D), (N, P) -> (N, P, R): a phrase's weights sum to one, those of an absent phrase are zero.
    """
    cosines = normalize(text_key, dim=-1, eps=EPSILON) @ normalize(image_query, dim=-1, eps=EPSILON).mT  # (N, P, R)
    present = phrase_mask[..., None]  # (N, P, 1)
    affinity = leaky_relu(cosines, leaky_slope) * present
    unit = affinity / (affinity.norm(dim=1, keepdim=True) + EPSILON)  # over the queries p
    alpha: Tensor = (temperature_scale * unit).softmax(dim=2) * present
    return alpha


def _products(text: Tensor, image: Tensor) -> Tensor:
    """(T, P, D) and (R, I, D) -> (T, P, R, I) inner products, by one matrix product."""
    flat = _wide(text.flatten(0, 1) @ image.flatten(0, 1).T)  # (T * P, R * I)
    return flat.view(*text.shape[:2], *image.shape[:2])


def _image_attends(affinity: Tensor, products: Tensor, images: _Images, texts: _Texts, scale: float) -> Tensor:
    """Queries are the R image tokens, sources the P phrases: (T, I) mean cosine."""
    logits = torch.addcmul(texts.bias, affinity, _inverse_norm(affinity, 2), value=scale)
    alpha = logits.softmax(dim=1)  # (T, P, R, I)
    spread = (texts.gram @ alpha.flatten(2)).view_as(alpha)
    square = (alpha * spread).sum(dim=1)  # (T, R, I) squared norm of the context
    cosine = _cosine((alpha * products).sum(dim=1), images.norm, square)
    return cosine.mean(dim=1) * (texts.share > 0).any(dim=1)  # 0 for a caption without any phrase


def _text_attends(affinity: Tensor, products: Tensor, images: _Images, texts: _Texts, scale: float) -> Tensor:
    """Queries are the P phrases, sources the R image tokens: (T, I) mean cosine over the phrases that are there."""
    alpha = (affinity * (scale * _inverse_norm(affinity, 1))).softmax(dim=2)  # (T, P, R, I); an absent phrase adds 0 to the norm
    cosine = _cosine((alpha * products).sum(dim=2), texts.norm, _quadratic(alpha, images.gram))  # (T, P, I)
    return (cosine * texts.share).sum(dim=1)


def _inverse_norm(affinity: Tensor, dim: int) -> Tensor:
    """1 / L2 norm over the queries, which are axis `dim`. The square is kept above zero, where the root has no gradient."""
    square = affinity.square().sum(dim=dim, keepdim=True)
    return 1 / (square.clamp(min=EPSILON**2).sqrt() + EPSILON)


def _quadratic(alpha: Tensor, gram: Tensor) -> Tensor:
    """alpha' G alpha: (T, P, R, I) and (R, R, I) -> (T, P, I). Symmetric, so that half of the terms are enough."""
    sources = alpha.unbind(2)
    terms = []
    for r, source in enumerate(sources):
        row = source * gram[r, r]
        for other in range(r + 1, len(sources)):
            row = row.addcmul_(sources[other], gram[r, other], value=2)
        terms.append(source * row)
    return torch.stack(terms).sum(dim=0)


def _cosine(inner: Tensor, value_norm: Tensor, context_square: Tensor) -> Tensor:
    """Cosine of a value with its context. The square is kept above zero, where the root has no gradient."""
    return inner / (value_norm * context_square.clamp(min=EPSILON**2).sqrt()).clamp(min=EPSILON)
