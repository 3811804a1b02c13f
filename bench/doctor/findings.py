"""What `data check` finds: each finding with how much of it there is, examples, what it does to results, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

EXAMPLES = 5
"""Examples that a finding shows."""


def many(number: int, one: str, more: str | None = None) -> str:
    """`1 image`, `2,000 images`, `3 identities`."""
    return f"{number:,} {one if number == 1 else more or f'{one}s'}"


class Severity(IntEnum):
    """What a finding means for results. The gravest one of a data set is the check's exit code."""

    NOTE = 0
    """Worth knowing; changes no result of this set."""
    CHANGES = 1
    """Results are not those on the published set, or hang on the data's flaws."""
    UNUSABLE = 2
    """A run would stop on it."""

    @property
    def title(self) -> str:
        return ("worth knowing", "changes results", "cannot be used")[self]


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found."""

    code: str
    """A short name that stays, for those who read the JSON."""
    severity: Severity
    what: str
    total: int
    """How many: records, images, captions or identities, as `what` says."""
    consequence: str
    """What it does to results."""
    action: str
    """What to do about it."""
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, code: str, severity: Severity, what: str, found: Sequence[str], consequence: str, action: str) -> Finding:
        """A finding of these things, the first of which are its examples."""
        return cls(code, severity, what, len(found), consequence, action, tuple(found[:EXAMPLES]))


@dataclass(frozen=True)
class Diagnosis:
    """All that was found about a data set."""

    dataset: str
    sizes: Mapping[str, Mapping[str, int]]
    """Identities, images and captions of each split, as the files have them."""
    official: Mapping[str, Mapping[str, int]]
    choices: Mapping[str, str]
    compared: tuple[str, ...]
    """Other data sets whose images were looked at too."""
    findings: tuple[Finding, ...]

    @property
    def severity(self) -> Severity:
        return max((finding.severity for finding in self.findings), default=Severity.NOTE)

    def graded(self) -> Iterable[tuple[Severity, list[Finding]]]:
        """The findings by severity, the gravest first."""
        for severity in sorted(Severity, reverse=True):
            if found := [finding for finding in self.findings if finding.severity == severity]:
                yield severity, found

    def as_json(self) -> dict[str, Any]:
        told = [vars(finding) | {"severity": finding.severity.title, "examples": list(finding.examples)} for finding in self.findings]
        return {
            "dataset": self.dataset,
            "verdict": self.severity.title if self.severity else "clean",
            "exit_code": int(self.severity),
            "splits": self.sizes,
            "official": self.official,
            "choices": dict(self.choices),
            "compared_with": list(self.compared),
            "findings": told,
        }
