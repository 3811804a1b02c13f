"""The image tower: a Swin from timm. Its pretrained weights are loaded only here.

Dimension letters: N images, D width, h w grid of a feature map.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor, nn

from bench.contracts import Options, UsageError
from models._timm import import_timm

SWIN_MODULES = ("swin_transformer", "swin_transformer_v2")
"""Where timm keeps what has stages of blocks with windows, as this tower expects."""


class ImageTowerOptions(Options):
    """The image tower: any Swin of timm."""

    name: str = Field("swin_tiny_patch4_window7_224", description="timm model name, a Swin")
    weights: str | None = Field("hub", description="'hub', a local file (.safetensors, .pth), or null: from scratch")
    height: int = Field(224, gt=0, description="input height in pixels")
    width: int = Field(224, gt=0, description="input width in pixels")
    embed_dim: int | None = Field(None, gt=0, description="width of the first stage; null: the named model's")
    depths: tuple[int, ...] | None = Field(None, description="blocks a stage; null: the named model's")
    heads: tuple[int, ...] | None = Field(None, description="attention heads a stage; null: the named model's")
    patch: int | None = Field(None, gt=0, description="patch side in pixels; null: the named model's")
    window: int | None = Field(None, gt=0, description="window side in patches; null: the named model's")
    drop_path: float = Field(0.2, ge=0, lt=1, description="stochastic depth of the last block, linear from 0")
    frozen: bool = Field(False, description="weights stay as loaded")
    lr_factor: float = Field(1.0, gt=0, description="multiplies the learning rate")

    def build_arguments(self) -> dict[str, Any]:
        """Keyword arguments of timm's constructor: those that were set."""
        named = {
            "embed_dim": self.embed_dim,
            "depths": self.depths,
            "num_heads": self.heads,
            "patch_size": self.patch,
            "window_size": self.window,
        }
        return {key: value for key, value in named.items() if value is not None}


@dataclass(frozen=True)
class Maps:
    """What the image tower gives of N images."""

    final: Tensor  # (N, D, h, w) last stage, normalised
    earlier: Tensor  # (N, D', h', w') the stage before, twice as fine
    window_attention: Tensor | None = None  # (N, windows, D') of the stage before, where it is tapped


class ImageTower(nn.Module):
    """A Swin without its classifier. `width` is that of the last stage, `earlier_width` that of the stage before."""

    def __init__(self, options: ImageTowerOptions, *, tap_windows: bool = False) -> None:
        super().__init__()
        self.swin = _build_swin(options)
        self.width: int = self.swin.feature_info[-1]["num_chs"]
        self.earlier_width: int = self.swin.feature_info[-2]["num_chs"]
        self.tap = WindowTap(self.swin.layers[-2].blocks[-1], self.earlier_width) if tap_windows else None
        if options.frozen:
            self.swin.requires_grad_(False)  # not the tap's norm, which is not loaded either

    @property
    def grids(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Heights and widths of the final and of the earlier map."""
        final, earlier = (self.swin.layers[stage].blocks[0].input_resolution for stage in (-1, -2))
        return tuple(final), tuple(earlier)

    def forward(self, images: Tensor) -> Maps:
        """(N, 3, H, W) -> its maps."""
        stages = len(self.swin.feature_info)
        last, (earlier,) = self.swin.forward_intermediates(images, indices=[stages - 2])  # (N, h, w, D), (N, D', h', w')
        windows = self.tap.read(len(images)) if self.tap is not None else None
        return Maps(last.permute(0, 3, 1, 2), earlier, windows)


class WindowTap(nn.Module):
    """The window features of the released ACSA: what a block's attention gave each window, before windows are put together.

    The block's own second norm and MLP are applied to it once more, then a norm of its own and the mean over the window. The
    block is a shifted one and nothing undoes the shift, so that the windows wrap around the image's border.
    """

    def __init__(self, block: nn.Module, width: int) -> None:
        super().__init__()
        self._block: list[Any] = [block]  # in a list: its parameters are the tower's, not ours
        self.norm = nn.LayerNorm(width)
        self._attended: Tensor | None = None
        self._block[0].attn.register_forward_hook(self._keep)

    @property
    def n_windows(self) -> int:
        """Windows of the block, by its input's size; one that the border cuts counts as a whole."""
        block = self._block[0]
        return prod(-(-side // window) for side, window in zip(block.input_resolution, block.window_size, strict=True))

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._attended = output  # (N * windows, tokens, D')

    def read(self, n_images: int) -> Tensor:
        """(N, windows, D') of the images that the tower has just seen."""
        block = self._block[0]
        assert self._attended is not None
        attended = block.drop_path1(self._attended)  # drops whole windows, each for itself
        attended = attended + block.drop_path2(block.mlp(block.norm2(attended)))
        self._attended = None
        windows: Tensor = self.norm(attended).mean(dim=1)  # (N * windows, D')
        return windows.view(n_images, -1, windows.shape[1])


def _build_swin(options: ImageTowerOptions) -> Any:
    timm = import_timm()
    if not timm.models.is_model_in_modules(options.name, SWIN_MODULES):
        raise UsageError(f"model.image.name: {options.name!r} is no Swin of timm; take swin_tiny_patch4_window7_224, for example")
    size = {"img_size": (options.height, options.width), "num_classes": 0, "drop_path_rate": options.drop_path}
    try:
        swin = timm.create_model(options.name, pretrained=options.weights == "hub", **size, **options.build_arguments())
    except Exception as error:  # timm, the hub client and the network raise many kinds
        raise UsageError(_unbuilt(options, error)) from error
    if len(swin.layers) < 2:
        raise UsageError(f"model.image.depths: the image tower needs two stages or more, got {options.depths}")
    if options.weights not in (None, "hub"):
        _load_swin_file(swin, Path(str(options.weights)))
    return swin


def _unbuilt(options: ImageTowerOptions, error: Exception) -> str:
    why = f"model.image: timm cannot build {options.name!r} with weights {options.weights!r} ({brief(error)})"
    if options.weights != "hub":
        return why
    return f"{why}; without a network give a local file with --set model.image.weights=FILE, or train from scratch with --preset small"


def _load_swin_file(swin: nn.Module, file: Path) -> None:
    from timm.models import load_state_dict

    if not file.is_file():
        raise UsageError(f"model.image.weights: there is no file {file}; give a .safetensors or .pth file, 'hub', or null")
    fitted = sys.modules[type(swin).__module__].checkpoint_filter_fn  # v1 and v2 name their tensors differently
    try:
        state = fitted(load_state_dict(str(file), use_ema=False, weights_only=True), swin)
        missing = swin.load_state_dict(state, strict=False).missing_keys
    except Exception as error:  # a pickle with code, other sizes, another kind of file: all are the user's to mend
        raise UsageError(f"model.image.weights: cannot read {file} as weights of this Swin ({brief(error)})") from error
    if missing:
        raise UsageError(f"model.image.weights: {file} lacks {len(missing)} tensors of this Swin, for example {missing[0]!r}")


def brief(error: BaseException) -> str:
    """What an error says, on one line; torch puts the cause on the second."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
