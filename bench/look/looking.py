"""Finished runs -> a folder to look through: a page to filter retrievals, sheets of flips and failures, attention and its pointing.

Images are shown only where a data set's are free (`Dataset.free`) or where they are asked for: those of the public sets are not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import pandas as pd

from bench import attention, per_query, registry, tables
from bench.config import RunConfig
from bench.errors import UsageError
from bench.evaluation import remake_tables
from bench.figures import retrieval_sheet
from bench.look import page as browse
from bench.look import retrievals
from bench.look.attention_sheet import attention_sheet
from bench.progress import Reporter
from bench.report import figures as report_figures
from bench.report.comparison import apart, labelled
from bench.report.finished import Finished
from bench.report.pointing import pointing
from bench.validation import read_yaml

PAGE, POINTING = "retrievals.html", "pointing.csv"
MODELS = 8
"""Most models that are looked at, the best by test R1."""
FLIPPED = 4
"""Most models whose flips are drawn, each against each."""
SHEET, FLIPS, CAPTIONS = 8, 4, 6
"""Queries on a sheet of failures, on one of flips (each twice), on one of attention."""

Runs = Mapping[str, Sequence[Finished]]


@dataclass(frozen=True)
class Looked:
    """What was made."""

    page: Path
    pictures: list[tuple[str, Path]] = field(default_factory=list)
    """Sheets and figures, with what they show."""


def groups(runs: Sequence[Finished]) -> Iterator[Runs]:
    """The runs that may be compared, by the name of their row, the best first; in the order of a report's sections."""
    for group in apart(runs):
        rows = labelled(group)
        best = sorted(rows, key=lambda name: (-_mean_r1(rows[name]), name))[:MODELS]
        yield {name: rows[name] for name in best}


def _mean_r1(runs: Sequence[Finished]) -> float:
    return sum(run.record.metrics["test"]["t2i"]["R1"] for run in runs) / len(runs)


def look_at(
    runs: Sequence[Finished],
    place: Callable[[str], Path],
    reporter: Reporter,
    *,
    with_images: bool = False,
    data_root: Path | None = None,
) -> Iterator[Looked]:
    """`look` for each group of runs that may be compared. `place`: the folder for a data set; of several groups each has one within it."""
    every = list(groups(runs))
    for number, group in enumerate(every, start=1):
        folder = place(next(iter(group.values()))[0].record.dataset)
        yield look(group, folder / str(number) if len(every) > 1 else folder, reporter, with_images=with_images, data_root=data_root)


def look(runs: Runs, folder: Path, reporter: Reporter, *, with_images: bool = False, data_root: Path | None = None) -> Looked:
    """Write the page, and where images may be shown the sheets, into `folder`.

    Raises UsageError where runs lack tables that their checkpoints cannot make, or are of other queries than the first.
    """
    outcomes = {name: [_outcomes(run, reporter, data_root) for run in group] for name, group in runs.items()}
    _same_queries(outcomes)
    attended = {name: found for name, group in runs.items() if (found := _attended(group, reporter, data_root))}
    first = next(iter(runs.values()))[0]
    root = _image_root(first, data_root) if with_images or _free(first) else None
    page = browse.write(
        folder / PAGE,
        {name: found[0] for name, found in outcomes.items()},
        title=f"Retrievals: {first.record.dataset}",
        about=f"Test captions and the images that each model ranks first, seed {first.record.seed}.",
        root=root,
        attention={name: found[0] for name, found in attended.items()},
        track=reporter.track,
    )
    looked = Looked(page)
    looked.pictures.extend(_pointing(attended, next(iter(outcomes.values()))[0], folder, reporter))
    if root is not None:
        looked.pictures.extend(_sheets(outcomes, attended, root, folder, reporter))
    return looked


def _outcomes(run: Finished, reporter: Reporter, data_root: Path | None) -> pd.DataFrame:
    """A run's table; made anew from its checkpoint where an earlier version left less."""
    try:
        table = per_query.read(run.folder)
    except UsageError:
        table = pd.DataFrame()
    if "nearest" not in table:
        _remake(run, reporter, data_root)
        table = per_query.read(run.folder)
    return table


