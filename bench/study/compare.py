"""Searches side by side: were they given the same, and what may one expect of each after so many trials?

The curve of a search is the expected best of n of its trials, drawn with replacement (Dodge et al., "Show Your Work", EMNLP 2019, eq.
for V_n): it does not hang on the luck of the order. Its interval is a bootstrap over trials. A pruned trial counts with the best it
had reported, a failed one with nothing. Where a sampler learns from trials, they are no independent draws, and the curve is a summary
of what was tried and no forecast; `said` in the outcome tells so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import checkpoint
from bench.canvas import INK, drawing
from bench.errors import UsageError
from bench.study.declared import MAXIMISED, Search
from bench.study.search.attempts import Row
from bench.study.search.searching import Searching

DRAWS, LEVEL = 2000, 0.95
Floats = NDArray[np.float64]


def values_of(rows: Sequence[Row], objective: str) -> list[float]:
    """What each ended trial is worth, in their order."""
    found = []
    for row in rows:
        if row.state == "complete" and row.values:
            found.append(row.values[0])
        elif row.state in ("pruned", "failed"):
            found.append(max(row.curve.values(), default=0.0))
    return found if objective in MAXIMISED else [-value for value in found]


def expected_best(values: Sequence[float]) -> Floats:
    """(N,): the expected largest of n = 1..N of the N values, drawn with replacement.

    With v_1 <= ... <= v_N: E_n = sum_i v_i ((i / N)^n - ((i - 1) / N)^n).

    >>> expected_best([1.0, 3.0])
    array([2. , 2.5])
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    share = np.arange(len(ordered) + 1) / len(ordered)
    powers = share[None, :] ** np.arange(1, len(ordered) + 1)[:, None]  # (n, N + 1)
    expected: Floats = np.diff(powers, axis=1) @ ordered
    return expected


def band(values: Sequence[float]) -> tuple[Floats, Floats]:
    """(N,), (N,): a bootstrap interval of `expected_best` over the trials."""
    random = np.random.default_rng(0)
    drawn = random.choice(np.asarray(values, dtype=np.float64), (DRAWS, len(values)))
    curves = np.stack([expected_best(sample) for sample in drawn])
    low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def unequal(searches: Sequence[Search]) -> list[str]:
    """In what the searches were not given the same, a line each."""
    told: dict[str, list[str]] = {
        "data set": [f"{s.base.dataset_label} {json.dumps(s.base.dump()['data'], sort_keys=True)}" for s in searches],
        "objective": [" ".join(search.file.objective) for search in searches],
        "budget": [_plain(search.file.budget.model_dump(exclude_none=True)) for search in searches],
        "training seeds": [" ".join(map(str, search.file.seeds)) for search in searches],
        "sampler": [_plain(search.file.sampler.model_dump()) for search in searches],
        "pruner": [_plain(search.file.pruner.model_dump()) for search in searches],
        "epochs": [str(search.base.train.epochs) for search in searches],
        "options searched": [str(len(search.space)) for search in searches],
        "size of the space": [_size(search) for search in searches],
    }
    named = [search.name for search in searches]
    return [
        f"{what} differs: " + "; ".join(f"{name}: {value}" for name, value in zip(named, values, strict=True))
        for what, values in told.items()
        if len(set(values)) > 1
    ]


def _plain(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())


def _size(search: Search) -> str:
    """How many ranges and how many combinations of choices."""
    choices = [len(span.choices) for span in search.space.values() if span.choices is not None]
    return f"{len(search.space) - len(choices)} ranges, {int(np.prod(choices))} combinations of choices"


def compare(searchings: Sequence[Searching]) -> dict[str, Any]:
    """All that is said of the searches, in one plain dict."""
    searches = [searching.search for searching in searchings]
    if any(search.file.grid for search in searches):
        raise UsageError("compare is for searches: an ablation compares its own cells (study show)")
    if len({search.file.objective[0] for search in searches}) > 1:
        raise UsageError("the studies have different objectives, which cannot stand on one axis: " + "; ".join(unequal(searches)))
    curves = {}
    for searching in searchings:
        rows, objective = searching.rows(), searching.search.file.objective[0]
        if not (values := values_of(rows, objective)):
            raise UsageError(f"study {searching.search.name} has no trial that ended: `study run` comes first")
        low, high = band(values)
        sign = 1.0 if objective in MAXIMISED else -1.0
        curve = {"values": values, "expected": expected_best(values).tolist(), "low": low.tolist(), "high": high.tolist()}
        counts = {state: sum(row.state == state for row in rows) for state in ("complete", "pruned", "failed")}
        spent = {"epochs": sum(row.epochs for row in rows), "seconds": sum(row.seconds for row in rows)}
        curves[searching.search.name] = {key: [sign * value for value in line] for key, line in curve.items()} | counts | spent
    learns = [search.name for search in searches if search.file.sampler.name != "random"]
    said = [f"{', '.join(learns)}: the sampler learns from trials, so the curve sums up what was tried"] if learns else []
    return {"objective": searches[0].file.objective[0], "unequal": unequal(searches), "said": said, "studies": curves}


def leave(outcome: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the outcome and its figure."""
    checkpoint.write_text(folder / "compare.json", json.dumps(outcome, indent=2) + "\n")
    return [folder / "compare.json", draw(outcome, folder / "compare.png")]


def draw(outcome: Mapping[str, Any], path: Path) -> Path:
    """The expected best over the number of trials, with its interval, a line a search."""
    import seaborn
    from matplotlib.ticker import MaxNLocator

    with drawing(8.5, 5.0, path) as figure:
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        colours = seaborn.color_palette("colorblind", len(outcome["studies"]))
        for (name, told), colour, dash in zip(outcome["studies"].items(), colours, ["-", "--", ":", "-."] * len(colours), strict=False):
            n = range(1, len(told["expected"]) + 1)
            axes.fill_between(n, told["low"], told["high"], color=colour, alpha=0.15, linewidth=0)
            axes.plot(n, told["expected"], color=colour, linestyle=dash, linewidth=2, label=name)
        equal = "equal budgets" if not outcome["unequal"] else "NOT given the same: see compare.json"
        axes.set_title(f"Expected best of n trials, {equal}", fontsize=11, color=INK, loc="left")
        axes.set_xlabel("trials n, pruned and failed ones included")
        axes.set_ylabel(f"val {outcome['objective']}" + (", %" if outcome["objective"] in MAXIMISED else ""))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    return path
