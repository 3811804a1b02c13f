"""The text tower: a BERT-like encoder from transformers. Its pretrained weights are loaded only here.

Dimension letters: T texts, L tokens, P phrases, M tokens of a phrase, D width.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.contracts import Options, UsageError
from models._memory import Memory, memory_of
from models._timm import import_timm
from models._towers import brief

GROUPINGS = 2
"""Texts that are encoded together are parted by length at most this many times, into 4 groups."""
WORTHWHILE = 128
"""Tokens of padding that must fall away for a parting to pay for its calls."""


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
    frozen: bool = Field(False, description="weights stay as loaded; each text is then encoded once")
    frozen_dropout: bool = Field(False, description="a frozen encoder keeps its dropout in training (released), and remembers nothing")
    lr_factor: float = Field(0.1, gt=0, description="multiplies the learning rate")


class TextTower(nn.Module):
    """A BERT-like encoder that gives one vector a text. `width` is that of its hidden states."""

    def __init__(self, options: TextTowerOptions, n_tokens: int, longest: int) -> None:
        """`n_tokens` different tokens, at most `longest` in a text. Raises UsageError where the encoder cannot have them."""
        super().__init__()
        self.pooling = options.pooling
        self.bert = _build_bert(options, n_tokens, longest)
        self.width: int = self.bert.config.hidden_size
        self.frozen, self._drops = options.frozen, not options.frozen or options.frozen_dropout
        self._memory: Memory | None = None
        if options.frozen:
            self.requires_grad_(False)
            self.register_load_state_dict_post_hook(TextTower._forget)  # type: ignore[no-untyped-call]
        self.train()

    def train(self, mode: bool = True) -> TextTower:
        """A frozen encoder stays without dropout in training, so that what it says of a text holds for all epochs."""
        return super().train(mode and self._drops)

    def _forget(self, _: object = None) -> None:
        self._memory = None  # the weights may be others now

    def _apply(self, *arguments: Any, **named: Any) -> Any:
        self._forget()
        return super()._apply(*arguments, **named)  # type: ignore[no-untyped-call]

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(T, L) ids and bool mask -> (T, D). A frozen encoder remembers what it has seen."""
        if not self.frozen or self.training:
            return self._by_length(tokens, mask)
        if self._memory is None:
            kind = tokens.device.type
            self._memory = memory_of(self.bert, torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32)
        return self._memory.recall(tokens, mask, self._by_length)

    def _by_length(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """(T, L) ids and bool mask -> (T, D). Texts of like length go through the encoder together: padding is work too."""
        order, groups = _groups(mask.sum(dim=1).tolist())
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


def _groups(lengths: Sequence[int]) -> tuple[list[int], list[tuple[slice, int]]]:
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
            f"model.text.source: cannot load {source!r} ({brief(error)}); without a network give the folder of a "
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
