"""One run, read top to bottom: materials, training with selection on val, one look at test, the record."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator
from filelock import FileLock, Timeout

from bench import checkpoint, record
from bench.config import RunConfig, config_hash, flatten, run_folder
from bench.contracts import SplitName
from bench.dryrun import dry_run as dry_run
from bench.engine import accelerator
from bench.errors import UsageError
from bench.evaluation import Evaluated, evaluate, reference_lines, saved
from bench.figures import curves, retrieval_sheet
from bench.materials import Materials, gather
from bench.progress import Reporter, Silent
from bench.selection import BEST, LAST, Selected, train_and_select
from bench.tracking import NoTracker, Tracker

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
    folder, engine = run_folder(config), accelerator(config)
    if not engine.is_main_process:
        return _take_part(config, folder, engine)
    reporter.note(f"{config.model_name} on {config.dataset_name}, seed {config.seed} -> {folder}")
    with _alone(folder):
        began = time.perf_counter()
        _settle(folder, config, resume, reporter)
        if (earlier := record.read(folder)).get("finished"):
            reporter.note("this run finished before; its record is shown. --resume never runs it again")
            engine.wait_for_everyone()
            return RunResult(folder, earlier)
        materials = gather(config, reporter, folder / "checkpoints" / TOKENIZER)
        engine.wait_for_everyone()
        try:
            draft = _start(config, materials, folder, tracker, earlier)
            result = _train_and_test(config, materials, folder, tracker, reporter, draft, began)
        except BaseException as error:
            tracker.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        tracker.end("FINISHED")
        return result


def _take_part(config: RunConfig, folder: Path, engine: Accelerator) -> RunResult:
    """What all processes but the first do (`accelerate launch`): train along, once the first has prepared data and tokenizer."""
    engine.wait_for_everyone()
    if not (earlier := record.read(folder)).get("finished"):
        materials = gather(config, Silent(), folder / "checkpoints" / TOKENIZER)
        train_and_select(config, materials, folder / "checkpoints", NoTracker(), Silent())
    return RunResult(folder, earlier)


def _train_and_test(
    config: RunConfig, materials: Materials, folder: Path, tracker: Tracker, reporter: Reporter, draft: dict[str, Any], began: float
) -> RunResult:
    selected = train_and_select(config, materials, folder / "checkpoints", tracker, reporter)
    trained = time.perf_counter()
    val = evaluate(selected, materials.encoded("val"), reporter)
    test = evaluate(selected, materials.encoded("test"), reporter)
    result = draft | _outcome(selected, val, test)
    result["seconds"] = {"until trained": trained - began, "evaluation": time.perf_counter() - trained}
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
    try:
        yield
    finally:
        lock.release()


def _settle(folder: Path, config: RunConfig, resume: str, reporter: Reporter) -> None:
    """Bring the folder into the state that `resume` asks for."""
    if resume == "never":
        if any(folder.iterdir()):
            names = (folder.with_name(f"{folder.name}-earlier{number}") for number in count(1))
            aside = folder.rename(next(name for name in names if not name.exists()))
            reporter.note(f"the earlier run was set aside as {aside}")
            folder.mkdir()
    elif resume != "auto" and not record.read(folder).get("finished"):
        _take_over(Path(resume), folder, config)


def _take_over(source: Path, folder: Path, config: RunConfig) -> None:
    file = last_checkpoint(source)
    header = checkpoint.load(file)[1]
    if "course" not in header:
        raise UsageError(f"--resume {source}: {file.name} holds weights alone; give a run's folder or its {LAST}")
    theirs = RunConfig.from_dict(header["config"])
    if (config_hash(theirs), theirs.seed) != (config_hash(config), config.seed):
        ours, other = flatten(config), flatten(theirs)
        differing = [key for key in ours if ours[key] != other.get(key) and key.split(".")[0] in ("model", "data", "train", "seed")]
        raise UsageError(f"--resume {source}: that run is another one (differs in {', '.join(differing[:5]) or 'precision or limit'})")
    if file.parent.resolve() != (folder / "checkpoints").resolve():
        _copy_checkpoints(file, folder / "checkpoints")


def _copy_checkpoints(last: Path, folder: Path) -> None:
    """`last` and what belongs to it, all or nothing."""
    half = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(last.parent, half, ignore=lambda _, names: set(names) - {BEST, TOKENIZER, "tokenizer.json"})
    shutil.copy2(last, half / LAST)
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)


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
    draft["mlflow_run_id"] = tracker.run_id or earlier.get("mlflow_run_id")
    record.write(folder, draft)  # at once: a kill from here on finds the tracker's run again
    checkpoint.write_text(folder / "config.yaml", yaml.safe_dump(config.dump(), sort_keys=False))
    counts = {f"{name} {what}": number for name, sizes in draft["data"]["splits"].items() for what, number in sizes.items()}
    tracker.dataset(config.dataset_name, fingerprint, config.dataset_name, counts, "train, val and test")
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


def _leave(
    folder: Path, result: dict[str, Any], selected: Selected, val: Evaluated, test: Evaluated, tracker: Tracker, reporter: Reporter
) -> None:
    """The record last, which makes the run finished: one that is killed before it does all this again, from the last checkpoint."""
    history = selected.course.history
    checkpoint.write_text(folder / "metrics.jsonl", "".join(json.dumps(values) + "\n" for values in history))
    test.write_per_query(folder / "per_query.parquet")
    for path in _draw(folder / "figures", result, selected, val, test, reporter):
        tracker.artifact(path, "figures")
    tracker.metrics(_final_metrics(result), step=result["selected_epoch"])
    for name in ("config.yaml", "metrics.jsonl", "per_query.parquet"):
        tracker.artifact(folder / name)
    record.write(folder, result)
    tracker.artifact(folder / record.RESULT)
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
    """Curves and a retrieval sheet. Whatever goes wrong with them costs the pictures, not the run."""
    title = f"{result['model']} on {result['dataset']}, seed {result['seed']}"
    lines = reference_lines(selected.materials.dataset, val.data)
    made = [folder / "curves.png", folder / "retrieval.png"]
    try:
        chance = lines["chance"]["t2i"]["R1"]
        curves(selected.course.history, made[0], title=title, chance=chance, ceiling=lines["ceiling"], selected=result["selected_epoch"])
        retrieval_sheet(test.sheet_rows(selected), made[1], title=f"{title}: test queries and their nearest images")
    except Exception as error:
        reporter.warn(f"the figures could not be drawn ({type(error).__name__}: {error}); the numbers are whole")
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
