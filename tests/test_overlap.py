"""Whether a saved model has seen what it is evaluated on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench._overlap import overlap, same_files
from bench.cli import main
from bench.config import RunConfig, opened, resolve
from bench.contracts import ImageRecord, Split, UsageError
from bench.evaluation import evaluate_saved
from bench.progress import Silent
from bench.run import run
from bench.tracking import MemoryTracker
from tests.small_run import SHRUNK
from tests.test_doctor import photograph
from tests.test_table import write


class Heard(Silent):
    """Keeps what it is warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def album(folder: Path, first: int = 0, n: int = 12) -> Path:
    """A table of `n` identities without splits, pictures of which the first is number `first`."""
    rows = [{"pid": pid, "image": f"{pid}.png", "caption": f"Person {pid} in a coat."} for pid in range(n)]
    file = write(folder / "album.csv", rows)
    for pid in range(n):
        photograph(first + pid).save(folder / f"{pid}.png")
    return file


def config(file: Path, **data: Any) -> RunConfig:
    return RunConfig.from_dict({"model": {"name": "acsa"}, "data": {"name": str(file), **data}})


def test_the_own_test_split_shares_nobody(tmp_path: Path) -> None:
    file, heard = album(tmp_path), Heard()
    told = overlap(config(file), opened(str(file)).split("test"), heard, data_root=None, allowed=False)
    assert (told["identities"], told["images"], heard.warnings) == (0, None, [])


def test_another_carving_of_the_same_set_is_refused(tmp_path: Path) -> None:
    file = album(tmp_path)
    other = opened(str(file), None, ["data.seed=1"]).split("test")
    seen = {image.pid for image in opened(str(file)).split("train").images} & {image.pid for image in other.images}
    assert seen
    with pytest.raises(UsageError, match=rf"{len(seen)} of 2 identities of test were trained on .*--allow-overlap"):
        overlap(config(file), other, Silent(), data_root=None, allowed=False)
    heard = Heard()
    assert overlap(config(file), other, heard, data_root=None, allowed=True)["identities"] == len(seen)
    assert "this is no evaluation on unseen people" in heard.warnings[0]


def test_images_that_another_set_holds_too_are_told(tmp_path: Path) -> None:
    trained, other = album(tmp_path / "a"), album(tmp_path / "b", first=100)
    image = opened(str(trained)).split("train").images[0].path
    target = opened(str(other)).split("test")
    (tmp_path / "b" / target.images[1].path).write_bytes((tmp_path / "a" / image).read_bytes())
    heard = Heard()
    told = overlap(config(trained), target, heard, data_root=None, allowed=False)
    assert (told["identities"], told["images"]) == (None, 1)
    assert target.images[1].path in heard.warnings[0]
    assert "identities of two sets" in told["unchecked"]


def test_data_that_is_gone_leaves_it_open(tmp_path: Path) -> None:
    file, heard = album(tmp_path / "a"), Heard()
    trained = config(tmp_path / "gone.csv")
    told = overlap(trained, opened(str(file)).split("test"), heard, data_root=None, allowed=False)
    assert (told["identities"], told["images"], told["unchecked"]) == (None, None, "the data of the training is not at hand")
    assert "whether gone.csv, on which the model was trained, shares images with this split is unknown" in heard.warnings[0]


def test_the_train_split_is_asked_for_on_purpose(tmp_path: Path) -> None:
    file, heard = album(tmp_path), Heard()
    told = overlap(config(file), opened(str(file)).split("train"), heard, data_root=None, allowed=False)
    assert (told["unchecked"], heard.warnings) == ("the train split was asked for", [])


def test_same_files_equals_its_slow_twin(tmp_path: Path) -> None:
    """Equal sizes with other bytes, equal bytes under other names, and a file that is missing."""
    for folder, colours in (("a", (1, 2, 3, 3)), ("b", (3, 9, 1, 7))):
        (tmp_path / folder).mkdir()
        for number, colour in enumerate(colours):
            Image.new("RGB", (4, 4), (colour, 0, 0)).save(tmp_path / folder / f"{folder}{number}.bmp")
    splits = [Split(name, tmp_path / name, tuple(ImageRecord(f"{name}{n}.bmp", n) for n in range(5)), ()) for name in ("a", "b")]
    content = [{f.name: f.read_bytes() for f in split.root.iterdir()} for split in splits]
    assert same_files(*splits, Silent()) == sorted(name for name, data in content[1].items() if data in content[0].values())


@pytest.mark.slow
def test_a_run_on_a_table_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The record and MLflow say which data it was, and `eval` refuses another carving of it."""
    file = album(tmp_path / "album", n=20)
    told = {"output_dir": str(tmp_path / "results"), "device": "cpu", "train.epochs": 1, "train.batch_size": 4}
    tracker, small = MemoryTracker(), resolve("acsa", str(file), "small", overrides=SHRUNK[1:], flags=told)
    result = run(small, tracker, Silent())
    data = result.record["data"]
    assert result.folder.parts[-4] == result.record["dataset"] == "album.csv"
    assert set(data["choices"]) == {"val", "test"}
    assert data["fingerprint"] == opened(str(file)).fingerprint() == tracker.datasets[0]["fingerprint"]
    assert tracker.starts[0]["experiment"] == "tbps/album.csv"
    assert data["choices"]["val"] in tracker.starts[0]["tags"]["dataset_choices"]
    record = evaluate_saved(result.folder, Silent(), device="cpu").record
    assert record["overlap"]["identities"] == 0
    assert json.loads(json.dumps(record["data"]))["choices"] == data["choices"]
    asked = ["eval", str(result.folder), "--set", "data.seed=3", "--device", "cpu"]
    assert main(asked) == 2
    assert "identities of test were trained on" in capsys.readouterr().err
    assert main([*asked, "--allow-overlap", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["overlap"]["identities"] > 0
