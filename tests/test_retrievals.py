"""Flips and failures against loops; what sheets are given; attention drawn over an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.attention import TOKEN_BOXES
from bench.contracts import Box
from bench.look.attention_sheet import WHOLE, AttendedPhrase, AttentionRow, attention_map, attention_sheet
from bench.look.retrievals import attention_rows, flip_rows, flips, retrieval_rows, worst
from bench.per_query import spread


def table(ranks: list[int]) -> pd.DataFrame:
    n = len(ranks)
    return pd.DataFrame(
        {
            "query": range(n),
            "caption": [f"caption {place}" for place in range(n)],
            "image": [f"{place}.png" for place in range(n)],
            "pid": range(n),
            "first_match": ranks,
            "nearest": [[f"{(place + step) % n}.png" for step in range(8)] for place in range(n)],
            "nearest_match": [np.array([step == rank - 1 for step in range(8)]) for rank in ranks],
            "nearest_similarity": [np.linspace(1, 0, 8, dtype=np.float32)] * n,
        }
    )


OURS = [table([1, 1, 1, 5, 1]), table([1, 1, 2, 1, 1])]
THEIRS = [table([2, 9, 3, 1, 1]), table([2, 4, 2, 7, 3])]


def test_flips_are_certain_with_every_seed_and_the_clearest_come_first() -> None:
    expected = [q for q in range(5) if all(t["first_match"][q] == 1 for t in OURS) and all(t["first_match"][q] > 1 for t in THEIRS)]
    assert sorted(flips(OURS, THEIRS)) == expected == [0, 1]
    assert flips(OURS, THEIRS) == [1, 0]
    assert flips(THEIRS, OURS) == []


def test_worst_by_the_median_over_seeds_and_then_in_order() -> None:
    medians = [float(np.median([t["first_match"][q] for t in THEIRS])) for q in range(5)]
    assert worst(THEIRS) == sorted(range(5), key=lambda q: (-medians[q], q))


def test_spread_reaches_from_the_first_to_the_last() -> None:
    assert spread(100, 5) == [0, 25, 50, 74, 99]
    assert spread(3, 8) == [0, 1, 2]


def test_rows_of_a_sheet() -> None:
    (row,) = retrieval_rows(OURS[0], [3], Path("/images"), "acsa: ")
    assert (row.caption, row.query_image) == ("acsa: caption 3", Path("/images/3.png"))
    assert row.matches == [False, False, False, False, True, False]
    pair = flip_rows(("acsa", OURS[0]), ("other", THEIRS[0]), [1, 0], Path("/images"))
    assert [row.caption for row in pair] == ["acsa: caption 1", "other: caption 1", "acsa: caption 0", "other: caption 0"]


TOKENS = [WHOLE, Box(0, 0, 1, 0.5), Box(0, 0.5, 1, 1), Box(0, 0, 0.5, 1)]


def test_a_map_is_the_sum_of_what_lies_on_each_pixel() -> None:
    weights = [0.5, 0.2, 0.1, 0.2]
    found = attention_map(TOKENS, weights, 8, 4)
    slow = np.zeros((8, 4))
    for y in range(8):
        for x in range(4):
            for box, weight in zip(TOKENS[1:], weights[1:], strict=True):
                if box.left <= (x + 0.5) / 4 < box.right and box.top <= (y + 0.5) / 8 < box.bottom:
                    slow[y, x] += weight / ((box.right - box.left) * (box.bottom - box.top) * 32)
    np.testing.assert_allclose(found, slow / slow.max())
    assert attention_map([WHOLE], [1.0], 4, 4).max() == 0


def test_attention_rows_and_their_sheet(tmp_path: Path) -> None:
    Image.new("RGB", (32, 64), (200, 180, 160)).save(tmp_path / "0.png")
    rows = [(0, 0, 3, "hat", [0.4, 0, 0.6, 0.1], [0.1, 0.7, 0.1, 0.1]), (0, 4, 7, None, None, [0.25] * 4)]
    rows += [(0, 1, 2, "shoes", [0.4, 0.9, 0.6, 1.0], [0.9, 0.05, 0.03, 0.02])]
    attention = pd.DataFrame(rows, columns=["query", "start", "end", "part", "box", "weights"])
    attention.attrs[TOKEN_BOXES] = [list(box) for box in TOKENS]
    (row,) = attention_rows(attention, OURS[0], [0, 1], tmp_path)
    assert [(phrase.text, phrase.right) for phrase in row.phrases] == [("cap", True), ("ion", None), ("a", False)]
    hostile = AttentionRow("$x^2$ <script>\x00", tmp_path / "none.png", TOKENS, [AttendedPhrase("", [0.25] * 4, None, None, None)])
    for name in ("a.jpg", "b.jpg"):
        attention_sheet([row, hostile], tmp_path / name, title="$\\alpha$")
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.width > 500
    with pytest.raises(OSError):  # noqa: PT011 - whatever the system says
        attention_sheet([row], tmp_path / "0.png" / "a.jpg", title="t")
