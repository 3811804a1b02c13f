"""A selected model on one split: metrics in both directions, per-query outcomes, and the queries worth looking at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from torch import Tensor

from bench import attention, checkpoint, embeddings, per_query, record, registry, tables
from bench._overlap import overlap
from bench.config import RunConfig
from bench.contracts import Dataset, SplitName, Track, Vocabulary, silently
from bench.data import EncodedSplit
from bench.engine import Direction, Embedded, accelerator, embed, score
from bench.errors import RunFailed, UsageError
from bench.figures import RetrievalRow
from bench.materials import TOKENIZER, gather
from bench.metrics import Ranking, chance_R1
from bench.per_query import NEAREST, Nearest, nearest
from bench.progress import Reporter
from bench.record import RunResult
from bench.selection import BEST, LAST, Course, Selected

SHEET_QUERIES, SHEET_DEPTH = 8, 5


@dataclass(frozen=True)
class Evaluated:
    """What a model obtained on a split. `metrics` are percent, by direction."""

    data: EncodedSplit
    embedded: Embedded
    rankings: Mapping[str, Ranking]

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        return {direction: record.percent(ranking.summary()) for direction, ranking in self.rankings.items()}

    @property
    def tied(self) -> dict[str, int]:
        """Queries whose outcome hung on the order of ties."""
        return {direction: int(ranking.tied.sum()) for direction, ranking in self.rankings.items()}

    def write_tables(self, folder: Path, selected: Selected, track: Track) -> list[Path]:
        """What each query obtained (`bench/per_query.py`) and what phrases attend to (`bench/attention.py`); the files written."""
        split, camera, near = self.data.split, selected.materials.dataset.camera, self._nearest(selected, track=track)
        own = selected.materials.dataset.columns(self._name) if selected.config.limit is None else {}
        made = {
            per_query.FILES["t2i"]: per_query.text_to_image(split, self.rankings["t2i"], near, camera, own),
            per_query.FILES["i2t"]: per_query.image_to_text(split, self.rankings["i2t"], camera),
            attention.FILE: self._attended(selected),
        }
        return [tables.write(table, folder / name) for name, table in made.items() if table is not None]

    def _attended(self, selected: Selected) -> pd.DataFrame | None:
        if selected.model.token_boxes() is None:
            return None
        dataset, name = selected.materials.dataset, self._name
        split, texts = self.data.split, [caption.text for caption in self.data.split.captions]
        return attention.attended(
            selected.model,
            self.embedded,
            split=split,
            phrases=selected.materials.phrases(texts),
            truth=attention.restricted(dataset.grounding(name), dataset.split(name), split),
            options=selected.config.evaluation,
            device=selected.engine.device,
        )

    @property
    def _name(self) -> SplitName:
        return cast(SplitName, self.data.split.name)

    def sheet_rows(self, selected: Selected) -> list[RetrievalRow]:
        """Queries spread evenly over the split, each with its nearest images."""
        queries = torch.tensor(per_query.spread(len(self.data.split.captions), SHEET_QUERIES))
        near = self._nearest(selected, queries, SHEET_DEPTH)
        found = zip(queries.tolist(), near.images.tolist(), near.similarities.tolist(), strict=True)
        return [self._row(query, images, similarities) for query, images, similarities in found]

    def _nearest(self, selected: Selected, queries: Tensor | None = None, depth: int = NEAREST, track: Track = silently) -> Nearest:
        options, device = selected.config.evaluation, selected.engine.device
        return nearest(selected.model, self.embedded, options, device, selected.mixing, queries, depth, track)

    def _row(self, query: int, order: Sequence[int], similarities: Sequence[float]) -> RetrievalRow:
        split = self.data.split
        caption, pid = split.captions[query], int(split.caption_pids[query])
        return RetrievalRow(
            caption=caption.text,
            query_image=split.root / split.images[caption.image].path,
            gallery=[split.root / split.images[image].path for image in order],
            matches=[split.images[image].pid == pid for image in order],
            similarities=similarities,
        )


def evaluate(selected: Selected, data: EncodedSplit, reporter: Reporter, kept: Path | None = None, *, keep: bool = False) -> Evaluated:
    """Both directions on a split, with the mixing that val chose.

    `kept` is the folder of a run's embeddings: those of this split are taken from there where they fit, and with `keep` put there.
    """
    options, engine, track = selected.config.evaluation, selected.engine, reporter.track
    embedded = _embedded(selected, data, reporter, kept, keep=keep and options.keep_embeddings)
    directions: tuple[Direction, ...] = ("t2i", "i2t")
    rankings: dict[str, Ranking] = {}
    try:
        for direction in directions:
            rankings[direction] = score(selected.model, embedded, data, options, engine.device, [selected.mixing], direction, track)[0]
    except ValueError as error:
        raise RunFailed(f"{data.split.name}: {error}") from error
    return Evaluated(data, embedded, rankings)


def _embedded(selected: Selected, data: EncodedSplit, reporter: Reporter, kept: Path | None, *, keep: bool) -> Embedded:
    """A split's features: those that were kept, if they are of these weights and records, else computed (and kept)."""
    if kept is None:
        return embed(selected.model, data, selected.config.evaluation, selected.engine, reporter.track)
    file, digest = kept / f"{data.split.name}.safetensors", embeddings.key(selected.model, data.split, selected.config)
    if (found := embeddings.read(file, digest)) is not None:
        reporter.note(f"embeddings of {data.split.name}: {file}")
        return found
    made = embed(selected.model, data, selected.config.evaluation, selected.engine, reporter.track)
    if keep:
        embeddings.write(file, made, data.split, digest)
    return made


