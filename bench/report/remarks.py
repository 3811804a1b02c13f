"""What to mind when reading a section of a report: what is missing, and what makes its numbers less comparable than they look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.report.data import ModelRow
from bench.report.finished import Finished
from bench.report.frames import INDIFFERENT

SHOWN = 6
"""Options in which the rows of one model differ that are told."""
Runs = Mapping[str, Sequence[Finished]]


def remarks(runs: Runs, silent: Sequence[str], models: Sequence[ModelRow], most: int) -> Iterator[str]:
    """Sentences. `runs`: by the label of their row; `silent`: rows of which no query is known; `most`: models that are tested."""
    if silent:
        yield f"Not tested, since what their queries obtained cannot be read or is of other queries: {_listed(sorted(silent))}."
    if len(models) > most:
        yield f"Tested against each other are the {most} models with the highest R1, of {len(models)}."
    if single := sorted(model.label for model in models if len(model.runs) == 1):
        yield f"One seed only, so that nothing is known of what another would obtain: {_listed(single)}."
    if searched := {label: study for label, group in runs.items() if (study := group[0].study) is not None}:
        told = _listed(f"{label} (study {study})" for label, study in searched.items())
        yield f"Found by a search on val: {told}. Rows that were not searched for, or not as long, are at a disadvantage."
    yield from _options(runs)
    commits = {run.commit for model in models for run in model.runs}
    if len(commits) > 1:
        yield f"The runs were made with {len(commits)} versions of the code; the list of runs names them."
    if any(run.dirty for model in models for run in model.runs):
        yield "Some runs were made with changes to the code that were not committed; the list of runs names them."
    if len({str(sorted(run.record.environment.hardware.items())) for group in runs.values() for run in group}) > 1:
        yield "The runs were made on different machines: times are not comparable."


def _options(runs: Runs) -> Iterator[str]:
    """In what the rows of one model differ."""
    for model in dict.fromkeys(group[0].record.model for group in runs.values()):
        rows = {label: group[0].options() for label, group in runs.items() if group[0].record.model == model}
        if 1 < len(rows) <= SHOWN:
            keys = [key for key in dict.fromkeys(key for row in rows.values() for key in row) if not key.startswith(INDIFFERENT)]
            differing = [key for key in keys if len({str(row.get(key, "unset")) for row in rows.values()}) > 1]
            told = (f"{key} ({', '.join(str(row.get(key, 'unset')) for row in rows.values())})" for key in differing)
            if differing:
                yield f"{_listed(rows)} differ in {_listed(told, SHOWN)}."


def _listed(names: Iterable[str], most: int = 12) -> str:
    shown = list(names)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")
