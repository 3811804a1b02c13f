"""A report as Markdown, LaTeX and CSV. Every text is made harmless for its format; nothing else is changed."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator

from bench.report import cells as tables
from bench.report.cells import Cell, Sheet
from bench.report.data import Difference, PublishedRow, Report, Section

# ----------------------------------------------------------------------------------------------------------- Markdown


def markdown(report: Report) -> str:
    """The whole report."""
    return "\n".join(_markdown(report)) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    yield f"# {md(report.title)}"
    yield from ("", "Made by:", "", *(f"    {line}" for line in report.command.splitlines()))
    if warning := tables.warning(report):
        yield from ("", f"**{md(warning)}**")
    for section in report.sections:
        yield from _section(section)
    for dataset in dict.fromkeys(row.dataset for row in report.published):
        yield from _sheet(tables.published(report, dataset))
    if report.caveats:
        yield from ("", *(f"- {md(word)}: {md(meaning)}" for word, meaning in report.caveats.items()))
    if report.left_out:
        yield from ("", "## Left out", "", *(f"- {md(name)}: {md(why)}" for name, why in report.left_out))


def _section(section: Section) -> Iterator[str]:
    yield from ("", f"## {md(section.dataset)}, {md(section.protocol)}", "")
    yield from (f"- {md(name)}: {md(value)}" for name, value in tables.facts(section))
    yield ""
    yield from (f"- {md(sentence)}" for sentence in section.statements)
    if section.remarks:
        yield from ("", "To mind:", "", *(f"- {md(remark)}" for remark in section.remarks))
    if section.look:
        yield from ("", f"[Look through what the models retrieve]({section.look})")
    for sheet in tables.sheets(section):
        yield from _sheet(sheet)


def _sheet(sheet: Sheet) -> Iterator[str]:
    yield from ("", f"### {md(sheet.title)}", "", md(sheet.about), "")
    yield f"| {' | '.join(md(column) for column in sheet.columns)} |"
    yield "|" + "".join("---|" if place < sheet.words else "--:|" for place in range(len(sheet.columns)))
    yield from (f"| {' | '.join(_md_cell(cell) for cell in row)} |" for row in sheet.rows)


def _md_cell(cell: Cell) -> str:
    return md(cell.text) + (f" {md(cell.mark)}" if cell.mark else "")


def md(text: str) -> str:
    """Text that Markdown, and HTML in it, takes for text: one line, nothing marked up, no address made a link.

    >>> md("<script> | *a* [b](c)")
    '&lt;script&gt; \\\\| \\\\*a\\\\* \\\\[b\\\\](c)'
    """
    harmless = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#$])", r"\\\1", harmless).replace("://", ":\u200b//")


# -------------------------------------------------------------------------------------------------------------- LaTeX


MANY_ROWS = 40
"""Rows beyond which a table breaks over pages."""


def latex(report: Report) -> str:
    r"""Tables for a paper, to be taken in with `\input`: scores and differences of each section, and what others printed."""
    parts = ["% These tables need \\usepackage{booktabs,array,longtable} and, for any letters, \\usepackage[T1]{fontenc}."]
    parts += [f"% {_comment(line)}" for line in report.command.splitlines()]
    if warning := tables.warning(report):
        parts.append(f"% {_comment(warning)}")
    for section in report.sections:
        told = "; ".join(f"{name} {value}" for name, value in tables.facts(section))
        narrow = (tables.scores(section).without("configuration"), tables.differences(section).without("better", "smallest, seeds"))
        parts += [_tabular(sheet, told) for sheet in narrow if sheet.rows]
    for dataset in dict.fromkeys(row.dataset for row in report.published):
        words = "; ".join(f"{word}: {meaning}" for word, meaning in report.caveats.items())
        parts.append(_tabular(tables.published(report, dataset), words))
    return "\n\n".join(parts) + "\n"


def _tabular(sheet: Sheet, told: str) -> str:
    """A table that floats; one of many rows breaks over pages instead."""
    word = ">{\\raggedright}p{2.2cm}" if sheet.key == "published" else "l"
    columns = word * sheet.words + "r" * (len(sheet.columns) - sheet.words)
    caption = f"\\caption{{{tex(sheet.title)}. {tex(sheet.about)} {tex(told)}.}}"
    small = "\\scriptsize\\setlength{\\tabcolsep}{4pt}"
    head = ["\\toprule", _tex_row(Cell(column) for column in sheet.columns), "\\midrule"]
    rows = [*map(_tex_row, sheet.rows), "\\bottomrule"]
    if len(sheet.rows) > MANY_ROWS:
        lines = ["{" + small, f"\\begin{{longtable}}{{{columns}}}", f"{caption}\\\\", *head, "\\endhead", *rows, "\\end{longtable}}"]
    else:
        begin = ["\\begin{table}", "\\centering", caption, small, f"\\begin{{tabular}}{{{columns}}}"]
        lines = [*begin, *head, *rows, "\\end{tabular}", "\\end{table}"]
    return "\n".join(lines)


def _tex_row(cells: Iterable[Cell]) -> str:
    return " & ".join(tex(cell.text) + (f"\\textsuperscript{{{tex(cell.mark)}}}" if cell.mark else "") for cell in cells) + " \\\\"


_TEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    '"': "\\textquotedbl{}",
    "'": "\\textquotesingle{}",
    "`": "\\textasciigrave{}",
    "-": "-\\allowbreak{}",  # two of them make no dash
    "/": "/\\allowbreak{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": "$\\pm$",
    "–": "--",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def tex(text: str) -> str:
    r"""Text that LaTeX takes for text. Letters that pdflatex may lack are told by their number.

    >>> tex(r"\input{x} 50 % é 行")
    '\\textbackslash{}input\\{x\\} 50 \\% é [U+884C]'
    """
    return "".join(_TEX.get(letter) or (letter if _typeset(letter) else f"[U+{ord(letter):04X}]") for letter in one_line(text))


def _typeset(letter: str) -> bool:
    """ASCII, and what Latin letters come to with an accent."""
    return letter.isascii() or ("\u00c0" <= letter <= "\u017f" and letter.isalpha() and unicodedata.decomposition(letter) != "")


def _comment(text: str) -> str:
    """A LaTeX comment's text: one line; what is no ASCII is replaced."""
    return one_line(text).encode("ascii", "replace").decode().replace("^^", "^ ^")


