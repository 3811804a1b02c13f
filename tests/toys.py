"""A model, a data set and materials that train in milliseconds: what tests of the loops and of selection run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor, nn

from bench.config import RunConfig
from bench.contracts import (
    Batch,
    Captions,
    DataOptions,
    Dataset,
    Features,
    ImageRecord,
    InputSpec,
    ModelOptions,
    Split,
    SplitName,
    TextImageModel,
    Vocabulary,
)
from bench.materials import Materials
from bench.progress import Reporter, Silent
from bench.text import Tokenizer

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "grey": (128, 128, 128)}
IDENTITIES = {"train": 6, "val": 5, "test": 5}


class ToyOptions(ModelOptions):
    """Knobs of the toy."""

    width: int = 6
    dropout: float = 0.2
    fixed: bool = False
    """`mixing()` says the weights."""


class Toy(TextImageModel):
    """Mean colours against a bag of words; with dropout, batch norm and two components, so that all state matters."""

    Config = ToyOptions
    citation = "Nobody: A toy. 2026."

    def __init__(self, config: ToyOptions, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.config, self.inputs = config, self.input_spec(config)
        self.image = nn.Linear(3, config.width)
        self.norm = nn.BatchNorm1d(config.width)
        self.text = nn.EmbeddingBag(vocabulary.n_tokens, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.classes = nn.Linear(config.width, vocabulary.n_classes)

    @classmethod
    def input_spec(cls, config: ModelOptions) -> InputSpec:
        third = (0.5, 0.5, 0.5)
        return InputSpec(height=4, width=2, mean=third, std=third, vocabulary_size=60, max_tokens=8)

    def encode_images(self, images: Tensor) -> Features:
        return {"image": self.norm(self.dropout(self.image(images.mean(dim=(2, 3)))))}

    def encode_captions(self, captions: Captions) -> Features:
        return {"text": self.text(captions.tokens)}

    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        """`dot` (Q, G), and `distance` (Q, G), which is never positive."""
        text, image = captions["text"], images["image"]
        return {"dot": text @ image.T, "distance": -(text[:, None] - image[None]).abs().sum(dim=2)}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        image, text = self.encode_images(batch.images)["image"], self.encode_captions(batch.captions)["text"]
        names = nn.functional.cross_entropy(self.classes(image), batch.labels)
        return {"classes": names, "pairs": 0.5 * (image - text).square().mean()}

    def mixing(self) -> dict[str, float] | None:
        return {"dot": 0.25, "distance": 0.75} if self.config.fixed else None


class ToyData(Dataset):
    """Plain-coloured pictures. Its test split may not be opened."""

    citation = "Nobody: Toy data. 2026."

    def split(self, name: SplitName) -> Split:
        if name == "test":
            raise AssertionError("the test split was opened")
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return Split.from_pairs(name, folder, [self._pair(folder, pid, take) for pid in range(IDENTITIES[name]) for take in range(2)])

    def _pair(self, folder: Path, pid: int, take: int) -> tuple[ImageRecord, list[str]]:
        upper, lower = list(COLOURS)[pid % 4], list(COLOURS)[(pid // 4 + take) % 4]
        picture = Image.new("RGB", (2, 4), COLOURS[upper])
        picture.paste(COLOURS[lower], (0, 2, 2, 4))
        file = folder / f"{pid}-{take}.png"
        if not file.exists():
            picture.save(file)
        return ImageRecord(file.name, pid), [f"a {upper} coat and {lower} trousers", f"someone in {upper}"]


def toy_config(root: Path, *, model: dict[str, Any] | None = None, **train: Any) -> RunConfig:
    recipe: dict[str, Any] = {"epochs": 4, "batch_size": 8, "lr": 0.02, "warmup_epochs": 1, "workers": 0, **train}
    return RunConfig.model_validate(
        {
            "model_name": "toy",
            "model": ToyOptions(**(model or {})),
            "dataset_name": "toy",
            "data": DataOptions(),
            "train": recipe,
            "device": "cpu",
            "data_root": root,
            "output_dir": root / "results",
        }
    )


def toy_materials(config: RunConfig, reporter: Reporter | None = None) -> Materials:
    """As `gather` makes them, but for `test`, which `gather` looks at on purpose."""
    dataset = ToyData(config.data_root)
    tokenizer = Tokenizer.train((caption.text for caption in dataset.split("train").captions), 60)
    return Materials(config, dataset, Toy, tokenizer, reporter or Silent())
