"""The nouns of the harness, and what a dataset and a model offer it.

Dimension letters: B pairs of a batch, N images, T captions, Q queries, G gallery, L tokens, P phrases, D width, C classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, Self, get_args

import torch
from torch import Tensor, nn

from bench._gather import BatchNorm1d as BatchNorm1d
from bench._gather import gathered as gathered
from bench._hot_path import HotPath as HotPath
from bench._options import DataOptions as DataOptions
from bench._options import Options as Options
from bench._records import WHOLE as WHOLE
from bench._records import Absent as Absent
from bench._records import Box as Box
from bench._records import CaptionRecord as CaptionRecord
from bench._records import Counts as Counts
from bench._records import Defect as Defect
from bench._records import Edition as Edition
from bench._records import Grounding as Grounding
from bench._records import ImageRecord as ImageRecord
from bench._records import Split as Split
from bench._records import SplitName as SplitName
from bench._records import Survey as Survey
from bench._records import Twins as Twins
from bench._records import absent as absent
from bench._torchvision import import_beside_torchvision as import_beside_torchvision
from bench._weights import weights_digest as weights_digest
from bench.errors import UsageError as UsageError
from bench.progress import Track as Track
from bench.progress import silently as silently

Features = dict[str, Tensor]
"""Named tensors whose first axis is the item (image or caption): detachable, sliceable, savable."""


# ---------------------------------------------------------------------------------------------------------- dataset


class Dataset(ABC):
    """A data set: records by split, where they come from, and how to get them.

    A subclass is one module of `datasets/`; its docstring's first line is what `bench list datasets` shows, and
    `citation` says whose work it is. It is built cheaply: files are read by `prepare` and `split`, not before.
    """

    Config: ClassVar[type[DataOptions]] = DataOptions
    """The data set's own knobs, set with `--set data.<knob>=<value>`."""
    citation: ClassVar[str]
    free: ClassVar[bool] = False
    """Whether its images may be shown to anyone: reports show those of other sets only where they are asked to."""
    default_preset: ClassVar[str] = "paper"
    """The model preset a run takes when it names none (and the model has it)."""
    official: ClassVar[Mapping[SplitName, Counts]] = {}
    """The published sizes, where there are any."""
    editions: ClassVar[tuple[Edition, ...]] = ()
    """Other copies that are known to go about."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of files that are a data set by themselves: the class that has `.csv` reads `--dataset some/file.csv`."""
    file: ClassVar[Path | None] = None
    """The file that was named, of a class that reads files."""

    @classmethod
    def of_file(cls, file: Path) -> type[Self]:
        """This class, bound to a file."""
        return type(cls.__name__, (cls,), {"file": file, "__doc__": cls.__doc__, "__module__": cls.__module__})

    def __init__(self, root: Path, config: DataOptions | None = None) -> None:
        """`root` is the data root, which holds a folder for each data set."""
        self.root = root
        self.config = config if config is not None else self.Config()

    def prepare(self, track: Track) -> None:  # noqa: B027 - most data sets have nothing to prepare
        """Make what can be made (walkers draws itself); show long work through `track`. Idempotent."""

    def splits(self) -> tuple[SplitName, ...]:
        """Those it has. A run needs all three, an evaluation the one it is asked for."""
        return get_args(SplitName)

    @abstractmethod
    def split(self, name: SplitName) -> Split:
        """The records of a split. Raises UsageError (what is missing, where it is looked for, how it is obtained)."""

    def ceiling(self, name: SplitName) -> float | None:
        """Expected text-to-image R1 (a fraction) of an oracle that knows the truth, where the truth is known."""
        return None

    def grounding(self, name: SplitName) -> Grounding | None:
        """Which words of a split's captions speak of which part of its images, where the truth is known."""
        return None

    def camera(self, path: str) -> str | None:
        """The camera that took the image at `path` (a record's), where the set tells."""
        return None

    def twins(self, name: SplitName) -> Sequence[Twins]:
        """Pairs of a split's identities that are hard to tell apart, where the truth is known."""
        return ()

    def columns(self, name: SplitName) -> Mapping[str, Sequence[Any]]:
        """Further columns that the set keeps beside a split's captions, a value a caption: per-query outcomes are written with them."""
        return {}

    def survey(self) -> Survey:
        """What the files hold, however bad: for `data check`. UsageError if nothing can be read at all."""
        splits: dict[SplitName, Split] = {}
        defects: list[Defect] = []
        for name in get_args(SplitName):
            try:
                splits[name] = self.split(name)
            except UsageError as error:
                defects.append(Defect(name, "split", str(error)))
        if not splits:
            raise UsageError(defects[0].what)
        return Survey(splits, tuple(defects))

    def choices(self) -> Mapping[str, str]:
        """What reading the set decided that another reader might not: which file, renamed images, a split carved out. Recorded."""
        return {}

    def fingerprint(self) -> str:
        """SHA-256 over the records of all splits (not over file order, folder or time), in hexadecimal."""
        digest = sha256()
        for name in self.splits():
            split = self.split(name)
            for caption in split.captions:
                image = split.images[caption.image]
                digest.update(repr((name, image.path, image.pid, caption.text)).encode())
            described = {caption.image for caption in split.captions}
            for row, image in enumerate(split.images):
                if row not in described:  # in the gallery, and nobody's query
                    digest.update(repr((name, image.path, image.pid)).encode())
        return digest.hexdigest()