def reference_lines(dataset: Dataset, data: EncodedSplit) -> dict[str, Any]:
    """What to set beside a split's R1, in percent: chance, and the truth's ceiling where it is known."""
    captions, images = data.split.caption_pids, data.split.image_pids
    name: Any = data.split.name
    whole = len(images) == len(dataset.split(name).images)  # the oracle's R1 is that of the whole gallery
    ceiling = dataset.ceiling(name) if whole else None
    return {
        "chance": {"t2i": {"R1": 100 * chance_R1(captions, images)}, "i2t": {"R1": 100 * chance_R1(images, captions)}},
        "ceiling": None if ceiling is None else 100 * ceiling,
    }


# ---------------------------------------------------------------------------------------------------- saved runs


def saved(
    file: Path,
    reporter: Reporter,
    *,
    dataset: str | None,
    overrides: Sequence[str],
    data_root: Path | None,
    device: str,
    limit: int | None,
    split: SplitName = "test",
) -> Selected:
    """The model of a checkpoint with the records it is to be evaluated on, a split of its own data set or of another. No other is read."""
    tensors, header = checkpoint.load(file)
    if "course" in header:
        raise UsageError(f"{file} is for going on with training; evaluate the run's folder or the {BEST} beside it")
    if not (file.parent / TOKENIZER).is_dir():  # a vocabulary trained here would give other numbers in silence
        raise UsageError(f"{file.parent / TOKENIZER} is missing, without which {file.name} reads no caption; keep the two together")
    config = _evaluation_config(header["config"], dataset, overrides, data_root, device, limit)
    materials = gather(config, reporter, file.parent / TOKENIZER, [split])
    engine = accelerator(config)
    model = materials.build(Vocabulary(**header["vocabulary"]))
    checkpoint.load_model(model, tensors, file)
    model.to(engine.device)
    course = Course(epoch=header["epoch"], best_epoch=header["epoch"], mixing=header["mixing"])
    return Selected(config, materials, model, engine, course)


def _evaluation_config(
    saved_config: Mapping[str, Any], dataset: str | None, overrides: Sequence[str], data_root: Path | None, device: str, limit: int | None
) -> RunConfig:
    """The run's own configuration but for what is asked; a run that was limited is evaluated as it was, unless asked."""
    given = {"data_root": data_root or os.environ.get("TBPS_DATA_ROOT"), "limit": limit}
    values = dict(saved_config) | {"device": device} | {key: value for key, value in given.items() if value is not None}
    if dataset is not None and registry.find("dataset", dataset).name != values["data"]["name"]:
        values["data"] = {"name": dataset}
    config = RunConfig.from_dict(values)
    return config.overridden(overrides) if overrides else config


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
    allow_overlap: bool = False,
) -> RunResult:
    """Evaluate the best checkpoint of a run on a split of its own data set or of another. Mixing weights stay those of its val.

    A split whose identities the model was trained on is a UsageError unless `allow_overlap` (see `bench._overlap`).
    """
    file = best_checkpoint(path)
    selected = saved(
        file, reporter, dataset=dataset, overrides=overrides or [], data_root=data_root, device=device, limit=limit, split=split
    )
    trained, records = RunConfig.from_dict(checkpoint.header(file)["config"]), selected.materials.split(split)
    seen = overlap(trained, records, reporter, data_root=data_root, allowed=allow_overlap)
    evaluated = evaluate(selected, selected.materials.encoded(split, later=True), reporter, _kept(file))
    config = selected.config
    result = record.beginning(config) | {
        "finished": True,
        "metrics": {split: evaluated.metrics},
        "tied_queries": {split: evaluated.tied},
        **reference_lines(selected.materials.dataset, evaluated.data),
        "selected_epoch": selected.course.best_epoch,
        "mixing": dict(selected.mixing),
        "data": record.data_section(selected.materials.dataset, {split: evaluated.data.split.sizes()}),
        "overlap": seen,
    }
    return RunResult(file.parent, result)


def remake_tables(path: Path, reporter: Reporter, *, data_root: Path | None = None, device: str = "auto") -> list[Path]:
    """Write a run's tables (`Evaluated.write_tables`) anew from its best checkpoint: for a run that left none, or fewer. The files."""
    file = best_checkpoint(path)
    selected = saved(file, reporter, dataset=None, overrides=[], data_root=data_root, device=device, limit=None)
    evaluated = evaluate(selected, selected.materials.encoded("test", later=True), reporter, _kept(file))
    return evaluated.write_tables(file.parent.parent, selected, reporter.track)


def _kept(file: Path) -> Path:
    """Where the run of a checkpoint keeps its embeddings."""
    return file.parent.parent / embeddings.FOLDER


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
