"""One run, read top to bottom: materials, training with selection on val, one look at test, the record."""

from __future__ import annotations

import json
import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from accelerate import Accelerator

from bench import checkpoint, cost, embeddings, record
from bench.config import INDIFFERENT, RunConfig, config_hash, flatten, run_folder
from bench.dryrun import dry_run as dry_run
from bench.engine import accelerator
from bench.errors import Interrupted, UsageError
from bench.evaluation import Evaluated, evaluate, last_checkpoint, reference_lines
from bench.evaluation import evaluate_saved as evaluate_saved
from bench.figures import curves, retrieval_sheet
from bench.locks import alone
from bench.materials import SPLITS, TOKENIZER, Materials, gather
from bench.progress import Reporter, Silent
from bench.record import RunResult as RunResult
from bench.selection import BEST, LAST, Selected, Watch, train_and_select
from bench.tracking import NoTracker, Tracker

CHECKPOINTS = "checkpoints"


def run(config: RunConfig, tracker: Tracker, reporter: Reporter, resume: str = "auto", watch: Watch | None = None) -> RunResult:
    """Train, select on val, evaluate on test once, and leave the record in the results folder and with the tracker.

    `resume`: "auto" goes on with what an earlier process left, and answers with the record where nothing is left to do; "never"
    sets the earlier folder aside; a path takes over an unfinished run that lies elsewhere. Of several processes the main one does
    it all, and the others help with the training. `watch` is told of each epoch, and may end the run there with Interrupted.
    """
    folder, engine = run_folder(config), accelerator(config)
    if not engine.is_main_process:
        return _take_part(config, folder, engine)
    reporter.note(f"{config.model_name} on {config.dataset_label}, seed {config.seed} -> {folder}")
    with _alone(folder):
        _settle(folder, config, resume, reporter)
        if (earlier := record.read(folder)).get("finished"):
            reporter.note("this run finished before; its record is shown. --resume never runs it again")
            engine.wait_for_everyone()
            return RunResult(folder, earlier)
        began = time.perf_counter()
        materials = gather(config, reporter, folder / CHECKPOINTS / TOKENIZER)
        engine.wait_for_everyone()
        try:
            draft = _start(config, materials, folder, tracker, earlier)
            return _train_and_test(config, materials, folder, tracker, reporter, draft, began, watch)
        except BaseException as error:
            tracker.end("KILLED" if isinstance(error, KeyboardInterrupt | Interrupted) else "FAILED")
            raise


def _take_part(config: RunConfig, folder: Path, engine: Accelerator) -> RunResult:
    """What all processes but the first do (`torchrun`, `accelerate launch`): train along, once the first has prepared all."""
    engine.wait_for_everyone()
    if not (earlier := record.read(folder)).get("finished"):
        materials = gather(config, Silent(), folder / CHECKPOINTS / TOKENIZER)
        train_and_select(config, materials, folder / CHECKPOINTS, NoTracker(), Silent())
    return RunResult(folder, earlier)


def _train_and_test(
    config: RunConfig,
    materials: Materials,
    folder: Path,
    tracker: Tracker,
    reporter: Reporter,
    draft: dict[str, Any],
    began: float,
    watch: Watch | None,
) -> RunResult:
    selected = train_and_select(config, materials, folder / CHECKPOINTS, tracker, reporter, watch)
    trained = time.perf_counter()
    kept = folder / embeddings.FOLDER
    val = evaluate(selected, materials.val, reporter, kept, keep=True)
    test = evaluate(selected, materials.encoded("test"), reporter, kept, keep=True)
    result = draft | _outcome(selected, val, test)
    training = sum(values["seconds"] for values in selected.course.history)
    result["seconds"] = {"training": training, "evaluation": time.perf_counter() - trained, "last process": time.perf_counter() - began}
    _leave(folder, result, selected, val, test, tracker, reporter)
    return RunResult(folder, result)


# ------------------------------------------------------------------------------------------------------ before a run


