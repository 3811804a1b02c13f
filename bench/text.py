"""Captions -> token ids, captions -> noun phrases with their character spans."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from bench._phrase_words import RULES, word_class
from bench._wordpiece import learn_pieces
from bench.contracts import Captions, InputSpec, Track, UsageError, silently

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FILE = "tokenizer.json"
PRETRAINED_ADVICE = (
    "give a folder that holds tokenizer.json (or vocab.txt and config.json), or run `hf download <id>` once where there is a network"
)

# ---------------------------------------------------------------------------------------------------------- phrases

_WORD = re.compile(r"\w+(?:[-'’]\w+)*?(?=['’][sS]\b)|['’][sS]\b|\w+(?:[-'’]\w+)*|[^\w\s]")
_MARKS = {",": ",", "'s": "S", "’s": "S", "&": "C"}
# Repetitions are bounded, so that the time is linear in the caption whatever stands in it.
_MODIFIER = r"(?:[RA\#XK]|N[KL](?=[RA\#XKGWNL])|(?<=[DARXK\#CS])G(?=[RA\#XKNLBW])|(?<=[DARXK])W(?=[NL]))"
_PHRASE = re.compile(
    rf"""(?P<modifiers>{_MODIFIER}{{1,9}})?             # light blue; ripped; knee length; down
        (?(modifiers)(?:(?:,C?|C){_MODIFIER}{{1,9}}){{,9}})      # and white striped; long, dark
        (?:(?:(?<=[DA\#K])B)?[NL]+                      # jean shorts; walk way
          |(?<=[DA\#K])B|(?<=[DAK])X)                  # a look; the left
        (?:S{_MODIFIER}{{,9}}[NL]+)*                      # man's left hand
    """,
    re.VERBOSE,
)
PHRASES_VERSION = sha256(repr((RULES, _WORD.pattern, _PHRASE.pattern, 1)).encode()).hexdigest()
"""Changes with the word lists and the patterns; the number stands for the code between them."""


class Phrase(NamedTuple):
    """A noun phrase of a caption: `caption[start:end] == text`."""

    text: str
    start: int
    end: int


def noun_phrases(caption: str) -> tuple[Phrase, ...]:
    """The noun phrases of a caption in order, without leading determiners and possessives ("his black coat": "black coat").

    By rules, not by a parser: a phrase is modifiers and nouns, modifiers may be joined ("blue and white striped shirt"), nouns
    may not ("black pants" and "white shoes"). Pronouns are no phrases.
    """
    words = list(_WORD.finditer(caption))
    classes = "".join(_class(word.group()) for word in words)
    spans = ((words[found.start()].start(), words[found.end() - 1].end()) for found in _PHRASE.finditer(classes))
    return tuple(Phrase(caption[start:end], start, end) for start, end in spans)


def _class(word: str) -> str:
    lower = word.lower()
    return _MARKS.get(lower) or (word_class(lower.replace("’", "'")) if word[0].isalnum() else ".")


def phrases_of(captions: Sequence[str], cache: Path | None = None, track: Track = silently) -> list[tuple[Phrase, ...]]:
    """`noun_phrases` of every caption, kept in a file of the folder `cache` that is named by captions and extractor.

    The file only saves time: one that is corrupt or foreign is written anew, a folder that cannot be written is let be.
    """
    if cache is None:
        return [noun_phrases(caption) for caption in track(captions, "noun phrases")]
    key = sha256(json.dumps([PHRASES_VERSION, *captions]).encode()).hexdigest()
    file = cache / f"phrases-{key[:16]}.json"
    known = _read_phrases(file, key, captions)
    if known is None:
        known = phrases_of(captions, None, track)
        _write_phrases(file, key, known)
    return known


def _read_phrases(file: Path, key: str, captions: Sequence[str]) -> list[tuple[Phrase, ...]] | None:
    """The phrases kept in a file, None unless it holds those of these captions."""
    try:
        kept = json.loads(file.read_bytes())
        if kept["key"] != key:
            return None
        pairs = list(zip(captions, kept["spans"], strict=True))
        return [tuple(_phrase_at(caption, *span) for span in spans) for caption, spans in pairs]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _phrase_at(caption: str, start: int, end: int) -> Phrase:
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(caption):
        raise ValueError("no span of the caption")
    return Phrase(caption[start:end], start, end)


def _write_phrases(file: Path, key: str, phrases: Sequence[Sequence[Phrase]]) -> None:
    """Whole or not at all: written beside, then renamed. Failing costs the caching only."""
    content = json.dumps({"key": key, "spans": [[(phrase.start, phrase.end) for phrase in found] for found in phrases]})
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(content, encoding="utf-8")
        beside.replace(file)
    except OSError:
        return


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
