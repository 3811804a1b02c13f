"""Image files to pixels, and what becomes of bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.contracts import InputSpec, UsageError
from bench.images import decode, flip, normalise

SPEC = InputSpec(height=6, width=4, mean=(0.5, 0.25, 0.125), std=(0.5, 0.2, 0.1))


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_an_image_of_the_right_size_is_unchanged(tmp_path: Path) -> None:
    pixels = noise(6, 4)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png", SPEC)
    assert decoded.dtype == torch.uint8
    assert decoded.is_contiguous()
    assert torch.equal(decoded, torch.from_numpy(pixels).permute(2, 0, 1))


def test_resizing_averages_over_what_it_drops(tmp_path: Path) -> None:
    """Without antialiasing a chequerboard made small keeps its blacks and whites; with it all is grey."""
    chequers = (np.indices((96, 64)).sum(0) % 2 * 255).astype(np.uint8)
    Image.fromarray(chequers).save(tmp_path / "a.png")
    decoded = decode(tmp_path / "a.png", SPEC)
    assert decoded.shape == (3, 6, 4)
    assert ((decoded > 110) & (decoded < 145)).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    name = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(noise(9, 7)).convert(mode).save(name)
    assert decode(name, SPEC).shape == (3, 6, 4)


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    Image.fromarray(noise(9, 7)).convert("P").save(tmp_path / "a.png", transparency=bytes(range(256)))
    assert decode(tmp_path / "a.png", SPEC).shape == (3, 6, 4)


class TestBadFiles:
    @pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text", "cut jpg", "cut png", "bad png", "large", "bomb"])
    def test_one_line_names_the_file(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "bad.png"
        self.make(kind, path)
        with pytest.raises(UsageError, match="cannot be read as an image") as caught:
            decode(path, SPEC)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    @staticmethod
    def make(kind: str, path: Path) -> None:
        if kind == "folder":
            path.mkdir()
        elif kind in ("empty", "text"):
            path.write_text("" if kind == "empty" else "<html>")
        elif kind in ("large", "bomb"):
            Image.new("1", (8000, 7000) if kind == "large" else (20_000, 10_000)).save(path)
        elif kind != "missing":
            Image.fromarray(noise(64, 64)).save(path, format="jpeg" if "jpg" in kind else "png")
            content = path.read_bytes()
            path.write_bytes(content[:60] + b"\0" * 60 + content[120:] if kind == "bad png" else content[: len(content) // 2])

    def test_the_reason_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "a.jpg").touch()
        with pytest.raises(UsageError, match="the file is empty"):
            decode(tmp_path / "a.jpg", SPEC)
        with pytest.raises(UsageError, match="No such file"):
            decode(tmp_path / "b.jpg", SPEC)


def test_normalise_equals_its_slow_twin() -> None:
    images = torch.randint(0, 256, (2, 3, 6, 4), dtype=torch.uint8)
    normalised = normalise(images, SPEC)
    assert normalised.dtype == torch.float32
    for (n, channel, y, x), value in np.ndenumerate(images.numpy()):
        assert normalised[n, channel, y, x] == pytest.approx((value / 255 - SPEC.mean[channel]) / SPEC.std[channel], abs=1e-5)


def test_flip_turns_the_marked_images() -> None:
    images = torch.randint(0, 256, (4, 3, 6, 4), dtype=torch.uint8)
    mirrored = torch.tensor([True, False, False, True])
    for turned, image, mark in zip(flip(images, mirrored), images, mirrored.tolist(), strict=True):
        columns = [image[:, :, x] for x in (range(3, -1, -1) if mark else range(4))]
        assert torch.equal(turned, torch.stack(columns, dim=2))