def _alone(folder: Path) -> AbstractContextManager[None]:
    """One run at a time in a run's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = UsageError(f"another process is at work on {folder}; wait for it, or take another --seed or --output-dir")
    return alone(folder.with_name(f".{folder.name}.lock"), taken)


def _settle(folder: Path, config: RunConfig, resume: str, reporter: Reporter) -> None:
    """Bring the folder into the state that `resume` asks for."""
    if resume == "never":
        if any(folder.iterdir()):
            number = 1
            while (aside := folder.with_name(f"{folder.name}-earlier{number}")).exists():
                number += 1
            folder.rename(aside)
            folder.mkdir()
            reporter.note(f"the earlier run was set aside as {aside}")
    elif resume != "auto" and not record.read(folder).get("finished"):
        _take_over(Path(resume), folder, config, reporter)


def _take_over(source: Path, folder: Path, config: RunConfig, reporter: Reporter) -> None:
    """Bring an unfinished run here, unless what is here is as far: both went the same way."""
    file = last_checkpoint(source)
    theirs = checkpoint.load(file)[1]
    if "course" not in theirs:
        raise UsageError(f"--resume {source}: {file.name} holds weights alone; give a run's folder or its {LAST}")
    if differing := _differing(flatten(config), flatten(RunConfig.from_dict(theirs["config"]))):
        raise UsageError(f"--resume {source}: that run is another one, it differs in {', '.join(differing)}")
    if (ours := folder / CHECKPOINTS / LAST).exists() and checkpoint.load(ours)[1]["course"]["epoch"] >= theirs["course"]["epoch"]:
        return
    try:
        _copy_checkpoints(file.parent, folder / CHECKPOINTS)
    except OSError as error:
        raise UsageError(f"--resume {source}: {error.strerror}: {error.filename}") from error
    if not (their_record := record.read(file.parent.parent)).get("finished") and "mlflow_run_id" in their_record:
        record.write(folder, their_record)  # so that its MLflow run goes on too
    reporter.note(f"took over {source} after epoch {theirs['course']['epoch']}")


def _differing(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """The options that make them different runs, with both values."""
    keys = [key for key in ours | theirs if not key.startswith(INDIFFERENT) and ours.get(key) != theirs.get(key)]
    return [f"{key} ({theirs.get(key)} there, {ours.get(key)} here)" for key in keys]


def _copy_checkpoints(source: Path, target: Path) -> None:
    """All three parts or none: a kill leaves nothing that the next attempt would take for whole."""
    half = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    shutil.copytree(source / TOKENIZER, half / TOKENIZER)
    for name in (BEST, LAST):
        shutil.copyfile(source / name, half / name)
    shutil.rmtree(target, ignore_errors=True)
    half.rename(target)


def _start(config: RunConfig, materials: Materials, folder: Path, tracker: Tracker, earlier: dict[str, Any]) -> dict[str, Any]:
    """Write what is known, and open the run with the tracker."""
    draft = record.beginning(config)
    sizes = {name: materials.split(name).sizes() for name in SPLITS}
    draft["data"] = record.data_section(materials.dataset, sizes)
    fingerprint = draft["data"]["fingerprint"]
    if earlier.get("data", {}).get("fingerprint", fingerprint) != fingerprint:
        raise UsageError(f"{folder}: the data set has changed since this run began; it begins anew with --resume never")
    commit = draft["environment"]["git_commit"]
    draft["starts"] = [*earlier.get("starts", []), commit]
    tracker.start(
        experiment=record.experiment(config),
        name=f"{config.model_name}-{config.dataset_label}-s{config.seed}-{config_hash(config)[:4]}",
        params=flatten(config),
        tags=record.tags(config, draft["data"], commit),
        run_id=earlier.get("mlflow_run_id"),
    )
    draft["mlflow_run_id"] = tracker.run_id or earlier.get("mlflow_run_id")
    record.write(folder, draft)  # now: a kill from here on is followed by the same MLflow run
    checkpoint.write_text(folder / "config.yaml", yaml.safe_dump(config.dump(), sort_keys=False))
    counts = {f"{name} {what}": count for name, split in sizes.items() for what, count in split.items()}
    tracker.dataset(config.dataset_label, fingerprint, config.dataset_name, counts, "train, val and test")
    if tracker.run_id != earlier.get("mlflow_run_id"):
        _tell_what_was(folder / CHECKPOINTS / LAST, tracker)
    return draft


def _tell_what_was(file: Path, tracker: Tracker) -> None:
    """The epochs of earlier processes, to a tracker that did not see them."""
    if file.exists():
        for values in checkpoint.load(file)[1]["course"]["history"]:
            tracker.metrics({name: value for name, value in values.items() if name != "epoch"}, step=values["epoch"])


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
        "cost": cost.measure(selected.model, test.data, test.embedded, selected.mixing, selected.config.evaluation, selected.engine),
    }


def _leave(
    folder: Path, result: dict[str, Any], selected: Selected, val: Evaluated, test: Evaluated, tracker: Tracker, reporter: Reporter
) -> None:
    """The finished record is put in its place last: after a kill before that, the same command does what is left."""
    checkpoint.write_text(folder / "metrics.jsonl", "".join(json.dumps(values) + "\n" for values in selected.course.history))
    tables = test.write_tables(folder, selected, reporter.track)
    figures = _draw(folder / "figures", result, selected, val, test, reporter)
    finished = record.write(folder / ".finished", result)
    tracker.metrics(_final_metrics(result), step=result["selected_epoch"])
    for path in (folder / "config.yaml", finished, folder / "metrics.jsonl", *tables):
        tracker.artifact(path)
    for path in figures:
        tracker.artifact(path, "figures")
    tracker.end("FINISHED")
    checkpoint.replace(finished, folder / record.RESULT)
    finished.parent.rmdir()
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
    values |= {f"cost/{name}": value for name, value in result["cost"].items()}
    return values | {name: value for name, value in known.items() if value is not None}


def _draw(folder: Path, result: dict[str, Any], selected: Selected, val: Evaluated, test: Evaluated, reporter: Reporter) -> list[Path]:
    """Curves and a retrieval sheet. Whatever goes wrong with them costs the pictures, not the run."""
    title = f"{result['model']} on {result['dataset']}, seed {result['seed']}"
    lines = reference_lines(selected.materials.dataset, val.data)
    made = [folder / "curves.png", folder / "retrieval.png"]
    reporter.note("drawing figures")
    try:
        chance = lines["chance"]["t2i"]["R1"]
        curves(selected.course.history, made[0], title=title, chance=chance, ceiling=lines["ceiling"], selected=result["selected_epoch"])
        retrieval_sheet(test.sheet_rows(selected), made[1], title=f"{title}: test queries and their nearest images")
    except Exception as error:
        reporter.warn(f"the figures could not be drawn ({type(error).__name__}: {error}); the numbers are whole")
    return [path for path in made if path.exists()]
