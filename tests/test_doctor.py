"""The check of a data set: each fault is planted in a small sound set, and found, and nothing else is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench import registry
from bench.cli import main
from bench.config import opened
from bench.doctor.captions import RULES
from bench.doctor.check import check
from bench.doctor.duplicates import near
from bench.doctor.findings import Diagnosis, Finding, Severity
from bench.doctor.images import MAX_BYTES, look_at
from bench.progress import Silent
from tests.test_records import links
from tests.test_table import ROWS
from tests.test_table import write as write_table

Record = dict[str, Any]
SIZES = {"train": 6, "val": 2, "test": 3}


def photograph(seed: int, height: int = 64, width: int = 32) -> Image.Image:
    """A picture of its own, soft enough to be saved anew without a change that one sees."""
    random = np.random.default_rng(seed)
    return Image.fromarray(random.integers(0, 256, (32, 16, 3), dtype=np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


class Set:
    """A sound little RSTPReid, which says nothing but that it is small, and may be spoilt."""

    def __init__(self, root: Path, *, first_seed: int = 0) -> None:
        self.root, self.images = root, root / "RSTPReid" / "imgs"
        self.images.mkdir(parents=True)
        splits = [split for split, size in SIZES.items() for _ in range(size)]
        self.records: list[Record] = [
            {"id": pid, "img_path": f"{pid:04}_c{n}_1.png", "captions": [f"The man in coat {pid}{n}."], "split": split}
            for pid, split in enumerate(splits)
            for n in range(2)
        ]
        for number, record in enumerate(self.records):
            (self.images / record["img_path"]).write_bytes(saved(photograph(first_seed + number)))

    def of(self, split: str) -> list[Record]:
        return [record for record in self.records if record["split"] == split]

    def file(self, split: str, number: int = 0) -> Path:
        return self.images / self.of(split)[number]["img_path"]

    def check(self, **options: Any) -> Diagnosis:
        (self.root / "RSTPReid" / "data_captions.json").write_text(json.dumps(self.records))
        return check("rstpreid", opened("rstpreid", self.root), Silent(), **options)

    def found(self) -> dict[str, Finding]:
        """All but the sizes, which every little set is found to differ in."""
        return {finding.code: finding for finding in self.check().findings if finding.code != "sizes-differ"}


@pytest.fixture
def data(tmp_path: Path) -> Set:
    return Set(tmp_path / "data")


def test_a_sound_set_differs_in_size_alone(data: Set) -> None:
    diagnosis = data.check()
    (finding,) = diagnosis.findings
    assert (finding.code, finding.severity) == ("sizes-differ", Severity.CHANGES)
    assert finding.what == "a subset of the published set: train, val, test differ"
    assert finding.examples[0] == "train: 6 of 3,701 identities, 12 of 18,505 images, 12 of 37,010 captions"
    assert diagnosis.sizes["test"] == {"identities": 3, "images": 6, "captions": 6}
    assert diagnosis.choices == {"annotations": "data_captions.json"}


# --------------------------------------------------------------------------------------------------------- image files


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-60])


def large(file: Path) -> None:
    Image.new("1", (8000, 7000)).save(file)


def bomb(file: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(file)


def heavy(file: Path) -> None:
    with file.open("wb") as opened_file:
        opened_file.truncate(MAX_BYTES + 1)  # sparse: it takes no room


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (Path.unlink, "image-missing"),
        (lambda file: file.write_bytes(b""), "image-empty"),
        (lambda file: file.write_text("<html>404</html>"), "image-foreign"),
        (lambda file: file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), "image-foreign"),
        (cut, "image-truncated"),
        (large, "image-too-large"),
        (bomb, "image-too-large"),
        (heavy, "image-too-large"),
    ],
)
def test_a_bad_image_file(data: Set, spoil: Callable[[Path], object], code: str) -> None:
    spoil(data.file("test", 1))
    (finding,) = data.found().values()
    assert (finding.code, finding.severity, finding.total) == (code, Severity.UNUSABLE, 1)
    assert data.file("test", 1).name in finding.examples[0]


@links
def test_what_is_no_file_is_missing(data: Set) -> None:
    for number, make in enumerate((Path.mkdir, os.mkfifo, lambda file: file.symlink_to(file))):
        data.file("train", number).unlink()
        make(data.file("train", number))
    (finding,) = data.found().values()
    assert (finding.code, finding.total) == ("image-missing", 3)


@links
def test_an_image_behind_a_link_that_leads_out_is_not_read(data: Set) -> None:
    data.file("val").rename(data.root / "secret.png")
    data.file("val").symlink_to(data.root / "secret.png")
    (finding,) = data.found().values()
    assert (finding.code, finding.severity, finding.examples) == ("image-outside", Severity.UNUSABLE, (data.file("val").name,))


def test_a_folder_that_was_not_unpacked_is_named(tmp_path: Path) -> None:
    data = Set(tmp_path)
    for record in data.records:
        record["img_path"] = f"{'market' if record['split'] == 'val' else 'cam_a'}/{record['img_path']}"
    (data.images / "cam_a").mkdir()
    for record in data.records[:-2]:
        if record["split"] != "val":
            (data.images / record["img_path"].partition("/")[2]).rename(data.images / record["img_path"])
    found = [finding.what for finding in data.check().findings if finding.code == "image-missing"]
    assert found == ["4 of 4 images of val: missing, among them all of market", "2 of 6 images of test: missing"]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_threads_change_nothing(data: Set, workers: int) -> None:
    cut(data.file("train"))
    assert data.check(workers=workers) == data.check()


# ----------------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "7"}, "identity-malformed"),
        ({"img_path": "../../etc/passwd"}, "path-leaves-root"),
        ({"img_path": "/etc/passwd"}, "path-leaves-root"),
        ({"img_path": "C:\\a.jpg"}, "path-leaves-root"),
        ({"img_path": "a//b.jpg"}, "path-malformed"),
        ({"captions": [" "]}, "captions-malformed"),
        ({"captions": "A coat."}, "captions-malformed"),
        ({"split": "training"}, "record-malformed"),
        ({"img_path": "0000_c1_1.png"}, "image-repeated"),
    ],
)
def test_bad_records_are_all_told(data: Set, change: Record, code: str) -> None:
    data.records[2:5] = [{**record, **change} for record in data.records[2:5]]
    finding = data.found()[code]
    assert (finding.severity, finding.total, len(finding.examples)) == (Severity.UNUSABLE, 3, 3)
    assert finding.examples[0].startswith("record 2: ")


def test_a_split_without_records(data: Set) -> None:
    data.records = [record for record in data.records if record["split"] != "val"]
    finding = data.found()["split-empty"]
    assert (finding.severity, finding.examples) == (Severity.UNUSABLE, ("val",))


def test_identities_and_images_in_two_splits(data: Set) -> None:
    data.records += [{**data.of("test")[0], "split": "train"}]
    found = data.found()
    assert found["identity-in-two-splits"].what == "1 identity both in train and in test"
    assert found["image-in-two-splits"].examples == (data.of("test")[0]["img_path"],)
    assert {code for code, finding in found.items() if finding.severity} == {"identity-in-two-splits", "image-in-two-splits"}


def test_the_early_download_is_known(data: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = registry.load("dataset", "rstpreid")
    edition = kind.editions[0]
    assert edition.identities == {"train": 3901, "val": 100, "test": 100}
    monkeypatch.setattr(kind, "editions", (type(edition)(SIZES, edition.about, edition.action),))
    (finding,) = data.check().findings
    assert (finding.code, finding.severity) == ("other-edition", Severity.CHANGES)
    assert "the early download" in finding.what
    assert "download it again" in finding.action


def test_gaps_and_identities_with_one_image_are_notes(data: Set) -> None:
    data.records = [record for record in data.records if record["id"] != 3 and record["img_path"] not in ("0001_c1_1.png", "0009_c0_1.png")]
    found = data.found()
    assert {code: (finding.severity, finding.total) for code, finding in found.items()} == {
        "identity-gaps": (Severity.NOTE, 1),
        "identity-single": (Severity.NOTE, 1),  # the last of two findings, one a split
    }


def test_what_else_a_run_would_be_told_is_a_finding(tmp_path: Path) -> None:
    file = write_table(tmp_path / "a.csv", [{**row, "split": "train"} for row in ROWS[:1]])
    found = {finding.code for finding in check("a", opened(str(file)), Silent()).findings}
    assert found >= {"split-empty"}


# ---------------------------------------------------------------------------------------------------------- captions


def test_captions_that_several_identities_share(data: Set) -> None:
    """Three queries of two people: the best ranking answers two of them, so 5 of 6 at most."""
    for number in (0, 1, 2):
        data.of("test")[number]["captions"] = ["A  coat and A hat." if number else "a coat and a hat."]
    found = data.found()
    finding = found["caption-shared"]
    assert (finding.severity, finding.total) == (Severity.CHANGES, 3)
    assert finding.what == "3 of 6 test captions are shared by several identities (1 text)"
    assert "no model exceeds 83.33 %" in finding.consequence
    assert found["caption-repeated"].total == 1


def test_in_train_shared_captions_are_noise(data: Set) -> None:
    data.of("train")[0]["captions"] = data.of("train")[2]["captions"] = ["A coat."]
    assert data.found()["caption-shared"].severity == Severity.NOTE


@pytest.mark.parametrize(
    ("caption", "code"),
    [
        ("...", "caption-wordless"),
        ("这个男人穿着红色的外套", "caption-not-english"),
        ("The man wears a coat 和 jeans.", "caption-not-english"),
        ("Un hombre lleva una camisa roja y pantalones negros.", "caption-not-english"),
        ("for i in range(10): print(i)", "caption-code"),
        ("def caption(self): return None", "caption-code"),
        ("The man <br> wears {colour} jeans.", "caption-code"),
        ("import numpy", "caption-code"),
    ],
)
def test_captions_that_describe_nobody(data: Set, caption: str, code: str) -> None:
    data.of("test")[0]["captions"] = data.of("train")[0]["captions"] = [caption]
    found = [finding for finding in data.check().findings if finding.code == code]
    assert [(finding.total, finding.severity) for finding in found] == [(1, Severity.NOTE), (1, Severity.CHANGES)]
    assert data.check().severity == Severity.CHANGES


@pytest.mark.parametrize(
    "caption",
    [
        'A man (about 30) in a café; he wears a T-shirt with the print "ABC" & blue jeans.',
        "Woman wearing black / white striped top, 3/4 pants - no bag.",
        "THE PERSON IS FACING AWAY.HE CARRIES A BAG",
        "Red coat, blue jeans.",
        "He's wearing a naïve look, a dress from import stock, and a class ring: none other.",
    ],
)
def test_ordinary_captions_are_let_be(caption: str) -> None:
    assert [rule.code for rule in RULES if rule.place(caption) is not None] == []


# --------------------------------------------------------------------------------------------------------- duplicates


class TestDuplicates:
    def test_the_same_file_across_splits_is_a_leak(self, data: Set) -> None:
        data.file("test", 3).write_bytes(data.file("train", 2).read_bytes())
        (finding,) = data.found().values()
        assert (finding.code, finding.severity, finding.total) == ("image-twice-across-exact", Severity.CHANGES, 1)
        assert finding.examples == (f"train {data.file('train', 2).name} = test {data.file('test', 3).name}",)

    @pytest.mark.parametrize("options", [{"kind": "JPEG", "quality": 60}, {"kind": "BMP"}, {"kind": "WEBP", "quality": 70}])
    def test_the_same_picture_saved_anew_is_a_leak_too(self, data: Set, options: dict[str, Any]) -> None:
        data.file("val", 1).write_bytes(saved(photograph(4).resize((64, 128)), **options))
        (finding,) = data.found().values()
        assert (finding.code, finding.total) == ("image-twice-across-alike", 1)
        assert data.file("train", 4).name in finding.examples[0]

    def test_one_picture_of_two_identities(self, data: Set) -> None:
        data.file("train", 3).write_bytes(data.file("train", 0).read_bytes())
        (finding,) = data.found().values()
        assert (finding.code, finding.severity) == ("image-twice-two-identities-exact", Severity.CHANGES)

    def test_one_picture_twice_of_one_identity_is_a_note(self, data: Set) -> None:
        data.file("train", 1).write_bytes(data.file("train", 0).read_bytes())
        (finding,) = data.found().values()
        assert (finding.code, finding.severity) == ("image-twice-exact", Severity.NOTE)

    def test_a_placeholder_that_stands_often_makes_no_flood(self, data: Set) -> None:
        for number in range(12):
            data.file("train", number).write_bytes(data.file("test", 0).read_bytes())
        found = data.found()
        assert found["image-twice-across-exact"].total == 12
        assert not [code for code in found if code.endswith("alike")]

    def test_blank_images_are_not_alike(self, data: Set) -> None:
        for number, grey in enumerate((0, 80, 255)):
            Image.new("L", (20, 40 + number), grey).save(data.file("train", 2 * number))
        assert data.found() == {}

    def test_images_of_another_set_under_the_same_root(self, tmp_path: Path) -> None:
        ours, theirs = Set(tmp_path / "a"), Set(tmp_path / "b", first_seed=100)
        theirs.check()  # writes its annotations
        theirs.file("train", 0).write_bytes(ours.file("test", 0).read_bytes())
        theirs.file("train", 1).write_bytes(saved(photograph(1), "JPEG", quality=70))
        absent_set = opened("icfg-pedes", tmp_path / "a")
        diagnosis = ours.check(others={"theirs": opened("rstpreid", tmp_path / "b"), "icfg-pedes": absent_set})
        found = {finding.code: finding for finding in diagnosis.findings if finding.code != "sizes-differ"}
        assert {code: finding.severity for code, finding in found.items()} == {
            "image-in-other-set-exact": Severity.CHANGES,  # ours in test, theirs in train
            "image-in-other-set-alike": Severity.NOTE,  # train in both
        }
        assert diagnosis.compared == ("theirs",)

    def test_near_pairs_equal_their_slow_twin(self) -> None:
        random = np.random.default_rng(0)
        words = random.integers(0, 2**63, (40, 4), dtype=np.uint64)
        words[20:] = words[:20] ^ (np.uint64(1) << random.integers(0, 64, (20, 4), dtype=np.uint64))  # at most 4 bits away
        words[30:, 0] ^= np.uint64(0xFFFF)
        bits = [[bin(int(word)) for word in row] for row in words]

        def distance(one: int, other: int) -> int:
            return sum(bin(int(bits[one][k], 2) ^ int(bits[other][k], 2)).count("1") for k in range(4))

        expected = [pair for pair in combinations(range(40), 2) if distance(*pair) <= 16]
        assert sorted(near(words, words, same=True)) == expected
        assert 10 <= len(expected) < 20
        assert sorted(near(words[:20], words[20:])) == [(i, j) for i in range(20) for j in range(20) if distance(i, 20 + j) <= 16]


def test_a_look_reads_a_file_once_and_raises_nothing(tmp_path: Path) -> None:
    assert look_at(tmp_path / "none.png").problem == "unreadable"
    assert look_at(tmp_path).problem == "unreadable"
    assert look_at(tmp_path / "a\0b").problem == "unreadable"


# ------------------------------------------------------------------------------------------------------------ command


class TestCommand:
    def test_exit_codes_and_the_table(self, data: Set, capsys: pytest.CaptureFixture[str]) -> None:
        data.check()
        assert main(["data", "check", "RSTPReid", "--data-root", str(data.root)]) == 1
        shown = capsys.readouterr()
        assert "a subset of the published set" in shown.out
        assert "rstpreid: usable, but something changes results (exit code 1)" in shown.out
        assert "looking at images of rstpreid: 22" in shown.err
        data.file("test").unlink()
        assert main(["data", "check", "rstpreid", "--data-root", str(data.root)]) == 2
        assert "cannot be used (1)" in capsys.readouterr().out

    def test_json_holds_all_of_it(self, data: Set, capsys: pytest.CaptureFixture[str]) -> None:
        diagnosis = data.check()
        assert main(["data", "check", "rstpreid", "--data-root", str(data.root), "--json", "--alone"]) == 1
        told = json.loads(capsys.readouterr().out)
        assert told == json.loads(json.dumps(diagnosis.as_json()))
        assert (told["verdict"], told["exit_code"], told["findings"][0]["severity"]) == ("changes results", 1, "changes results")

    def test_a_clean_table_is_0(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        file = write_table(tmp_path / "a.csv", ROWS)
        for number, row in enumerate(ROWS):
            photograph(number).save(tmp_path / row["image"])
        assert main(["data", "check", str(file), "--data-root", str(tmp_path)]) == 0
        assert "clean: nothing found changes results (exit code 0)" in capsys.readouterr().out

    def test_walkers_are_made_and_checked(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["data", "check", "walkers", "--data-root", str(tmp_path), "--set", "data.size=tiny", "--json"]) in (0, 1)
        told = json.loads(capsys.readouterr().out)
        assert told["splits"]["test"] == {"identities": 8, "images": 16, "captions": 32}
        assert {finding["code"] for finding in told["findings"]} <= {"caption-shared", "caption-repeated"}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["rstpreid"], "error: RSTPReid: no folder"),
            (["rstpried"], "error: unknown dataset 'rstpried'"),
            (["walkers", "--set", "train.lr=1"], "error: --set train.lr: a data set alone is asked for"),
            (["walkers", "--set", "data.sise=tiny"], "error: unknown option 'data.sise'"),
        ],
    )
    def test_asked_wrongly_is_one_line_and_2(
        self, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["data", "check", *arguments, "--data-root", str(tmp_path)]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith(said)
