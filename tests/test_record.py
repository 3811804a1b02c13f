"""The record of a run, and the evaluation of what a run left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bench import record
from bench import run as runs
from bench.config import run_folder
from bench.errors import RunFailed, UsageError
from bench.progress import Silent
from bench.run import RunResult, evaluate_saved, run
from bench.tracking import MemoryTracker, NoTracker
from models.acsa import ACSA
from tests.small_run import small_config


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(autouse=True, scope="module")
def _without_figures() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_draw", lambda *_: [])
        yield


@pytest.fixture(scope="module")
def finished(place: Path, _without_figures: None) -> RunResult:
    return run(small_config(place), NoTracker(), Silent())


class TestRecord:
    def test_its_description_is_complete(self, finished: RunResult) -> None:
        assert [key for key in finished.record if f"`{key}`" not in str(record.__doc__)] == []

    def test_val_is_that_of_the_selected_epoch(self, finished: RunResult) -> None:
        lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [1, 2]
        chosen, told = lines[finished.record["selected_epoch"] - 1], finished.record
        assert {name: chosen[f"val/t2i/{name}"] for name in told["metrics"]["val"]["t2i"]} == told["metrics"]["val"]["t2i"]
        assert {name: chosen[f"mixing/{name}"] for name in told["mixing"]} == told["mixing"]

    def test_seconds_of_training_are_those_of_all_epochs(self, finished: RunResult) -> None:
        lines = [json.loads(line) for line in (finished.folder / "metrics.jsonl").read_text().splitlines()]
        assert finished.record["seconds"]["training"] == pytest.approx(sum(line["seconds"] for line in lines))

    def test_without_git_it_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "")
        environment = record.environment()
        assert (environment["git_commit"], environment["git_dirty"]) == (None, None)


class TestEvaluateSaved:
    @pytest.mark.parametrize("path", [Path(), Path("checkpoints"), Path("checkpoints/best.safetensors")])
    def test_its_own_test_split_gives_the_numbers_of_the_record(self, finished: RunResult, path: Path) -> None:
        again = evaluate_saved(finished.folder / path, Silent()).record
        for key in ("metrics", "tied_queries"):
            assert again[key] == {"test": finished.record[key]["test"]}
        for key in ("mixing", "selected_epoch", "chance", "ceiling"):
            assert again[key] == finished.record[key]
        assert again["data"]["fingerprint"] == finished.record["data"]["fingerprint"]

    def test_other_splits(self, finished: RunResult) -> None:
        assert evaluate_saved(finished.folder, Silent(), split="val").record["metrics"]["val"] == finished.record["metrics"]["val"]
        train = evaluate_saved(finished.folder, Silent(), split="train").record
        assert train["data"]["splits"] == {"train": {"identities": 12, "images": 24, "captions": 48}}

    def test_limit(self, finished: RunResult) -> None:
        limited = evaluate_saved(finished.folder, Silent(), limit=6).record
        assert limited["data"]["splits"]["test"]["images"] == 6

    def test_a_limited_run_is_evaluated_as_it_was(self, place: Path) -> None:
        result = run(small_config(place, limit=8), NoTracker(), Silent())
        assert evaluate_saved(result.folder, Silent()).record["metrics"]["test"] == result.record["metrics"]["test"]

    def test_another_data_set_keeps_vocabulary_and_mixing(self, finished: RunResult) -> None:
        other = evaluate_saved(finished.folder, Silent(), overrides=["data.seed=5", "data.twins=0"]).record
        assert other["data"]["fingerprint"] != finished.record["data"]["fingerprint"]
        assert other["mixing"] == finished.record["mixing"]

    def test_a_data_set_of_another_kind(self, finished: RunResult, tmp_path: Path) -> None:
        """RSTPReid's layout, with the pictures and captions of walkers: other name, other reader, other identities."""
        drawn = next((finished.folder.parents[4] / "data").glob("walkers-*"))
        home = tmp_path / "RSTPReid"
        home.mkdir()
        (home / "imgs").symlink_to(drawn / "imgs")
        rows = json.loads((drawn / "data_captions.json").read_text())
        (home / "data_captions.json").write_text(json.dumps([row | {"id": row["id"] + 100} for row in rows]))
        other = evaluate_saved(finished.folder, Silent(), dataset="RSTPReid", data_root=tmp_path).record
        assert other["dataset"] == "rstpreid"
        assert other["metrics"]["test"] == finished.record["metrics"]["test"]

    def test_the_environment_says_where_the_data_are_now(
        self, finished: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TBPS_DATA_ROOT", str(tmp_path))
        evaluate_saved(finished.folder, Silent())
        assert list(tmp_path.glob("walkers-*"))

    def test_weights_to_go_on_from_are_not_evaluated(self, finished: RunResult) -> None:
        with pytest.raises(UsageError, match=r"best\.safetensors beside it"):
            evaluate_saved(finished.folder / "checkpoints" / "last.safetensors", Silent())

    def test_a_checkpoint_without_its_tokenizer_is_refused(self, finished: RunResult, tmp_path: Path) -> None:
        shutil.copy(finished.folder / "checkpoints" / "best.safetensors", tmp_path)
        with pytest.raises(UsageError, match="tokenizer is missing"):
            evaluate_saved(tmp_path, Silent())
        assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]


class TestOptions:
    def test_those_of_evaluation_change_no_result(self, finished: RunResult, place: Path, tmp_path: Path) -> None:
        blocks = ("evaluation.batch_size=5", "evaluation.query_block=7", "evaluation.gallery_block=3")
        other = run(small_config(tmp_path, *blocks, data_root=str(place / "data")), NoTracker(), Silent())
        assert other.folder.parent.name == finished.folder.parent.name
        assert other.record["mixing"] == finished.record["mixing"]
        for split, direction in (("val", "t2i"), ("val", "i2t"), ("test", "t2i"), ("test", "i2t")):
            assert other.record["metrics"][split][direction] == pytest.approx(finished.record["metrics"][split][direction])

    def test_half_precision_on_the_cpu(self, finished: RunResult, place: Path) -> None:
        assert run(small_config(place, precision="bf16"), NoTracker(), Silent()).record["finished"]


def test_a_loss_that_is_not_finite_is_told_to_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, loss = [0], ACSA.loss

    def breaks(model: ACSA, batch: Any) -> Any:
        calls[0] += 1
        terms = loss(model, batch)
        return terms | {"cmpc": terms["cmpc"] * float("nan")} if calls[0] == 8 else terms

    monkeypatch.setattr(ACSA, "loss", breaks)
    config, tracker = small_config(place, seed=3), MemoryTracker()
    with pytest.raises(RunFailed, match="loss term 'cmpc' is nan at step 2"):  # 6 steps an epoch
        run(config, tracker, Silent())
    assert tracker.statuses == ["FAILED"]
    assert record.read(run_folder(config))["finished"] is False
