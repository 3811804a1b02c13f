"""`data prepare`: decode, extract and encode before any run, what the runs on a data set then find ready."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench import registry
from bench.config import RunConfig, opened, resolve
from bench.contracts import Dataset, InputSpec, SplitName, TextImageModel
from bench.errors import UsageError
from bench.materials import PHRASES, PIXELS, SPLITS, TOKENS, gather, open_dataset
from bench.phrases import Agreement, agreement, phrases_of
from bench.pixels import ImageStore
from bench.progress import Reporter


class Prepared(NamedTuple):
    """What is ready for a split, and where."""

    split: str
    what: str
    mib: float
    place: Path


def configurations(
    dataset: str, model: str | None, preset: str | None, overrides: Sequence[str], flags: dict[str, str | None]
) -> list[RunConfig]:
    """Of the model's runs on the data set; without a model one for each resolution that some registered model has by default."""
    if model is not None:
        return [resolve(model, dataset, preset, None, overrides, flags)]
    if preset is not None:
        raise UsageError("--preset is a model's: give --model too, or neither for the resolutions of all models")
    every = [resolve(name, dataset, None, None, overrides, flags) for name in registry.names("model")]
    return list({(_spec(config).height, _spec(config).width): config for config in every}.values())


def prepare(configs: Sequence[RunConfig], reporter: Reporter, *, tokens: bool) -> Iterator[Prepared]:
    """Pixels and phrases of every split and, where the configuration is a model's, `tokens`. What is there already is let be."""
    dataset = open_dataset(configs[0], reporter)
    for name in SPLITS:
        for config in configs:
            yield _pixels(dataset, name, config, reporter)
        yield _phrases(dataset, name, configs[0], reporter)
    if tokens:
        yield from _tokens(configs[0], reporter)


def _pixels(dataset: Dataset, name: SplitName, config: RunConfig, reporter: Reporter) -> Prepared:
    spec, split = _spec(config), dataset.split(name)
    store = ImageStore(split, spec, 0, workers=config.train.workers)
    file = store.prepare(config.cache / PIXELS, reporter.track)
    return Prepared(name, f"{len(split.images)} images, {spec.height} x {spec.width}", store.n_bytes / 2**20, file)


def _phrases(dataset: Dataset, name: SplitName, config: RunConfig, reporter: Reporter) -> Prepared:
    texts = [caption.text for caption in dataset.split(name).captions]
    found = phrases_of(texts, config.cache / PHRASES, reporter.track, extractor=config.data.phrases)
    size = sum(len(phrase.text) for phrases in found for phrase in phrases)
    return Prepared(name, f"{sum(map(len, found))} phrases of {len(texts)} captions", size / 2**20, config.cache / PHRASES)


def _tokens(config: RunConfig, reporter: Reporter) -> Iterator[Prepared]:
    with tempfile.TemporaryDirectory() as scratch:
        materials = gather(config, reporter, Path(scratch) / "tokenizer")
    for name in SPLITS:
        captions = materials.captions(name)
        n_bytes = sum(tensor.nbytes for tensor in vars(captions).values())
        yield Prepared(name, f"tokens of {len(captions)} captions", n_bytes / 2**20, config.cache / TOKENS)


def _spec(config: RunConfig) -> InputSpec:
    model: type[TextImageModel] = registry.load("model", config.model_name)
    return model.input_spec(config.model)


def compare_phrases(
    dataset: str, data_root: Path | None, overrides: Sequence[str], split: SplitName, sample: int, seed: int, reporter: Reporter
) -> Agreement:
    """The harness's phrases of a sample of captions beside spaCy's chunks."""
    opened_set = opened(dataset, data_root, overrides)
    opened_set.prepare(reporter.track)
    texts = sorted({caption.text for caption in opened_set.survey().splits[split].captions})
    drawn = Random(seed).sample(texts, min(sample, len(texts)))
    return agreement(phrases_of(drawn), phrases_of(drawn, None, reporter.track, extractor="spacy"))
