"""Images changed at random: by their own numbers alone, in the ways the options name."""

from __future__ import annotations

import pytest
import torch

from bench._augment_options import AugmentOptions
from bench.augment import NUMBERS, ImageAugment

FILL = (0.5, 0.25, 0.1)
BYTES = torch.tensor([128, 64, 26], dtype=torch.uint8)


def pictures(n: int = 6, height: int = 24, width: int = 12) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def numbers(n: int = 6, seed: int = 1) -> torch.Tensor:
    return torch.rand(n, NUMBERS, generator=torch.Generator().manual_seed(seed))


def augment(**options: float) -> ImageAugment:
    return ImageAugment(AugmentOptions.model_validate(options), FILL)


ALL = {"crop": 3, "erase": 0.5, "colour": 0.4, "hue": 0.2}


def test_nothing_is_changed_by_default() -> None:
    assert not AugmentOptions().of_images
    assert torch.equal(augment()(pictures(), numbers()), pictures())


@pytest.mark.parametrize("name", list(ALL))
def test_each_option_changes_images(name: str) -> None:
    changed = augment(**{name: 1.0 if name == "erase" else ALL[name]})(pictures(), numbers())
    assert changed.shape == pictures().shape
    assert changed.dtype == torch.uint8
    assert AugmentOptions.model_validate({name: ALL[name]}).of_images
    assert all(not torch.equal(one, other) for one, other in zip(changed, pictures(), strict=True))


def test_an_image_depends_on_its_own_numbers_alone() -> None:
    together = augment(**ALL)(pictures(), numbers())
    alone = [augment(**ALL)(pictures()[row : row + 1], numbers()[row : row + 1])[0] for row in range(6)]
    assert torch.equal(together, torch.stack(alone))
    assert not torch.equal(together, augment(**ALL)(pictures(), numbers(seed=2)))


def test_a_crop_is_a_window_of_the_padded_image() -> None:
    margin = 3
    padded = BYTES.view(1, 3, 1, 1).repeat(6, 1, 24 + 2 * margin, 12 + 2 * margin)
    padded[:, :, margin:-margin, margin:-margin] = pictures()
    for image, frame in zip(augment(crop=margin)(pictures(), numbers()), padded, strict=True):
        windows = [frame[:, top : top + 24, left : left + 12] for top in range(7) for left in range(7)]
        assert any(torch.equal(image, window) for window in windows)


def test_every_window_is_cut_at_some_time() -> None:
    image = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3).repeat(1, 3, 1, 1)
    cuts = {augment(crop=1)(image, numbers(1, seed))[0, 0].numpy().tobytes() for seed in range(200)}
    assert len(cuts) == 9


@pytest.mark.parametrize("seed", range(5))
def test_what_is_erased_is_a_rectangle_in_the_models_mean(seed: int) -> None:
    before, after = pictures(1)[0], augment(erase=1)(pictures(1), numbers(1, seed))[0]
    gone = (after != before).any(0)
    rows, columns = torch.nonzero(gone.any(1)).flatten(), torch.nonzero(gone.any(0)).flatten()
    assert (after[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == BYTES.view(3, 1, 1)).all()
    assert 0.01 < gone.float().mean() < 0.5


def test_erasing_is_as_frequent_as_asked() -> None:
    images = pictures(400, 8, 4)
    changed = (augment(erase=0.3)(images, numbers(400)) != images).flatten(1).any(1)
    assert 0.22 < changed.float().mean() < 0.38


def test_colour_alone_keeps_grey_grey() -> None:
    grey = pictures()[:, :1].repeat(1, 3, 1, 1)
    changed = augment(colour=0.4)(grey, numbers())
    assert not torch.equal(changed, grey)
    assert (changed.float().std(1) <= 1).all()
