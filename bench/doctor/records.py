"""What records alone tell: malformed ones, sizes beside the published ones, identities across and within splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from typing import get_args

from bench.contracts import Counts, Dataset, Defect, Split, SplitName, Survey
from bench.doctor.findings import Finding, Severity, many

RULES = {
    "outside": ("path-leaves-root", "whose path leaves the image folder"),
    "path": ("path-malformed", "whose path is not plain"),
    "captions": ("captions-malformed", "whose captions are empty or no texts"),
    "repeated": ("image-repeated", "whose image has another record"),
    "identity": ("identity-malformed", "whose identity is no whole number from 0 on"),
}
"""Code and description of the records by the rule they break; the rest are malformed."""


def record_findings(dataset: Dataset, survey: Survey, choices: Mapping[str, str]) -> Iterator[Finding]:
    """Everything that the records tell."""
    yield from _defects(survey)
    yield from _absent_splits(dataset, survey, choices)
    yield from _sizes(dataset, survey)
    yield from _shared_identities(survey.splits)
    yield from _shared_paths(survey.splits)
    yield from _gaps(dataset, survey.splits)
    yield from _single_images(survey.splits)


def _defects(survey: Survey) -> Iterator[Finding]:
    kinds: dict[tuple[str, str], list[Defect]] = defaultdict(list)
    for defect in survey.defects:
        kinds[RULES.get(defect.rule, ("record-malformed", "that cannot be read"))].append(defect)
    for (code, name), defects in kinds.items():
        yield Finding.of(
            code,
            Severity.UNUSABLE,
            f"{many(len(defects), 'record')} {name}",
            [f"{defect.where}: {defect.what}" for defect in defects],
            "a run stops at the first of them",
            "get the annotations again, or mend these records",
        )


def _absent_splits(dataset: Dataset, survey: Survey, choices: Mapping[str, str]) -> Iterator[Finding]:
    """`choices` say which splits are carved out."""
    expected = [name for name in get_args(SplitName) if name in dataset.official or not dataset.official]
    told = {defect.where for defect in survey.defects if defect.rule == "split"} | set(choices)
    if empty := [name for name in expected if name not in told and not (name in survey.splits and survey.splits[name].images)]:
        what = f"no record of split {', '.join(empty)}"
        yield Finding.of("split-empty", Severity.UNUSABLE, what, empty, "a run stops", "get the whole annotation file")


def _sizes(dataset: Dataset, survey: Survey) -> Iterator[Finding]:
    found = {name: Counts(**split.sizes()) for name, split in survey.splits.items()}
    none = Counts(0, 0, 0)
    differing = [name for name in found if found[name] != dataset.official.get(name, none)]
    if not dataset.official or not differing:
        return
    examples = [f"{name}: {_beside(found[name], dataset.official.get(name, none))}" for name in differing]
    for edition in dataset.editions:
        if all(found[name].identities == count for name, count in edition.identities.items()):
            what = f"not the published split but {edition.about}"
            yield Finding.of(
                "other-edition", Severity.CHANGES, what, examples, "results cannot be set beside published ones", edition.action
            )
            return
    smaller = all(have <= want for name in differing for have, want in zip(found[name], dataset.official.get(name, none), strict=True))
    what = f"{'a subset of' if smaller else 'not'} the published set: {', '.join(differing)} differ{'s' if len(differing) == 1 else ''}"
    yield Finding.of(
        "sizes-differ",
        Severity.CHANGES,
        what,
        examples,
        "results cannot be set beside published ones" + (": a smaller gallery is easier" if smaller else ""),
        "get the whole set for numbers to publish; for trying things out it will do",
    )


def _beside(found: Counts, published: Counts) -> str:
    pairs = zip(Counts._fields, found, published, strict=True)
    return ", ".join(f"{have:,} of {want:,} {name}" for name, have, want in pairs if have != want)


def _shared_identities(splits: Mapping[SplitName, Split]) -> Iterator[Finding]:
    pids = {name: {image.pid for image in split.images} for name, split in splits.items()}
    for one, other in combinations(pids, 2):
        if shared := sorted(pids[one] & pids[other]):
            yield Finding.of(
                "identity-in-two-splits",
                Severity.CHANGES,
                f"{many(len(shared), 'identity', 'identities')} both in {one} and in {other}",
                [f"identity {pid}" for pid in shared],
                f"{other} is not unseen: its results are too good",
                "number the identities anew if these are different people, else move each to one split",
            )


def _shared_paths(splits: Mapping[SplitName, Split]) -> Iterator[Finding]:
    for one, other in combinations(splits, 2):
        if shared := sorted({image.path for image in splits[one].images} & {image.path for image in splits[other].images}):
            yield Finding.of(
                "image-in-two-splits",
                Severity.CHANGES,
                f"{many(len(shared), 'image')} both in {one} and in {other}",
                shared,
                f"{other} is not unseen: its results are too good",
                "keep each image in one split",
            )


def _gaps(dataset: Dataset, splits: Mapping[SplitName, Split]) -> Iterator[Finding]:
    """Only of published sets: in one's own, numbers may mean something."""
    for name, split in splits.items() if dataset.official else ():
        pids = sorted({image.pid for image in split.images})
        if gaps := [f"{one} is followed by {other}" for one, other in pairwise(pids) if other != one + 1]:
            yield Finding.of(
                "identity-gaps",
                Severity.NOTE,
                f"identities of {name} do not count through from {pids[0]}: {many(len(gaps), 'gap')}",
                gaps,
                "none here, since labels are numbered anew; code that asserts that there is none stops on it",
                "see whether records were dropped on purpose",
            )


def _single_images(splits: Mapping[SplitName, Split]) -> Iterator[Finding]:
    for name, split in splits.items():
        counts = Counter(image.pid for image in split.images)
        if single := [f"identity {pid}" for pid, count in counts.items() if count == 1]:
            effect = "nothing but its own image matches a caption of theirs" if name != "train" else "nothing to learn of how they vary"
            what = f"identities of {name} with one image: {len(single):,} of {len(counts):,}"
            yield Finding.of("identity-single", Severity.NOTE, what, single, effect, "nothing; some methods drop them, and say so")
