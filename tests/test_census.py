"""What `data stats` counts, by hand; and that its figures are drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from bench.census.contact_sheet import contact_sheet
from bench.census.counts import Census, take_census, together
from bench.census.figures import draw_all
from bench.contracts import Box, Grounding, ImageRecord, Split, Twins, silently
from datasets.walkers import Walkers, WalkersOptions


@pytest.fixture
def split() -> Split:
    images = [
        (ImageRecord("a.png", 7), ["A man in a black coat.", "He wears grey and BLACK shoes"]),
        (ImageRecord("b.png", 7), ["a black bag"]),
        (ImageRecord("c.png", 9), []),
    ]
    return Split.from_pairs("train", Path("nowhere"), images)


class TestCensus:
    def test_a_split_by_hand(self, split: Split) -> None:
        census = take_census(split)
        assert census.row == {
            "identities": 2,
            "images": 3,
            "captions": 3,
            "vocabulary": 11,
            "words": {"min": 3, "mean": 5.0, "max": 6},
            "phrases": {"min": 1, "mean": pytest.approx(4 / 3), "max": 2},
            "images_an_identity": {"min": 1, "mean": 1.5, "max": 2},
            "captions_an_image": {"min": 0, "mean": 1.0, "max": 2},
        }
        assert census.named["colour"] == {"black": 3, "grey": 1}
        assert list(census.named["colour"]) == ["black", "grey"]
        assert census.named["garment"] == {"coat": 1}

    def test_several_splits_as_one(self, split: Split) -> None:
        census = take_census(split)
        both = together([census, census])
        assert (both.identities, both.images, both.captions, len(both.vocabulary)) == (4, 6, 6, 11)
        assert both.named["colour"] == {"black": 6, "grey": 2}
        assert both.row["words"] == census.row["words"]

    def test_nothing(self) -> None:
        assert together([]).row["words"] == {"min": 0, "mean": 0.0, "max": 0}
        assert take_census(Split("val", Path(), (), ())).row["captions"] == 0


class TestFigures:
    def test_four_are_drawn(self, split: Split, tmp_path: Path) -> None:
        wide = Census(1, 1, 40, list(range(40)), [3] * 40, [1], [40], frozenset(), {"colour": {"mauve": 3}, "garment": {}})
        drawn = list(draw_all({"train": take_census(split), "val": wide}, tmp_path, title="a $et"))
        assert [file.name for file in drawn] == ["caption_length.png", "phrases_a_caption.png", "images_an_identity.png", "attributes.png"]
        for file in drawn:
            with Image.open(file) as image:
                assert image.width > 400
                assert len(set(image.convert("L").tobytes())) > 10  # not blank

    def test_a_contact_sheet(self, tmp_path: Path) -> None:
        walkers = Walkers(tmp_path, WalkersOptions(size="tiny", twins=1, height=48, width=24))
        walkers.prepare(silently)
        split, twins = walkers.split("test"), walkers.twins("test")
        assert twins
        contact_sheet(split, walkers.grounding("test"), twins, tmp_path / "sheet.png", title="tiny")
        with Image.open(tmp_path / "sheet.png") as image:
            assert image.width > 800

    def test_an_identity_without_captions_or_parts(self, tmp_path: Path) -> None:
        for name in ("a.png", "b.png"):
            Image.new("RGB", (4, 8), "red").save(tmp_path / name)
        split = Split.from_pairs("test", tmp_path, [(ImageRecord("a.png", 1), ["a coat"]), (ImageRecord("b.png", 2), [])])
        grounding = Grounding(({"upper": Box(0, 0, 1, 1)}, {}), (((0, 6, "upper"),),))
        contact_sheet(split, grounding, [Twins(1, 2, "colour: red, blue")], tmp_path / "sheet.png", title="")
        assert (tmp_path / "sheet.png").is_file()


def test_twins_of_walkers_differ_in_what_is_said(tmp_path: Path) -> None:
    walkers = Walkers(tmp_path, WalkersOptions(size="tiny", twins=1, height=48, width=24))
    walkers.prepare(silently)
    identities = walkers._truth["identities"]
    for one, other, differ in walkers.twins("train"):
        mine, theirs = (identities[str(pid)]["attributes"] for pid in (one, other))
        (key,) = [key for key in mine if mine[key] != theirs[key]]
        assert differ == f"{key.replace('.', ' ')}: {mine[key]}, {theirs[key]}"
    assert Walkers(tmp_path, WalkersOptions(size="tiny", twins=0, height=48, width=24)).twins("train") == []
