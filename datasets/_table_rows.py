"""The rows of a CSV, JSON or JSON Lines table, each with the place that an error names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.contracts import Defect, UsageError
from datasets._annotations import read_list, read_text

Row = tuple[str, Any]
"""Where it stands (`row 7`, as a spreadsheet counts; `line 7`; `record 6`, from 0), and what it holds."""


def read_rows(file: Path) -> list[Row | Defect]:
    """All rows of a table. A file that is no table is a UsageError, a row that is none a defect."""
    rows = list(_READERS[file.suffix.lower()](file))
    if not rows:
        raise UsageError(f"{file}: holds no row; give it one for each caption, with the columns split, pid, image, caption")
    return rows


def _csv(file: Path) -> Iterator[Row | Defect]:
    reader = csv.reader(io.StringIO(read_text(file), newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check_header(file, header)
        for number, cells in enumerate(reader, 2):
            if cells:  # an empty line is none
                yield _cells(f"row {number}", header, cells)
    except csv.Error as error:
        raise UsageError(f"{file}: line {reader.line_num}: {error}; save it as CSV with commas and double quotes") from None


def _check_header(file: Path, header: list[str]) -> None:
    missing = [name for name in ("pid", "image", "caption") if name not in header]
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if missing:
        hint = "; separate columns with commas" if len(header) == 1 else ""
        raise UsageError(f"{file}: row 1: no column {', '.join(map(repr, missing))}; the first row names split, pid, image, caption{hint}")
    if twice:
        raise UsageError(f"{file}: row 1: column {twice[0]!r} stands twice; rename one")


def _cells(where: str, header: list[str], cells: list[str]) -> Row | Defect:
    if len(cells) != len(header):
        advice = "put a caption with commas into double quotes"
        return Defect(where, "row", f"has {len(cells)} cells where the first row has {len(header)}; {advice}")
    return where, {name: cell for name, cell in zip(header, cells, strict=True) if cell or name != "split"}


def _json(file: Path) -> Iterator[Row]:
    yield from ((f"record {number}", record) for number, record in enumerate(read_list(file)))


def _json_lines(file: Path) -> Iterator[Row | Defect]:
    for number, line in enumerate(io.StringIO(read_text(file)), 1):
        if line.strip():
            yield _json_line(f"line {number}", line)


def _json_line(where: str, line: str) -> Row | Defect:
    try:
        return where, json.loads(line)
    except (ValueError, RecursionError) as error:
        return Defect(where, "row", f"not JSON ({error}); write one object a line")


_READERS: Mapping[str, Callable[[Path], Iterator[Row | Defect]]] = {".csv": _csv, ".json": _json, ".jsonl": _json_lines}
