"""Saved runs evaluated again, and what an evaluation refuses."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from torch import Tensor

from bench import registry
from bench import run as runs
from bench.config import RunConfig
from bench.contracts import Features
from bench.errors import RunFailed, UsageError
from bench.evaluation import evaluate, saved
from bench.progress import Silent
from bench.run import RunResult, evaluate_saved, run
from bench.selection import Selected
from bench.tracking import NoTracker
from tests.small_run import small_config
from tests.test_table import write


@dataclass(frozen=True)
class Whole:
    config: RunConfig
    result: RunResult


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A finished run without figures."""
    config = small_config(tmp_path_factory.mktemp("whole"), **{"train.epochs": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_draw", lambda *_: [])
        return Whole(config, run(config, NoTracker(), Silent()))


@pytest.fixture
def selected(whole: Whole) -> Selected:
    file = whole.result.folder / "checkpoints" / "best.safetensors"
    return saved(file, Silent(), dataset=None, overrides=[], data_root=None, device="cpu", limit=None)


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_saved_run_repeats_its_record_exactly(whole: Whole, split: str) -> None:
    again = evaluate_saved(whole.result.folder, Silent(), split=split, device="cpu").record  # type: ignore[arg-type]
    was = whole.result.record
    assert again["metrics"] == {split: was["metrics"][split]}
    assert again["tied_queries"] == {split: was["tied_queries"][split]}
    assert (again["mixing"], again["selected_epoch"], again["protocol"]) == (was["mixing"], was["selected_epoch"], was["protocol"])
    assert again["data"]["fingerprint"] == was["data"]["fingerprint"]
    if split == "test":
        assert (again["chance"], again["ceiling"]) == (was["chance"], was["ceiling"])


def test_the_train_split_can_be_ranked(whole: Whole) -> None:
    record = evaluate_saved(whole.result.folder, Silent(), split="train", device="cpu").record
    assert record["data"]["splits"]["train"]["captions"] == 48
    assert 0 <= record["metrics"]["train"]["t2i"]["R1"] <= 100


def test_a_checkpoint_is_as_good_as_its_folder(whole: Whole) -> None:
    file = whole.result.folder / "checkpoints" / "best.safetensors"
    for path in (file, file.parent):
        record = evaluate_saved(path, Silent(), device="cpu").record
        assert record["metrics"]["test"] == whole.result.record["metrics"]["test"]


def test_evaluating_writes_nothing_into_the_run(whole: Whole) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.result.folder.rglob("*")}
    evaluate_saved(whole.result.folder, Silent(), device="cpu")
    assert {path: path.stat().st_mtime_ns for path in whole.result.folder.rglob("*")} == before


def test_other_data_of_the_same_kind(whole: Whole) -> None:
    record = evaluate_saved(whole.result.folder, Silent(), overrides=["data.seed=5"], device="cpu").record
    assert record["data"]["fingerprint"] != whole.result.record["data"]["fingerprint"]
    assert record["mixing"] == whole.result.record["mixing"]


def test_another_data_set(whole: Whole, tmp_path: Path) -> None:
    """RSTPReid's layout, with walkers' pictures: the same metrics, and no ceiling, which RSTPReid does not know."""
    drawn = registry.load("dataset", "walkers")(whole.config.data_root, whole.config.data).folder
    shutil.copytree(drawn / "imgs", tmp_path / "RSTPReid" / "imgs")
    shutil.copy(drawn / "data_captions.json", tmp_path / "RSTPReid")
    record = evaluate_saved(whole.result.folder, Silent(), dataset="rstpreid", data_root=tmp_path, device="cpu").record
    assert (record["dataset"], record["ceiling"]) == ("rstpreid", None)
    assert record["metrics"]["test"] == whole.result.record["metrics"]["test"]


def test_a_table_of_test_rows_is_enough(whole: Whole, tmp_path: Path) -> None:
    rows = [{"split": "test", "pid": pid, "image": f"{pid}.png", "caption": f"Person {pid} in a red coat."} for pid in range(3)]
    record = evaluate_saved(whole.result.folder, Silent(), dataset=str(write(tmp_path / "a.csv", rows)), device="cpu").record
    assert record["data"]["splits"] == {"test": {"identities": 3, "images": 3, "captions": 3}}
    with pytest.raises(UsageError, match=r"no row of split 'val'"):
        evaluate_saved(whole.result.folder, Silent(), dataset=str(tmp_path / "a.csv"), split="val", device="cpu")


def test_a_limit_shortens_the_split_and_takes_the_ceiling_away(whole: Whole) -> None:
    record = evaluate_saved(whole.result.folder, Silent(), limit=6, device="cpu").record
    assert record["data"]["splits"]["test"]["images"] == 6
    assert record["ceiling"] is None


def test_what_cannot_be_evaluated_is_told(whole: Whole, tmp_path: Path) -> None:
    checkpoints = whole.result.folder / "checkpoints"
    with pytest.raises(UsageError, match=r"holds no best\.safetensors"):
        evaluate_saved(tmp_path, Silent())
    with pytest.raises(UsageError, match=r"evaluate the run's folder or the best\.safetensors"):
        evaluate_saved(checkpoints / "last.safetensors", Silent())
    shutil.copy(checkpoints / "best.safetensors", tmp_path)
    with pytest.raises(UsageError, match=r"tokenizer is missing"):
        evaluate_saved(tmp_path / "best.safetensors", Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]


def test_a_similarity_that_is_no_number_names_its_query(selected: Selected, monkeypatch: pytest.MonkeyPatch) -> None:
    compare = selected.model.similarities

    def one_lost(captions: Features, images: Features) -> dict[str, Tensor]:
        found = compare(captions, images)
        found["global"][7, 0] = float("nan")
        return found

    monkeypatch.setattr(selected.model, "similarities", one_lost)
    with pytest.raises(RunFailed, match=r"test: .*query 7\b"):
        evaluate(selected, selected.materials.encoded("test"), Silent())


def test_per_query_outcomes_add_up_to_the_metrics(whole: Whole) -> None:
    table = pd.read_parquet(whole.result.folder / "per_query.parquet")
    told = whole.result.record["metrics"]["test"]["t2i"]
    assert len(table) == whole.result.record["data"]["splits"]["test"]["captions"]
    assert 100 * (table["first_match"] == 1).mean() == pytest.approx(told["R1"])
    assert 100 * table["AP"].mean() == pytest.approx(told["mAP"], abs=1e-4)


def test_the_sheet_shows_queries_with_their_nearest(selected: Selected) -> None:
    data = selected.materials.encoded("test")
    rows = evaluate(selected, data, Silent()).sheet_rows(selected)
    assert len(rows) == 8
    for row in rows:
        assert row.similarities == sorted(row.similarities, reverse=True)
        assert all(path.is_file() for path in (row.query_image, *row.gallery))


def test_a_record_of_a_saved_run_is_json(whole: Whole) -> None:
    assert json.loads(json.dumps(evaluate_saved(whole.result.folder, Silent(), device="cpu").record))["finished"]
