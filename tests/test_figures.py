"""Figures are whole PNG files of the expected size, whatever the text and the images are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import canvas, figures
from bench.figures import RetrievalRow, curves, retrieval_sheet

HOSTILE = (
    "costs $5 and $10",
    "$\\frac{a}{$ {unbalanced $$ \\n _x_ ^^ % # & ~",
    "a tab\there, a null \x00, an escape \x1b[31m, a bell \x07\r\n and two lines",
    "turned \u202eround\u202c, half a surrogate pair \ud83d, a byte order mark \ufeff",
    "一个穿着红色外套的女人走在街上，她背着一个黑色的背包。" * 9,
    "emoji 🙂👩‍👩‍👧, العربية, हिन्दी, עברית, Zalgo z̷̢̛͖a̸l̵g̶o",
    "x" * 5000,
    "word " * 1000,
    "   ",
    "",
)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve images of noise, of several shapes and modes."""
    folder, noise = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    paths = []
    for number in range(12):
        height, width = [(384, 128), (200, 100), (60, 90), (1200, 300)][number % 4]
        path = folder / f"{number}.png"
        image = Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
        image.convert(["RGB", "L", "P"][number % 3]).save(path)
        paths.append(path)
    return paths


def history(epochs: int) -> list[dict[str, float]]:
    return [
        {
            "epoch": e,
            "train/loss": 3.0 / e,
            "train/sdm": 2.0 / e,
            "train/id": 1.0 / e,
            "val/t2i/R1": 4.0 * e,
            "val/t2i/mAP": 3.0 * e,
            "lr": 1e-4,
        }
        for e in range(1, epochs + 1)
    ]


def row(images: Sequence[Path], caption: str = "A man in a red coat.", **changes: Any) -> RetrievalRow:
    made = RetrievalRow(caption, images[0], list(images[1:6]), [True, False, True, False, False], [0.9, 0.8, 0.7, 0.6, 0.5])
    return replace(made, **changes)


def pixels(path: Path) -> np.ndarray[Any, Any]:
    """The picture, decoded in full."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def share(picture: np.ndarray[Any, Any], colour: str) -> int:
    """Pixels of exactly this colour."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((picture == wanted).all(axis=2).sum())


def draw_curves(path: Path, records: Sequence[Mapping[str, float]], **changes: Any) -> np.ndarray[Any, Any]:
    arguments: dict[str, Any] = {"title": "acsa on walkers, seed 0", "chance": 2.0, "ceiling": 96.0, "selected": 3}
    curves(records, path, **arguments | changes)
    return pixels(path)


# -------------------------------------------------------------------------------------------------------------- curves


def test_curves_have_the_expected_size_and_leave_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "curves.png"
    assert draw_curves(path, history(20)).shape == (round(4.6 * canvas.DPI), round(11.0 * canvas.DPI), 3)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("changed", [{"chance": None}, {"ceiling": None}, {"selected": None}, {"selected": 5}, {"ceiling": 50.0}])
def test_each_argument_of_curves_shows(tmp_path: Path, changed: dict[str, float | None]) -> None:
    usual = draw_curves(tmp_path / "a.png", history(9))
    assert (draw_curves(tmp_path / "b.png", history(9), **changed) != usual).any()


@pytest.mark.parametrize(
    "records",
    [
        [],
        [{}],
        [{"epoch": 1.0}],
        history(1),
        history(300),
        [{"epoch": 1, "train/loss": float("nan"), "val/t2i/R1": float("inf")}],
        [{"epoch": 2, "train/loss": 1.0}, {"epoch": 3, "val/t2i/R1": 5.0}],
        [{"train/loss": 1.0}, {"train/loss": -5.0}],
        [{"epoch": 1, "train/only": 1.0, "train/loss": 1.0}],
        [{"epoch": 1, **{f"train/term{n}": float(n) for n in range(25)}}],
        [{"epoch": 1, "train/_private $x^2$ \x00": 1.0, "train/": 2.0, "train/大": 1e30, "train/loss": 1e-30}],
    ],
    ids=lambda records: f"{len(records)} epochs, {len(records[0]) if records else 0} keys",
)
def test_curves_of_any_history_are_drawn(tmp_path: Path, records: list[dict[str, float]]) -> None:
    assert draw_curves(tmp_path / "a.png", records).shape[2] == 3


def test_what_has_no_value_is_left_out() -> None:
    records = [{"epoch": 1, "a": 5.0}, {"epoch": 2}, {"epoch": 3, "a": float("nan")}, {"epoch": 4, "a": 7.0}]
    assert figures._points(records, "a") == [(1, 5.0), (4, 7.0)]
    assert figures._points([{"a": 5.0}], "a") == [(1, 5.0)]


# --------------------------------------------------------------------------------------------------------------- sheets


