"""`data stats`, `data prepare` and `data phrases` as a person calls them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from bench import phrases
from bench.cli import main
from bench.config import resolve
from bench.images import decode
from bench.materials import gather
from bench.progress import Silent

WALKERS = ("--set", "data.size=tiny", "--set", "data.height=48", "--set", "data.width=24")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def called(capsys: pytest.CaptureFixture[str], *arguments: str, root: Path, code: int = 0) -> str:
    assert main(["data", *arguments, *WALKERS, "--data-root", str(root)]) == code
    caught = capsys.readouterr()
    return caught.err if code else caught.out


class TestStats:
    def test_json_has_all_numbers(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        told: dict[str, Any] = json.loads(called(capsys, "stats", "walkers", "--to", str(tmp_path), "--json", root=root))
        assert {name: row["identities"] for name, row in told["splits"].items()} == {"train": 12, "val": 6, "test": 8, "all": 26}
        assert told["splits"]["all"]["captions"] == 104
        assert set(told["attributes"]) >= {"colour", "garment", "carried"}
        assert sorted(Path(file).name for file in told["figures"]) == sorted(file.name for file in tmp_path.iterdir())
        assert "contact_sheet.png" in {file.name for file in tmp_path.iterdir()}

    def test_a_table_without_figures(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        told = called(capsys, "stats", "walkers", "--no-figures", "--to", str(tmp_path), root=root)
        assert "words a caption: min / mean / max" in told
        assert not list(tmp_path.iterdir())


class TestPrepare:
    def test_what_runs_find_is_ready(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ("prepare", "walkers", "--model", "image-sentence", "--output-dir", str(tmp_path), "--json")
        rows = json.loads(called(capsys, *arguments, root=root))
        assert [row["split"] for row in rows] == ["train", "train", "val", "val", "test", "test", "train", "val", "test"]
        before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.*") if file.is_file()}
        assert {file.suffix for file in before} >= {".npy", ".json", ".safetensors"}
        assert json.loads(called(capsys, *arguments, root=root)) == rows
        assert {file: file.stat().st_mtime_ns for file in before} == before

    def test_a_run_uses_it(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        called(capsys, "prepare", "walkers", "--model", "image-sentence", "--output-dir", str(tmp_path), root=root)
        flags = {"output_dir": str(tmp_path), "data_root": str(root)}
        materials = gather(resolve("image-sentence", "walkers", overrides=WALKERS[1::2], flags=flags), Silent(), tmp_path / "tokenizer")
        train = materials.encoded("train")
        assert train.store._pixels is not None
        assert train.store._pixels.untyped_storage().nbytes() >= train.store.n_bytes
        expected = [decode(train.split.root / image.path, materials.spec) for image in train.split.images]
        assert torch.equal(train.store.pixels(torch.arange(len(expected))), torch.stack(expected))
        assert sorted(tmp_path.rglob("tokens-*")) == sorted((tmp_path / ".cache" / "tokens").iterdir())
        assert len(list((tmp_path / ".cache" / "tokens").iterdir())) == 3

    def test_without_a_model_every_resolution(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        told = called(capsys, "prepare", "walkers", "--output-dir", str(tmp_path), root=root)
        assert "48 images" not in told
        assert "24 images" in told
        assert not list(tmp_path.rglob("tokens-*"))

    def test_a_preset_needs_its_model(self, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "give --model" in called(capsys, "prepare", "walkers", "--preset", "small", "--output-dir", str(tmp_path), root=root, code=2)


class TestPhrases:
    def test_without_spacy_one_line_says_so(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(phrases, "SPACY_MODELS", ("no_such_model",))
        assert "not installed" in called(capsys, "phrases", "walkers", root=root, code=2)

    @pytest.mark.skipif(not any(map(find_spec, phrases.SPACY_MODELS)), reason="spaCy's English model is not installed: .[spacy] has it")
    def test_beside_spacy(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        told = json.loads(called(capsys, "phrases", "walkers", "--sample", "30", "--json", root=root))
        assert told["captions"] == 30
        assert told["F1"] > 0.8
        assert told["captions without a phrase"] == 0
