"""Annotation files: what is read, and the line each malformed thing is answered with."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from bench.contracts import CaptionRecord, ImageRecord, UsageError
from datasets._annotations import entries, gather, read_list, read_records

GOOD = {"id": 4, "img_path": "b/2.jpg", "captions": ["A red coat.", "A coat."], "split": "train"}


SPELLINGS = list(product(("id", "image_id"), ("file_path", "img_path", "image"), ("captions", "caption")))


def write(folder: Path, content: Any) -> Path:
    file = folder / "records.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return file


def test_records_become_splits_in_the_order_of_paths(tmp_path: Path) -> None:
    records = [
        GOOD,
        {**GOOD, "img_path": "b/10.jpg", "id": 0, "captions": ["ä"], "processed_tokens": [["more"]]},
        {**GOOD, "split": "test"},
    ]
    splits = read_records(write(tmp_path, records), tmp_path / "imgs")
    assert list(splits) == ["train", "val", "test"]
    assert splits["train"].root == tmp_path / "imgs"
    assert splits["train"].images == (ImageRecord("b/10.jpg", 0), ImageRecord("b/2.jpg", 4))
    assert splits["train"].captions == (CaptionRecord("ä", 0), CaptionRecord("A red coat.", 1), CaptionRecord("A coat.", 1))
    assert splits["val"].images == ()
    assert splits["test"].images == (ImageRecord("b/2.jpg", 4),)


def test_a_byte_order_mark_and_other_names(tmp_path: Path) -> None:
    file = write(tmp_path, b"\xef\xbb\xbf" + json.dumps([GOOD]).encode())
    gathered = gather(entries(read_list(file)), renamed={"b/2.jpg": "c.jpg"}).sound(file)
    assert gathered.split("train", tmp_path).images == (ImageRecord("c.jpg", 4),)
    assert gathered.renamed == {"b/2.jpg": "c.jpg"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"[{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'["\xff"]', "not UTF-8 at byte 2"),
        ({"records": [GOOD]}, "holds a dict"),
        ([], "holds an empty list"),
        ("text", "holds a str"),
    ],
)
def test_what_is_no_list_of_records(tmp_path: Path, content: Any, said: str) -> None:
    file = write(tmp_path, content)
    complains(file, str(file), said)


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_what_cannot_be_read(tmp_path: Path, kind: str) -> None:
    complains(tmp_path if kind == "folder" else tmp_path / "none.json", "cannot be read")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        *(({key: None}, f"lacks '{'file_path' if key == 'img_path' else key}'") for key in GOOD),
        *(({"id": pid}, "'id' must be a whole number") for pid in ["4", 4.0, True, -1, 2**63, [4]]),
        *(({"split": split}, "'split' must be one of train, val, test") for split in ["Train", "trainval", 3, True, ["train"]]),
        *(({"captions": captions}, "'captions' must be a list of at least one text") for captions in ["A coat.", [], {}, 1, True]),
        *(({"captions": ["A coat.", bad]}, "'captions' must hold texts") for bad in ["", "  \n", 1, ["A coat."], "half \ud800"]),
        *(({"img_path": path}, "'img_path' must be a path") for path in ["", 1, ["b.jpg"], True, "\udfff.jpg"]),
    ],
)
def test_malformed_records(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    record = {key: value for key, value in {**GOOD, **change}.items() if value is not None}
    file = write(tmp_path, [{**GOOD, "img_path": "first.jpg"}, record])
    complains(file, f"{file}: record 1: ", said)


@pytest.mark.parametrize("record", [None, 3, "text", [GOOD]])
def test_what_is_no_record(tmp_path: Path, record: Any) -> None:
    complains(write(tmp_path, [record]), "record 0: is a", "make it an object")


@pytest.mark.parametrize(
    "path",
    [
        *["/etc/passwd", "../a.jpg", "a/../../b.jpg", "a/..", "..", ".", "./a.jpg", "a//b.jpg", "a/"],
        *["a\\b.jpg", "..\\a.jpg", "\\\\host\\a", "C:/a.jpg", "C:a.jpg", "a\0.jpg", "a\n.jpg"],
    ],
)
def test_paths_that_leave_the_image_folder(tmp_path: Path, path: str) -> None:
    complains(write(tmp_path, [{**GOOD, "img_path": path}]), "record 0: 'img_path' must be a plain path below the image folder")


@pytest.mark.parametrize("path", ["a.jpg", "a b/c.jpg.jpg", "..a/b..jpg", "...", "ä/ö.png"])
def test_paths_that_stay(tmp_path: Path, path: str) -> None:
    splits = read_records(write(tmp_path, [{**GOOD, "img_path": path}]), tmp_path)
    assert splits["train"].images[0].path == path


def test_an_image_given_twice(tmp_path: Path) -> None:
    complains(
        write(tmp_path, [GOOD, {**GOOD, "split": "val"}, {**GOOD, "id": 5}]), "record 2: image 'b/2.jpg' of split 'train'", "record 0"
    )


def complains(file: Path, *said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_records(file, file.parent)
    message = str(caught.value)
    assert all(part in message for part in said), message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(("pid", "path", "captions"), SPELLINGS)
def test_every_spelling_of_the_keys(tmp_path: Path, pid: str, path: str, captions: str) -> None:
    record = {pid: 4, path: "a.jpg", captions: ["A coat.", "A red coat."], "split": "val"}
    split = read_records(write(tmp_path, [record]), tmp_path)["val"]
    assert (split.images, [caption.text for caption in split.captions]) == ((ImageRecord("a.jpg", 4),), ["A coat.", "A red coat."])


def test_a_record_a_caption(tmp_path: Path) -> None:
    """As APTM has train: the image comes back, its captions in an order of their own, so that the file's does not count."""
    records = [{"image_id": 1, "image": "a.jpg", "caption": text, "split": "train"} for text in ("B b.", "A a.", "B b.")]
    split = read_records(write(tmp_path, records), tmp_path)["train"]
    assert split.captions == tuple(CaptionRecord(text, 0) for text in ("A a.", "B b.", "B b."))
    complains(
        write(tmp_path, [*records, {**records[0], "image_id": 2}]), "record 3: image 'a.jpg'", "already stands in record 0, as identity 1"
    )


def test_up_to_ten_captions_an_image(tmp_path: Path) -> None:
    captions = [f"A coat and {n} hats." for n in range(10)]
    split = read_records(
        write(tmp_path, [{**GOOD, "captions": captions}, {**GOOD, "img_path": "z.bmp", "captions": captions[:1]}]), tmp_path
    )
    assert [caption.image for caption in split["train"].captions] == [0] * 10 + [1]


def test_every_defect_is_gathered(tmp_path: Path) -> None:
    bad = [
        {**GOOD, "id": -1},
        {**GOOD, "img_path": "../x"},
        {**GOOD, "img_path": ".//x"},
        {**GOOD, "captions": [""]},
        3,
        {**GOOD, "split": "x"},
    ]
    gathered = gather(entries([GOOD, *bad, GOOD, {"id": 1}]))
    rules = ["identity", "outside", "path", "captions", "record", "split", "repeated", "keys"]
    assert [(defect.where, defect.rule) for defect in gathered.defects] == [(f"record {n}", rule) for n, rule in enumerate(rules, 1)]
    with pytest.raises(UsageError, match=r"record 1: .*\(and 7 more, which `data check` lists\)"):
        gathered.sound(tmp_path)
