"""One run from end to end: what it leaves, what it tells the tracker, and how it goes on from what another left."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from bench import run as runs
from bench.config import RunConfig, run_folder
from bench.errors import UsageError
from bench.progress import Silent
from bench.run import RunResult, dry_run, run
from bench.tracking import MemoryTracker, NoTracker
from tests.small_run import small_config


class Listener(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Stops(Silent):
    """Ends the run after its first epoch, as an error would."""

    def epoch(self, *_: Any) -> None:
        raise RuntimeError("stopped")


@dataclass(frozen=True)
class Whole:
    """A finished run, with all that was told on the way."""

    config: RunConfig
    result: RunResult
    tracker: MemoryTracker
    listener: Listener


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    config, tracker, listener = small_config(tmp_path_factory.mktemp("whole")), MemoryTracker(), Listener()
    return Whole(config, run(config, tracker, listener), tracker, listener)


@pytest.fixture
def drawn(whole: Whole, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data that is there already; no figures, which take longer than all else."""
    monkeypatch.setattr(runs, "_draw", lambda *_: [])
    return whole.config.data_root


def begun(config: RunConfig, tracker: MemoryTracker | None = None) -> Path:
    """The folder of a run that stopped after an epoch."""
    with pytest.raises(RuntimeError, match="stopped"):
        run(config, tracker or MemoryTracker(), Stops())
    return run_folder(config)


def compared(result: RunResult) -> dict[str, Any]:
    return {key: result.record[key] for key in ("metrics", "tied_queries", "selected_epoch", "epochs", "mixing", "chance", "ceiling")}


def test_the_folder_holds_what_was_promised(whole: Whole) -> None:
    assert whole.result.folder == run_folder(whole.config)
    left = {str(path.relative_to(whole.result.folder)) for path in whole.result.folder.rglob("*") if path.is_file()}
    assert left == {
        "result.json",
        "config.yaml",
        "metrics.jsonl",
        "per_query.parquet",
        "per_query_i2t.parquet",
        "attention.parquet",
        "embeddings/test.safetensors",
        "embeddings/val.safetensors",
        "figures/curves.png",
        "figures/retrieval.png",
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/tokenizer/tokenizer.json",
    }


def test_a_finished_run_answers_with_its_record(whole: Whole) -> None:
    listener, tracker = Listener(), MemoryTracker()
    again = run(whole.config, tracker, listener)
    assert again.record == json.loads((whole.result.folder / "result.json").read_text())
    assert "finished before" in listener.notes[-1]
    assert tracker == MemoryTracker()


def test_never_sets_the_earlier_folder_aside(drawn: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path, data_root=str(drawn))
    folder = begun(config)
    for number in (1, 2):
        with pytest.raises(RuntimeError, match="stopped"):
            run(config, NoTracker(), Stops(), "never")
        assert (folder.with_name(f"{folder.name}-earlier{number}") / "checkpoints" / "last.safetensors").is_file()


