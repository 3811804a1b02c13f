"""A report from runs to files: whole, harmless, and the same bytes again from its data."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.cli import main
from bench.errors import UsageError
from bench.progress import Silent
from bench.report import data as report_data
from bench.report import figures as report_figures
from bench.report import frames as report_frames
from bench.report import making as report
from bench.report import published
from bench.report.data import Report
from bench.report.finished import Found, LeftOut, in_folders
from bench.report.page import page
from tests.fake_runs import fake_run, three_models

HOSTILE = (
    "<script>alert(1)</script>",
    "../../etc/passwd",
    r"\input{/etc/passwd}$x_1^2~%#&",
    "=cmd|' /C calc'!A0",
    "a\nb`c`|d*e*{{7*7}}![x](javascript:1) 行\x07",
)


def built(root: Path, **more: str) -> Report:
    return report.build(in_folders([root]), Silent(), title="Three models", command="python -m bench report --results runs", **more)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def sheet(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three models, two of them on other data as well."""
    root = tmp_path_factory.mktemp("plain")
    three_models(root / "runs", seeds=2)
    other = {"fingerprint": "e" * 64, "splits": {"test": {"identities": 12, "images": 24, "captions": 48}}}
    fake_run(root / "runs", model="acsa", folder="others/0", ids=12, dataset="rstpreid", data=other)
    report.write(built(root / "runs"), root / "out", Silent())
    return root / "out"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every text that a run brings along is an attack."""
    root = tmp_path_factory.mktemp("hostile")
    for number, text in enumerate(HOSTILE):
        texts = {"model": text, "preset": text, "dataset": HOSTILE[0], "selection": HOSTILE[2], "caption": text}
        fake_run(root / "runs", seed=number, folder=f"{number}/seed0", **texts)
    runs = in_folders([root / "runs"])
    named = [run.__class__(name, run.folder, run.record, run.ended) for run, name in zip(runs.runs, HOSTILE, strict=True)]
    made = report.build(Found(named, [LeftOut(text, text) for text in HOSTILE]), Silent(), title=HOSTILE[0], command="\n".join(HOSTILE))
    report.write(made, root / "out", Silent())
    return root / "out"


class Page(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))


class TestPlain:
    def test_all_files_are_there(self, plain: Path) -> None:
        files = {name for name in contents(plain) if not name.startswith("figures/")}
        csvs = {"models.csv", "differences.csv", "runs.csv", "published.csv"}
        assert files == {"index.html", "report.md", "tables.tex", "data.json", *csvs}
        assert (plain / "figures" / "2" / "differences.svg").is_file()

    def test_its_data_make_it_again_byte_for_byte(self, plain: Path, tmp_path: Path) -> None:
        report.write(report_data.read(plain / "data.json"), tmp_path / "again", Silent())
        assert contents(tmp_path / "again") == contents(plain)

    def test_the_page_needs_nothing_and_runs_nothing(self, plain: Path) -> None:
        text = (plain / "index.html").read_text(encoding="utf-8")
        tags = Page(text).tags
        assert not {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "form"}
        addresses = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
        assert addresses
        assert all(str(value).startswith(("data:image/svg+xml;base64,", "#")) for value in addresses)
        assert "prefers-color-scheme: dark" in text
        assert "python -m bench report --results runs" in text

    def test_every_picture_is_told_and_every_table_headed(self, plain: Path) -> None:
        tags = Page((plain / "index.html").read_text(encoding="utf-8")).tags
        assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")
        assert all(attributes.get("scope") in ("col", "row") for tag, attributes in tags if tag == "th")

    def test_runs_that_differ_are_apart_and_it_is_said(self, plain: Path) -> None:
        for name in ("index.html", "report.md", "tables.tex"):
            text = (plain / name).read_text(encoding="utf-8")
            assert re.search(r"differ in data set, data fingerprint, size of test: they stand in 2 sections", text), name

    def test_printed_numbers_stand_in_tables_of_their_own(self, plain: Path) -> None:
        text = (plain / "report.md").read_text(encoding="utf-8")
        measured, _, printed = text.partition("### Printed by others on rstpreid")
        assert "48.40" in printed
        assert "48.40" not in measured
        assert "test-selected, second-hand" in printed
        rows = sheet(plain / "published.csv")
        assert {row["dataset"] for row in rows} == {"rstpreid"}
        assert all(row["source"] for row in rows)
        assert "48.40" not in (plain / "models.csv").read_text(encoding="utf-8")

    def test_numbers_are_those_of_the_records(self, plain: Path) -> None:
        rows = sheet(plain / "models.csv")
        (row,) = [r for r in rows if (r["dataset"], r["label"], r["direction"], r["metric"]) == ("walkers", "acsa", "t2i", "R1")]
        runs = [r for r in sheet(plain / "runs.csv") if (r["dataset"], r["label"]) == ("walkers", "acsa")]
        assert float(row["mean"]) == pytest.approx(sum(float(r["test_R1"]) for r in runs) / 2)
        shown = (plain / "report.md").read_text(encoding="utf-8")
        assert f"{float(row['mean']):.1f} ± {float(row['deviation']):.1f} {row['group']}" in shown

    def test_a_page_of_retrievals_beside_it_is_linked(self, plain: Path, tmp_path: Path) -> None:
        told = report_data.read(plain / "data.json")
        apart = report._linked(told.sections[0], 1, 2, tmp_path)
        (tmp_path / "look" / "2").mkdir(parents=True)
        (tmp_path / "look" / "2" / "retrievals.html").touch()
        linked = report._linked(told.sections[1], 2, 2, tmp_path)
        assert (apart.look, linked.look) == (None, "look/2/retrievals.html")
        text = page(told.model_copy(update={"sections": (linked,)}), [{}])
        assert [attributes["href"] for tag, attributes in Page(text).tags if tag == "a"] == ["look/2/retrievals.html"]
        with pytest.raises(ValueError, match="look"):
            report_data.Section.model_validate(linked.model_dump() | {"look": "javascript:alert(1)"})

    def test_no_figure_of_an_earlier_report_stays_and_nothing_else_goes(
        self, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(report_figures, "draw", lambda *_: [])
        shutil.copytree(plain, tmp_path / "out")
        (tmp_path / "out" / "figures" / "mine.png").write_bytes(b"mine")
        told = report_data.read(plain / "data.json")
        only = told.model_copy(update={"sections": told.sections[:1]})
        report.write(only, tmp_path / "out", Silent())
        figures = {name for name in contents(tmp_path / "out") if name.startswith("figures/")}
        assert figures == {"figures/mine.png"}


class TestHostile:
    def test_the_page_holds_text_and_no_more(self, hostile: Path) -> None:
        text = (hostile / "index.html").read_text(encoding="utf-8")
        tags = Page(text).tags
        assert "script" not in {tag for tag, _ in tags}
        assert not [name for _, attributes in tags for name in attributes if name.startswith("on")]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "{{7*7}}" in text

    def test_markdown_holds_no_tag_and_no_link(self, hostile: Path) -> None:
        text = (hostile / "report.md").read_text(encoding="utf-8")
        outside = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
        assert "<script" not in outside
        assert not re.search(r"(?<!\\)\]\(", outside)
        widths = {line.count(" | ") for line in outside.splitlines() if line.startswith("| ") and "small" not in line}
        assert widths  # a bar in a name opens no cell: every row is as wide as its head
        for table in re.findall(r"(?:^\|.*\n)+", outside, flags=re.MULTILINE):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1

    def test_no_cell_is_a_formula(self, hostile: Path) -> None:
        for file in hostile.glob("*.csv"):
            for row in sheet(file):
                for value in (*row, *row.values()):
                    assert not value.startswith(("=", "+", "@", "\t", "\r"))
                    assert not value.startswith("-") or float(value) < 0

    def test_latex_takes_nothing_in(self, hostile: Path) -> None:
        text = (hostile / "tables.tex").read_text(encoding="utf-8")
        body = [line for line in text.splitlines() if not line.startswith("%")]
        assert not re.search(r"\\(input|include|write|openin|def|catcode)", "\n".join(body))
        assert all(line.isascii() for line in text.splitlines() if line.startswith("%"))

    def test_no_file_is_written_elsewhere(self, hostile: Path) -> None:
        assert {path.name for path in hostile.parent.iterdir()} == {"runs", "out"}
        known = {"index.html", "report.md", "tables.tex", "data.json", "models.csv", "differences.csv", "runs.csv", "published.csv"}
        assert all(name in known or name.startswith("figures/") for name in contents(hostile))
        assert not [name for name in contents(hostile) if "script" in name or ".." in name]

    def test_figures_are_pictures(self, hostile: Path) -> None:
        files = list(hostile.glob("figures/*.svg"))
        assert files
        for file in files:
            assert not [one.tag for one in ElementTree.parse(file).iter() if one.tag.endswith(("script", "foreignObject", "}a"))]


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed here")
@pytest.mark.parametrize("kind", ["plain", "hostile"])
def test_latex_compiles(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shutil.copy(request.getfixturevalue(kind) / "tables.tex", tmp_path)
    packages = "\\usepackage[T1]{fontenc}\\usepackage{textcomp}\\usepackage{booktabs,array,longtable}"
    (tmp_path / "paper.tex").write_text(f"\\documentclass{{article}}{packages}\\begin{{document}}x\\input{{tables}}\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert (tmp_path / "paper.pdf").is_file()


class TestData:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "cannot read"),
            ("[]", "no report's data.json"),
            ('{"schema_version": 99}', "schema_version is 99, not 1"),
            ('{"schema_version": 1, "title": 5}', "no report's data.json"),
            ("[" * 100_000, "cannot read"),
        ],
    )
    def test_what_is_no_data_is_one_line(self, tmp_path: Path, content: str, said: str) -> None:
        (tmp_path / "data.json").write_text(content)
        with pytest.raises(UsageError, match=said):
            report_data.read(tmp_path / "data.json")

    def test_published_numbers_explain_themselves(self) -> None:
        others = published.read()
        acsa = [row for row in others.on("rstpreid") if row.method == "ACSA (2022)"]
        assert [(row.R1, row.R5, row.R10) for row in acsa] == [(48.40, 71.85, 81.45)]
        for dataset in ("cuhk-pedes", "icfg-pedes", "rstpreid"):
            rows = others.on(dataset)
            assert [row.R1 for row in rows] == sorted(row.R1 for row in rows)
            assert all(row.source for row in rows)
        assert others.on("walkers") == ()

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("caveats: {}\nsources: {}\nmethods: [{method: A, printed: {x: {R1: 5, source: Z}}}]", "no source is called 'Z'"),
            (
                "caveats: {}\nsources: {Z: z}\nmethods: [{method: A, printed: {x: {R1: 5, source: Z, caveats: [q]}}}]",
                "no caveat is called q",
            ),
            ("caveats: {}\nsources: {Z: z}\nmethods: [{method: A, printed: {x: {R1: 500, source: Z}}}]", "methods.0.printed.x.R1: "),
            ("{", "cannot be read"),
        ],
    )
    def test_published_numbers_without_a_source_are_refused(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "published.yaml").write_text(text)
        with pytest.raises(UsageError, match=said):
            published.read(tmp_path / "published.yaml")

    def test_nothing_to_report_is_one_line(self) -> None:
        with pytest.raises(UsageError, match=r"no finished run to report on \(1 were left out: x: not finished\)"):
            report.build(Found([], [LeftOut("x", "not finished")]), Silent(), title="", command="")


class TestCommand:
    @pytest.fixture(autouse=True)
    def _no_figures(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """They take seconds; other tests draw them."""
        monkeypatch.setattr(report_figures, "draw", lambda _, folder, __: folder.mkdir(parents=True, exist_ok=True) or [])
        monkeypatch.setattr(report_frames, "tables", lambda *_: {})

    def test_results_without_a_store(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'none.db'}")
        three_models(tmp_path / "runs", seeds=2)
        arguments = ["report", "--results", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--title", "It's"]
        assert main(arguments) == 0
        assert "No model wins by R1" in capsys.readouterr().out
        told = json.loads((tmp_path / "out" / "data.json").read_text(encoding="utf-8"))
        assert told["command"] == f"python -m bench report --results {tmp_path / 'runs'} --out {tmp_path / 'out'} --title 'It'\"'\"'s'"
        before = contents(tmp_path / "out")
        assert main(["report", "--from", str(tmp_path / "out" / "data.json")]) == 0
        assert contents(tmp_path / "out") == before
        assert not (tmp_path / "none.db").exists()

    def test_an_experiment_keeps_its_report(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from bench.tracking import MLflowTracker, client

        uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        for seed in (0, 1):
            one = MLflowTracker(Silent())
            one.start(experiment="tbps/walkers", name=f"acsa-{seed}", params={}, tags={})
            one.metrics({"test/t2i/R1": 50.0})
            for file in fake_run(tmp_path / "runs", seed=seed).iterdir():
                one.artifact(file)
            one.end()
        for _ in range(2):  # the report of the first is no run of the second
            assert main(["report", "--experiment", "tbps/walkers", "--out", str(tmp_path / "out")]) == 0
        assert "acsa obtains an R1 of" in capsys.readouterr().out
        store = client(uri)
        experiment = store.get_experiment_by_name("tbps/walkers").experiment_id
        reports = store.search_runs([experiment], "tags.kind = 'report'")
        assert {run.info.run_name for run in reports} == {"report"}
        assert {file.path for file in store.list_artifacts(reports[0].info.run_id)} >= {"index.html", "data.json", "figures"}
        assert json.loads((tmp_path / "out" / "data.json").read_text(encoding="utf-8"))["left_out"] == []

    def test_a_data_set_of_any_name_has_its_report_below_reports(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_run(tmp_path / "runs", dataset="../../evil/<x>")
        (tmp_path / "a" / "b").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "a" / "b")
        assert main(["report", "--results", "../../runs"]) == 0
        assert [path.name for path in (tmp_path / "a" / "b" / "reports").iterdir()] == ["evil-x"]
        assert {path.name for path in tmp_path.iterdir()} == {"a", "runs"}

    @pytest.mark.parametrize("arguments", [[], ["--experiment", "x", "--from", "y"], ["--results", "x", "--from", "y"]])
    def test_one_source_is_asked_for(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["report", *arguments]) == 2
        assert capsys.readouterr().err.startswith("error: give one of --experiment NAME")
