"""Spoilt files, 2,000 of them: never a traceback, and nothing is read outside the data root.

An audit hook of Python's sees every file that is opened and every folder that is listed. Hooks cannot be taken off again: this one looks
on only while `watching`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from bench.contracts import Dataset, SplitName, UsageError
from bench.doctor.check import check
from bench.doctor.findings import Diagnosis
from bench.progress import Silent
from datasets.rstpreid import RSTPReid
from datasets.table import Table
from tests.test_doctor import photograph, saved
from tests.test_records import links

CASES, BATCHES = 2000, 4
"""Half are of the real format, half tables; a third each spoils records, images, and both."""
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")
READS = ("open", "os.scandir", "os.listdir")
EVENTS = (*READS, "subprocess.Popen", "os.system", "socket.connect")

_touched: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _touched is not None and event in EVENTS and arguments and not isinstance(arguments[0], int):
        _touched.append(f"{event} {os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else arguments[0]}")


sys.addaudithook(_hook)


@contextmanager
def watching() -> Iterator[list[str]]:
    """What is opened, listed or started meanwhile."""
    global _touched  # noqa: PLW0603 - a hook has no other way to be told
    _touched = seen = []
    try:
        yield seen
    finally:
        _touched = None


def outside(seen: list[str], root: Path) -> list[str]:
    """What lies, links followed, neither below the root nor in Python's own installation."""
    allowed = tuple(os.path.realpath(place) for place in (root, sys.prefix, sys.base_prefix))
    return [
        one
        for one in seen
        if not os.path.realpath(one.partition(" ")[2]).startswith(allowed) or one.startswith(("sub", "os.system", "sock"))
    ]


# ------------------------------------------------------------------------------------------------------------ spoiling