# ------------------------------------------------------------------------------------------------------------ model


@dataclass(frozen=True)
class InputSpec:
    """What a model wants to be fed; the data layer obeys."""

    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    tokenizer: str | None = None
    """Folder or hub id of a pretrained tokenizer; None: a WordPiece vocabulary is trained on the train captions."""
    vocabulary_size: int = 2000
    """Upper bound on a vocabulary that is trained (words and word pieces)."""
    max_tokens: int = 64
    """Tokens a caption, [CLS] and [SEP] included; longer captions are cut and keep their [SEP]."""
    max_phrases: int = 0
    """Noun phrases a caption; 0: the model wants none."""
    max_phrase_tokens: int = 12
    phrase_filler: str | None = None
    """Text that stands in empty phrase slots (the released ACSA encodes "[PAD]"); None: such slots are all padding."""


@dataclass(frozen=True)
class Captions:
    """Token ids of T captions and of their noun phrases. Masks are True on what is there; `phrases*` need max_phrases > 0."""

    tokens: Tensor  # (T, L) int64
    token_mask: Tensor  # (T, L) bool
    phrases: Tensor  # (T, P, M) int64, M tokens a phrase
    phrase_token_mask: Tensor  # (T, P, M) bool
    phrase_mask: Tensor  # (T, P) bool: a phrase of the caption stands in this slot

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Any) -> Captions:
        """The captions of these rows (a slice or an index tensor)."""
        return Captions(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def to(self, device: torch.device) -> Captions:
        return Captions(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})


@dataclass(frozen=True)
class Batch:
    """B pairs: row i of `captions` describes row i of `images`; `labels` are pids renumbered 0..C-1 over train."""

    images: Tensor  # (B, 3, H, W) float, normalised
    captions: Captions
    labels: Tensor  # (B,) int64

    def to(self, device: torch.device) -> Batch:
        return Batch(self.images.to(device, non_blocking=True), self.captions.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Vocabulary:
    """What a model must know of the data when it is built: the text tower's and the classifier's sizes."""

    n_tokens: int
    """Rows of the token embedding."""
    n_classes: int
    """Identities in train (C)."""


class ModelOptions(Options):
    """Base of a model's own knobs, set with `--set model.<knob>=<value>`."""


@dataclass(frozen=True)
class Preset:
    """A named configuration of a model: its own knobs, and the recipe that trains it (sections as in the run's file)."""

    about: str
    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)


class TextImageModel(nn.Module, ABC):
    """A text-image model. One public module of `models/` holds one; its docstring's first line is what `bench list` shows."""

    Config: ClassVar[type[ModelOptions]] = ModelOptions
    citation: ClassVar[str]
    presets: ClassVar[Mapping[str, Preset]] = {}

    inputs: InputSpec

    def __init__(self, config: ModelOptions, vocabulary: Vocabulary) -> None:
        super().__init__()

    @classmethod
    @abstractmethod
    def input_spec(cls, config: ModelOptions) -> InputSpec:
        """What the model will want to be fed: known before it is built, since its vocabulary comes from the data."""

    @abstractmethod
    def encode_images(self, images: Tensor) -> Features:
        """(N, 3, H, W) -> features of N images."""

    @abstractmethod
    def encode_captions(self, captions: Captions) -> Features:
        """Features of T captions."""

    @abstractmethod
    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        """Named components, each (Q, G); larger is nearer."""

    def first_stage(self, captions: Features, images: Features) -> Tensor | None:
        """(Q, G) what a two-stage search ranks first, where it is much cheaper than `similarities`; None: there is but one stage."""
        return None

    @abstractmethod
    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, already weighted; the engine sums them."""

    def features(self, batch: Batch) -> tuple[Features, Features, Tensor]:
        """Features of a batch's images and captions, and its labels: of the whole batch, where several processes have a part each."""
        images, captions = self.encode_images(batch.images), self.encode_captions(batch.captions)
        whole = ({name: gathered(part) for name, part in side.items()} for side in (images, captions))
        return (*whole, gathered(batch.labels))  # type: ignore[return-value]

    def attention(self, captions: Features, images: Features) -> Tensor | None:
        """(N, P, R) how each phrase of N captions attends to the R tokens of N images, row with row; None: the model does no such thing.

        A phrase's weights sum to one; those of an empty slot are zero.
        """
        return None

    def token_boxes(self) -> tuple[Box, ...] | None:
        """Where the R image tokens of `attention` lie; None: they lie nowhere."""
        return None

    def mixing(self) -> dict[str, float] | None:
        """Fixed weights of the components of `similarities`, by name; None: the harness tunes them on val."""
        return None

    def parameter_groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        """Named parameters with a multiplier of the learning rate: `image tower`, `text tower`, and so on. All, each once."""
        return {"all": (list(self.parameters()), 1.0)}

    @classmethod
    def hot_paths(cls, device: torch.device, *, quick: bool) -> Iterable[HotPath]:
        """What `bench perf` is to measure of this model beside what all have, each built when it is its turn; `quick`: tiny sizes."""
        return ()

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """`loss`, so that a wrapper for several processes (DDP) sees the call."""
        return self.loss(batch)
