"""Protocol `tbps-eval/1`: a similarity matrix and identities in, R1, R5, R10, mAP and mINP out. Pure functions.

Text to image: every caption is a query, the gallery holds the split's unique images, a match is the same identity, no camera
filter. Image to text is the transposed task. A caller gives the gallery in the protocol's order (sorted image paths), since
a tie falls to the earlier column. Functions return fractions; percent is for what a person reads.

Dimension letters: Q queries, G gallery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
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

    def put(self, rows: Tensor, other: Ranking) -> None:
        """Replace the outcomes of these rows ((Q,) bool) by those of another."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(other, field.name)

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
            _rank_block(similarity[rows].float().cpu(), query_pids[rows].cpu(), gallery_pids.cpu(), first_query + rows.start)
            for rows in blocks(len(similarity), block)
        ]
    )


def blocks(n: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` rows that cover n rows, in order."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _rank_block(similarity: Tensor, query_pids: Tensor, gallery_pids: Tensor, offset: int) -> Ranking:
    """The place of a match is the number of gallery items that are nearer, plus one: that needs the values sorted, not the items."""
    row, column, slot = _matches(query_pids, gallery_pids, offset)
    values = similarity.new_full((len(similarity), int(slot.max()) + 1), torch.inf)  # (q, M): of each query's matches
    values[row, slot] = similarity[row, column]
    ordered = _ascending(similarity)  # (q, G)
    _refuse(~ordered[:, [0, -1]].isfinite().all(dim=1), offset, "has a similarity that is not finite")
    up_to = torch.searchsorted(ordered, values, right=True)  # (q, M) items that are as near, or less
    alike = up_to - torch.searchsorted(ordered, values)  # (q, M) items that are as near, itself among them; 0 where no match is
    found = _found(row, slot, (ordered.shape[1] + 1 - up_to)[row, slot], ordered.shape)
    if (unsure := (alike > 1).any(dim=1)).any():
        found.put(unsure, _by_sorting(similarity[unsure], query_pids[unsure], gallery_pids))
    return found


def _matches(query_pids: Tensor, gallery_pids: Tensor, offset: int) -> tuple[Tensor, Tensor, Tensor]:
    """(row, column, number within its row) of all matches, rows rising, each (n,)."""
    by_pid, column = gallery_pids.sort(stable=True)
    first, end = torch.searchsorted(by_pid, query_pids), torch.searchsorted(by_pid, query_pids, right=True)
    _refuse(first == end, offset, "has no match in the gallery")
    row = torch.repeat_interleave(end - first)
    slot = torch.arange(len(row)) - torch.searchsorted(row, row)
    return row, column[first[row] + slot], slot


def _ascending(similarity: Tensor) -> Tensor:
    """Each row sorted, NaN last. numpy sorts values alone, with the processor's vectors: several times as fast as torch."""
    ordered = np.array(similarity.detach().numpy(), order="C")  # a copy
    ordered.sort(axis=1)
    return torch.from_numpy(ordered)


def _found(row: Tensor, slot: Tensor, place: Tensor, shape: Sequence[int]) -> Ranking:
    """The outcome of q queries whose matches stand at these places, no two at one."""
    n_queries, n_gallery = shape
    place = (row * (n_gallery + 1) + place).sort().values - row * (n_gallery + 1)  # rising within each row
    n_matches = row.bincount(minlength=n_queries)
    last = n_matches.cumsum(dim=0) - 1
    precision = torch.zeros(n_queries, dtype=torch.float64).index_add_(0, row, (slot + 1) / place.double())
    return Ranking(
        first_match=place[last - n_matches + 1],
        average_precision=precision / n_matches,
        inverse_penalty=n_matches / place[last].double(),
        tied=torch.zeros(n_queries, dtype=torch.bool),
    )


def _by_sorting(similarity: Tensor, query_pids: Tensor, gallery_pids: Tensor) -> Ranking:
    """The outcome where the order of ties may decide: by the whole ranking."""
    match = query_pids[:, None] == gallery_pids[None, :]  # (q, G)
    ordered, order = similarity.sort(dim=1, descending=True, stable=True)  # stable: a tie falls to the earlier column
    hit = match.gather(1, order)  # (q, G) bool
    found = hit.cumsum(dim=1)  # (q, G) matches up to each place
    place = torch.arange(1, hit.shape[1] + 1)
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