def test_a_sheet_has_the_expected_size(tmp_path: Path, images: list[Path]) -> None:
    retrieval_sheet([row(images)] * 8, tmp_path / "sheet.png", title="eight captions")
    height = figures.TITLE_INCHES + 8 * figures.ROW_INCHES
    width = figures.CAPTION_INCHES + 6 * figures.IMAGE_INCHES + 0.6
    assert pixels(tmp_path / "sheet.png").shape == (int(height * canvas.DPI), int(width * canvas.DPI), 3)


def test_frames_tell_matches_from_misses(tmp_path: Path, images: list[Path]) -> None:
    for name, matches in (("match", [True] * 5), ("miss", [False] * 5)):
        retrieval_sheet([row(images, matches=matches)], tmp_path / f"{name}.png", title=name)
    match, miss = pixels(tmp_path / "match.png"), pixels(tmp_path / "miss.png")
    assert share(match, figures.MATCH) > 1000
    assert share(match, figures.MISS) == 0
    assert share(miss, figures.MISS) > 1000
    assert share(miss, figures.MATCH) == 0


def test_a_mark_says_it_without_colour(tmp_path: Path, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "MISS", figures.MATCH)
    for name, matches in (("match", [True] * 5), ("miss", [False] * 5)):
        retrieval_sheet([row(images, matches=matches)], tmp_path / f"{name}.png", title="same")
    assert (pixels(tmp_path / "match.png") != pixels(tmp_path / "miss.png")).any()


@pytest.mark.parametrize("caption", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_drawn(tmp_path: Path, images: list[Path], caption: str) -> None:
    retrieval_sheet([row(images[:2], caption, gallery=[images[1]], matches=[True], similarities=[1.0])], tmp_path / "a.png", title=caption)
    assert pixels(tmp_path / "a.png").shape[0] > 100
    curves(history(2), tmp_path / "b.png", title=caption, chance=None, ceiling=None)


def test_dollars_are_drawn_as_dollars(tmp_path: Path, images: list[Path]) -> None:
    """As mathematics, `$a$` would be two letters narrower than `$a$a`, and spaces between dollars would vanish."""
    retrieval_sheet([row(images, "$a b$")], tmp_path / "a.png", title="t")
    retrieval_sheet([row(images, "$ab$")], tmp_path / "b.png", title="t")
    assert (pixels(tmp_path / "a.png") != pixels(tmp_path / "b.png")).any()


@pytest.mark.parametrize("caption", HOSTILE, ids=range(len(HOSTILE)))
def test_a_caption_stays_in_its_place(caption: str) -> None:
    lines = figures.wrapped(caption).split("\n")
    assert len(lines) <= figures.CAPTION_LINES
    assert max(map(len, lines)) <= figures.CAPTION_LETTERS
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize("content", [None, b"", b"no image", b"\x89PNG\r\n\x1a\n broken", "folder", "cut"])
def test_an_image_that_cannot_be_read_is_a_grey_box(tmp_path: Path, images: list[Path], content: bytes | str | None) -> None:
    path = tmp_path / "$gone$\x07.png"
    if content == "folder":
        path.mkdir()
    elif content == "cut":
        path.write_bytes(images[0].read_bytes()[:2000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    retrieval_sheet([row(images, query_image=path, gallery=[path, *images[1:5]])], tmp_path / "a.png", title="t")
    assert share(pixels(tmp_path / "a.png"), "#d9d9d9") > 10_000


def test_rows_may_be_short_and_few(tmp_path: Path, images: list[Path]) -> None:
    none = row(images, query_image=None, gallery=[], matches=[], similarities=[])
    retrieval_sheet([row(images), none, row(images, query_image=None)], tmp_path / "a.png", title="t")
    retrieval_sheet([none], tmp_path / "b.png", title="t")
    retrieval_sheet([], tmp_path / "c.png", title="t")
    assert all(pixels(tmp_path / name).size for name in ("a.png", "b.png", "c.png"))


def test_columns_that_do_not_agree_are_an_error(tmp_path: Path, images: list[Path]) -> None:
    with pytest.raises(ValueError, match="zip"):
        retrieval_sheet([row(images, matches=[True])], tmp_path / "a.png", title="t")
    assert list(tmp_path.iterdir()) == [], "no file is left half-made"


# ---------------------------------------------------------------------------------------------------------------- both


def test_a_figure_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    path = tmp_path / "a.png"
    before = draw_curves(path, history(2))

    def fail(self: Any, target: Path, **_: Any) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_curves(path, history(9))
    assert (pixels(path) == before).all()
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    draw_curves(tmp_path / "a.png", history(5))
    draw_curves(tmp_path / "b.png", history(5))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_global_state_of_matplotlib_changes(tmp_path: Path) -> None:
    import matplotlib
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    draw_curves(tmp_path / "a.png", history(2))
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_importing_the_module_imports_no_matplotlib() -> None:
    code = "import sys, bench.figures; sys.exit(any(name.split('.')[0] in ('matplotlib', 'seaborn', 'PIL') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(figures.__file__).parents[1], check=False).returncode == 0
