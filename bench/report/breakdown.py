"""Where models find and where they miss: R_k over k, and R1 by what a caption names, by its form, by camera. From per-query tables.

A query's outcome is its mean over a model's seeds; intervals are those of a bootstrap over identities (`bench/stats.py`), of the
group's own queries. Groups overlap where a caption names several things. Percent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench._spread import LEVEL, Identities
from bench.attributes import KINDS, attributes
from bench.contracts import Track, silently
from bench.phrases import noun_phrases

Runs = Mapping[str, Sequence[pd.DataFrame]]
"""For each model its per-query tables, one a seed, over the same queries in the same order."""
FEWEST = 10
"""Identities that a group needs: an interval over fewer says little."""
DRAWS = 2_000
"""Of the bootstrap of each group: there are many."""
LONGEST = 50
"""The largest k of a rank curve."""
CLASSES = 4
"""Classes of about one size that caption lengths and numbers of phrases are put into."""
MEMORY = 16
"""Values of k that are drawn at once."""

Floats = NDArray[np.float64]


def rank_curves(runs: Runs, identities: Identities, upto: int = LONGEST) -> pd.DataFrame:
    """`model`, `k`, `R`, `low`, `high`: the share of queries with a match among the first k, for k from 1 to `upto`."""
    rows = []
    for model, tables in runs.items():
        for ks in np.array_split(np.arange(1, upto + 1), -(-upto // MEMORY)):
            outcomes = np.stack([_found(tables, int(k)) for k in ks])  # (K, Q)
            lows, highs = np.quantile(identities.means(outcomes), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
            told = zip(ks.tolist(), outcomes.mean(axis=1), lows, highs, strict=True)
            rows += [(model, k, 100 * float(mean), 100 * float(low), 100 * float(high)) for k, mean, low, high in told]
    return pd.DataFrame(rows, columns=["model", "k", "R", "low", "high"])


def _found(tables: Sequence[pd.DataFrame], k: int) -> Floats:
    """(Q,) share of the seeds that have a match among the first k."""
    found: Floats = np.mean([(table["first_match"] <= k).to_numpy(float) for table in tables], axis=0)
    return found


def breakdown(runs: Runs, track: Track = silently) -> pd.DataFrame:
    """`by`, `group`, `model`, `queries`, `identities`, `R1`, `low`, `high`, of every group of at least FEWEST identities.

    `by` is a kind of attribute (colour, garment, ...), `words` or `phrases` of a caption, or `camera`.
    """
    first = next(iter(runs.values()))[0]
    outcomes = {model: _found(tables, 1) for model, tables in runs.items()}
    pids = first["pid"].to_numpy()
    rows = []
    for by, group, member in track(list(_groups(first)), "breakdown"):
        if (n := len(np.unique(pids[member]))) >= FEWEST:
            people = Identities(pids[member], draws=DRAWS)
            for model, outcome in outcomes.items():
                low, high = people.interval(outcome[member])
                told = (100 * float(outcome[member].mean()), 100 * low, 100 * high)
                rows.append((by, group, model, int(member.sum()), n, *told))
    return pd.DataFrame(rows, columns=["by", "group", "model", "queries", "identities", "R1", "low", "high"])


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """What is broken down by, the group's name, and (Q,) its members."""
    captions = table["caption"].tolist()
    named = [attributes(caption) for caption in captions]
    for kind, name in sorted(set().union(*named), key=lambda attribute: (KINDS.index(attribute[0]), attribute[1])):
        yield kind, name, np.array([(kind, name) in found for found in named])
    yield from _classes("words", np.array([len(caption.split()) for caption in captions]))
    yield from _classes("phrases", np.array([len(noun_phrases(caption)) for caption in captions]))
    cameras = table["camera"]
    for camera in sorted(cameras.dropna().unique()):
        yield "camera", str(camera), (cameras == camera).fillna(False).to_numpy(bool)


def _classes(by: str, counts: NDArray[np.int64]) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    """At most CLASSES ranges of whole numbers, cut at the quantiles; what recurs is never torn apart."""
    inner = np.quantile(counts, np.arange(1, CLASSES) / CLASSES, method="lower")
    tops = sorted({*inner.tolist(), int(counts.max())})
    bottom = int(counts.min())
    for top in tops:
        yield by, str(bottom) if bottom == top else f"{bottom}–{top}", (counts >= bottom) & (counts <= top)
        bottom = int(top) + 1
