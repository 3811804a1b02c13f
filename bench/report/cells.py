"""The tables of a report as rows of text, the same for page, Markdown and LaTeX: what a cell says is decided here, once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.metrics import METRICS
from bench.report.data import Difference, ModelRow, Report, Section, Value

MANY = 60
"""Pairs of models of which all are shown; of more, those with the best alone (`differences.csv` has all)."""
COSTS = {
    "parameters": ("parameters, M", 1e6, 2),
    "flops": ("GFLOPs a pair", 1e9, 3),
    "ms_image": ("ms an image", 1.0, 2),
    "ms_caption": ("ms a caption", 1.0, 2),
    "ms_search": ("ms a search", 1.0, 2),
    "index_bytes": ("index, KiB an image", 1024.0, 2),
    "peak_mib": ("peak memory, MiB", 1.0, 0),
}
"""Of each cost: how it is called, its unit, decimals."""


@dataclass(frozen=True)
class Cell:
    """Text, and the letters of the groups it belongs to."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table with its title and how to read it. The first `words` columns are words, the others numbers."""

    key: str
    title: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1

    def without(self, *names: str) -> Sheet:
        """The table less these columns, none of which is of the words."""
        kept = [place for place, name in enumerate(self.columns) if name not in names]
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return replace(self, columns=tuple(self.columns[place] for place in kept), rows=rows)


def sheets(section: Section) -> list[Sheet]:
    """All tables of a section that have a row."""
    made = [
        scores(section),
        _intervals(section),
        differences(section),
        _discordances(section),
        _image_to_text(section),
        _pointing(section),
        _cost(section),
    ]
    return [sheet for sheet in [*made, _runs(section)] if sheet.rows]


