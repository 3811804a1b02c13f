"""The nearest of a large gallery by the inner product of one vector each: exactly, in blocks, or through FAISS.

Dimension letters: Q queries, G gallery, D width, K nearest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.metrics import blocks

BLOCK = 2**16
"""Gallery vectors that are compared at once: memory above the inputs is Q x BLOCK."""


def nearest(queries: Tensor, gallery: Tensor, k: int, block: int = BLOCK) -> tuple[Tensor, Tensor]:
    """(Q, D), (G, D) -> the largest inner products (Q, K), falling, and their places in the gallery."""
    values, places = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for rows in blocks(len(gallery), block):
        found, place = (queries @ gallery[rows].T).topk(min(k, rows.stop - rows.start), dim=1)
        values, places = torch.cat([values, found], dim=1), torch.cat([places, place + rows.start], dim=1)
        values, order = values.topk(min(k, values.shape[1]), dim=1)
        places = places.gather(1, order)
    return values, places


def faiss_index(gallery: Tensor, kind: str = "Flat", *, probes: int = 16) -> Any:
    """A FAISS index (`pip install faiss-cpu`, extra `faiss`) over (G, D) vectors by inner product; `kind` as in its index factory.

    An inverted file (`IVF1024,Flat`) is trained on a part of the gallery and looks into `probes` of its cells.
    """
    try:
        import faiss
    except ImportError as error:
        raise UsageError('FAISS is not installed; pip install -e ".[faiss]"') from error
    index: Any = faiss.index_factory(gallery.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    vectors = gallery.numpy()
    if not index.is_trained:
        index.train(vectors[: 64 * index.nlist])
        index.nprobe = probes
    index.add(vectors)
    return index


def recall(found: Tensor, truth: Tensor) -> float:
    """Share of the true nearest (Q, K) that are among those found (Q, K)."""
    return (truth[:, :, None] == found[:, None, :]).any(dim=2).float().mean().item()
