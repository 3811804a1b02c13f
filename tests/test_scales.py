"""The scales of an image, one part at a time."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from bench.contracts import UsageError
from models._scales import AttentionWindows, ChannelRegions, GridWindows, ResidualMLP, StripeRegions, cell_means


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("size", [(12, 6), (7, 7), (5, 3), (2, 1)])
@pytest.mark.parametrize("grid", [(1, 1), (4, 1), (2, 2), (3, 5)])
def test_cell_means_are_adaptive_average_pooling(size: tuple[int, int], grid: tuple[int, int]) -> None:
    maps = torch.randn(2, 3, *size, dtype=torch.float64)
    torch.testing.assert_close(cell_means(maps, *grid), adaptive_avg_pool2d(maps, grid).flatten(2).mT)


def test_cell_means_keep_the_type() -> None:
    assert cell_means(torch.ones(1, 2, 4, 4, dtype=torch.bfloat16), 2, 2).dtype == torch.bfloat16


def test_stripes_lie_from_top_to_bottom_and_do_not_see_each_other() -> None:
    regions = StripeRegions(3, 5, count=4)
    maps = torch.randn(2, 3, 8, 2)
    before = regions(maps)
    assert before.shape == (2, 4, 5)
    for stripe in range(4):
        changed = maps.clone()
        changed[:, :, 2 * stripe : 2 * stripe + 2] += 1
        moved = (regions(changed) != before).any(dim=2).all(dim=0)
        assert moved.tolist() == [other == stripe for other in range(4)]


def test_grid_windows_are_cells_in_rows() -> None:
    windows = GridWindows(3, 3, rows=2, columns=2)
    torch.nn.init.eye_(windows.project.weight)
    torch.nn.init.zeros_(windows.project.bias)
    maps = torch.zeros(1, 3, 4, 6)
    maps[:, :, :2, 3:] = 1  # top right
    assert windows(maps)[0, :, 0].tolist() == [0, 1, 0, 0]


def test_channel_regions_are_the_released_spans() -> None:
    assert ChannelRegions(768, 768).spans == ((0, 256), (128, 384), (384, 640), (640, 768))  # head, upper, lower, feet
    assert [project[0].in_features for project in ChannelRegions(768, 768).project] == [256, 256, 256, 128]


@pytest.mark.parametrize("channel", range(12))
def test_a_channel_is_seen_by_the_regions_that_hold_its_chunk(channel: int) -> None:
    regions = ChannelRegions(12, 7).eval()
    regions.mix = torch.nn.Identity()  # mixes the channels
    pooled = torch.randn(3, 12)
    changed = pooled.clone()
    changed[:, channel] += 10
    moved = {("head", "upper", "lower", "feet")[i] for i in range(4) if (regions(changed) != regions(pooled))[:, i].any()}
    chunk = channel // 2
    assert moved == ({"head"}, {"head", "upper"}, {"upper"}, {"lower"}, {"lower"}, {"feet"})[chunk]


def test_residual_mlp() -> None:
    """What a 3x3 convolution with padding does to a 1x1 map: its middle tap is a linear layer."""
    mlp = ResidualMLP(6)
    convolution = torch.nn.Conv2d(6, 6, 3, padding=1, bias=False)
    x = torch.randn(4, 6)
    mlp.layers[0].weight.data = convolution.weight.data[:, :, 1, 1]
    torch.testing.assert_close(mlp.layers[0](x), convolution(x[:, :, None, None])[:, :, 0, 0])
    assert (mlp(x) >= 0).all()
    assert mlp(x).shape == (4, 6)


def test_four_windows_are_put_together_two_by_two_in_rows() -> None:
    windows = AttentionWindows(3, 6, count=4).eval()
    windows.mix = torch.nn.Identity()
    given = torch.arange(12.0).view(1, 4, 3)
    assert windows(given).tolist() == [[[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]]


@pytest.mark.parametrize(("width", "count"), [(5, 4), (6, 3), (6, 1)])
def test_windows_that_cannot_be_put_together_are_refused(width: int, count: int) -> None:
    with pytest.raises(UsageError, match=rf"{count} windows of width 3 .* model.width=6, but got model.width={width}"):
        AttentionWindows(3, width, count)