def _same_queries(outcomes: Mapping[str, Sequence[pd.DataFrame]]) -> None:
    key = ["caption", "image", "pid"]
    first = next(iter(outcomes.values()))[0][key]
    for name, found in outcomes.items():
        if not all(table[key].equals(first) for table in found):
            raise UsageError(f"{name} was evaluated on other queries than the first model; look at them one by one")


def _attended(runs: Sequence[Finished], reporter: Reporter, data_root: Path | None) -> list[pd.DataFrame]:
    """A model's attention tables, made anew where only some runs left one; none where none did: the model does not attend."""
    found = [attention.read(run.folder) for run in runs]
    if all(table is None for table in found):
        return []
    for place, run in enumerate(runs):
        if found[place] is None:
            _remake(run, reporter, data_root)
            found[place] = attention.read(run.folder)
    return [table for table in found if table is not None]


def _remake(run: Finished, reporter: Reporter, data_root: Path | None) -> None:
    reporter.note(f"{run.name}: making its tables from its checkpoint")
    remake_tables(run.folder, reporter, data_root=data_root)


def _free(run: Finished) -> bool:
    return bool(registry.load("dataset", run.record.dataset).free)


def _image_root(run: Finished, data_root: Path | None) -> Path:
    """The folder that a run's image paths are relative to."""
    config = RunConfig.from_dict(read_yaml(run.folder / "config.yaml", "the run's configuration"))
    dataset = registry.load("dataset", config.dataset_name)(data_root or config.data_root, config.data)
    root: Path = dataset.split("test").root
    return root


def _pointing(
    attended: Mapping[str, Sequence[pd.DataFrame]], queries: pd.DataFrame, folder: Path, reporter: Reporter
) -> Iterator[tuple[str, Path]]:
    """The table, and its figure, where some phrase's part is known."""
    table = pointing(attended, queries["pid"].tolist())
    if len(table):
        tables.write_csv(table, folder / POINTING)
        for drawn in report_figures.draw({"pointing": table}, folder, reporter.track):
            yield drawn.about, folder / f"{drawn.name}.png"


def _sheets(
    outcomes: Mapping[str, Sequence[pd.DataFrame]],
    attended: Mapping[str, Sequence[pd.DataFrame]],
    root: Path,
    folder: Path,
    reporter: Reporter,
) -> Iterator[tuple[str, Path]]:
    """Files are numbered in the order of the models: a model's name is no part of a file's name."""
    number = {name: place for place, name in enumerate(outcomes, start=1)}
    for name, found in reporter.track(outcomes.items(), "sheets", len(outcomes)):
        table = found[0]
        for kind, rows in (("sheet", per_query.spread(len(table), SHEET)), ("worst", retrievals.worst(found)[:SHEET])):
            title = f"{name}: {'queries and their nearest images' if kind == 'sheet' else 'its worst failures'}"
            retrieval_sheet(retrievals.retrieval_rows(table, rows, root), path := folder / f"{kind}-{number[name]}.jpg", title=title)
            yield title, path
        if name in attended:
            drawn = retrievals.attention_rows(attended[name][0], table, per_query.spread(len(table), CAPTIONS), root)
            attention_sheet(drawn, path := folder / f"attention-{number[name]}.jpg", title=f"{name}: what phrases attend to")
            yield f"{name}: what phrases attend to", path
    for one, other in reporter.track(list(permutations(list(outcomes)[:FLIPPED], 2)), "flips"):
        rows = retrievals.flips(outcomes[one], outcomes[other])
        title = f"{one} right and {other} wrong, with every seed: {len(rows)} queries"
        drawn_rows = retrievals.flip_rows((one, outcomes[one][0]), (other, outcomes[other][0]), rows[:FLIPS], root)
        if rows:
            retrieval_sheet(drawn_rows, path := folder / f"flips-{number[one]}-{number[other]}.jpg", title=title)
            yield title, path
