"""Finished runs -> `data.json` -> one page, Markdown, LaTeX, CSV and figures. The second arrow can be gone again at any time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench import checkpoint
from bench.errors import UsageError
from bench.progress import Reporter
from bench.report import comparison, published
from bench.report import data as report_data
from bench.report import figures as report_figures
from bench.report.data import Report, Section
from bench.report.figures import Drawing
from bench.report.finished import Found
from bench.report.page import page
from bench.report.text import csv_files, latex, markdown

PAGE, MARKDOWN, LATEX, FIGURES = "index.html", "report.md", "tables.tex", "figures"


def build(
    found: Found, reporter: Reporter, *, title: str, command: str, folder: Path | None = None, printed: Path = published.FILE
) -> Report:
    """What the report will say. `folder`: where it will lie, and may find pages beside it. UsageError: there is nothing to tell of."""
    if not found.runs:
        why = "; ".join(f"{name}: {why}" for name, why in found.left_out[:3])
        raise UsageError(f"there is no finished run to report on ({len(found.left_out)} were left out: {why})")
    sections = comparison.sections(found.runs, reporter.track)
    others = published.read(printed)
    rows = tuple(row for dataset in dict.fromkeys(section.dataset for section in sections) for row in others.on(dataset))
    used = {word for row in rows for word in row.caveats}
    return Report(
        title=title,
        command=command,
        sections=tuple(_linked(section, number, len(sections), folder) for number, section in enumerate(sections, start=1)),
        published=rows,
        caveats={word: meaning for word, meaning in others.caveats.items() if word in used},
        left_out=tuple((one.name, one.why) for one in found.left_out),
    )


def _linked(section: Section, number: int, count: int, folder: Path | None) -> Section:
    """With the page of `bench look`, where it has been made beside the report."""
    page = f"look/{number}/retrievals.html" if count > 1 else "look/retrievals.html"
    there = folder is not None and (folder / page).is_file()
    return section.model_copy(update={"look": page if there else None})


def write(report: Report, folder: Path, reporter: Reporter) -> list[Path]:
    """Write all files of the report into `folder` (made if need be); where they are. The same report gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder)
    figures = [_figures(number, report, folder, reporter) for number in range(len(report.sections))]
    texts = {MARKDOWN: markdown(report), LATEX: latex(report), **csv_files(report), PAGE: page(report, figures)}
    for name, text in texts.items():
        checkpoint.write_text(folder / name, text)
    return [report.write(folder), *(folder / name for name in texts)]


def _figures(number: int, report: Report, folder: Path, reporter: Reporter) -> Mapping[Drawing, Path]:
    """Draw a section's figures; names of models are no part of a file's name."""
    place = folder / FIGURES / str(number + 1) if len(report.sections) > 1 else folder / FIGURES
    drawn = report_figures.draw(report_data.frames(report.sections[number].tables), place, reporter.track)
    return {drawing: place / f"{drawing.name}.svg" for drawing in drawn}


def _forget(folder: Path) -> None:
    """No figure of an earlier report stays behind; nothing that is no report's is touched."""
    for place in (folder / FIGURES, *(folder / FIGURES).glob("[0-9]*")):
        for name in report_figures.FIGURES:
            for kind in ("svg", "png"):
                (place / f"{name}.{kind}").unlink(missing_ok=True)