def _sheet(key: str, title: str, about: str, columns: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> Sheet:
    cells = tuple(tuple(cell if isinstance(cell, Cell) else Cell(str(cell)) for cell in row) for row in rows)
    return Sheet(key, title, about, tuple(columns), cells, words)


def scores(section: Section) -> Sheet:
    """The main table."""
    about = "Percent, mean ± standard deviation over seeds. Models with a letter in common cannot be told apart by that metric."
    rows = [[model.label, *(_score(model.t2i[m]) for m in METRICS), len(model.runs), configuration(model)] for model in section.models]
    return _sheet("scores", "Text to image", about, ("model", *METRICS, "seeds", "configuration"), rows)


def _score(value: Value) -> Cell:
    text = f"{value.mean:.1f}" if value.deviation is None else f"{value.mean:.1f} ± {value.deviation:.1f}"
    return Cell(text, value.group)


def configuration(model: ModelRow) -> str:
    """Preset and hash of the configuration."""
    return f"{model.preset or 'defaults'}, {model.config_hash}"


def _intervals(section: Section) -> Sheet:
    about = (
        "95 % intervals. Seeds: t interval of the mean over other runs on the same people. People: bootstrap over identities, "
        "the same trained models on other people. What may be said of two models stands in the differences, not here."
    )
    metrics = ("R1", "mAP", "mINP")
    columns = ["model", *(f"{metric}, {what}" for metric in metrics for what in ("seeds", "people"))]
    rows = [
        [model.label, *(_range(told) for m in metrics for told in (model.t2i[m].over_seeds, model.t2i[m].over_identities))]
        for model in section.models
    ]
    return _sheet("intervals", "How far a mean can be believed", about, columns, rows)


def _range(told: tuple[float, float] | None) -> str:
    """An interval of a percentage: what reaches beyond 0 and 100 is cut (few seeds leave t intervals that do)."""
    return "–" if told is None else f"{_plain(max(0.0, told[0]))} to {_plain(min(100.0, told[1]))}"


def _plain(value: float) -> str:
    """One decimal; never a minus before nothing."""
    return f"{value:.1f}".replace("-0.0", "0.0") if abs(value) < 0.05 else f"{value:.1f}"


def differences(section: Section) -> Sheet:
    """Paired differences: all, or those with the best."""
    few, shown = _shown(section)
    about = (
        "Points, first minus second, the same queries, identities drawn together, seeds counted in (bench/stats.py). p after Holm over "
        "all pairs of a metric. Smallest: the true difference that is found with a probability of 80 %, by this test set however many "
        "seeds are run, and with the seeds that were run."
    )
    columns = ("metric", "first", "second", "difference", "95 % interval", "p (Holm)", "better", "smallest", "smallest, seeds")
    return _sheet("differences", f"Differences{few}", about, columns, [_difference(d) for d in shown], words=3)


def _shown(section: Section) -> tuple[str, list[Difference]]:
    told = list(section.differences)
    if len(told) <= MANY:
        return "", told
    best = section.models[0].label
    return f" to {best}", [d for d in told if best in (d.first, d.second)]


def _difference(d: Difference) -> list[str]:
    between = f"{_plain(d.low)} to {_plain(d.high)}"
    verdict = d.better or "not told apart"
    return [
        d.metric,
        d.first,
        d.second,
        _plain(d.difference),
        between,
        p_value(d.corrected),
        verdict,
        f"{d.smallest:.1f}",
        f"{d.smallest_here:.1f}",
    ]


def p_value(p: float) -> str:
    """Three decimals."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _discordances(section: Section) -> Sheet:
    about = (
        "Queries that one of the two has right and the other has not (mean over pairs of runs), with McNemar's exact test. It takes "
        "the captions of one person for independent and knows no other seed: groups and statements do not rest on it."
    )
    columns = ("first", "second", "only first", "only second", "p (Holm)")
    shown = (
        section.mcnemar if len(section.mcnemar) <= MANY else [d for d in section.mcnemar if section.models[0].label in (d.first, d.second)]
    )
    rows = [[d.first, d.second, f"{d.only_first:.1f}", f"{d.only_second:.1f}", p_value(d.corrected)] for d in shown]
    return _sheet("mcnemar", "McNemar's test of R1", about, columns, rows, words=2)


def _image_to_text(section: Section) -> Sheet:
    about = "The transposed task: each image is a query, the captions are the gallery. Percent, mean ± standard deviation over seeds."
    rows = [[model.label, *(_score(model.i2t[m]) for m in METRICS)] for model in section.models]
    return _sheet("i2t", "Image to text", about, ("model", *METRICS), rows)


def _pointing(section: Section) -> Sheet:
    about = (
        "Percent of phrases whose most attended region contains the centre of the part they speak of, where the truth is known. Chance: "
        "uniform attention. One region: the most that pointing always at the same region reaches; a region for each part: the most that "
        "knowing where parts lie reaches, without looking at the image."
    )
    frame = section.tables["pointing"].frame() if "pointing" in section.tables else pd.DataFrame()
    rows = [
        [row["model"], row["part"], f"{row['phrases']:,}", f"{row['accuracy']:.1f}", _range((row["low"], row["high"])), *_baselines(row)]
        for row in frame.to_dict("records")
    ]
    columns = ("model", "part", "phrases", "accuracy", "95 % interval", "chance", "one region", "a region for each part")
    return _sheet("pointing", "Does a phrase attend to the part it speaks of?", about, columns, rows, words=2)


def _baselines(row: Mapping[Any, Any]) -> list[str]:
    return [f"{row[name]:.1f}" for name in ("chance", "constant", "prior")]


def _cost(section: Section) -> Sheet:
    about = (
        "Medians over runs. FLOPs: to embed an image and a caption and compare them. Milliseconds: shortest of a few repetitions on the "
        "machine of the run; a search compares one caption with all images of test. Peak memory: of the whole run."
    )
    costly = [model for model in section.models if model.cost]
    rows = [[model.label, *(_amount(model, name) for name in COSTS)] for model in costly]
    return _sheet("cost", "Cost", about, ("model", *(name for name, _, _ in COSTS.values())), rows)


def _amount(model: ModelRow, name: str) -> str:
    _, unit, decimals = COSTS[name]
    return f"{model.cost[name] / unit:,.{decimals}f}" if name in model.cost else "–"


def _runs(section: Section) -> Sheet:
    about = "Epoch: the one that val selected, of those that were trained. A version with + had changes that were not committed."
    columns = ("model", "run", "version", "seed", "epoch", "val R1", *(f"test {metric}" for metric in METRICS))
    rows = [
        [
            model.label,
            run.name,
            f"{(run.commit or 'unknown')[:8]}{'+' if run.dirty else ''}",
            str(run.seed),
            f"{run.selected_epoch or '–'} of {run.epochs or '–'}",
            f"{run.val['R1']:.1f}" if "R1" in run.val else "–",
            *(f"{run.test[metric]:.1f}" for metric in METRICS),
        ]
        for model in section.models
        for run in model.runs
    ]
    return _sheet("runs", "Runs", about, columns, rows, words=3)


def published(report: Report, dataset: str) -> Sheet:
    """What papers printed for a data set."""
    about = (
        "Not measured by this project, and not comparable with what it measured: other encoders, other selection, other formulas. "
        "Each number as it was read, with its source and what is known against it."
    )
    rows = [
        [row.method, ", ".join(row.caveats) or "–", row.source, *(_printed(getattr(row, metric)) for metric in METRICS)]
        for row in report.published
        if row.dataset == dataset
    ]
    return _sheet("published", f"Printed by others on {dataset}", about, ("method", "caveats", "read in", *METRICS), rows, words=3)


def _printed(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def facts(section: Section) -> list[tuple[str, str]]:
    """What all rows of a section share."""
    sizes = ", ".join(f"{count:,} {what}" for what, count in section.test.items())
    known = [("chance R1", section.chance), ("oracle's R1", section.ceiling)]
    return [
        ("data set", section.dataset),
        ("test split", sizes),
        ("protocol", section.protocol),
        ("selection", section.selection),
        *((name, f"{value:.1f}") for name, value in known if value is not None),
        ("fingerprint of the data", section.fingerprint[:16]),
    ]


def warning(report: Report) -> str | None:
    """Why there are several sections, if there are."""
    if len(report.sections) < 2:
        return None
    differ = [
        what
        for what, values in (
            ("data set", {s.dataset for s in report.sections}),
            ("protocol", {s.protocol for s in report.sections}),
            ("selection rule", {s.selection for s in report.sections}),
            ("data fingerprint", {s.fingerprint for s in report.sections}),
            ("size of test", {str(sorted(s.test.items())) for s in report.sections}),
        )
        if len(values) > 1
    ]
    apart = f"they stand in {len(report.sections)} sections, and numbers of different sections must not be compared"
    return f"The runs differ in {', '.join(differ)}: {apart}."
