"""One's own set as a table: what is read, what is held out, and the row and column that an error names."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench import registry
from bench.config import RunConfig, config_hash, opened, run_folder
from bench.contracts import Dataset, UsageError
from tests.test_records import links

Row = dict[str, Any]
ROWS: list[Row] = [
    {"split": split, "pid": pid, "image": f"{pid}.png", "caption": f"Person {pid}, in a coat."}
    for split, pids in (("train", range(4)), ("val", range(4, 6)), ("test", range(6, 9)))
    for pid in pids
]

SPLITS = ("train", "val", "test")
PLACES = [("a.csv", "row 4", "row 2"), ("a.json", "record 2", "record 0"), ("a.jsonl", "line 3", "line 1")]


def write(file: Path, rows: Sequence[Any], *, images: bool = True) -> Path:
    """A table in the format of its ending; its images are made too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as opened_file:
            table = csv.DictWriter(opened_file, list(dict.fromkeys(key for row in rows for key in row)))
            table.writeheader()
            table.writerows(rows)
    else:
        file.write_text(json.dumps(rows) if file.suffix == ".json" else "".join(f"{json.dumps(row)}\n" for row in rows))
    for row in rows if images else []:
        Image.new("RGB", (2, 4)).save(file.parent / row["image"])
    return file


def table(file: Path, *overrides: str) -> Dataset:
    return opened(str(file), None, overrides)


def pids(dataset: Dataset, name: Any) -> list[int]:
    return [image.pid for image in dataset.split(name).images]


@pytest.mark.parametrize("name", ["album.csv", "ALBUM.CSV", "album.json", "album.jsonl"])
def test_every_format_gives_the_same_set(tmp_path: Path, name: str) -> None:
    if name.isupper():
        write(tmp_path / "x.csv", ROWS).rename(tmp_path / name)
    else:
        write(tmp_path / name, ROWS)
    dataset = table(tmp_path / name)
    assert (pids(dataset, "train"), pids(dataset, "val"), pids(dataset, "test")) == ([0, 1, 2, 3], [4, 5], [6, 7, 8])
    assert dataset.split("test").captions[0].text == "Person 6, in a coat."
    assert dataset.fingerprint() == table(write(tmp_path / "again.csv", ROWS)).fingerprint()
    assert dataset.choices() == {}


def test_rows_of_one_image_are_its_captions_whatever_their_order(tmp_path: Path) -> None:
    rows = [*ROWS, {**ROWS[0], "caption": "A hat."}, {**ROWS[0], "caption": "A hat."}]
    one, other = table(write(tmp_path / "a.csv", rows)), table(write(tmp_path / "b.csv", rows[::-1]))
    assert [caption.text for caption in one.split("train").captions][:3] == ["A hat.", "A hat.", "Person 0, in a coat."]
    assert one.fingerprint() == other.fingerprint() != table(write(tmp_path / "c.csv", rows[:-1])).fingerprint()


def test_identities_may_be_names(tmp_path: Path) -> None:
    rows = [{**row, "pid": f"p{row['pid']}"} for row in ROWS]
    dataset = table(write(tmp_path / "a.csv", rows))
    assert pids(dataset, "test") == [6, 7, 8]
    assert dataset.choices() == {"pid": "names, numbered in sorted order"}
    spelt = table(write(tmp_path / "b.csv", [{**row, "pid": "000" if row["pid"] == 1 else row["pid"]} for row in ROWS]))
    assert pids(spelt, "train") == [0, 1, 2, 3]  # 0 and 000 are two


def test_further_columns_are_kept_a_value_a_caption(tmp_path: Path) -> None:
    rows = [{**row, "camera": row["pid"] % 2, "weather": "rain" if row["pid"] == 7 else ""} for row in ROWS]
    dataset = table(write(tmp_path / "a.csv", [*rows, {**rows[6], "caption": "A hat.", "weather": "sun"}]))
    assert dataset.columns("test") == {"camera": ("0", "0", "1", "0"), "weather": ("sun", "", "rain", "")}
    assert (dataset.camera("7.png"), dataset.camera("none.png")) == ("1", None)


