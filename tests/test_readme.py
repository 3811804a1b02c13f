"""What the README shows a newcomer works as it stands there."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from bench import registry
from bench.cli import main

README = (registry.ROOT / "README.md").read_text(encoding="utf-8")
QUICK = ["--epochs", "1", "--tracker", "none"]


@pytest.fixture(autouse=True)
def _forget_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugged_in", {"model": [], "dataset": []})


def example(name: str, folder: Path) -> Path:
    """The README's Python block that begins with `# name`, as a file."""
    found = re.search(rf"```python\n# {re.escape(name)}\n(.*?)```", README, flags=re.DOTALL)
    assert found, f"the README shows no {name}"
    file = folder / name
    file.write_text(found.group(1), encoding="utf-8")
    return file


def record(output: Path) -> dict[str, object]:
    (file,) = output.glob("*/*/*/seed0/result.json")
    content: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    return content


def test_a_model_in_one_file(tmp_path: Path) -> None:
    plugin, output = example("colour_bag.py", tmp_path), tmp_path / "results"
    places = ["--data-root", str(tmp_path / "data"), "--output-dir", str(output)]
    chosen = ["--plugin", str(plugin), "--model", "colour-bag", "--dataset", "walkers", "--set", "data.size=tiny", "--set", "train.lr=1e-2"]
    assert main(["run", *chosen, *QUICK, *places]) == 0
    assert record(output)["finished"] is True
    assert record(output)["model"] == "colour-bag"


def test_a_data_set_in_one_file(tmp_path: Path) -> None:
    model, dataset = example("colour_bag.py", tmp_path), example("photo_album.py", tmp_path)
    album, output = tmp_path / "data" / "album", tmp_path / "results"
    album.mkdir(parents=True)
    with (album / "album.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["split", "pid", "image", "caption"])
        for pid, colour in enumerate(("red", "blue", "green", "white", "black", "brown")):
            Image.new("RGB", (24, 48), colour).save(album / f"{pid}.png")
            table.writerow([("train", "val", "test")[pid // 2], pid, f"{pid}.png", f"A person all in {colour}."])
    places = ["--data-root", str(tmp_path / "data"), "--output-dir", str(output)]
    plugins = ["--plugin", str(model), "--plugin", str(dataset)]
    assert main(["run", *plugins, "--model", "colour-bag", "--dataset", "photo-album", *QUICK, *places]) == 0
    assert record(output)["dataset"] == "photo-album"


def test_a_data_set_that_is_missing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, dataset = example("colour_bag.py", tmp_path), example("photo_album.py", tmp_path)
    plugins = ["--plugin", str(model), "--plugin", str(dataset)]
    places = ["--data-root", str(tmp_path / "nothing"), "--output-dir", str(tmp_path / "results")]
    assert main(["run", *plugins, "--model", "colour-bag", "--dataset", "photo-album", *QUICK, *places]) == 2
    assert "walkers" in capsys.readouterr().err.strip().splitlines()[-1]
