"""Figures of a report: all are drawn from plain tables, name every model, and the same tables give the same bytes."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.report._style import styles
from bench.report.figures import FIGURES, draw

MODELS = ("acsa", "region-phrase", "<script>alert(1)</script> $x^2$ \\input{a}")
SVG = "{http://www.w3.org/2000/svg}"


def tables(models: tuple[str, ...] = MODELS) -> dict[str, pd.DataFrame]:
    values = {model: 50.0 - 6 * place for place, model in enumerate(models)}
    scores = [
        (m, metric, seed, v + (seed or 0), v - 3, v + 3) for m, v in values.items() for metric in ("R1", "mAP") for seed in (None, 1, 2)
    ]
    cost = [(m, v, v - 2, v + 2, 1e6 * v, 2e8, 4.0, 0.5, 0.25, 768.0, 700.0) for m, v in values.items()]
    groups = [("colour", "red"), ("colour", "blue"), ("garment", "coat"), ("words", "8–14"), ("words", "15–40"), ("camera", "c1")]
    parts = [("all parts", 90), ("upper", 40), ("shoes", 30)]
    columns = {
        "scores": ("model metric seed value low high", scores),
        "differences": (
            "first second metric difference low high",
            [(a, b, "R1", values[a] - values[b], 1.0 - place, 9.0) for place, (a, b) in enumerate(combinations(models, 2))],
        ),
        "rank_curves": (
            "model k R low high",
            [(m, k, v + k / 2, v + k / 2 - 4, v + k / 2 + 4) for m, v in values.items() for k in range(1, 51)],
        ),
        "history": (
            "model seed epoch R1 mAP",
            [(m, s, e, v * e / 5 + s, v * e / 6) for m, v in values.items() for s in (0, 1) for e in range(1, 6)],
        ),
        "cost": ("model R1 low high parameters flops ms_image ms_caption ms_search index_bytes peak_mib", cost),
        "heat": (
            "row column value",
            [(row, column, 30.0 + len(row)) for row in models for column in ("whole", "regions", "a scale with a long name")],
        ),
        "breakdown": (
            "by group model queries identities R1 low high",
            [(by, group, m, 120, 40, v, v - 5, v + 5) for by, group in groups for m, v in values.items()],
        ),
        "pointing": (
            "model part phrases identities accuracy low high mass whole chance constant prior",
            [(m, part, n, 20, v, v - 4, v + 4, v, 10.0, 25.0, 40.0, 90.0) for part, n in parts for m, v in values.items()],
        ),
    }
    return {name: pd.DataFrame(rows, columns=heads.split()) for name, (heads, rows) in columns.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("figures")
    assert [drawing.name for drawing in draw(tables(), place)] == list(FIGURES)
    return place


def text(file: Path) -> str:
    return " ".join("".join(element.itertext()) for element in ElementTree.parse(file).iter(f"{SVG}text"))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_picture_and_a_drawing_that_name_every_model(folder: Path, name: str) -> None:
    with Image.open(folder / f"{name}.png") as image:
        assert image.width > 300
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn, and can be seen in grey
    told = text(folder / f"{name}.svg")
    assert all(model in told for model in MODELS[:2])
    assert "<script>alert(1)</script>"[:20] in told  # as text
    assert "<script" not in (folder / f"{name}.svg").read_text()
    assert not re.search(r"(href|src)=\"(?!#|data:)", (folder / f"{name}.svg").read_text())


def test_the_same_tables_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = {name: table for name, table in tables().items() if name in ("rank_curves", "cost")}
    for drawing in draw(again, tmp_path):
        for kind in ("svg", "png"):
            assert (tmp_path / f"{drawing.name}.{kind}").read_bytes() == (folder / f"{drawing.name}.{kind}").read_bytes()
    assert not any(part in (folder / "cost.svg").read_text() for part in ("dc:date", "Matplotlib"))


def test_a_table_that_is_missing_or_empty_costs_its_figure(tmp_path: Path) -> None:
    given = {"heat": tables()["heat"], "cost": pd.DataFrame(), "breakdown": tables()["breakdown"].query("by == 'camera'")}
    assert [drawing.name for drawing in draw(given, tmp_path)] == ["heat", "captions"]
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for name in ("heat", "captions") for kind in ("svg", "png")}


def test_one_model_with_one_seed_and_costs_unknown(tmp_path: Path) -> None:
    alone = tables(("acsa",))
    alone["cost"] = alone["cost"].assign(flops=np.nan, ms_search=np.nan, low=np.nan, high=np.nan)
    alone["history"] = alone["history"].query("seed == 0")
    alone["scores"] = alone["scores"].query("seed.isna()").assign(low=np.nan, high=np.nan)
    assert len(draw(alone, tmp_path)) == len(FIGURES) - 1  # no pair, no difference


def test_models_differ_in_more_than_colour() -> None:
    told = list(styles([str(number) for number in range(56)]).values())
    for one, other in combinations(told, 2):
        assert (one.dash, one.marker) != (other.dash, other.marker)
    luminance = [0.2126 * int(s.colour[1:3], 16) + 0.7152 * int(s.colour[3:5], 16) + 0.0722 * int(s.colour[5:], 16) for s in told[:4]]
    assert min(abs(a - b) for a, b in pairwise(luminance)) > 20


def test_a_model_looks_alike_in_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tables()
    given["pointing"] = given["pointing"].query("model != 'acsa'")
    draw({name: given[name] for name in ("rank_curves", "pointing")}, tmp_path)
    colours = [re.findall(r"stroke: (#[0-9a-f]{6})", (tmp_path / f"{name}.svg").read_text()) for name in ("rank_curves", "pointing")]
    acsa, region = (style.colour for style in list(styles(MODELS).values())[:2])
    assert [colour in found for colour in (acsa, region) for found in colours] == [True, False, True, True]
