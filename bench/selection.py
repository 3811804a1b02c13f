"""Training with selection on val: all a study's trial may do. The test split is never opened here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from torch import Tensor
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from bench import checkpoint
from bench.config import RunConfig
from bench.contracts import TextImageModel
from bench.data import EncodedSplit, PairBatches
from bench.engine import Mixing, accelerator, best_mixing, candidate_mixings, embed, score, similarities, train_epoch
from bench.errors import RunFailed, UsageError
from bench.materials import Materials
from bench.optim import computed, optimiser, scheduler
from bench.progress import Reporter
from bench.tracking import Tracker

BEST, LAST = "best.safetensors", "last.safetensors"
Values = dict[str, float]


@dataclass
class Course:
    """How far training has come. It is kept in the checkpoint, so that a resumed run knows all that an unbroken one would."""

    epoch: int = 0
    best_epoch: int = 0
    mixing: dict[str, float] = field(default_factory=dict)
    """Weights of the similarities' components at the best epoch."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """One record an epoch: `epoch`, `train/...`, `val/t2i/...` (percent), `lr`, `seconds`."""

    @property
    def best_key(self) -> tuple[float, float]:
        record = self.history[self.best_epoch - 1] if self.best_epoch else None
        return (record["val/t2i/R1"], record["val/t2i/mAP"]) if record else (-1.0, -1.0)

    def stale(self, patience: int | None) -> bool:
        return patience is not None and self.epoch - self.best_epoch >= patience


Watch = Callable[[Course], None]
"""Told how far training has come when an epoch is kept, and when it is taken up again; raises to end it there."""


@dataclass(frozen=True)
class Selected:
    """A trained model with the weights of its best epoch on val."""

    config: RunConfig
    materials: Materials
    model: TextImageModel
    engine: Accelerator
    course: Course

    @property
    def mixing(self) -> Mixing:
        return self.course.mixing


@dataclass(frozen=True)
class _Training:
    """What changes while a run trains, the course apart, and where it is kept."""

    folder: Path
    about: Mapping[str, Any]
    """What both checkpoints say of the run: `config` and `vocabulary`."""
    model: TextImageModel
    optimise: AdamW
    schedule: LambdaLR


def _batches(config: RunConfig, train: EncodedSplit, engine: Accelerator) -> PairBatches:
    """This process's share of the train pairs, in batches as the recipe wants them."""
    recipe = config.train
    return PairBatches(
        train,
        recipe.batch_size,
        config.seed,
        recipe.flip,
        instances=recipe.instances if recipe.sampler == "identity" else None,
        augment=recipe.augment,
        rank=engine.process_index,
        world=engine.num_processes,
    )


def train_and_select(
    config: RunConfig, materials: Materials, folder: Path, tracker: Tracker, reporter: Reporter, watch: Watch | None = None
) -> Selected:
    """Train for the configured epochs, from the last checkpoint in `folder` if there is one; end with the best epoch's weights."""
    engine = accelerator(config)
    train, val = materials.encoded("train"), materials.val
    batches = _batches(config, train, engine)
    training = _begin(config, materials, folder, engine, len(batches))
    model, schedule = training.model, training.schedule
    course = _resume(training, engine, reporter)
    if watch is not None and course.epoch:
        watch(course)
    wrapped, prepared = engine.prepare(computed(model, config.train.speed), training.optimise)
    while course.epoch < config.train.epochs and not course.stale(config.train.patience):
        began, number = time.perf_counter(), course.epoch + 1
        model.train()
        steps = reporter.track(batches.epoch(number), f"epoch {number}/{config.train.epochs}", len(batches))
        terms = train_epoch(wrapped, steps, prepared, schedule, engine, config.train.clip_norm)
        values, mixing = _validate(model, val, config, engine)
        values |= {f"train/{name}": value for name, value in terms.items()}
        values |= {"lr": float(schedule.get_last_lr()[-1]), "seconds": time.perf_counter() - began}
        _record(course, values, mixing)
        tracker.metrics(values, step=number)  # before it is kept: a kill in between tells the epoch twice, and never not at all
        if engine.is_main_process:
            _keep(training, course)
        engine.wait_for_everyone()
        reporter.epoch(number, config.train.epochs, values)
        if watch is not None:
            watch(course)
    checkpoint.load_model(model, _best(folder, course), folder / BEST)
    return Selected(config, materials, model, engine, course)


