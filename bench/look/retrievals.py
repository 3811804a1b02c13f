"""Which retrievals are worth a look: flips between models, worst failures, what phrases attend to. From the tables that runs left.

Rows of a model's tables (one a seed) are the same queries in the same order; a query is named by its row.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.attention import token_boxes
from bench.contracts import WHOLE, Box
from bench.figures import RetrievalRow
from bench.look.attention_sheet import AttendedPhrase, AttentionRow
from bench.per_query import located
from bench.report.pointing import contains

DEPTH = 6
"""Images of a ranking that a sheet shows."""


def flips(first: Sequence[pd.DataFrame], second: Sequence[pd.DataFrame]) -> list[int]:
    """Queries that every run of `first` has right at rank 1 and no run of `second`; those that `second` ranks worst come first."""
    ours, theirs = _ranks(first), _ranks(second)
    flipped = (ours == 1).all(axis=0) & (theirs > 1).all(axis=0)
    return _by(theirs.mean(axis=0), flipped)


def worst(tables: Sequence[pd.DataFrame]) -> list[int]:
    """All queries, those first whose first match stands furthest behind, in the median over seeds."""
    ranks = _ranks(tables)
    return _by(np.median(ranks, axis=0), np.full(ranks.shape[1], True))


def _ranks(tables: Sequence[pd.DataFrame]) -> NDArray[np.int64]:
    """(S, Q) place of the first match."""
    return np.stack([table["first_match"].to_numpy(np.int64) for table in tables])


def _by(value: NDArray[np.float64], kept: NDArray[np.bool_]) -> list[int]:
    """Rows that are kept, the largest value first, then in order."""
    return [int(row) for row in np.argsort(-value, kind="stable") if kept[row]]


def retrieval_rows(table: pd.DataFrame, rows: Sequence[int], root: Path, says: str = "") -> list[RetrievalRow]:
    """What a retrieval sheet draws of these queries. `says` stands before each caption."""
    return [
        RetrievalRow(
            caption=f"{says}{told['caption']}",
            query_image=located(root, told["image"]),
            gallery=[located(root, path) for path in told["nearest"][:DEPTH]],
            matches=[bool(match) for match in told["nearest_match"][:DEPTH]],
            similarities=[float(value) for value in told["nearest_similarity"][:DEPTH]],
        )
        for told in table.iloc[list(rows)].to_dict("records")
    ]


def flip_rows(first: tuple[str, pd.DataFrame], second: tuple[str, pd.DataFrame], rows: Sequence[int], root: Path) -> list[RetrievalRow]:
    """Each query twice: what the first model finds, and below it what the second does."""
    pairs = zip(*(retrieval_rows(table, rows, root, f"{name}: ") for name, table in (first, second)), strict=True)
    return [row for pair in pairs for row in pair]


def attention_rows(attention: pd.DataFrame, queries: pd.DataFrame, rows: Sequence[int], root: Path) -> list[AttentionRow]:
    """What an attention sheet draws of these queries."""
    boxes = token_boxes(attention)
    by_query = dict(list(attention.groupby("query")))
    told = queries.iloc[list(rows)].to_dict("records")
    return [
        AttentionRow(str(one["caption"]), located(root, one["image"]), boxes, _phrases(by_query[one["query"]], str(one["caption"]), boxes))
        for one in told
        if one["query"] in by_query
    ]


def _phrases(rows: pd.DataFrame, caption: str, boxes: Sequence[Box]) -> list[AttendedPhrase]:
    found = []
    for row in rows.to_dict("records"):
        box = Box(*row["box"]) if row["box"] is not None else None
        weights = [float(weight) for weight in row["weights"]]
        right = _points(weights, boxes, box) if box is not None else None
        text = caption[row["start"] : row["end"]]
        found.append(AttendedPhrase(text, weights, row["part"] if box is not None else None, box, right))
    return found


def _points(weights: Sequence[float], boxes: Sequence[Box], part: Box) -> bool:
    """As `bench/report/pointing.py` has it."""
    places = [place for place, box in enumerate(boxes) if box != WHOLE]
    most = max(places, key=lambda place: weights[place])
    return bool(contains([boxes[most]], [part])[0, 0])