PATHS = [
    *["../secret.png", "../../secret.png", "/etc/passwd", "..\\secret.png", "C:/secret.png", "a/../../../secret.png"],
    *["link.png", "folder/secret.png", "file:///etc/passwd", "~/.bashrc", "a\0b.png", "\ud800.png"],
    *["x" * 5000 + ".png", "x/" * 500 + "y.png", "", ".", "..", "/"],
]
VALUES = [
    *[None, True, False, 0, -1, 1.5, 2**63, 10**400, float("inf"), float("nan"), "", " ", "x", "\ud800", "\u202e", "0", "train", "ÿ"],
    *[[], {}, [[]], [None], [""], ["a", 1], {"a": {"b": []}}, [["x"] * 3] * 3, *PATHS],
]
NUMBERS = [b'"id": 1, "id": ', b'"id": 9999999999999999999', b'"id": 1e400, "x": ', b'"ID": ']
TEXTS = [b"[" * 50_000, b'{"a":' * 50_000, b"[1e999999, -0, 1E+5]", b"9" * 10_000, b"\0" * 50, b"", b"nan", b'"' * 99]
FILES = [
    *[b"", b"<html>", b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n", b"RIFF\0\0\0\0WEBPVP8 ", b"GIF89a", b"BM"],
    *[b"P6 99999 99999 255\n", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n", b"II*\0"],
]


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


def spoilt_records(random: Random, records: list[dict[str, Any]]) -> Any:
    """Some records with a value, a key or a type of another kind; or no list at all."""
    records = [dict(record) for record in records]
    for _ in range(random.randint(1, 4)):
        record = random.choice(records)
        if not isinstance(record, dict):
            continue
        key = random.choice(list(record) or ["id"])
        kind = random.randrange(8)
        if kind == 0:
            record.pop(key, None)
        elif kind == 1:
            records[random.randrange(len(records))] = random.choice(VALUES)
        elif kind == 2:
            record[random.choice(["file_path", "image", "caption", "image_id", "pid", "split", "new"])] = random.choice(VALUES)
        elif kind == 3:
            record[key] = nested(random.choice([1, 5, 200]))
        elif kind == 4:
            records.append(dict(random.choice([one for one in records if isinstance(one, dict)])))
        elif kind == 5:
            record["img_path" if "img_path" in record else "image"] = random.choice(PATHS)
        else:
            record[key] = random.choice(VALUES)
    return random.choice(VALUES) if random.random() < 0.03 else records


def spoilt_bytes(random: Random, text: bytes) -> bytes:
    """Text in another encoding, cut, with bytes changed, or nested or numbered beyond measure."""
    kind = random.randrange(10)
    if kind < 3:
        return text
    if kind == 3:
        return text[: random.randrange(len(text) + 1)]
    if kind == 4:
        place = random.randrange(len(text) + 1)
        return text[:place] + random.randbytes(random.randint(1, 6)) + text[place:]
    if kind == 5:
        return text.decode("utf-8", "surrogateescape").encode(random.choice(["utf-16", "utf-32", "utf-8-sig"]), "surrogatepass")
    if kind == 6:
        return random.choice(TEXTS)
    if kind == 7:
        return text.replace(b'"id": ', random.choice(NUMBERS), 2)
    if kind == 8:
        return text.replace(b",", random.choice([b";", b",,", b"\t", b",\n"]), random.randint(1, 5))
    return text.replace(b'"', random.choice([b"'", b'""', b'\\"', b""]), random.randint(1, 5))


def spoilt_image(random: Random, sound: bytes) -> bytes:
    """A picture cut, with bytes changed, of another kind, or one that unpacks to gigabytes."""
    kind = random.randrange(8)
    if kind == 0:
        return sound[: random.randrange(len(sound))]
    if kind in (1, 2):
        spoilt = bytearray(sound)
        for _ in range(random.randint(1, 30)):
            spoilt[random.randrange(len(spoilt))] = random.randrange(256)
        return bytes(spoilt)
    if kind == 3:
        return random.choice(
            [
                b"",
                b"<html>",
                b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file\n",
                b"RIFF\0\0\0\0WEBPVP8 ",
                b"GIF89a",
                b"BM",
                b"P6 99999 99999 255\n",
            ]
        )
    if kind == 4:  # the header promises more pixels than anyone has memory for
        return sound[:16] + random.randbytes(8) + sound[24:]
    if kind == 5:
        return BOMB
    if kind == 6:
        return random.randbytes(random.randint(1, 300))
    return saved(photograph(random.randrange(99)), random.choice(["BMP", "GIF", "TIFF", "WEBP", "JPEG", "PPM"]))


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(buffer, "PNG")
    return buffer.getvalue()


BOMB = bomb()


# ---------------------------------------------------------------------------------------------------------- the set


class Place:
    """A sound set in either format, which each case spoils and puts back; beside it what nobody may read."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.root = folder, folder / "data"
        self.home = self.root / ("RSTPReid" if kind == "real" else "album")
        self.images = self.home / "imgs" if kind == "real" else self.home
        self.images.mkdir(parents=True)
        (folder / "secret").mkdir()
        for place in (folder / "secret.png", folder / "secret" / "secret.png", self.root / "secret.png"):
            place.write_bytes(saved(photograph(77)))
        (self.images / "link.png").symlink_to(folder / "secret.png")
        (self.images / "folder").symlink_to(folder / "secret")
        path = "img_path" if kind == "real" else "image"
        self.records = [
            {"id" if kind == "real" else "pid": pid, path: f"{pid}.png", "captions": [f"The man in coat {pid}."], "split": SPLITS[pid % 3]}
            for pid in range(6)
        ]
        self.sound = {f"{pid}.png": saved(photograph(pid, 32, 16)) for pid in range(6)}
        self.files = {"real": ("data_captions.json",), "table": ("a.json", "a.jsonl", "a.csv")}[kind]
        self.write_images(self.sound)

    def write_images(self, contents: dict[str, bytes]) -> None:
        for name, content in contents.items():
            (self.images / name).write_bytes(content)

    def write(self, name: str, records: Any, spoil: Callable[[bytes], bytes]) -> Path:
        (self.home / name).write_bytes(spoil(text_of(name, records)))
        return self.home / name

    def dataset(self, file: Path) -> Dataset:
        return RSTPReid(self.root) if file.name == "data_captions.json" else Table.of_file(file)(self.root)


def text_of(name: str, records: Any) -> bytes:
    if name.endswith(".csv") and isinstance(records, list):
        buffer = io.StringIO()
        rows = [record for record in records if isinstance(record, dict)]
        columns = [*dict.fromkeys(key for row in rows for key in row if key != "captions"), "caption"]
        table = csv.writer(buffer)
        table.writerow(columns)
        for row in rows:
            captions = row.get("captions")
            caption = captions[0] if isinstance(captions, list) and captions else captions
            table.writerow([str(row.get(column, ""))[:9000] if column != "caption" else str(caption)[:9000] for column in columns])
        return buffer.getvalue().encode("utf-8", "surrogatepass")
    if name.endswith(".jsonl") and isinstance(records, list):
        return "\n".join(map(json.dumps, records)).encode()
    return json.dumps(records).encode()


def used(dataset: Dataset) -> Diagnosis | None:
    """Everything that reads: each is allowed a UsageError of one line and nothing else."""
    diagnosis = None
    for call in (dataset.fingerprint, dataset.choices, lambda: dataset.columns("test"), lambda: dataset.camera("0.png")):
        with told():
            call()
    with told():
        diagnosis = check("it", dataset, Silent(), workers=0)
        json.dumps(diagnosis.as_json()).encode()
    return diagnosis


@contextmanager
def told() -> Iterator[None]:
    try:
        yield
    except UsageError as error:
        said = str(error)
    else:
        return
    said.encode()
    assert len(said.splitlines()) == 1, said


# ---------------------------------------------------------------------------------------------------------- the test


@links
@pytest.mark.slow
@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("kind", ["real", "table"])
def test_spoilt_files_are_told_and_nothing_outside_is_read(tmp_path: Path, kind: str, batch: int) -> None:
    place, verdicts = Place(tmp_path, kind), set[int | None]()
    used(place.dataset(place.write(place.files[0], place.records, bytes)))  # what is imported at first use is opened now
    for case in range(CASES // (2 * BATCHES)):
        random = Random(f"{kind} {batch} {case}")
        spoilt, file = spoil(place, random, images=case % 3 > 0, records=case % 3 < 2)
        dataset = place.dataset(file)
        with watching() as seen:
            diagnosis = used(dataset)
        assert outside(seen, place.root) == [], f"case {kind} {batch} {case}"
        assert any(one.startswith("open") for one in seen)
        verdicts.add(diagnosis.severity if diagnosis else None)
        place.write_images({name: place.sound[name] for name in spoilt})
    assert verdicts >= {None, 2}


def spoil(place: Place, random: Random, *, images: bool, records: bool) -> tuple[list[str], Path]:
    """Spoil some images, some records, or both: which images, and the file of the records."""
    names = random.sample(sorted(place.sound), 2) if images else []
    place.write_images({name: spoilt_image(random, place.sound[name]) for name in names})
    content = spoilt_records(random, place.records) if records else place.records
    return names, place.write(random.choice(place.files), content, partial(spoilt_bytes, random) if records else bytes)


@links
def test_the_watch_sees_what_is_read_outside(tmp_path: Path) -> None:
    place = Place(tmp_path, "real")
    with watching() as seen:
        (place.images / "link.png").read_bytes()
        os.listdir(place.images / "folder")
        (place.images / "0.png").read_bytes()
    assert len(outside(seen, place.root)) == 2
