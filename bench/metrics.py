"""Protocol `tbps-eval/1`: a similarity matrix and identities in, R1, R5, R10, mAP and mINP out. Pure functions.

Text to image: every caption is a query, the gallery holds the split's unique images, a match is the same identity, no camera
filter. Image to text is the transposed task. A caller gives the gallery in the protocol's order (sorted image paths), since
a tie falls to the earlier column. Functions return fractions; percent is for what a person reads.

Dimension letters: Q queries, G gallery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PROTOCOL = "tbps-eval/1"
METRICS = ("R1", "R5", "R10", "mAP", "mINP")


@dataclass(frozen=True)
class Ranking:
    """What each of Q queries obtained; all tensors are (Q,)."""

    first_match: Tensor
    """int64, place of the first match, counted from 1."""
    average_precision: Tensor
    """float64, step average precision over the whole gallery."""
    inverse_penalty: Tensor
    """float64, matches over the place of the last match."""
    tied: Tensor
    """bool, a match is as near as some other gallery item that is none: the order of ties decided."""

    @classmethod
    def joined(cls, parts: Sequence[Ranking]) -> Ranking:
        """The outcomes of several blocks of queries, in order."""
        columns = zip(*((p.first_match, p.average_precision, p.inverse_penalty, p.tied) for p in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def summary(self) -> dict[str, float]:
        """R1 R5 R10 mAP mINP as fractions."""
        hits = {f"R{k}": (self.first_match <= k).double().mean().item() for k in (1, 5, 10)}
        return hits | {"mAP": self.average_precision.mean().item(), "mINP": self.inverse_penalty.mean().item()}


def evaluate_ranking(similarity: Tensor, query_pids: Tensor, gallery_pids: Tensor) -> dict[str, float]:
    """R1, R5, R10, mAP and mINP, as fractions, of a (Q, G) similarity: larger is nearer.

    R_k is the share of queries with a match among the first k (rank-k, not the share of matches found). With m_1 < m_2 < ...
    the places of a query's n matches, its average precision is (1/n) sum_j j / m_j, and its inverse penalty n / m_n; mAP and
    mINP are their means.

    Two queries; the matches of the first are ranked 1 and 3, that of the second 2:

    >>> similarity = torch.tensor([[0.9, 0.5, -0.1], [0.3, 0.2, 0.1]])
    >>> result = evaluate_ranking(similarity, torch.tensor([7, 8]), torch.tensor([7, 8, 7]))
    >>> result["R1"], result["R5"]
    (0.5, 1.0)
    >>> round(result["mAP"], 4)  # ((1/1 + 2/3) / 2 + 1/2) / 2
    0.6667
    >>> round(result["mINP"], 4)  # (2/3 + 1/2) / 2
    0.5833

    Raises:
        ValueError: a similarity is not finite, or a query has no match; the message names the first such query. Also where
            the shapes do not fit each other, or there is no query or no gallery.
    """
    return rank(similarity, query_pids, gallery_pids).summary()


def rank(similarity: Tensor, query_pids: Tensor, gallery_pids: Tensor, block: int = 256, first_query: int = 0) -> Ranking:
    """Each query's outcome; memory above the inputs is bounded by `block` x G. Raises as `evaluate_ranking` does.

    `first_query` is the number of the first row, where the rows are a part of all queries: errors count from it.
    """
    if similarity.shape != (len(query_pids), len(gallery_pids)) or not similarity.numel():
        pids = f"{len(query_pids)} query pids and {len(gallery_pids)} gallery pids"
        raise ValueError(f"similarity must be (Q, G), neither of them 0, but got {tuple(similarity.shape)} with {pids}")
    return Ranking.joined(
        [
            _rank_block(similarity[rows].float(), query_pids[rows], gallery_pids, first_query + rows.start)
            for rows in blocks(len(similarity), block)
        ]
    )


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows that cover n rows, in order."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _rank_block(similarity: Tensor, query_pids: Tensor, gallery_pids: Tensor, offset: int) -> Ranking:
    match = query_pids[:, None] == gallery_pids[None, :]  # (q, G)
    _refuse(~similarity.isfinite().all(dim=1), offset, "has a similarity that is not finite")
    _refuse(~match.any(dim=1), offset, "has no match in the gallery")
    ordered, order = similarity.sort(dim=1, descending=True, stable=True)  # stable: a tie falls to the earlier column
    hit = match.gather(1, order)  # (q, G) bool
    found = hit.cumsum(dim=1)  # (q, G) matches up to each place
    place = torch.arange(1, hit.shape[1] + 1, device=hit.device)
    n_matches = found[:, -1]
    average_precision = (hit * found / place.double()).sum(dim=1) / n_matches
    last = (hit * place).amax(dim=1)
    return Ranking(hit.int().argmax(dim=1) + 1, average_precision, n_matches / last.double(), _tied(ordered, hit))


def _tied(ordered: Tensor, hit: Tensor) -> Tensor:
    """(q,) bool: among equal neighbours of the ranking, some are matches and some are not."""
    return ((ordered[:, 1:] == ordered[:, :-1]) & (hit[:, 1:] != hit[:, :-1])).any(dim=1)


def _refuse(bad: Tensor, offset: int, why: str) -> None:
    if bad.any():
        raise ValueError(f"query {offset + int(bad.nonzero()[0])} {why} ({int(bad.sum())} such queries in its block)")


def chance_R1(query_pids: Tensor, gallery_pids: Tensor) -> float:
    """Expected R1 of a random ranking: the mean share of the gallery that matches a query.

    >>> round(chance_R1(torch.tensor([7, 8]), torch.tensor([7, 8, 7])), 4)  # (2/3 + 1/3) / 2
    0.5
    """
    counts = Counter(gallery_pids.tolist())
    return sum(counts[pid] for pid in query_pids.tolist()) / (len(query_pids) * len(gallery_pids))
