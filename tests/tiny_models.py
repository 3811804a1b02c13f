"""Every registered model at a size that tests can afford, offline, and batches to feed it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor

from bench import registry
from bench.contracts import Batch, Captions, InputSpec, ModelOptions, TextImageModel, Vocabulary

VOCABULARY = Vocabulary(n_tokens=60, n_classes=5)
CLS, SEP, PAD, FIRST_WORD = 2, 3, 0, 5
SIZE: dict[str, Any] = {
    "image": {
        "weights": None,
        "height": 32,
        "width": 16,
        "patch": 4,
        "window": 2,
        "embed_dim": 8,
        "depths": (1, 2, 1),
        "heads": (1, 2, 4),
    },
    "text": {"source": None, "width": 16, "layers": 1, "heads": 2, "max_tokens": 12},
    "width": 32,
    "max_phrases": 3,
    "max_phrase_tokens": 6,
}
CASES = [(name, preset) for name, entry in registry.names("model").items() for preset in entry.presets or (None,)]
"""(model, preset) of all that is registered; None, the Config's own defaults, where a model has no preset."""


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    return {**base, **over, **{k: merged(base[k], v) for k, v in over.items() if isinstance(v, dict) and isinstance(base.get(k), dict)}}


def known(values: Mapping[str, Any], options: type[BaseModel]) -> dict[str, Any]:
    """The values whose knobs `options` has: a model without a text tower is not asked for one."""
    kept: dict[str, Any] = {}
    for key, value in values.items():
        if key in options.model_fields:
            inner = options.model_fields[key].annotation
            kept[key] = known(value, inner) if isinstance(inner, type) and issubclass(inner, BaseModel) else value
    return kept


def tiny_config(name: str, preset: str | None = None, **changes: Any) -> ModelOptions:
    """A preset of a model, shrunk; nested `changes` come on top."""
    model = registry.load("model", name)
    recipe = dict(model.presets[preset].model) if preset else {}
    config: ModelOptions = model.Config(**merged(merged(recipe, known(SIZE, model.Config)), changes))
    return config


def tiny_model(name: str, preset: str | None = None, seed: int = 0, **changes: Any) -> TextImageModel:
    torch.manual_seed(seed)
    model: TextImageModel = registry.load("model", name)(tiny_config(name, preset, **changes), VOCABULARY)
    return model


def texts(generator: torch.Generator, n: int, longest: int) -> tuple[Tensor, Tensor]:
    """(n, longest) ids and mask of random texts, [CLS] and [SEP] around 1 to longest - 2 words."""
    length = torch.randint(3, longest + 1, (n, 1), generator=generator)
    place = torch.arange(longest)
    words = torch.randint(FIRST_WORD, VOCABULARY.n_tokens, (n, longest), generator=generator)
    tokens = words.where(place < length - 1, torch.tensor(SEP)).where(place > 0, torch.tensor(CLS))
    mask = place < length
    return tokens.where(mask, torch.tensor(PAD)), mask


def tiny_captions(spec: InputSpec, n: int = 6, seed: int = 0) -> Captions:
    """Random captions of 1 to `spec.max_phrases` phrases; empty slots are padding, or the filler as three tokens."""
    generator = torch.Generator().manual_seed(seed)
    tokens, token_mask = texts(generator, n, spec.max_tokens)
    slots = spec.max_phrases
    if not slots:
        none = torch.zeros(n, 0, 0, dtype=torch.int64)
        return Captions(tokens, token_mask, none, none.bool(), torch.zeros(n, 0, dtype=torch.bool))
    phrases, mask = (part.view(n, slots, -1) for part in texts(generator, n * slots, spec.max_phrase_tokens))
    count = 1 + torch.arange(n) % slots
    present = torch.arange(slots) < count[:, None]  # (n, P)
    filler = torch.tensor([CLS, PAD, SEP] + [PAD] * (spec.max_phrase_tokens - 3))
    filled = torch.arange(spec.max_phrase_tokens) < (3 if spec.phrase_filler else 0)
    return Captions(tokens, token_mask, phrases.where(present[..., None], filler * filled), mask.where(present[..., None], filled), present)


def tiny_batch(spec: InputSpec, n: int = 6, seed: int = 0) -> Batch:
    """Random pixels and captions; some identities stand twice."""
    images = torch.randn(n, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(seed + 1))
    labels = torch.tensor([0, 1, 1, 2, 3, 0, 4, 2])[torch.arange(n) % 8]
    return Batch(images, tiny_captions(spec, n, seed), labels)
