"""Captions -> token ids, of the captions and of their noun phrases."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from bench._wordpiece import learn_pieces
from bench.contracts import Captions, InputSpec, UsageError
from bench.phrases import Phrase

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FILE = "tokenizer.json"
TOKENS_VERSION = 1
"""Raise it whenever the same captions, phrases and tokenizer come to give other tokens."""
PRETRAINED_ADVICE = (
    "give a folder that holds tokenizer.json (or vocab.txt and config.json), or run `hf download <id>` once where there is a network"
)

# ----------------------------------------------------------------------------------------------------------- tokens


class Tokenizer:
    """Texts -> token ids, [CLS] and [SEP] around them: a vocabulary trained here or a pretrained one."""

    def __init__(self, backend: Backend) -> None:
        """`backend` knows its padding."""
        self._backend = backend

    @classmethod
    def train(cls, captions: Iterable[str], vocabulary_size: int) -> Tokenizer:
        """WordPiece on lower-cased captions, at most `vocabulary_size` tokens; the captions' order plays no part."""
        if vocabulary_size <= len(SPECIAL_TOKENS):
            raise UsageError(f"vocabulary_size must be above {len(SPECIAL_TOKENS)} (the special tokens), not {vocabulary_size}")
        normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
        words: Counter[str] = Counter()
        for caption in captions:
            words.update(word for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(caption)))
        pieces = [*SPECIAL_TOKENS, *learn_pieces(words, vocabulary_size - len(SPECIAL_TOKENS))]
        backend = Backend(WordPiece({piece: row for row, piece in enumerate(pieces)}, unk_token="[UNK]"))
        backend.normalizer, backend.pre_tokenizer = normalizer, splitter
        backend.add_special_tokens(list(SPECIAL_TOKENS))
        backend.post_processor = TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        backend.enable_padding(pad_id=0, pad_token="[PAD]")
        return cls(backend)

    @classmethod
    def pretrained(cls, name: str) -> Tokenizer:
        """The tokenizer of a local folder or, if there is none of that name, of the Hugging Face hub."""
        tokenizer = _from_transformers(name)
        if not getattr(tokenizer, "is_fast", False):
            raise UsageError(f"tokenizer {name!r}: has no fast (Rust) form; {PRETRAINED_ADVICE}")
        backend = Backend.from_str(tokenizer.backend_tokenizer.to_str())
        backend.enable_padding(pad_id=tokenizer.pad_token_id or 0, pad_token=tokenizer.pad_token or "[PAD]")
        return cls(backend)

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """What `save` wrote."""
        try:
            backend = Backend.from_file(str(folder / FILE))
        except Exception as error:  # the Rust library raises no narrower type
            raise UsageError(f"{folder / FILE}: no tokenizer can be read ({error!s:.200}); take a run whose folder is whole") from None
        return cls(backend)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._backend.no_truncation()
        self._backend.save(str(folder / FILE))

    def __len__(self) -> int:
        """Rows an embedding of these tokens needs: the largest id and one."""
        return max(self._backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def padding_id(self) -> int:
        padding = self._backend.padding
        return int(padding["pad_id"]) if padding else 0

    def digest(self) -> str:
        """SHA-256 over all that says how it encodes."""
        self._backend.no_truncation()
        return sha256(self._backend.to_str().encode()).hexdigest()

    def encode(self, texts: Sequence[str], max_tokens: int) -> tuple[Tensor, Tensor]:
        """Token ids (T, L) int64, padded to the longest text, and where they are tokens (T, L) bool.

        A text of more than `max_tokens` is cut; [CLS] and [SEP] count and stay.
        """
        if max_tokens < 3:
            raise UsageError(f"max_tokens must be at least 3 ([CLS], a token, [SEP]), not {max_tokens}")
        if not texts:
            return torch.zeros(0, 0, dtype=torch.int64), torch.zeros(0, 0, dtype=torch.bool)
        self._backend.enable_truncation(max_tokens)
        encodings = self._backend.encode_batch(list(texts))
        tokens = torch.tensor([encoding.ids for encoding in encodings], dtype=torch.int64)  # (T, L)
        mask = torch.tensor([encoding.attention_mask for encoding in encodings], dtype=torch.bool)  # (T, L)
        return tokens, mask


def _from_transformers(name: str) -> Any:
    """The tokenizer of that name: of a folder, of the hub's cache on this machine (no network is asked), of the hub."""
    from transformers import AutoTokenizer  # imported late: takes seconds

    try:
        return AutoTokenizer.from_pretrained(name, local_files_only=True)
    except Exception as error:  # whatever a broken folder raises, of many libraries
        failure = error
    if _may_be_on_hub(name):
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it speaks of every try it makes without a network
        try:
            return AutoTokenizer.from_pretrained(name)
        except Exception as error:  # likewise for an unreachable hub
            failure = error
    reason = next(iter(str(failure).strip().splitlines()), type(failure).__name__)
    tried = "neither a local folder nor the hub gave it" if _may_be_on_hub(name) else "the folder did not give it"
    raise UsageError(f"tokenizer {name!r}: {tried} ({reason:.200}); {PRETRAINED_ADVICE}") from None


def _may_be_on_hub(name: str) -> bool:
    """Hub ids are `name` or `owner/name`; asking the hub for a path would cost a minute of retries without a network."""
    return not Path(name).exists() and re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name) is not None


