"""What every model with an image tower and a text tower shares, so that only the alignment differs between them."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from bench.contracts import Captions, InputSpec, ModelOptions, TextImageModel, Vocabulary
from models._text_tower import TextTower, TextTowerOptions
from models._towers import ImageTower, ImageTowerOptions

CUHK_PEDES_MEAN = (0.391, 0.367, 0.350)
CUHK_PEDES_STD = (0.217, 0.212, 0.206)


class TwoTowerOptions(ModelOptions):
    """Knobs of the towers. The defaults are the published recipe's: Swin-Tiny at 224 x 224 and BERT-base."""

    image: ImageTowerOptions = Field(default_factory=ImageTowerOptions, description="the image tower")
    text: TextTowerOptions = Field(default_factory=TextTowerOptions, description="the text tower")
    width: int = Field(768, gt=0, description="width of what is compared")
    max_phrases: int = Field(10, gt=0, description="noun phrases a caption; the first so many are taken")
    max_phrase_tokens: int = Field(24, ge=4, description="tokens a phrase, [CLS] and [SEP] included")
    mean: tuple[float, float, float] = Field(CUHK_PEDES_MEAN, description="pixel mean, red green blue, of 0 to 1")
    std: tuple[float, float, float] = Field(CUHK_PEDES_STD, description="pixel standard deviation, red green blue")


class TwoTowers(TextImageModel):
    """Towers and what feeds them. A subclass adds its alignments and says what it encodes."""

    Config: ClassVar[type[ModelOptions]] = TwoTowerOptions
    wants_phrases: ClassVar[bool] = True

    def __init__(self, config: TwoTowerOptions, vocabulary: Vocabulary, *, tap_windows: bool = False) -> None:
        super().__init__(config, vocabulary)
        self.config = config
        self.inputs = self.input_spec(config)
        self.image_tower = ImageTower(config.image, tap_windows=tap_windows)
        self.text_tower = TextTower(config.text, vocabulary.n_tokens, longest=max(config.text.max_tokens, self.inputs.max_phrase_tokens))

    @classmethod
    def input_spec(cls, config: Any) -> InputSpec:
        return InputSpec(
            height=config.image.height,
            width=config.image.width,
            mean=config.mean,
            std=config.std,
            tokenizer=config.text.source,
            vocabulary_size=config.text.vocabulary,
            max_tokens=config.text.max_tokens,
            max_phrases=config.max_phrases if cls.wants_phrases else 0,
            max_phrase_tokens=config.max_phrase_tokens,
        )

    def sentence(self, captions: Captions) -> Tensor:
        """(T, D') vector of each whole caption."""
        out: Tensor = self.text_tower(captions.tokens, captions.token_mask)
        return out

    def parameter_groups(self) -> dict[str, tuple[list[nn.Parameter], float]]:
        groups = {
            "image tower": (list(self.image_tower.parameters()), self.config.image.lr_factor),
            "text tower": (list(self.text_tower.parameters()), self.config.text.lr_factor),
        }
        taken = {id(parameter) for parameters, _ in groups.values() for parameter in parameters}
        return groups | {"alignment": ([p for p in self.parameters() if id(p) not in taken], 1.0)}
