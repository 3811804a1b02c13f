"""Image augmentation of a batch, on uint8 pixels, by numbers that are drawn for each pair beforehand (torchvision.transforms.v2).

Order: crop, erase, colour; the flip, which no option of `augment` is needed for, comes first (`bench.data`).
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import torch
from torch import Tensor

from bench._augment_options import AugmentOptions
from bench._torchvision import import_beside_torchvision

NUMBERS = 11
"""Numbers that an image is changed by."""
_AREA, _ASPECT = (0.02, 0.4), (0.3, 3.3)
"""Of what is erased: share of the image, height over width (Zhong et al., 2020, arXiv:1708.04896)."""


class ImageAugment:
    """Changes images as the options say. What becomes of an image depends on the image and its numbers alone."""

    def __init__(self, options: AugmentOptions, fill: tuple[float, float, float]) -> None:
        """`fill`: the colour of what is padded or erased, 0 to 1: the model's mean, which is 0 once normalised."""
        self._options = options
        self._fill = [round(255 * value) for value in fill]
        self._v2: Any = import_beside_torchvision("torchvision.transforms.v2.functional")

    def __call__(self, images: Tensor, numbers: Tensor) -> Tensor:
        """uint8 (B, 3, H, W) changed by `numbers` (B, NUMBERS) in [0, 1)."""
        return torch.stack([self._changed(image, row) for image, row in zip(images, numbers.tolist(), strict=True)])

    def _changed(self, image: Tensor, numbers: list[float]) -> Tensor:
        options = self._options
        if options.crop:
            image = self._cropped(image, *numbers[0:2])
        if numbers[2] < options.erase:
            image = self._erased(image, *numbers[3:7])
        if options.colour:
            image = self._coloured(image, *numbers[7:10])
        if options.hue:
            image = self._v2.adjust_hue(image, _between(-options.hue, options.hue, numbers[10]))
        return image

    def _cropped(self, image: Tensor, down: float, right: float) -> Tensor:
        """Padded on all sides, then cut to its size at a random place."""
        margin, (height, width) = self._options.crop, image.shape[-2:]
        padded = self._v2.pad(image, [margin], fill=self._fill)
        cut: Tensor = self._v2.crop(padded, int(down * (2 * margin + 1)), int(right * (2 * margin + 1)), height, width)
        return cut

    def _erased(self, image: Tensor, area: float, aspect: float, down: float, right: float) -> Tensor:
        """A rectangle of random size and place in the fill colour; where it does not fit, it is cut."""
        height, width = image.shape[-2:]
        size = _between(_AREA[0], _AREA[1], area) * height * width
        ratio = exp(_between(log(_ASPECT[0]), log(_ASPECT[1]), aspect))
        tall, wide = min(max(1, round(sqrt(size * ratio))), height), min(max(1, round(sqrt(size / ratio))), width)
        top, left = int(down * (height - tall + 1)), int(right * (width - wide + 1))
        fill = torch.tensor(self._fill, dtype=image.dtype).view(3, 1, 1)
        erased: Tensor = self._v2.erase(image, top, left, tall, wide, fill)
        return erased

    def _coloured(self, image: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
        low, high = 1 - self._options.colour, 1 + self._options.colour
        image = self._v2.adjust_brightness(image, _between(low, high, brightness))
        image = self._v2.adjust_contrast(image, _between(low, high, contrast))
        changed: Tensor = self._v2.adjust_saturation(image, _between(low, high, saturation))
        return changed


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
