"""Which images are there: missing ones, and links that lead out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.contracts import Dataset, ImageRecord, Split, SplitName, absent


class Gallery(Dataset):
    """One image with a caption, and one that nobody describes."""

    citation = "Nobody."
    second = "b.jpg"

    def split(self, name: SplitName) -> Split:
        return Split.from_pairs(name, self.root, [(ImageRecord("a.jpg", 1), ["A coat."]), (ImageRecord(self.second, 2), [])])


def test_the_fingerprint_covers_images_that_nobody_describes(tmp_path: Path) -> None:
    one, other = Gallery(tmp_path), Gallery(tmp_path)
    assert one.fingerprint() == other.fingerprint()
    other.second = "c.jpg"
    assert one.fingerprint() != other.fingerprint()


links = pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.jpg", "one/b.jpg", "one/two/c.jpg"):
        (tmp_path / "imgs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "imgs" / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.jpg").touch()
    return tmp_path / "imgs"


def test_what_is_missing_equals_its_slow_twin(root: Path) -> None:
    (root / "one/folder.jpg").mkdir()
    paths = [
        "a.jpg",
        "b.jpg",
        "one/b.jpg",
        "one/c.jpg",
        "one/folder.jpg",
        "one/two/c.jpg",
        "none/d.jpg",
        "a.jpg/e.jpg",
        "n\0.jpg",
        "x\0/y.jpg",
    ]
    plain = [path for path in paths if "\0" not in path]
    gone = absent(root, paths)
    assert gone.missing == sorted(["n\0.jpg", "x\0/y.jpg", *(path for path in plain if not (root / path).is_file())])
    assert gone.outside == []


@links
def test_links_that_lead_out_are_outside(root: Path) -> None:
    (root / "file.jpg").symlink_to(root.parent / "elsewhere" / "secret.jpg")
    (root / "folder").symlink_to(root.parent / "elsewhere")
    (root / "dangling.jpg").symlink_to(root / "nowhere.jpg")
    (root / "round.jpg").symlink_to(root / "round.jpg")
    gone = absent(root, ["a.jpg", "file.jpg", "folder/secret.jpg", "folder/none.jpg", "dangling.jpg", "round.jpg"])
    assert gone.outside == ["file.jpg", "folder/none.jpg", "folder/secret.jpg"]
    assert gone.missing == ["dangling.jpg", "round.jpg"]


@links
def test_links_that_stay_are_followed_and_the_root_may_be_one(root: Path) -> None:
    (root / "again.jpg").symlink_to(root / "one" / "b.jpg")
    (root / "two").symlink_to(root / "one")
    (root.parent / "link").symlink_to(root)
    for place in (root, root.parent / "link"):
        assert absent(place, ["a.jpg", "again.jpg", "two/b.jpg"]) == ([], [])
