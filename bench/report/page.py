"""A report as one HTML page that needs nothing else: no network, no script. Every text is escaped, and the page forbids scripts."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bench.report import cells as tables
from bench.report.data import Report
from bench.report.figures import Drawing

TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Picture:
    """A figure within the page."""

    source: str
    """`data:` address of its SVG."""
    about: str


def page(report: Report, figures: Sequence[Mapping[Drawing, Path]]) -> str:
    """The page. `figures`: of each section, its drawings and the SVG files they are in."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    parts = [
        {
            "section": section,
            "facts": tables.facts(section),
            "sheets": tables.sheets(section),
            "figures": [_picture(drawing, file) for drawing, file in drawn.items()],
        }
        for section, drawn in zip(report.sections, figures, strict=True)
    ]
    published = [tables.published(report, dataset) for dataset in dict.fromkeys(row.dataset for row in report.published)]
    template = environment.get_template("report.html")
    return template.render(report=report, warning=tables.warning(report), parts=parts, published=published) + "\n"


def _picture(drawing: Drawing, file: Path) -> Picture:
    content = base64.b64encode(file.read_bytes()).decode()
    return Picture(f"data:image/svg+xml;base64,{content}", drawing.about)
