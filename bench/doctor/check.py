"""`data check`: is this data set what a result says it is? Records, captions, images, duplicates; nothing stops at the first fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import get_args

from bench.contracts import Dataset, Split, SplitName, UsageError
from bench.doctor.captions import caption_findings
from bench.doctor.duplicates import duplicate_findings, foreign_findings
from bench.doctor.findings import Diagnosis, Finding, Severity
from bench.doctor.images import Looked, image_findings, look_at_all
from bench.doctor.records import record_findings
from bench.progress import Reporter


def check(
    name: str, dataset: Dataset, reporter: Reporter, *, others: Mapping[str, Dataset] | None = None, workers: int | None = None
) -> Diagnosis:
    """All that can be found wrong with a data set. `others`: sets whose images it might share; those that are not there are left out.

    `workers`: threads that look at images; 0: the caller's alone; None: one a core, 8 at most. UsageError if nothing can be read at all.
    """
    reporter.note(f"reading the records of {name}")
    survey = dataset.survey()
    looked, absent_findings = look_at_all(survey.splits, name, reporter.track, workers)
    choices = _choices(dataset)
    findings = [*record_findings(dataset, survey, choices), *caption_findings(survey.splits), *absent_findings, *image_findings(looked)]
    findings += duplicate_findings(looked, reporter.track)
    compared = dict(_others(others or {}, reporter, workers)) if looked else {}
    for other, theirs in compared.items():
        findings += foreign_findings(looked, theirs, other, reporter.track)
    findings += _refusal(dataset, findings)
    sizes: dict[str, Mapping[str, int]] = {split: _sizes(survey.splits.get(split)) for split in get_args(SplitName)}
    official: dict[str, Mapping[str, int]] = {split: counts._asdict() for split, counts in dataset.official.items()}
    return Diagnosis(name, sizes, official, choices, tuple(compared), tuple(findings))


def _others(others: Mapping[str, Dataset], reporter: Reporter, workers: int | None) -> Iterator[tuple[str, Sequence[Looked]]]:
    """The images of those sets that are there."""
    for name, dataset in others.items():
        with suppress(UsageError):
            looked, _ = look_at_all(dataset.survey().splits, name, reporter.track, workers)
            if looked:
                yield name, looked


def _refusal(dataset: Dataset, findings: Sequence[Finding]) -> Iterator[Finding]:
    """What a run would be told, where no finding says it."""
    if any(finding.severity == Severity.UNUSABLE for finding in findings):
        return
    for name in get_args(SplitName):
        try:
            dataset.split(name)
        except UsageError as error:
            yield Finding.of("refused", Severity.UNUSABLE, f"split {name} cannot be read", [str(error)], "a run stops", "see the example")


def _choices(dataset: Dataset) -> Mapping[str, str]:
    """What a run would record of its reading; nothing where it would refuse."""
    try:
        return dataset.choices()
    except UsageError:
        return {}


def _sizes(split: Split | None) -> Mapping[str, int]:
    return split.sizes() if split else {"identities": 0, "images": 0, "captions": 0}
