"""The scales of an image: the whole, its regions, and windows of an earlier stage, as tokens of one width.

Dimension letters: N images, R tokens, D width, h w grid of a feature map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from bench.contracts import BatchNorm1d, Box, UsageError

Regions = Literal["stripes", "channels"]
Windows = Literal["grid", "attention"]
Whole = Literal["pooled", "mean"]


def cell_means(maps: Tensor, rows: int, columns: int) -> Tensor:
    """(N, D, h, w) -> (N, rows * columns, D): the mean of each cell of a grid, row by row.

    The cells are those of adaptive average pooling, which on CUDA has no deterministic gradient; a matrix product has.
    """
    down, across = (_cells(size, count, maps.device).to(maps.dtype) for size, count in zip(maps.shape[2:], (rows, columns), strict=True))
    means: Tensor = down @ maps @ across.T  # (N, D, rows, columns)
    return means.flatten(2).mT


def _cells(size: int, count: int, device: torch.device) -> Tensor:
    """(count, size) weights: row i averages the places floor(i size / count) to ceil((i + 1) size / count)."""
    cell, place = torch.arange(count, device=device)[:, None], torch.arange(size, device=device)
    inside = (place >= cell * size // count) & (place * count < (cell + 1) * size)
    return inside / inside.sum(dim=1, keepdim=True)


def cell_boxes(grid: tuple[int, int], rows: int, columns: int) -> tuple[Box, ...]:
    """Where the cells of `cell_means` lie on the image, for a map of `grid` (h, w) places. Where they do not divide it, cells overlap."""
    (h, w), downs, acrosses = grid, range(rows), range(columns)
    spans = [(row * h // rows / h, -(-(row + 1) * h // rows) / h) for row in downs]
    widths = [(column * w // columns / w, -(-(column + 1) * w // columns) / w) for column in acrosses]
    return tuple(Box(left, top, right, bottom) for top, bottom in spans for left, right in widths)


class StripeRegions(nn.Module):
    """Regions as horizontal stripes of the last feature map, each pooled and projected for itself."""

    def __init__(self, width_in: int, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.project = nn.ModuleList(nn.Linear(width_in, width) for _ in range(count))

    def forward(self, final: Tensor) -> Tensor:
        """(N, D', h, w) -> (N, count, D), from top to bottom."""
        stripes = cell_means(final, self.count, 1).unbind(1)
        return torch.stack([project(stripe) for project, stripe in zip(self.project, stripes, strict=True)], dim=1)


class ChannelRegions(nn.Module):
    """Regions of the released ACSA: groups of channels of the pooled vector, with nothing spatial about them.

    Six chunks c0..c5; "head" is c0 c1, "upper" c1 c2, "lower" c3 c4, "feet" c5.
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        chunk = width_in // 6
        self.spans = ((0, 2 * chunk), (chunk, 3 * chunk), (3 * chunk, 5 * chunk), (5 * chunk, width_in))
        self.mix = ResidualMLP(width_in)
        widths = [end - start for start, end in self.spans]
        self.project = nn.ModuleList(nn.Sequential(nn.Linear(w, width), nn.ReLU(), nn.Dropout(0.5)) for w in widths)

    def forward(self, pooled: Tensor) -> Tensor:
        """(N, D') -> (N, 4, D)."""
        mixed = self.mix(pooled)  # (N, D)
        tokens = [project(mixed[:, start:end]) for project, (start, end) in zip(self.project, self.spans, strict=True)]
        return torch.stack(tokens, dim=1)  # (N, 4, D)


class ResidualMLP(nn.Module):
    """Two layers with batch norm and a shortcut: what the released code's 3x3 convolutions on a 1x1 map amount to."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.layers = nn.Sequential(first, BatchNorm1d(width), nn.ReLU(), second, BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) -> (N, D)."""
        out: Tensor = (x + self.layers(x)).relu()
        return out


class GridWindows(nn.Module):
    """Windows as the cells of a `rows` x `columns` grid over the earlier stage's feature map, each pooled."""

    def __init__(self, width_in: int, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.grid = (rows, columns)
        self.project = nn.Linear(width_in, width)

    def forward(self, earlier: Tensor) -> Tensor:
        """(N, D', h, w) -> (N, rows * columns, D), row by row."""
        out: Tensor = self.project(cell_means(earlier, *self.grid))
        return out


class AttentionWindows(nn.Module):
    """Windows of the released ACSA: the attention windows (four of Swin-Tiny's at 224 x 224), two and two put side by side."""

    def __init__(self, width_in: int, width: int, count: int) -> None:
        """`count` windows of `width_in` are to give count / 2 tokens of `width`: a UsageError where they cannot."""
        super().__init__()
        if 2 * width_in != width or count % 2:
            raise UsageError(
                f"model.windows=attention puts two and two windows side by side: with {count} windows of width {width_in} it wants an "
                f"even number of windows and model.width={2 * width_in}, but got model.width={width}; or take model.windows=grid"
            )
        self.mix = ResidualMLP(width_in)

    def forward(self, windows: Tensor) -> Tensor:
        """(N, W, D') in row-major order -> (N, W / 2, 2 D')."""
        N, W, D = windows.shape
        mixed: Tensor = self.mix(windows.reshape(N * W, D))
        return mixed.view(N, W // 2, 2 * D)
