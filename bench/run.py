"""One run, read top to bottom: materials, training with selection on val, one look at test, the record."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from bench import checkpoint, record
from bench.config import RunConfig, config_hash, flatten, run_folder
from bench.contracts import SplitName
from bench.dryrun import dry_run as dry_run
from bench.errors import UsageError
from bench.evaluation import Evaluated, evaluate, reference_lines, saved
from bench.figures import curves, retrieval_sheet
from bench.materials import Materials, gather
from bench.progress import Reporter
from bench.selection import BEST, LAST, Selected, train_and_select
from bench.tracking import Tracker

TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, and the content of its `result.json`."""

    folder: Path
    record: dict[str, Any]


def run(config: RunConfig, tracker: Tracker, reporter: Reporter, resume: str = "auto") -> RunResult:
    """Train, select on val, evaluate on test once, and leave the record in the results folder and with the tracker.

    `resume`: "auto" goes on with what an earlier process left, and answers with the record where nothing is left to do; "never"
    sets the earlier folder aside; a path takes over an unfinished run that lies elsewhere.
    """
    folder = run_folder(config)
    with _alone(folder):
        _settle(folder, config, resume, reporter)
        if (earlier := record.read(folder)).get("finished"):
            reporter.note("this run finished before; its record is shown. --resume never runs it again")
            return RunResult(folder, earlier)
        began = time.perf_counter()
        materials = gather(config, reporter, folder / "checkpoints" / TOKENIZER)
        draft = _start(config, materials, folder, tracker, earlier)
        try:
            result = _train_and_test(config, materials, folder, tracker, reporter, draft, began)
        except BaseException as error:
            tracker.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        tracker.end("FINISHED")
        return result


def _train_and_test(
    config: RunConfig, materials: Materials, folder: Path, tracker: Tracker, reporter: Reporter, draft: dict[str, Any], began: float
) -> RunResult:
    selected = train_and_select(config, materials, folder / "checkpoints", tracker, reporter)
    trained = time.perf_counter()
    val = evaluate(selected, materials.encoded("val"), reporter)
    test = evaluate(selected, materials.encoded("test"), reporter)
    result = draft | _outcome(selected, val, test)
    result["seconds"] = {"until trained": trained - began, "evaluation": time.perf_counter() - trained}
    if selected.engine.is_main_process:
        _leave(folder, result, selected, val, test, tracker, reporter)
    return RunResult(folder, result)


# ------------------------------------------------------------------------------------------------------ before a run


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time in a run's folder. The lock goes with the process, however that ends."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(f"another process is at work on {folder}; wait for it, or take another --seed or --output-dir") from error
    with lock:
        yield


def _settle(folder: Path, config: RunConfig, resume: str, reporter: Reporter) -> None:
    """Bring the folder into the state that `resume` asks for."""
    if resume == "never":
        if any(folder.iterdir()):
            number = sum(1 for _ in folder.parent.glob(f"{folder.name}-earlier*")) + 1
            aside = folder.rename(folder.with_name(f"{folder.name}-earlier{number}"))
            reporter.note(f"the earlier run was set aside as {aside}")
            folder.mkdir()
    elif resume != "auto":
        _take_over(Path(resume), folder, config)


def _take_over(source: Path, folder: Path, config: RunConfig) -> None:
    file = last_checkpoint(source)
    theirs = RunConfig.from_dict(checkpoint.load(file)[1]["config"])
    if (config_hash(theirs), theirs.seed) != (config_hash(config), config.seed):
        ours, other = flatten(config), flatten(theirs)
        differing = [key for key in ours if ours[key] != other.get(key) and key.split(".")[0] in ("model", "data", "train", "seed")]
        raise UsageError(f"--resume {source}: that run is another one (differs in {', '.join(differing[:5]) or 'precision or limit'})")
    if file.parent.resolve() != (folder / "checkpoints").resolve():
        shutil.copytree(file.parent, folder / "checkpoints", dirs_exist_ok=True)


def last_checkpoint(path: Path) -> Path:
    """The checkpoint to go on from, of a run's folder, its `checkpoints`, or the file itself."""
    return _checkpoint(path, LAST)


def best_checkpoint(path: Path) -> Path:
    """The checkpoint to evaluate, of a run's folder, its `checkpoints`, or the file itself."""
    return _checkpoint(path, BEST)


def _checkpoint(path: Path, name: str) -> Path:
    for file in (path, path / name, path / "checkpoints" / name):
        if file.is_file():
            return file
    raise UsageError(f"{path} holds no {name}; give a run's folder (`python -m bench list runs`) or a checkpoint")