def test_a_folder_at_work_is_left_alone(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    folder = run_folder(config)
    folder.mkdir(parents=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")), pytest.raises(UsageError, match="another process is at work"):
        run(config, NoTracker(), Silent())
    assert not any(folder.iterdir())


def test_a_run_is_taken_over_from_elsewhere(whole: Whole, drawn: Path, tmp_path: Path) -> None:
    there = begun(small_config(tmp_path / "there", data_root=str(drawn)))
    listener = Listener()
    here = small_config(tmp_path / "here", data_root=str(drawn))
    result = run(here, NoTracker(), listener, str(there))
    assert "resumed after epoch 1" in listener.notes
    assert compared(result) == compared(whole.result)


def test_another_configuration_is_not_taken_over(drawn: Path, tmp_path: Path) -> None:
    there = begun(small_config(tmp_path / "there", data_root=str(drawn)))
    other = small_config(tmp_path / "here", "model.width=16", "train.lr=0.01", data_root=str(drawn), seed=1)
    with pytest.raises(
        UsageError, match=r"another one, it differs in model\.width .*, train\.lr \(.* there, 0\.01 here\), seed \(0 there, 1 here\)"
    ):
        run(other, NoTracker(), Silent(), str(there))


def test_what_is_no_run_is_not_taken_over(whole: Whole, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    with pytest.raises(UsageError, match=r"holds no last\.safetensors"):
        run(config, NoTracker(), Silent(), str(tmp_path))
    with pytest.raises(UsageError, match="weights alone"):
        run(config, NoTracker(), Silent(), str(whole.result.folder / "checkpoints" / "best.safetensors"))


def test_a_finished_run_is_not_overwritten_by_a_take_over(whole: Whole, drawn: Path, tmp_path: Path) -> None:
    best = (whole.result.folder / "checkpoints" / "best.safetensors").read_bytes()
    there = begun(small_config(tmp_path, data_root=str(drawn)))
    assert run(whole.config, NoTracker(), Silent(), str(there)).record["finished"]
    assert (whole.result.folder / "checkpoints" / "best.safetensors").read_bytes() == best


def test_a_truncated_checkpoint_is_told_in_one_line(drawn: Path, tmp_path: Path) -> None:
    config, tracker = small_config(tmp_path, data_root=str(drawn)), MemoryTracker()
    last = begun(config) / "checkpoints" / "last.safetensors"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(UsageError) as caught:
        run(config, tracker, Silent())
    assert str(last) in str(caught.value)
    assert "--resume never" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert tracker.statuses == ["FAILED"]


def test_the_tracker_sees_the_run(whole: Whole) -> None:
    tracker, record = whole.tracker, whole.result.record
    start = tracker.starts[0]
    assert (start["experiment"], start["run_id"]) == ("tbps/walkers", None)
    assert start["params"]["train.batch_size"] == 8
    assert start["tags"]["dataset_fingerprint"] == record["data"]["fingerprint"]
    assert [step for step, _ in tracker.points] == [1, 2, record["selected_epoch"]]
    assert all({"train/loss", "val/t2i/R1", "lr", "seconds"} <= values.keys() for _, values in tracker.points[:2])
    final = tracker.points[-1][1]
    assert final["test/t2i/R1"] == record["metrics"]["test"]["t2i"]["R1"]
    assert final["test/i2t/mAP"] == record["metrics"]["test"]["i2t"]["mAP"]
    assert final["selected/val/t2i/R1"] == record["metrics"]["val"]["t2i"]["R1"]
    assert {path.name for path, _ in tracker.artifacts} == {
        *(
            "config.yaml",
            "result.json",
            "metrics.jsonl",
            "per_query.parquet",
            "per_query_i2t.parquet",
            "attention.parquet",
            "curves.png",
            "retrieval.png",
        )
    }
    assert tracker.statuses == ["FINISHED"]
    assert tracker.datasets[0]["fingerprint"] == record["data"]["fingerprint"]


def test_a_failure_is_told_and_its_run_continued(drawn: Path, tmp_path: Path) -> None:
    config, tracker = small_config(tmp_path, data_root=str(drawn)), MemoryTracker()
    folder = begun(config, tracker)
    assert tracker.statuses == ["FAILED"]
    draft = json.loads((folder / "result.json").read_text())
    assert (draft["finished"], draft["mlflow_run_id"]) == (False, "memory-1")
    after = MemoryTracker()
    assert run(config, after, Silent()).record["finished"]
    assert (after.starts[0]["run_id"], after.statuses) == ("memory-1", ["FINISHED"])


def test_an_interruption_is_no_failure(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    tracker = MemoryTracker()
    monkeypatch.setattr(runs, "train_and_select", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(small_config(tmp_path, data_root=str(whole.config.data_root)), tracker, Silent())
    assert tracker.statuses == ["KILLED"]


def test_one_seed_is_one_result_to_the_bit(whole: Whole, drawn: Path, tmp_path: Path) -> None:
    again = run(small_config(tmp_path, data_root=str(drawn)), NoTracker(), Silent())
    assert compared(again) == compared(whole.result)
    for name in ("checkpoints/best.safetensors", "per_query.parquet"):
        theirs, ours = (tensors_or_bytes(result.folder / name) for result in (whole.result, again))
        assert theirs == ours
    other = run(small_config(tmp_path, data_root=str(drawn), seed=1), NoTracker(), Silent())
    assert tensors_or_bytes(other.folder / "checkpoints/best.safetensors") != tensors_or_bytes(
        again.folder / "checkpoints/best.safetensors"
    )


def tensors_or_bytes(file: Path) -> object:
    """What a file holds, apart from a checkpoint's header, which names places."""
    from safetensors.numpy import load_file

    if file.suffix == ".safetensors":
        return {name: (tensor.dtype.str, tensor.shape, tensor.tobytes()) for name, tensor in load_file(file).items()}
    return file.read_bytes()


def test_the_record_says_what_the_numbers_were_obtained_with(whole: Whole) -> None:
    record = json.loads((whole.result.folder / "result.json").read_text())
    assert (record["protocol"], record["seed"], record["finished"]) == ("tbps-eval/1", 0, True)
    assert (len(record["data"]["fingerprint"]), record["data"]["splits"]["test"]["images"]) == (64, 16)
    assert record["selection"].startswith("val t2i R1")
    assert record["seconds"]["training"] > 0
    assert record["seconds"]["evaluation"] > 0
    assert record["peak_memory_mib"]["process"] > 100
    assert set(record["cost"]) >= {"parameters", "flops", "ms_image", "ms_caption", "ms_search", "index_bytes", "peak_mib"}
    environment = record["environment"]
    assert {"torch", "timm", "transformers", "accelerate"} <= environment["packages"].keys()
    assert len(environment["git_commit"]) in (0, 40)
    assert record["chance"]["t2i"]["R1"] == pytest.approx(12.5)
    assert record["ceiling"] > 50


def test_the_record_names_no_machine(whole: Whole) -> None:
    import getpass
    import socket

    text = (whole.result.folder / "result.json").read_text()
    values = list(leaves(json.loads(text)))
    assert not [value for value in values if isinstance(value, str) and Path(value).is_absolute()]
    assert str(whole.config.output_dir) not in text
    assert not {socket.gethostname(), getpass.getuser()} & set(values)


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    else:
        yield value


def test_figures_that_fail_cost_a_warning(whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(runs, "curves", full)
    listener, tracker = Listener(), MemoryTracker()
    result = run(small_config(tmp_path, data_root=str(whole.config.data_root)), tracker, listener)
    assert (result.record["finished"], tracker.statuses) == (True, ["FINISHED"])
    assert len(listener.warnings) == 1
    assert "no space left" in listener.warnings[0]


def test_a_dry_run_trains_and_writes_nothing(whole: Whole, tmp_path: Path) -> None:
    config = small_config(tmp_path, data_root=str(whole.config.data_root))
    outcome = dry_run(config, Silent())
    assert outcome.keys() == {"configuration", "folder", "input", "parameters", "flops_per_pair", "data", "estimate"}
    assert outcome["configuration"] == config.dump()
    assert outcome["flops_per_pair"] > 0
    assert outcome["estimate"]["steps_per_epoch"] == 6
    shutil.rmtree(config.output_dir / ".cache", ignore_errors=True)
    assert not config.output_dir.exists() or not any(config.output_dir.iterdir())
