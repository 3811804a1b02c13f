"""The hot paths that all models share: ranking and gallery search. A model's own are its `hot_paths`.

Dimension letters: Q queries, G gallery, D width, K nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import torch
from torch import Tensor

from bench.contracts import HotPath
from bench.gallery import faiss_index, nearest, recall
from bench.metrics import rank

BLOCK = 256
"""Queries whose similarities are made at once, as `evaluation.query_block` has it."""
K = 10
QUERIES = 100
NOISE = 0.5
"""Of a query around the gallery vector it was drawn from, as a share of that vector's length."""


def ranking(*, quick: bool) -> Iterator[HotPath]:
    """Metrics of splits as large as those of the field, similarities given block by block."""
    shapes = {"CUHK-PEDES": (6156, 3074, 1000), "ICFG-PEDES": (19848, 19848, 1000)}
    for name, sizes in shapes.items():
        n_queries, n_gallery, n_identities = (size // 40 if quick else size for size in sizes)
        yield _ranked(f"metrics, {n_queries:,} x {n_gallery:,} ({name})", n_queries, n_gallery, n_identities)


def _ranked(name: str, n_queries: int, n_gallery: int, n_identities: int) -> HotPath:
    generator = torch.Generator().manual_seed(0)
    gallery_pids = torch.arange(n_gallery) % n_identities
    query_pids = gallery_pids[torch.randint(n_gallery, (n_queries,), generator=generator)]
    block = torch.randn(BLOCK, n_gallery, generator=generator)  # one for all: making them is no part of the work

    def work() -> None:
        for start in range(0, n_queries, BLOCK):
            pids = query_pids[start : start + BLOCK]
            rank(block[: len(pids)], pids, gallery_pids)

    some = min(20, n_queries)
    return HotPath(
        name,
        work,
        bytes=4.0 * n_queries * n_gallery,
        straightforward=lambda: [_one_by_one(line, pid, gallery_pids) for line, pid in zip(block[:some], query_pids, strict=False)],
        share=some / n_queries,
        repeats=2,
    )


def _one_by_one(similarity: Tensor, pid: Tensor, gallery_pids: Tensor) -> float:
    """A query's average precision from its whole ranking."""
    hit = gallery_pids[similarity.argsort(descending=True, stable=True)] == pid
    found = hit.cumsum(dim=0)
    precision = found / torch.arange(1, len(hit) + 1)
    return float((precision * hit).sum() / found[-1])


def search(size: int, width: int) -> Iterator[HotPath]:
    """The K nearest of `size` vectors for some queries at once: exactly, and through FAISS where it is installed."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(max(1, size // 100), width, generator=generator)
    gallery = torch.empty(size, width)  # made in place: at a million it is the machine's memory
    for start in range(0, size, 2**16):
        stop = min(start + 2**16, size)
        own = torch.randn(stop - start, width, generator=generator)
        rows = gallery[start:stop]
        torch.add(own, centres[torch.arange(start, stop) % len(centres)], out=rows)
        rows /= rows.norm(dim=1, keepdim=True)
    queries = gallery[torch.randint(size, (QUERIES,), generator=generator)]
    queries = queries + NOISE * torch.randn(QUERIES, width, generator=generator) / width**0.5
    flops, read = 2.0 * QUERIES * size * width, 4.0 * size * width
    truth = nearest(queries, gallery, K)[1]
    what = f"{size:,} x {width}, {QUERIES} queries"
    yield HotPath(
        f"gallery search, exact, {what}", lambda: nearest(queries, gallery, K), flops, read, lambda: _whole(queries, gallery), 1.0
    )
    if find_spec("faiss"):
        yield from _through_faiss(queries, gallery, truth, what, flops, read)


def _whole(queries: Tensor, gallery: Tensor) -> Tensor:
    return (queries @ gallery.T).argsort(dim=1, descending=True)[:, :K]


def _through_faiss(queries: Tensor, gallery: Tensor, truth: Tensor, what: str, flops: float, read: float) -> Iterator[HotPath]:
    for kind in ("Flat", f"IVF{max(1, min(1024, len(gallery) // 40))},Flat"):
        index = faiss_index(gallery, kind)
        found: list[Tensor] = []

        def work(index: object = index, found: list[Tensor] = found) -> None:
            found[:] = [torch.from_numpy(index.search(queries.numpy(), K)[1])]  # type: ignore[attr-defined]

        def notes(found: list[Tensor] = found) -> str:
            return f"recall@{K} {recall(found[0], truth):.3f}, the index copies the gallery"

        exact = kind == "Flat"
        yield HotPath(f"gallery search, FAISS {kind}, {what}", work, flops if exact else 0.0, read if exact else 0.0, notes=notes)
        del index