def _begin(config: RunConfig, materials: Materials, folder: Path, engine: Accelerator, steps_per_epoch: int) -> _Training:
    model = materials.build()
    optimise = optimiser(model, config.train)
    schedule = scheduler(optimise, config.train, steps_per_epoch)
    model.to(engine.device)
    about = {"config": config.dump(), "vocabulary": asdict(materials.vocabulary)}
    return _Training(folder, about, model, optimise, schedule)


def _validate(model: TextImageModel, val: EncodedSplit, config: RunConfig, engine: Accelerator) -> tuple[Values, dict[str, float]]:
    """Text-to-image metrics on val in percent, and the mixing they were obtained with. The main process computes for all."""
    outcome: list[Any] = [None]
    if engine.is_main_process:
        options = config.evaluation
        embedded = embed(model, val, options, engine)
        fixed = model.mixing()
        names = list(similarities(model, embedded, slice(0, 1), options, engine.device))
        mixings = [dict(fixed)] if fixed is not None else candidate_mixings(names)
        try:
            rankings = score(model, embedded, val, options, engine.device, mixings)
        except ValueError as error:  # the last step of the epoch can spoil weights whose loss was finite
            raise RunFailed(f"val: {error}; try a lower train.lr or --precision fp32") from error
        best = best_mixing(rankings)
        values = {f"val/t2i/{name}": 100 * value for name, value in rankings[best].summary().items()}
        outcome = [(values | {f"mixing/{name}": weight for name, weight in mixings[best].items()}, dict(mixings[best]))]
    broadcast_object_list(outcome)
    values, mixing = outcome[0]
    return values, mixing


def _record(course: Course, values: Values, mixing: Mapping[str, float]) -> None:
    course.epoch += 1
    key = (values["val/t2i/R1"], values["val/t2i/mAP"])
    better = key > course.best_key
    course.history.append({"epoch": course.epoch, **values})
    if better:
        course.best_epoch, course.mixing = course.epoch, dict(mixing)


def _keep(training: _Training, course: Course) -> None:
    """The last first: it holds all, so that after a kill in between the best is made from it."""
    tensors, random_state = checkpoint.training_tensors(training.optimise)
    tensors |= checkpoint.model_tensors(training.model)
    header = {**training.about, "course": asdict(course), "random": random_state, "schedule": training.schedule.state_dict()}
    checkpoint.save(training.folder / LAST, tensors, header)
    if course.best_epoch == course.epoch:
        _keep_best(training, course)


def _keep_best(training: _Training, course: Course) -> None:
    header = {**training.about, "epoch": course.epoch, "mixing": course.mixing}
    checkpoint.save(training.folder / BEST, checkpoint.model_tensors(training.model), header)


def _epoch_of(best: Path) -> int | None:
    """The epoch whose weights a file holds; None where it holds none that can be read."""
    try:
        epoch: int | None = checkpoint.load(best)[1].get("epoch")
    except UsageError:
        return None
    return epoch


def _best(folder: Path, course: Course) -> dict[str, Tensor]:
    """The selected weights, which must be those that the course tells of."""
    tensors, header = checkpoint.load(folder / BEST)
    if header.get("epoch") != course.best_epoch:
        raise UsageError(
            f"{folder / BEST} is of epoch {header.get('epoch')}, but {LAST} beside it has {course.best_epoch} as the best: they are not "
            "of one run; begin anew with --resume never"
        )
    return tensors


def _resume(training: _Training, engine: Accelerator, reporter: Reporter) -> Course:
    """Put everything back as the last checkpoint has it; without one, the course begins."""
    file, schedule = training.folder / LAST, training.schedule
    if not file.exists():
        return Course()
    tensors, header = checkpoint.load(file)
    checkpoint.load_model(training.model, tensors, file)
    try:
        course = Course(**header["course"])
        checkpoint.restore_training(training.optimise, tensors, header["random"])
        schedule.load_state_dict(header["schedule"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file} lacks what training needs to go on ({error!r}); begin anew with --resume never") from error
    for group, rate in zip(training.optimise.param_groups, schedule.get_last_lr(), strict=True):
        group["lr"] = rate
    if course.best_epoch == course.epoch and engine.is_main_process and _epoch_of(training.folder / BEST) != course.epoch:
        _keep_best(training, course)
    engine.wait_for_everyone()
    _best(training.folder, course)  # what the run will end with: missed now, not after the last epoch
    reporter.note(f"resumed after epoch {course.epoch}")
    return course
