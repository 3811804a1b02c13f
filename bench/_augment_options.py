"""The options `train.augment.…`: what is changed at random in train pairs, besides the flip. All off where nothing is said."""

from __future__ import annotations

from pydantic import Field

from bench.contracts import Options


class AugmentOptions(Options):
    """Random changes of train images and captions."""

    crop: int = Field(0, ge=0, description="pixels of padding round an image, of which a window of its size is cut at random; 0: none")
    erase: float = Field(0.0, ge=0, le=1, description="probability that a rectangle of 2 to 40 % of an image is erased")
    colour: float = Field(
        0.0, ge=0, lt=1, description="brightness, contrast and saturation change by up to this share; much of it falsifies colour words"
    )
    hue: float = Field(0.0, ge=0, le=0.5, description="hue turns by up to this share of the circle; makes a caption's colour words false")
    drop_words: float = Field(0.0, ge=0, lt=1, description="probability of each word of a caption to be left out")
    reorder: float = Field(0.0, ge=0, le=1, description="probability that a caption's sentences, and its phrases, come in another order")
    synonyms: float = Field(0.0, ge=0, le=1, description="probability of each attribute's word to become another that train uses for it")

    @property
    def of_images(self) -> bool:
        return bool(self.crop or self.erase or self.colour or self.hue)

    @property
    def of_captions(self) -> bool:
        return bool(self.drop_words or self.reorder or self.synonyms)
