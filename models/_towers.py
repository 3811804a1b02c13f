"""The towers: a Swin from timm for the image, a BERT-like encoder from transformers for the text. Weights are loaded only here.

Dimension letters: N images, T captions, L tokens, D width, h w grid of a feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.contracts import Options, UsageError


def _import_timm() -> Any:
    """Import timm, also where torchvision's compiled part does not fit this torch.

    timm imports torchvision, whose registry wheels are built for the CUDA build of torch. Beside a CPU build their operators
    are not there, and the import fails on `torchvision::nms`. No operator is used here, so declaring the two is enough.
    """
    try:
        import timm
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        _declare_torchvision_operators()
        import timm
    return timm


def _declare_torchvision_operators() -> None:
    import sys

    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "timm")]:
        del sys.modules[name]  # half imported
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEPT.append(library)


_KEPT: list[Any] = []
"""A torch Library's declarations live as long as it does."""


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


class TextTowerOptions(Options):
    """The text tower: any BERT-like encoder of transformers."""

    source: str | None = Field("google-bert/bert-base-uncased", description="hub id or local folder; null: a BERT from scratch")
    width: int = Field(128, gt=0, description="from scratch: width of the hidden states")
    layers: int = Field(2, gt=0, description="from scratch: number of layers")
    heads: int = Field(4, gt=0, description="from scratch: attention heads")
    vocabulary: int = Field(2000, ge=100, description="from scratch: most word pieces of the trained vocabulary")
    dropout: float = Field(0.1, ge=0, lt=1, description="from scratch: dropout of hidden states and attention")
    max_tokens: int = Field(118, ge=8, description="tokens a caption, [CLS] and [SEP] included")
    pooling: Literal["cls", "mean"] = Field("cls", description="a text's vector: its [CLS] state, or the mean over its tokens")
    frozen: bool = Field(False, description="weights stay as loaded")
    lr_factor: float = Field(0.1, gt=0, description="multiplies the learning rate")


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
            self.requires_grad_(False)

    def forward(self, images: Tensor) -> Maps:
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
        self._block = [block]  # in a list: its parameters are the tower's, not ours
        self.norm = nn.LayerNorm(width)
        self._attended: Tensor | None = None
        block.attn.register_forward_hook(self._keep)  # type: ignore[union-attr, operator]

    def _keep(self, module: nn.Module, inputs: object, output: Tensor) -> None:
        self._attended = output  # (N * windows, tokens, D')

    def read(self, n_images: int) -> Tensor:
        """(N, windows, D') of the images that the tower has just seen."""
        block: Any = self._block[0]
        assert self._attended is not None
        attended = block.drop_path1(self._attended)  # drops whole windows, each for itself
        attended = attended + block.drop_path2(block.mlp(block.norm2(attended)))
        self._attended = None
        return self.norm(attended).mean(dim=1).unflatten(0, (n_images, -1))


def _build_swin(options: ImageTowerOptions) -> Any:
    timm = _import_timm()
    size = {"img_size": (options.height, options.width), "num_classes": 0, "drop_path_rate": options.drop_path}
    try:
        swin = timm.create_model(options.name, pretrained=options.weights == "hub", **size, **options.build_arguments())
    except Exception as error:  # timm, the hub client and the network raise many kinds
        raise UsageError(
            f"model.image: timm cannot build {options.name!r} with weights {options.weights!r} ({_first_line(error)}); without a "
            "network give a local file with --set model.image.weights=FILE, or train from scratch with --preset small"
        ) from error
    if not hasattr(swin, "layers") or len(getattr(swin, "feature_info", ())) < 2:
        raise UsageError(f"model.image.name: {options.name!r} is no Swin with two stages or more; `swin_*` names are")
    if options.weights not in (None, "hub"):
        _load_swin_file(swin, Path(str(options.weights)))
    return swin


def _load_swin_file(swin: nn.Module, file: Path) -> None:
    from timm.models import load_state_dict
    from timm.models.swin_transformer import checkpoint_filter_fn

    try:
        state = checkpoint_filter_fn(load_state_dict(str(file), use_ema=False, weights_only=True), swin)
        missing = swin.load_state_dict(state, strict=False).missing_keys
    except Exception as error:  # a missing file, a pickle, another architecture: all are the user's to mend
        raise UsageError(f"model.image.weights: cannot read {file} as weights of this Swin ({_first_line(error)})") from error
    if missing:
        raise UsageError(f"model.image.weights: {file} lacks {len(missing)} tensors of this Swin, for example {missing[0]!r}")


class TextTower(nn.Module):
    """A BERT-like encoder that gives one vector a text. `width` is that of its hidden states."""

    def __init__(self, options: TextTowerOptions, n_tokens: int) -> None:
        super().__init__()
        self.pooling = options.pooling
        self.bert = _build_bert(options, n_tokens)
        self.width: int = self.bert.config.hidden_size
        if options.frozen:
            self.requires_grad_(False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(T, L) ids and bool mask -> (T, D)."""
        states: Tensor = self.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state  # (T, L, D)
        if self.pooling == "cls":
            return states[:, 0]
        weights = mask[..., None].to(states.dtype)  # (T, L, 1)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

    def phrases(self, phrases: Tensor, mask: Tensor) -> Tensor:
        """(T, P, M) ids and bool mask -> (T, P, D); a slot with no token gives zeros.

        Phrases recur ("a black backpack"), so each different one is encoded once.
        """
        flat = phrases.flatten(0, 1)  # (T * P, M)
        kept = mask.flatten(0, 1).any(dim=1)  # (T * P,)
        out = torch.zeros(len(flat), self.width, device=flat.device)
        if kept.any():
            coded = torch.where(mask.flatten(0, 1), flat, -1)[kept]  # -1: no token here
            distinct, place = coded.unique(dim=0, return_inverse=True)
            encoded = self(distinct.clamp(min=0), distinct >= 0)
            out = out.to(encoded.dtype).index_put((kept.nonzero()[:, 0],), encoded[place])
        return out.unflatten(0, phrases.shape[:2])


def _build_bert(options: TextTowerOptions, n_tokens: int) -> Any:
    from transformers import AutoModel, BertConfig

    if options.source is None:
        config = BertConfig(
            vocab_size=n_tokens,
            hidden_size=options.width,
            num_hidden_layers=options.layers,
            num_attention_heads=options.heads,
            intermediate_size=2 * options.width,
            hidden_dropout_prob=options.dropout,
            attention_probs_dropout_prob=options.dropout,
            max_position_embeddings=max(options.max_tokens, 64),
        )
        return _without_pooler(AutoModel.from_config(config))
    try:
        return _without_pooler(AutoModel.from_pretrained(options.source, use_safetensors=None, weights_only=True))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"model.text.source: cannot load {options.source!r} ({_first_line(error)}); without a network give the folder of a "
            "downloaded model with --set model.text.source=FOLDER, or train from scratch with --preset small"
        ) from error


def _without_pooler(bert: Any) -> Any:
    """The pooler is not used here; left in, it would be parameters that never get a gradient."""
    if hasattr(bert, "pooler"):
        bert.pooler = None
    return bert


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