class TestHeldOut:
    def rows(self, n: int = 30) -> list[Row]:
        return [{"pid": pid, "image": f"{pid}.png", "caption": "A coat."} for pid in range(n)]

    def test_without_splits_val_and_test_are_drawn_by_identity(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.csv", self.rows())
        dataset = table(file, "data.test=0.3", "data.val=0.1")
        assert [dataset.split(name).n_identities for name in ("train", "val", "test")] == [19, 2, 9]
        assert sorted(pid for name in SPLITS for pid in pids(dataset, name)) == list(range(30))
        assert dataset.choices() == {
            "test": "9 of 30 identities of train, held out (share 0.3, seed 0)",
            "val": "2 of 21 identities of train, held out (share 0.1, seed 0)",
        }

    def test_the_seed_draws_and_belongs_to_the_configuration(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.csv", self.rows())
        prints = [table(file, f"data.seed={seed}").fingerprint() for seed in (0, 0, 1)]
        assert prints[0] == prints[1] != prints[2]
        told = [{"model": {"name": "acsa"}, "data": {"name": str(file), "seed": seed}} for seed in (0, 1)]
        assert len({config_hash(RunConfig.from_dict(values)) for values in told}) == 2

    def test_others_of_the_table_move_few(self, tmp_path: Path) -> None:
        """An identity's place in the draw is its own."""
        before, after = table(write(tmp_path / "a.csv", self.rows(40))), table(write(tmp_path / "b.csv", self.rows(41)))
        assert len(set(pids(before, "test")) ^ set(pids(after, "test"))) <= 2

    def test_without_val_it_is_held_out_of_train(self, tmp_path: Path) -> None:
        dataset = table(write(tmp_path / "a.csv", [row for row in ROWS if row["split"] != "val"]))
        assert (len(pids(dataset, "train")), len(pids(dataset, "val")), pids(dataset, "test")) == (3, 1, [6, 7, 8])

    def test_too_few_to_hold_any_out(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"a\.csv: 1 identities are too few to hold test out of them"):
            table(write(tmp_path / "a.csv", self.rows(1))).split("train")


class TestMistakes:
    """Each is one line with the row and the column."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"pid": ""}, "column 'pid' must be a name or a whole number from 0 on, not ''"),
            ({"image": "../x.png"}, "column 'image' must be a plain path below"),
            ({"image": "/etc/passwd"}, "column 'image' must be a plain path below"),
            ({"caption": " "}, "column 'caption' must hold texts with at least one word"),
            ({"split": "training"}, "column 'split' must be one of train, val, test, not 'training'"),
            ({"split": ""}, "lacks 'split'"),
            ({"pid": 99, "image": "0.png", "split": "train"}, "image '0.png' of split 'train' already stands in {first}, as identity 0"),
        ],
    )
    @pytest.mark.parametrize(("name", "place", "first"), PLACES)
    def test_a_bad_cell(self, tmp_path: Path, change: Row, said: str, name: str, place: str, first: str) -> None:
        row = {**ROWS[2], **change}
        if name != "a.csv" and row["split"] == "":
            del row["split"]
        file = write(tmp_path / name, [*ROWS[:2], row, *ROWS[3:]], images=False)
        self.complains(file, f"{file}: {place}: {said.format(first=first)}")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("", "row 1: no column 'pid', 'image', 'caption'; the first row names"),
            ("split;pid;image;caption\n", "separate columns with commas"),
            ("split,pid,image,caption\n", "holds no row"),
            ("pid,image,caption,pid\n1,a,b,1\n", "row 1: column 'pid' stands twice"),
            ("pid,image,caption\n1,a.png,A coat, a hat.\n", "row 2: has 4 cells where the first row has 3"),
            ('pid,image,caption\n1,a.png,"A coat" x\n', "line 2: "),
            ('pid,image,caption\n1,a.png,"A coat\n', "line 2: unexpected end of data"),
        ],
    )
    def test_what_is_no_csv(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "a.csv").write_text(text)
        self.complains(tmp_path / "a.csv", str(tmp_path / "a.csv"), said)

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("a.jsonl", '{"pid": 1\n', "line 1: not JSON"),
            ("a.jsonl", "\n3\n", "line 2: is a int"),
            ("a.jsonl", "[" * 100_000, "line 1: not JSON"),
            ("a.jsonl", "\n", "holds no row"),
            ("a.json", "{}", "holds a dict"),
            ("a.csv", "\xff", "not UTF-8"),
        ],
    )
    def test_what_is_no_json(self, tmp_path: Path, name: str, text: str, said: str) -> None:
        (tmp_path / name).write_bytes(text.encode("latin-1"))
        self.complains(tmp_path / name, str(tmp_path / name), said)

    def test_images_that_are_missing(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.csv", ROWS)
        (tmp_path / "7.png").unlink()
        with pytest.raises(UsageError, match=r"column 'image': 1 of 3 images of split 'test' are missing below .*, such as 7\.png"):
            table(file).split("test")

    @links
    def test_images_behind_links_that_lead_out(self, tmp_path: Path) -> None:
        file = write(tmp_path / "album" / "a.csv", ROWS)
        (tmp_path / "album" / "7.png").rename(tmp_path / "7.png")
        (tmp_path / "album" / "7.png").symlink_to(tmp_path / "7.png")
        with pytest.raises(UsageError, match=r"column 'image': 1 of 3 images of split 'test' are links that lead out of"):
            table(file).split("test")

    def test_a_split_without_rows(self, tmp_path: Path) -> None:
        file = write(tmp_path / "a.csv", [row for row in ROWS if row["split"] != "test"])
        with pytest.raises(UsageError, match=r"a\.csv: no row of split 'test'"):
            table(file).split("test")
        assert table(file).splits() == ("train", "val")
        assert table(file).fingerprint() != table(write(tmp_path / "b.csv", ROWS)).fingerprint()

    def test_no_such_table(self, tmp_path: Path) -> None:
        self.complains(tmp_path / "none.csv", "no such file; name a table with the columns split, pid, image, caption")

    def test_the_class_without_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="name the file itself"):
            opened("table", tmp_path).split("train")

    @staticmethod
    def complains(file: Path, *said: str) -> None:
        for call in (lambda: table(file).split("train"), lambda: table(file).survey().defects[0]):
            try:
                found = call()
            except UsageError as error:
                message = str(error)
            else:
                message = f"{file}: {found.where}: {found.what}"  # type: ignore[union-attr]
            assert all(part in message for part in said), message
            assert len(message.splitlines()) == 1


class TestItsName:
    """A path stands where a name is expected; folders, records and MLflow say the name of the file."""

    def config(self, name: str) -> RunConfig:
        return RunConfig.from_dict({"model": {"name": "acsa"}, "data": {"name": name}})

    @pytest.mark.parametrize(
        ("path", "label"),
        [("my/album.csv", "album.csv"), ("./album.jsonl", "album.jsonl"), ("/a/b c (1).json", "b-c-1-.json"), ("a/.csv.csv", "csv.csv")],
    )
    def test_folders_are_named_after_the_file(self, path: str, label: str) -> None:
        config = self.config(path)
        assert (config.dataset_label, run_folder(config).parts[1]) == (label, label)

    def test_the_path_is_what_repeats_the_run(self) -> None:
        config = self.config("./my//album.csv")
        assert config.dump()["data"].items() >= {"name": "my/album.csv", "val": 0.1, "test": 0.2, "seed": 0}.items()
        assert RunConfig.from_dict(config.dump()) == config
        assert config_hash(config) == config_hash(self.config("my/album.csv")) != config_hash(self.config("other/album.csv"))

    def test_a_name_that_is_neither(self) -> None:
        with pytest.raises(UsageError, match=r"unknown dataset 'album\.txt' \(datasets: .*, or a file \.csv, or a file \.json"):
            self.config("album.txt")

    def test_names_of_data_sets_stay_theirs(self) -> None:
        assert registry.label("cuhk-pedes") == "cuhk-pedes"
        assert registry.find("dataset", "RSTPReid").name == "rstpreid"