# ---------------------------------------------------------------------------------------------------------------- CSV


def csv_files(report: Report) -> dict[str, str]:
    """File name -> content: every number of the report, unrounded."""
    shared = ("dataset", "protocol", "selection", "fingerprint")
    printed = ({**row.model_dump(), "caveats": " ".join(row.caveats)} for row in report.published)
    return {
        "models.csv": _csv(_models(report)),
        "differences.csv": _csv(_differences(report), (*shared, *Difference.model_fields)),
        "runs.csv": _csv(_runs(report)),
        "published.csv": _csv(printed, tuple(PublishedRow.model_fields)),
    }


def _models(report: Report) -> Iterator[dict[str, object]]:
    for section in report.sections:
        for model in section.models:
            for direction, values in (("t2i", model.t2i), ("i2t", model.i2t)):
                for metric, value in values.items():
                    low, high = value.over_seeds or (None, None)
                    people_low, people_high = value.over_identities or (None, None)
                    yield {
                        **_shared(section),
                        **{"label": model.label, "model": model.model, "preset": model.preset, "config_hash": model.config_hash},
                        **{"direction": direction, "metric": metric, "mean": value.mean, "seeds": value.n, "deviation": value.deviation},
                        **{"seeds_low": low, "seeds_high": high, "people_low": people_low, "people_high": people_high},
                        "group": value.group,
                        **{f"cost_{name}": model.cost.get(name) for name in tables.COSTS},
                    }


def _differences(report: Report) -> Iterator[dict[str, object]]:
    for section in report.sections:
        for d in section.differences:
            yield {**_shared(section), **d.model_dump()}


def _runs(report: Report) -> Iterator[dict[str, object]]:
    for section in report.sections:
        for model in section.models:
            for run in model.runs:
                told = run.model_dump(exclude={"val", "test", "i2t"})
                metrics = {"val": run.val, "test": run.test, "test_i2t": run.i2t}
                yield {
                    **_shared(section),
                    "label": model.label,
                    "config_hash": model.config_hash,
                    **told,
                    **{f"{split}_{name}": value for split, values in metrics.items() for name, value in sorted(values.items())},
                }


def _shared(section: Section) -> dict[str, object]:
    return {"dataset": section.dataset, "protocol": section.protocol, "selection": section.selection, "fingerprint": section.fingerprint}


def _csv(rows: Iterable[dict[str, object]], first: Iterable[str] = ()) -> str:
    """`first`: columns that there are, rows or none."""
    told = list(rows)
    columns = list(dict.fromkeys([*first, *(name for row in told for name in row)]))
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow([cell(name) for name in columns])
    table.writerows([[cell(row.get(name)) for name in columns] for row in told])
    return out.getvalue()


def cell(value: object) -> object:
    """Numbers as they are; a text that a spreadsheet would take for a formula has an apostrophe before it.

    >>> cell("=cmd|' /C calc'!A0"), cell(-1.5), cell("acsa")
    ("'=cmd|' /C calc'!A0", -1.5, 'acsa')
    """
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def one_line(text: str) -> str:
    """Without line breaks and control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
