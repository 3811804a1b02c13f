"""What a run leaves of each test query, so that reports need neither model nor pixels.

`per_query.parquet`, a row a text-to-image query, in the protocol's order:

| column | meaning |
|---|---|
| `query` | place of the caption in the split, from 0 |
| `caption` | its text, as the data set has it |
| `image`, `pid`, `camera` | path of the image it was written for, that image's identity and camera (null where none is known) |
| `matches` | images of the gallery with that identity |
| `first_match`, `AP`, `INP`, `tied` | place of the first match, from 1; fractions; the order of ties decided (`metrics.Ranking`) |
| `nearest` | paths of the NEAREST images that are ranked first (all, of a smaller gallery), nearest first |
| `nearest_match`, `nearest_similarity` | whether each of them is a match; its similarity under the run's mixing, float32 |

Further columns are the data set's own (`Dataset.columns`), as text; those of a split that was cut by `--limit` are left out.

`per_query_i2t.parquet` has a row an image-to-text query: `query`, `image`, `pid`, `camera`, `matches`, `first_match`, `AP`, `INP`,
`tied`, with captions as the gallery. Paths are relative to the split's root.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench import tables
from bench.config import EvaluationOptions
from bench.contracts import Split, TextImageModel, Track, silently
from bench.engine import Direction, Embedded, Mixing, mix, similarities
from bench.metrics import Ranking, blocks

NEAREST = 10
"""Images kept of each ranking."""
FILES: dict[Direction, str] = {"t2i": "per_query.parquet", "i2t": "per_query_i2t.parquet"}
Camera = Callable[[str], str | None]
"""Camera of an image's path, where it is known."""


@dataclass(frozen=True)
class Nearest:
    """The images ranked first for Q captions, nearest first; both tensors are (Q, K)."""

    images: Tensor
    """int64, places in the split."""
    similarities: Tensor
    """float32."""


def nearest(
    model: TextImageModel,
    embedded: Embedded,
    options: EvaluationOptions,
    device: torch.device,
    mixing: Mixing,
    queries: Tensor | None = None,
    depth: int = NEAREST,
    track: Track = silently,
) -> Nearest:
    """The first `depth` images of the rankings of these captions (all, if None); ties fall to the earlier image, as in the protocol.

    Memory: one block of queries times the gallery, never Q x G.
    """
    rows = torch.arange(len(next(iter(embedded.captions.values())))) if queries is None else queries  # (Q,)
    found: list[tuple[Tensor, Tensor]] = []
    parts = list(blocks(len(rows), options.query_block))
    for part in track(parts, "nearest images", len(parts)):
        similarity = mix(similarities(model, embedded, rows[part], options, device), mixing).float()  # (q, G)
        ordered, order = similarity.sort(dim=1, descending=True, stable=True)
        found.append((order[:, :depth].clone(), ordered[:, :depth].clone()))  # a view would keep the whole block
    images, values = (torch.cat(column) for column in zip(*found, strict=True))
    return Nearest(images, values)


def text_to_image(
    split: Split, ranking: Ranking, near: Nearest, camera: Camera, columns: Mapping[str, Sequence[Any]] | None = None
) -> pd.DataFrame:
    """The table of `per_query.parquet`. `columns`: the data set's own; a name that the table has already is left out."""
    owners = [caption.image for caption in split.captions]
    match = split.image_pids[near.images] == split.caption_pids[:, None]  # (Q, K)
    paths = [image.path for image in split.images]
    table = pd.DataFrame(
        {
            "query": range(len(owners)),
            "caption": [caption.text for caption in split.captions],
            **_images(split, owners, camera),
            "matches": _matches(split.caption_pids, split.image_pids),
            **_outcomes(ranking),
            "nearest": [[paths[place] for place in places] for places in near.images.tolist()],
            "nearest_match": match.tolist(),
            "nearest_similarity": list(near.similarities.numpy()),
        }
    )
    for name, values in (columns or {}).items():
        if name not in table:
            table[name] = pd.array([None if value is None else str(value) for value in values], dtype="str")
    return table


def image_to_text(split: Split, ranking: Ranking, camera: Camera) -> pd.DataFrame:
    """The table of `per_query_i2t.parquet`."""
    places = range(len(split.images))
    matches = _matches(split.image_pids, split.caption_pids)
    return pd.DataFrame({"query": places, **_images(split, places, camera), "matches": matches, **_outcomes(ranking)})


def _images(split: Split, places: Sequence[int], camera: Camera) -> dict[str, Any]:
    images = [split.images[place] for place in places]
    cameras = pd.array([camera(image.path) for image in images], dtype="str")
    return {"image": [image.path for image in images], "pid": [image.pid for image in images], "camera": cameras}


def _matches(query_pids: Tensor, gallery_pids: Tensor) -> list[int]:
    counts = Counter(gallery_pids.tolist())
    return [counts[pid] for pid in query_pids.tolist()]


def _outcomes(ranking: Ranking) -> dict[str, Any]:
    return {
        "first_match": ranking.first_match.numpy(),
        "AP": ranking.average_precision.numpy(),
        "INP": ranking.inverse_penalty.numpy(),
        "tied": ranking.tied.numpy(),
    }


def spread(n: int, count: int) -> list[int]:
    """At most `count` of n rows, evenly spread."""
    return [int(row) for row in np.unique(np.linspace(0, n - 1, min(n, count)).round())]


def located(root: Path, path: str) -> Path:
    """Where a table's image lies. A path that leads out of `root` is taken for a file that is not there."""
    leads_out = os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir
    return root / "outside" if leads_out else root / path


def read(folder: Path, direction: Direction = "t2i") -> pd.DataFrame:
    """A run's table. UsageError where there is none that can be read."""
    return tables.read(folder / FILES[direction])
