"""Image files -> uint8 pixels of one size; pixels -> what a model is fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench.contracts import InputSpec, UsageError

MAX_PIXELS = 50_000_000
"""An image of more pixels than this is no photograph of a pedestrian: a few kB may unpack to gigabytes."""

DECODER = f"bicubic 1, Pillow {PIL.__version__}"
"""Names what `decode` makes of a file: raise the number when that changes."""
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""What photographs come in. Pillow knows others that start programs or name further files, whatever a file is called."""


def decode(path: Path, spec: InputSpec) -> Tensor:
    """The image as RGB, resized (bicubic, antialiased, aspect not kept) to uint8 (3, H, W). A bad file is a UsageError."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many")
            resized = _rgb(image).resize((spec.width, spec.height), Image.Resampling.BICUBIC)
    except Exception as error:  # on broken files Pillow raises nearly anything: SyntaxError, struct.error, ...
        reason = error.strerror if isinstance(error, OSError) and error.strerror else _reason(path, error)
        raise UsageError(f"{path}: cannot be read as an image ({reason}); get that file again or drop its record") from None
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).contiguous()  # (H, W, 3) -> (3, H, W)


def _rgb(image: Image.Image) -> Image.Image:
    """Transparency is dropped; a palette with transparency goes by way of RGBA, as Pillow asks."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def _reason(path: Path, error: Exception) -> str:
    if path.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "no known image format"
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def normalise(images: Tensor, spec: InputSpec) -> Tensor:
    """uint8 (N, 3, H, W) -> float32 (N, 3, H, W): in [0, 1], then less the mean and over the deviation of each channel."""
    mean = torch.tensor(spec.mean, device=images.device).view(3, 1, 1)
    std = torch.tensor(spec.std, device=images.device).view(3, 1, 1)
    return images.to(torch.float32).div_(255).sub_(mean).div_(std)


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """The images (N, 3, H, W), those where `mirrored` (N,) bool is true turned left to right."""
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
