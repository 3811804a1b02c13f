"""The towers: a Swin from timm for the image, a BERT-like encoder from transformers for the text. Weights are loaded only here.

Dimension letters: N images, T captions, L tokens, D width, h w grid of a feature map.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.contracts import Options, UsageError
from models._timm import import_timm

SWIN_MODULES = ("swin_transformer", "swin_transformer_v2")
"""Where timm keeps what has stages of blocks with windows, as this tower expects."""
GROUPINGS = 2
"""Texts that are encoded together are parted by length at most this many times, into 4 groups."""
WORTHWHILE = 128
"""Tokens of padding that must fall away for a parting to pay for its calls."""


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
    why = f"model.image: timm cannot build {options.name!r} with weights {options.weights!r} ({_brief(error)})"
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
        raise UsageError(f"model.image.weights: cannot read {file} as weights of this Swin ({_brief(error)})") from error
    if missing:
        raise UsageError(f"model.image.weights: {file} lacks {len(missing)} tensors of this Swin, for example {missing[0]!r}")


class TextTower(nn.Module):
    """A BERT-like encoder that gives one vector a text. `width` is that of its hidden states."""

    def __init__(self, options: TextTowerOptions, n_tokens: int, longest: int) -> None:
        """`n_tokens` different tokens, at most `longest` in a text. Raises UsageError where the encoder cannot have them."""
        super().__init__()
        self.pooling = options.pooling
        self.bert = _build_bert(options, n_tokens, longest)
        self.width: int = self.bert.config.hidden_size
        if options.frozen:
            self.requires_grad_(False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(T, L) ids and bool mask -> (T, D). Texts of like length go through the encoder together: padding is work too."""
        order, groups = _by_length(mask.sum(dim=1).tolist())
        if len(groups) == 1:
            return self._encoded(tokens, mask)
        rows = torch.tensor(order, device=tokens.device)
        tokens, mask = tokens[rows], mask[rows]
        parts = [self._encoded(tokens[some, :longest], mask[some, :longest]) for some, longest in groups]
        return torch.cat(parts)[rows.argsort()]

    def _encoded(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(T, L) ids and bool mask -> (T, D), all at once."""
        states: Tensor = self.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state  # (T, L, D)
        if self.pooling == "cls":
            return states[:, 0]
        weights = mask[..., None].to(states.dtype)  # (T, L, 1)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)

    def phrases(self, phrases: Tensor, mask: Tensor) -> Tensor:
        """(T, P, M) ids and bool mask -> (T, P, D); a slot with no token gives zeros.

        Phrases recur ("a black backpack"), so each different one is encoded once.
        """
        T, P, M = phrases.shape
        kept = mask.any(dim=2).view(T * P)
        out = torch.zeros(T * P, self.width, device=phrases.device)
        if kept.any():
            coded = torch.where(mask, phrases, -1).view(T * P, M)[kept]  # -1: no token here
            distinct, place = torch.unique(coded, dim=0, return_inverse=True)
            encoded = self(distinct.clamp(min=0), distinct >= 0)
            out = out.to(encoded.dtype).index_put((kept.nonzero()[:, 0],), encoded[place])
        return out.view(T, P, self.width)


def _by_length(lengths: Sequence[int]) -> tuple[list[int], list[tuple[slice, int]]]:
    """The order of rising length, and groups of that order, each with its longest, that leave little padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    risen = [lengths[row] for row in order]
    return order, [(some, risen[some.stop - 1]) for some in _halved(risen, 0, len(risen), GROUPINGS)]


def _halved(risen: Sequence[int], start: int, stop: int, times: int) -> list[slice]:
    """Slices of `start` to `stop`, halved up to `times` times where that saves most padding, while it saves enough."""
    longest = risen[stop - 1] if stop > start else 0
    saved, place = max((((place - start) * (longest - risen[place - 1]), place) for place in range(start + 1, stop)), default=(0, stop))
    if not times or saved < WORTHWHILE:
        return [slice(start, stop)]
    return _halved(risen, start, place, times - 1) + _halved(risen, place, stop, times - 1)


def _build_bert(options: TextTowerOptions, n_tokens: int, longest: int) -> Any:
    import_timm()  # transformers needs the same torchvision
    bert = _scratch_bert(options, n_tokens, longest) if options.source is None else _pretrained_bert(options.source)
    if hasattr(bert, "pooler"):
        bert.pooler = None  # not used here; left in, it would be parameters that never get a gradient
    rows, places = bert.get_input_embeddings().num_embeddings, _places(bert)
    if n_tokens > rows or longest > places:
        raise UsageError(
            f"model.text: {options.source or 'the encoder'} has room for {rows} different tokens and texts of {places}, but the tokenizer "
            f"has {n_tokens} and the longest text {longest} tokens (the larger of model.text.max_tokens and model.max_phrase_tokens)"
        )
    return bert


def _scratch_bert(options: TextTowerOptions, n_tokens: int, longest: int) -> Any:
    from transformers import BertConfig, BertModel

    if options.width % options.heads:
        raise UsageError(f"model.text.width must be a multiple of model.text.heads, but got {options.width} and {options.heads}")
    config = BertConfig(
        vocab_size=n_tokens,
        hidden_size=options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.heads,
        intermediate_size=2 * options.width,
        hidden_dropout_prob=options.dropout,
        attention_probs_dropout_prob=options.dropout,
        max_position_embeddings=max(longest, 64),
    )
    return BertModel(config)


def _pretrained_bert(source: str) -> Any:
    """In float32, whatever the file holds, and whole: transformers would fill in what the file lacks at random."""
    from transformers import AutoModel
    from transformers.utils.logging import get_verbosity, set_verbosity

    how = {"dtype": torch.float32, "weights_only": True, "output_loading_info": True}
    level = get_verbosity()
    set_verbosity(logging.ERROR)  # else it prints a table of tensors that do not matter
    try:
        try:  # what is on this machine needs no network, and asking one that is away takes a minute
            bert, report = AutoModel.from_pretrained(source, local_files_only=True, **how)
        except OSError:
            bert, report = AutoModel.from_pretrained(source, **how)
    except Exception as error:  # a missing folder, no network, a pickle with code, other sizes
        raise UsageError(
            f"model.text.source: cannot load {source!r} ({_brief(error)}); without a network give the folder of a "
            "downloaded model with --set model.text.source=FOLDER, or train from scratch with --preset small"
        ) from error
    finally:
        set_verbosity(level)
    lacking = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
    if lacking:
        raise UsageError(f"model.text.source: {source!r} lacks {len(lacking)} tensors of its encoder, for example {lacking[0]!r}")
    return bert


def _places(bert: Any) -> int:
    """Tokens the longest text may have. RoBERTa and its kin count places from behind their padding id."""
    table = getattr(getattr(bert, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, nn.Embedding):
        return sys.maxsize  # relative places
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)


def _brief(error: BaseException) -> str:
    """What an error says, on one line; torch puts the cause on the second."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]
