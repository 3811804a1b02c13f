"""Does a phrase attend to the part of the body that it speaks of? From the attention tables of runs whose data's truth is known.

After the pointing game (Zhang, Lin, Brandt, Shen, Sclaroff: "Top-down Neural Attention by Excitation Backprop", ECCV 2016), which
asks whether the point of highest attention lies in the object's box. Attention to a handful of image tokens has no such point, so the
question is turned around: does the token of highest attention contain the centre of the part's box? The token that is the whole image
contains everything and takes no part; ties fall to the earlier token. `mass` is the share of the attention (the whole image's
apart) on the tokens that contain the centre (the energy-based pointing game; Wang et al.: "Score-CAM", CVPR workshops 2020).

What it is compared with, over the same phrases, computed, not drawn:

- `chance`: the mean share of tokens that contain the centre: what uniform attention reaches, in accuracy and in mass;
- `constant`: the most that pointing always at one token reaches;
- `prior`: the most that one token for each part reaches: knowing where parts lie on any image, without looking at this one.

Tokens are named by the place they are made of; since a Swin's blocks look beyond their place, what a token *knows* is not only that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench._spread import Identities
from bench.attention import token_boxes
from bench.contracts import WHOLE, Box

ALL = "all parts"
FEWEST = 10
"""Identities that a part needs to be told for itself."""
DRAWS = 2_000
COLUMNS = ("model", "part", "phrases", "identities", "accuracy", "low", "high", "mass", "whole", "chance", "constant", "prior")

Floats = NDArray[np.float64]


def pointing(runs: Mapping[str, Sequence[pd.DataFrame]], pids: Sequence[int]) -> pd.DataFrame:
    """COLUMNS, a row a model and part, all parts together first; percent; intervals by bootstrap over identities.

    `runs` holds for each model its attention tables (`bench/attention.py`), one a seed; `pids` is the identity of each query. `whole` is
    the share of phrases that attend to the whole image more than to any of its regions. A model without a phrase of known part has no row.
    """
    rows: list[dict[str, Any]] = []
    for model, tables in runs.items():
        known = [table[table["box"].notna()] for table in tables]
        if len(known) and len(known[0]):
            rows += ({"model": model, **row} for row in _rows(known, token_boxes(tables[0]), np.asarray(pids)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(tables: Sequence[pd.DataFrame], boxes: Sequence[Box], pids: NDArray[np.int64]) -> Iterator[dict[str, Any]]:
    """All parts, then each that enough identities have, the most frequent first."""
    first = tables[0]
    parts, people = first["part"].to_numpy(), pids[first["query"].to_numpy()]
    local = np.array([box != WHOLE for box in boxes])  # (R,)
    holds = contains([box for box, kept in zip(boxes, local, strict=True) if kept], [Box(*box) for box in first["box"]])  # (F, R')
    hits, mass, whole = np.mean([_told(table, local, holds) for table in tables], axis=0)  # each (F,)
    best = {part: holds[parts == part].mean(axis=0).max() for part in np.unique(parts)}
    measures = {"mass": mass, "whole": whole, "chance": holds.mean(axis=1), "prior": np.array([best[part] for part in parts])}
    names = [ALL, *pd.Series(parts).value_counts(sort=True).index]
    for name in names:
        rows = np.full(len(parts), True) if name == ALL else parts == name
        n = len(np.unique(people[rows]))
        if n >= (2 if name == ALL else FEWEST):
            low, high = Identities(people[rows], draws=DRAWS).interval(hits[rows])
            told = {"accuracy": hits[rows].mean(), "low": low, "high": high, "constant": holds[rows].mean(axis=0).max()}
            told |= {key: values[rows].mean() for key, values in measures.items()}
            yield {"part": name, "phrases": int(rows.sum()), "identities": n, **{key: 100 * float(value) for key, value in told.items()}}


def contains(tokens: Sequence[Box], parts: Sequence[Box]) -> NDArray[np.bool_]:
    """(F, R) whether token r contains the centre of part f; on a border it is in the token to the right, or below."""
    centres = np.array([((box.left + box.right) / 2, (box.top + box.bottom) / 2) for box in parts]).reshape(-1, 2)
    x, y = centres[:, :1], centres[:, 1:]  # (F, 1)
    left, top, right, bottom = np.array(tokens).reshape(-1, 4).T  # (R,)
    inside: NDArray[np.bool_] = (left <= x) & (x < right) & (top <= y) & (y < bottom)
    return inside


def _told(table: pd.DataFrame, local: NDArray[np.bool_], holds: NDArray[np.bool_]) -> Floats:
    """(3, F): hit, mass, whether the whole image is attended to most."""
    weights = np.array(table["weights"].tolist(), dtype=np.float64)  # (F, R)
    regions = weights[:, local]
    hit = holds[np.arange(len(holds)), regions.argmax(axis=1)]
    mass = (regions * holds).sum(axis=1) / np.maximum(regions.sum(axis=1), np.finfo(float).tiny)
    whole = weights[:, ~local].max(axis=1, initial=0) > regions.max(axis=1)
    return np.stack([hit.astype(float), mass, whole.astype(float)])
