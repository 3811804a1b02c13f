"""What a run is made of: the data set, its tokenizer and encoded splits, and the model that is built for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import get_args

from accelerate.utils import set_seed

from bench import registry
from bench.config import RunConfig
from bench.contracts import Captions, Dataset, InputSpec, Split, SplitName, TextImageModel, Vocabulary
from bench.data import EncodedSplit, ImageStore, build_labels, limited
from bench.noise import account, with_noise
from bench.phrases import Phrase, phrases_of
from bench.progress import Reporter
from bench.reword import Reworder
from bench.sealed import WithoutTest
from bench.text import Tokenizer, kept_captions

TOKENIZER = "tokenizer"
"""Folder of a run's tokenizer, beside its checkpoints."""
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
SEEN: tuple[SplitName, ...] = ("train", "val")
"""What a search sees."""
PIXELS, PHRASES, TOKENS = "pixels", "phrases", "tokens"
"""Folders of a configuration's `cache`."""


@dataclass(frozen=True)
class Materials:
    """Opened by `gather`. Splits are read and encoded when they are first asked for."""

    config: RunConfig
    dataset: Dataset
    model_class: type[TextImageModel]
    tokenizer: Tokenizer
    reporter: Reporter

    @property
    def spec(self) -> InputSpec:
        return self.model_class.input_spec(self.config.model)

    def split(self, name: SplitName) -> Split:
        """The records of a split, cut to `limit`."""
        return _cut(self.dataset, name, self.config.limit)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(n_tokens=len(self.tokenizer), n_classes=self.split("train").n_identities)

    def captions(self, name: SplitName) -> Captions:
        """The captions of a split as tokens, with their phrases."""
        texts, spec = [caption.text for caption in self.split(name).captions], self.spec
        phrases = self.phrases(texts) if spec.max_phrases else []
        return kept_captions(texts, self.tokenizer, spec, phrases, self.config.cache / TOKENS)

    def phrases(self, texts: Sequence[str]) -> list[tuple[Phrase, ...]]:
        """The noun phrases of captions, by the extractor that the configuration names."""
        return phrases_of(texts, self.config.cache / PHRASES, self.reporter.track, extractor=self.config.data.phrases)

    def encoded(self, name: SplitName, *, later: bool = False) -> EncodedSplit:
        """A split with its pixels decoded (`later`: once they are asked for) and its captions as tokens."""
        split, captions = self.split(name), self.captions(name)
        labels = build_labels(split)[0] if name == "train" else None
        cache, workers = self.config.cache / PIXELS, self.config.train.workers
        store = ImageStore(split, self.spec, track=self.reporter.track, workers=workers, cache=cache, later=later)
        reworder = self._reworder(split) if name == "train" and self.config.train.augment.of_captions else None
        return EncodedSplit(split, store, captions, labels, reworder)

    def _reworder(self, split: Split) -> Reworder:
        """What changes train captions at random."""
        texts, spec = [caption.text for caption in split.captions], self.spec
        phrases = self.phrases(texts) if spec.max_phrases else []
        options = self.config.train.augment
        return Reworder(texts, phrases, split.caption_pids.tolist(), tokenizer=self.tokenizer, spec=spec, options=options)

    @cached_property
    def val(self) -> EncodedSplit:
        """The split that is looked at after each epoch, and once more at the end."""
        return self.encoded("val")

    def build(self, vocabulary: Vocabulary | None = None) -> TextImageModel:
        """A model whose random weights depend on the seed alone."""
        self.reporter.note("building the model")
        set_seed(self.config.seed)
        return self.model_class(self.config.model, vocabulary or self.vocabulary)


def gather(config: RunConfig, reporter: Reporter, tokenizer_folder: Path, splits: Sequence[SplitName] = SPLITS) -> Materials:
    """Open the data set (made, if it makes itself) and the tokenizer, which is trained once and kept in `tokenizer_folder`.

    `splits` are those that must be there. Where test is not among them (a search's), whatever asks these materials for it is refused.
    """
    model_class: type[TextImageModel] = registry.load("model", config.model_name)
    dataset = open_dataset(config, reporter, splits)
    spec = model_class.input_spec(config.model)
    if not tokenizer_folder.is_dir():
        reporter.note(f"loading the tokenizer {spec.tokenizer}" if spec.tokenizer else "training a tokenizer on the train captions")
    return Materials(config, dataset, model_class, _tokenizer(spec, dataset, config, tokenizer_folder), reporter)


def open_dataset(config: RunConfig, reporter: Reporter, splits: Sequence[SplitName] = SPLITS) -> Dataset:
    """The data set, these splits read: one that is not there is found out now, before a hub is asked or a model built."""
    dataset: Dataset = with_noise(registry.load("dataset", config.dataset_name)(config.data_root, config.data))
    dataset.prepare(reporter.track)
    reporter.note(f"reading {config.dataset_name}")
    for name in splits:
        dataset.split(name)
    if (moved := account(dataset)) is not None:
        reporter.note("captions moved: {moved} of {captions}, {wrong_identity} of them to another identity".format_map(moved))
    return dataset if "test" in splits else WithoutTest(dataset)


def _tokenizer(spec: InputSpec, dataset: Dataset, config: RunConfig, folder: Path) -> Tokenizer:
    if folder.is_dir():
        return Tokenizer.load(folder)
    if spec.tokenizer is not None:
        tokenizer = Tokenizer.pretrained(spec.tokenizer)
    else:
        train = _cut(dataset, "train", config.limit)
        tokenizer = Tokenizer.train((caption.text for caption in train.captions), spec.vocabulary_size)
    _save_whole(tokenizer, folder)
    return tokenizer


def _save_whole(tokenizer: Tokenizer, folder: Path) -> None:
    half = folder.with_name(f".{folder.name}.tmp")
    tokenizer.save(half)
    half.replace(folder)


def _cut(dataset: Dataset, name: SplitName, limit: int | None) -> Split:
    split = dataset.split(name)
    return split if limit is None else limited(split, limit)