def kept_captions(
    captions: Sequence[str], tokenizer: Tokenizer, spec: InputSpec, phrases: Sequence[Sequence[Phrase]], cache: Path
) -> Captions:
    """`encode_captions`, kept in a file of the folder `cache` that is named by all it depends on.

    The file only saves time: one that is corrupt or foreign is written anew, a folder that cannot be written is let be.
    """
    wanted = (spec.max_tokens, spec.max_phrases, spec.max_phrase_tokens, spec.phrase_filler)
    told = [TOKENS_VERSION, tokenizer.digest(), wanted, captions, [[phrase.text for phrase in found] for found in phrases]]
    file = cache / f"tokens-{sha256(json.dumps(told).encode()).hexdigest()[:32]}.safetensors"
    known = _read_captions(file, len(captions))
    if known is None:
        known = encode_captions(captions, tokenizer, spec, phrases)
        _write_captions(file, known)
    return known


def _read_captions(file: Path, n: int) -> Captions | None:
    try:
        known = Captions(**load_file(file))
    except (OSError, SafetensorError, TypeError):
        return None
    return known if len(known) == n else None


def _write_captions(file: Path, captions: Captions) -> None:
    """Whole or not at all: written beside, then renamed."""
    beside = file.with_name(f".{file.name}.{uuid4().hex}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in vars(captions).items()}, beside)
        beside.replace(file)
    except (OSError, SafetensorError):
        beside.unlink(missing_ok=True)


def encode_captions(captions: Sequence[str], tokenizer: Tokenizer, spec: InputSpec, phrases: Sequence[Sequence[Phrase]]) -> Captions:
    """The captions of a split, and of each the first `spec.max_phrases` phrases in order; with 0, P = M = 0 and `phrases` is not read.

    A caption without a phrase gets one: its own words, cut. An empty slot is all padding, or `spec.phrase_filler`.
    """
    tokens, token_mask = tokenizer.encode(captions, spec.max_tokens)  # (T, L)
    slots = _slots(captions, phrases, spec.max_phrases) if spec.max_phrases else [[] for _ in captions]
    shape = len(captions), spec.max_phrases
    phrase_mask = torch.tensor([[place < len(texts) for place in range(shape[1])] for texts in slots], dtype=torch.bool).view(shape)
    distinct = {text: row for row, text in enumerate(sorted({text for texts in slots for text in texts}))}  # few thousand, not T x P
    vocabulary, vocabulary_mask = _with_filler(list(distinct), tokenizer, spec)  # (U + 1, M)
    rows = torch.full(shape, -1)  # (T, P)
    rows[phrase_mask] = torch.tensor([distinct[text] for texts in slots for text in texts], dtype=torch.int64)
    return Captions(tokens, token_mask, vocabulary[rows], vocabulary_mask[rows], phrase_mask)


def _slots(captions: Sequence[str], phrases: Sequence[Sequence[Phrase]], n_slots: int) -> list[list[str]]:
    """The texts of each caption's phrases, at least one and at most `n_slots`."""
    return [[phrase.text for phrase in found[:n_slots]] or [caption] for caption, found in zip(captions, phrases, strict=True)]


def _with_filler(texts: list[str], tokenizer: Tokenizer, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """The phrases' tokens and masks (U + 1, M); the last row fills empty slots."""
    tokens, mask = tokenizer.encode([*texts, spec.phrase_filler or "[PAD]"] if texts else [], spec.max_phrase_tokens)
    if not texts:
        return tokens.new_zeros(1, 0), mask.new_zeros(1, 0)
    if spec.phrase_filler is None:
        tokens[-1], mask[-1] = tokenizer.padding_id, False
    longest = int(mask.sum(1).max())
    return tokens[:, :longest], mask[:, :longest]
