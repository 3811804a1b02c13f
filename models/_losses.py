"""Losses of the field, each a pure function of one equation.

Dimension letters: B pairs, D width, C classes, I images, T captions. Row i of `image` and of `text` are a pair; `pids` are
identities, so a row may have several matches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

EPSILON = 1e-8


def matches(pids: Tensor) -> Tensor:
    """(B,) identities -> (B, B) float, 1 where row and column are the same identity."""
    return (pids[:, None] == pids[None, :]).float()


def _kl(logits: Tensor, target: Tensor) -> Tensor:
    """mean_i sum_j p_ij (log p_ij - log(q_ij + eps)) with p the row softmax of `logits` and q = `target`."""
    log_p = logits.log_softmax(dim=1)
    return (log_p.exp() * (log_p - (target + EPSILON).log())).sum(dim=1).mean()


def cmpm(image: Tensor, text: Tensor, pids: Tensor) -> Tensor:
    """Cross-modal projection matching, both directions (Zhang and Lu, ECCV 2018, eq. 1-6): (B, D), (B, D), (B,) -> scalar.

    p_ij = softmax_j(x_i . z_j / |z_j|): the norms of x act as the scale. The target's rows have L2 norm 1, as in the
    authors' code and in ACSA's, so with k matches each entry is 1/sqrt(k), which is no distribution.
    """
    target = normalize(matches(pids), dim=1)
    image_on_text = image @ normalize(text, dim=1).T  # (B, B)
    text_on_image = text @ normalize(image, dim=1).T  # (B, B)
    return _kl(image_on_text, target) + _kl(text_on_image, target)


def cmpc(image: Tensor, text: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """Cross-modal projection classification (Zhang and Lu, ECCV 2018, eq. 7-11): weight (D, C) -> scalar.

    Each feature is projected onto the direction of its pair and classified against unit columns, without bias.
    """
    columns = normalize(weight, dim=0)
    image_direction, text_direction = normalize(image, dim=1), normalize(text, dim=1)
    image_on_text = (image * text_direction).sum(dim=1, keepdim=True) * text_direction  # (B, D)
    text_on_image = (text * image_direction).sum(dim=1, keepdim=True) * image_direction  # (B, D)
    return cross_entropy(image_on_text @ columns, labels) + cross_entropy(text_on_image @ columns, labels)


def similarity_kl(similarity: Tensor, pids: Tensor, scale: float = 20.0) -> Tensor:
    """One direction of ACSA's cross-scale loss (Ji et al., IEEE TMM 2022), shaped like CMPM: (B, B) -> scalar.

    p is the softmax of `scale` * similarity along the last axis; give the transpose for the other direction.
    """
    return _kl(scale * similarity, normalize(matches(pids), dim=1))


def sdm(image: Tensor, text: Tensor, pids: Tensor, scale: float) -> Tensor:
    """Similarity distribution matching, both directions (Jiang and Ye, IRRA, CVPR 2023, eq. 4-6). Target rows sum to 1."""
    target = matches(pids)
    target = target / target.sum(dim=1, keepdim=True)
    similarity = scale * normalize(image, dim=1) @ normalize(text, dim=1).T  # (B, B)
    return _kl(similarity, target) + _kl(similarity.T, target)


def info_nce(image: Tensor, text: Tensor, scale: float) -> Tensor:
    """Symmetric contrastive loss with the pair as the only match (Radford et al., CLIP, ICML 2021): mean of both directions."""
    similarity = scale * normalize(image, dim=1) @ normalize(text, dim=1).T  # (B, B)
    pair = torch.arange(len(similarity), device=similarity.device)
    return (cross_entropy(similarity, pair) + cross_entropy(similarity.T, pair)) / 2
