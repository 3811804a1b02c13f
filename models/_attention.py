"""Cross-scale attention and the similarity it gives: pure functions of tensors.

Dimension letters: I images, T captions, R image tokens (whole image, regions, windows), P phrases, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import leaky_relu, normalize

EPSILON = 1e-8


def cross_scale_similarity(
    image_query: Tensor,
    image_value: Tensor,
    text_key: Tensor,
    text_value: Tensor,
    phrase_mask: Tensor | None = None,
    temperature_scale: float = 20.0,
    leaky_slope: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Similarity of each image with each caption by attention between image tokens and phrases, in both directions.

    One direction attends from queries q to sources s: a = LeakyReLU(cos(source, query)); a is divided by its L2 norm over
    the *queries*; alpha = softmax over s of `temperature_scale` * a; the context of q is sum_s alpha V_s. The similarity is
    the mean over q of cos(V_q, context of q). ACSA (Ji et al., IEEE TMM 2022), asymmetric cross-attention; the operator is
    SCAN's (Lee et al., ECCV 2018) with a normalisation over queries.

    The cosine needs no context of width D. With d_qs = V_q . V_s and the Gram matrix G of the sources' values, it is
    (sum_s alpha_qs d_qs) / (|V_q| sqrt(alpha_q' G alpha_q)). So two matrix products carry nearly all the work.

    Args:
        image_query, image_value: (I, R, D).
        text_key, text_value: (T, P, D).
        phrase_mask: (T, P) bool, True where a phrase stands; the rest take no part. None: all do.
        temperature_scale: the factor before the softmax.
        leaky_slope: slope of the LeakyReLU below zero.

    Returns:
        (i2t, t2i), each (I, T) of cosines in [-1, 1]: image tokens attend to phrases, and phrases to image tokens. A caption
        without any phrase has 0 with every image.
    """
    cosines = _products(normalize(text_key, dim=-1, eps=EPSILON), normalize(image_query, dim=-1, eps=EPSILON))  # (T, P, I, R)
    affinity = leaky_relu(cosines, leaky_slope)
    products = _products(text_value, image_value)  # (T, P, I, R)
    if phrase_mask is None:
        phrase_mask = torch.ones(text_key.shape[:2], dtype=torch.bool, device=text_key.device)
    present = phrase_mask[:, :, None, None]  # (T, P, 1, 1)
    i2t = _image_attends(affinity, products, image_value, text_value, present, temperature_scale)
    t2i = _text_attends(affinity, products, image_value, text_value, present, temperature_scale)
    return i2t.T, t2i.T


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
    """(T, P, D) and (I, R, D) -> (T, P, I, R) inner products, by one matrix product."""
    flat: Tensor = text.flatten(0, 1) @ image.flatten(0, 1).T  # (T * P, I * R)
    return flat.view(*text.shape[:2], *image.shape[:2])


def _image_attends(affinity: Tensor, products: Tensor, image_value: Tensor, text_value: Tensor, present: Tensor, scale: float) -> Tensor:
    """Queries are the R image tokens, sources the P phrases: (T, I) mean cosine."""
    T, P, I, R = affinity.shape  # noqa: E741 - a dimension letter
    unit = affinity / (affinity.norm(dim=3, keepdim=True) + EPSILON)  # over the queries r
    logits = (scale * unit).masked_fill(~present, torch.finfo(unit.dtype).min)
    alpha = logits.softmax(dim=1) * present  # (T, P, I, R); all zero where a caption has no phrase
    gram = text_value @ text_value.mT  # (T, P, P)
    spread = (gram @ alpha.view(T, P, I * R)).view_as(alpha)
    context = (alpha * spread).sum(dim=1)  # (T, I, R): squared norm of the context
    return _cosine((alpha * products).sum(dim=1), image_value.norm(dim=-1), context).mean(dim=2)


def _text_attends(affinity: Tensor, products: Tensor, image_value: Tensor, text_value: Tensor, present: Tensor, scale: float) -> Tensor:
    """Queries are the P phrases, sources the R image tokens: (T, I) mean cosine over the phrases that are there."""
    T, P, I, R = affinity.shape  # noqa: E741 - a dimension letter
    affinity = affinity * present  # an absent phrase has no say in the norm over queries
    unit = affinity / (affinity.norm(dim=1, keepdim=True) + EPSILON)  # over the queries p
    alpha = (scale * unit).softmax(dim=3)  # (T, P, I, R)
    gram = image_value @ image_value.mT  # (I, R, R)
    by_image = alpha.permute(2, 0, 1, 3).reshape(I, T * P, R)
    spread = (by_image @ gram).view(I, T, P, R).permute(1, 2, 0, 3)  # (T, P, I, R)
    context = (alpha * spread).sum(dim=3)  # (T, P, I)
    cosine = _cosine((alpha * products).sum(dim=3), text_value.norm(dim=-1)[:, :, None], context)  # (T, P, I)
    count = present[..., 0].sum(dim=1).clamp(min=1)  # (T, 1)
    return (cosine * present[..., 0]).sum(dim=1) / count


def _cosine(inner: Tensor, value_norm: Tensor, context_square: Tensor) -> Tensor:
    """Cosine of a value with its context. The square is kept above zero, where the root has no gradient."""
    return inner / (value_norm * context_square.clamp(min=EPSILON**2).sqrt()).clamp(min=EPSILON)