def _start(config: RunConfig, materials: Materials, folder: Path, tracker: Tracker, earlier: dict[str, Any]) -> dict[str, Any]:
    """Write what is known, and open the run with the tracker."""
    draft = record.beginning(config)
    fingerprint = materials.dataset.fingerprint()
    names: tuple[SplitName, ...] = ("train", "val", "test")
    draft["data"] = {"fingerprint": fingerprint, "splits": {name: materials.split(name).sizes() for name in names}}
    tags = {"model": config.model_name, "dataset": config.dataset_name, "protocol": draft["protocol"], "seed": str(config.seed)}
    tags |= {"dataset_fingerprint": fingerprint, "git_commit": draft["environment"]["git_commit"], "selection": "val t2i R1"}
    tracker.start(
        experiment=f"tbps/{config.dataset_name}",
        name=f"{config.model_name}-{config.dataset_name}-s{config.seed}-{config_hash(config)[:4]}",
        params=flatten(config),
        tags=tags,
        run_id=earlier.get("mlflow_run_id"),
    )
    counts = {f"{name} {what}": count for name, sizes in draft["data"]["splits"].items() for what, count in sizes.items()}
    tracker.dataset(config.dataset_name, fingerprint, config.dataset_name, counts, "train, val and test")
    draft["mlflow_run_id"] = tracker.run_id or earlier.get("mlflow_run_id")
    checkpoint.write_text(folder / "config.yaml", yaml.safe_dump(config.dump(), sort_keys=False))
    record.write(folder, draft)
    return draft


# ------------------------------------------------------------------------------------------------------- after a run


def _outcome(selected: Selected, val: Evaluated, test: Evaluated) -> dict[str, Any]:
    return {
        "finished": True,
        "metrics": {"val": val.metrics, "test": test.metrics},
        "tied_queries": {"val": val.tied, "test": test.tied},
        **reference_lines(selected.materials.dataset, test.data),
        "selected_epoch": selected.course.best_epoch,
        "epochs": selected.course.epoch,
        "mixing": dict(selected.mixing),
        "parameters": record.parameter_counts(selected.model),
        "peak_memory_mib": record.peak_memory_mib(),
    }


def _leave(folder: Path, result: dict[str, Any], selected: Selected, val: Evaluated, test: Evaluated, tracker: Tracker, reporter: Reporter) -> None:
    """Numbers first, then the record, which makes the folder whole; then what is for looking at."""
    history = selected.course.history
    checkpoint.write_text(folder / "metrics.jsonl", "".join(json.dumps(values) + "\n" for values in history))
    test.write_per_query(folder / "per_query.parquet")
    record.write(folder, result)
    tracker.metrics(_final_metrics(result), step=result["selected_epoch"])
    files = [folder / name for name in ("config.yaml", record.RESULT, "metrics.jsonl", "per_query.parquet")]
    for path in files:
        tracker.artifact(path)
    for path in _draw(folder / "figures", result, selected, val, test, reporter):
        tracker.artifact(path, "figures")
    reporter.note(f"results: {folder}")


def _final_metrics(result: dict[str, Any]) -> dict[str, float]:
    """What a comparison looks at: test once, and val at the selected epoch (`val/...` is the curve over epochs)."""
    values = {
        f"{'selected/' if split == 'val' else ''}{split}/{direction}/{name}": value
        for split, directions in result["metrics"].items()
        for direction, summary in directions.items()
        for name, value in summary.items()
    }
    known = {"chance/t2i/R1": result["chance"]["t2i"]["R1"], "ceiling/t2i/R1": result["ceiling"]}
    return values | {name: value for name, value in known.items() if value is not None}


def _draw(folder: Path, result: dict[str, Any], selected: Selected, val: Evaluated, test: Evaluated, reporter: Reporter) -> list[Path]:
    """Curves and a retrieval sheet. A disk that is full by now costs the pictures, not the run."""
    title = f"{result['model']} on {result['dataset']}, seed {result['seed']}"
    lines = reference_lines(selected.materials.dataset, val.data)
    made = [folder / "curves.png", folder / "retrieval.png"]
    try:
        chance = lines["chance"]["t2i"]["R1"]
        curves(selected.course.history, made[0], title=title, chance=chance, ceiling=lines["ceiling"], selected=result["selected_epoch"])
        retrieval_sheet(test.sheet_rows(selected), made[1], title=f"{title}: test queries and their nearest images")
    except OSError as error:
        reporter.warn(f"the figures could not be written ({error}); the numbers are whole")
    return [path for path in made if path.exists()]


# ---------------------------------------------------------------------------------------------------- saved runs


def evaluate_saved(
    path: Path,
    reporter: Reporter,
    *,
    dataset: str | None = None,
    split: SplitName = "test",
    overrides: list[str] | None = None,
    data_root: Path | None = None,
    device: str = "auto",
    limit: int | None = None,
) -> RunResult:
    """Evaluate the best checkpoint of a run on a split of its own data set or of another. Mixing weights stay those of its val."""
    file = best_checkpoint(path)
    selected = saved(file, reporter, dataset=dataset, overrides=overrides or [], data_root=data_root, device=device, limit=limit)
    evaluated = evaluate(selected, selected.materials.encoded(split), reporter)
    config = selected.config
    result = record.beginning(config) | {
        "finished": True,
        "metrics": {split: evaluated.metrics},
        "tied_queries": {split: evaluated.tied},
        **reference_lines(selected.materials.dataset, evaluated.data),
        "selected_epoch": selected.course.best_epoch,
        "mixing": dict(selected.mixing),
        "data": {"fingerprint": selected.materials.dataset.fingerprint(), "splits": {split: evaluated.data.split.sizes()}},
    }
    return RunResult(file.parent, result)

