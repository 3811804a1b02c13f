"""The scales of an image: the whole, its regions, and windows of an earlier stage, as tokens of one width.

Dimension letters: N images, R tokens, D width, h w grid of a feature map.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

Regions = Literal["stripes", "channels"]
Windows = Literal["grid", "attention"]
Whole = Literal["pooled", "mean"]


class StripeRegions(nn.Module):
    """Regions as horizontal stripes of the last feature map, each pooled and projected for itself."""

    def __init__(self, width_in: int, width: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.project = nn.ModuleList(nn.Linear(width_in, width) for _ in range(count))

    def forward(self, final: Tensor) -> Tensor:
        stripes = adaptive_avg_pool2d(final, (self.count, 1))[..., 0].mT  # (N, R, D)
        return torch.stack([project(stripe) for project, stripe in zip(self.project, stripes.unbind(1), strict=True)], dim=1)


class ChannelRegions(nn.Module):
    """Regions of the released ACSA: groups of channels of the pooled vector, with nothing spatial about them.

    Six chunks c0..c5; "head" is c0 c1, "upper" c1 c2, "lower" c3 c4, "feet" c5.
    """

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        chunk = width_in // 6
        self.spans = ((0, 2 * chunk), (chunk, 3 * chunk), (3 * chunk, 5 * chunk), (5 * chunk, width_in))
        self.mix = ResidualMLP(width_in)
        self.project = nn.ModuleList(
            nn.Sequential(nn.Linear(end - start, width), nn.ReLU(), nn.Dropout(0.5)) for start, end in self.spans
        )

    def forward(self, pooled: Tensor) -> Tensor:
        mixed = self.mix(pooled)  # (N, D)
        tokens = [project(mixed[:, start:end]) for project, (start, end) in zip(self.project, self.spans, strict=True)]
        return torch.stack(tokens, dim=1)  # (N, 4, D)


class ResidualMLP(nn.Module):
    """Two layers with batch norm and a shortcut: what the released code's 3x3 convolutions on a 1x1 map amount to."""

    def __init__(self, width: int) -> None:
        super().__init__()
        first, second = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.layers = nn.Sequential(first, nn.BatchNorm1d(width), nn.ReLU(), second, nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.layers(x)).relu()


class GridWindows(nn.Module):
    """Windows as the cells of a `rows` x `columns` grid over the earlier stage's feature map, each pooled."""

    def __init__(self, width_in: int, width: int, rows: int, columns: int) -> None:
        super().__init__()
        self.grid = (rows, columns)
        self.project = nn.Linear(width_in, width)

    def forward(self, earlier: Tensor) -> Tensor:
        cells: Tensor = adaptive_avg_pool2d(earlier, self.grid).flatten(2).mT  # (N, rows * columns, D')
        out: Tensor = self.project(cells)
        return out


class AttentionWindows(nn.Module):
    """Windows of the released ACSA: four attention windows, two and two put side by side into two tokens."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        if 2 * width_in != width:
            raise ValueError(f"two windows of width {width_in} side by side must give the width {width}")
        self.mix = ResidualMLP(width_in)

    def forward(self, windows: Tensor) -> Tensor:
        mixed: Tensor = self.mix(windows.flatten(0, 1)).unflatten(0, windows.shape[:2])  # (N, 4, D')
        return mixed.reshape(len(windows), -1, 2 * windows.shape[2])  # (N, 2, D)
