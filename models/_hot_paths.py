"""What of ACSA `bench perf` measures: cross-scale scoring against the loop, and a step with a frozen text tower.

Dimension letters: I images, T captions, R image tokens, P phrases, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from bench.contracts import Batch, Captions, HotPath, TextImageModel, Vocabulary
from models._attention import BOTH, Direction, cross_scale_similarity
from models._straightforward import loop_over_captions

TOKENS, PHRASES = 7, 10
LOOPED = 4
"""Captions that the loop is timed on."""
FIRST = 512
"""Images that the second of two stages compares, as `evaluation.top_k` has it."""


def scoring(device: torch.device, *, quick: bool) -> Iterator[HotPath]:
    """Both directions, one, in bfloat16, and CUHK-PEDES's test split."""
    n_images, n_captions, width = (60, 20, 64) if quick else (1000, 200, 768)
    inputs = _inputs(n_images, n_captions, width, device)
    yield _products(inputs)
    yield _scored("scoring, both directions", inputs, BOTH)
    yield _scored("scoring, one direction", inputs, ("i2t",))
    yield _scored("scoring, both, bf16 products", [x.bfloat16() for x in inputs], BOTH)
    yield _in_two_stages(10_000 // (20 if quick else 1), FIRST // (20 if quick else 1), width, device)
    if not quick:
        yield _scored("scoring, both, 3,074 x 6,156", _inputs(3074, 6156, width, device), BOTH, repeats=1)


def _inputs(n_images: int, n_captions: int, width: int, device: torch.device) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((n_images, TOKENS), (n_images, TOKENS), (n_captions, PHRASES), (n_captions, PHRASES))
    return [torch.randn(*shape, width, generator=generator).to(device) for shape in shapes]


def _flops(inputs: list[Tensor]) -> float:
    """Of the two products; a multiply-add is two."""
    return 4.0 * inputs[0].numel() * inputs[2].shape[0] * PHRASES


@torch.inference_mode()
def _multiplied(inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    query, value, key, text = (x.flatten(0, 1) for x in inputs)
    return key @ query.T, text @ value.T


def _products(inputs: list[Tensor]) -> HotPath:
    unit = [normalize(inputs[0], dim=-1), inputs[1], normalize(inputs[2], dim=-1), inputs[3]]
    return HotPath("scoring, the two products alone", lambda: _multiplied(unit), flops=_flops(inputs))


def _scored(name: str, inputs: list[Tensor], directions: tuple[Direction, ...], repeats: int = 3) -> HotPath:
    some = [x.float() for x in (inputs[0], inputs[1], inputs[2][:LOOPED], inputs[3][:LOOPED])]

    @torch.inference_mode()
    def work() -> object:
        query, value, key, text = inputs
        return cross_scale_similarity(query, value, key, text, directions=directions)

    @torch.inference_mode()
    def loop() -> object:
        return loop_over_captions(*some)

    share = len(some[2]) / len(inputs[2])
    return HotPath(name, work, flops=_flops(inputs), straightforward=loop, share=share, repeats=repeats)


def _in_two_stages(n_images: int, n_first: int, width: int, device: torch.device) -> HotPath:
    """Captions one by one: what a second stage gathers is another caption's no more, so that a pair costs several times as much."""
    query, value, key, text = inputs = _inputs(n_images, 64, width, device)
    first = torch.rand(len(key), n_images, generator=torch.Generator().manual_seed(0)).to(device)  # the first stage's similarities

    @torch.inference_mode()
    def work() -> object:
        best = first.topk(n_first, dim=1).indices
        return [cross_scale_similarity(query[few], value[few], key[[one]], text[[one]], directions=BOTH) for one, few in enumerate(best)]

    @torch.inference_mode()
    def whole() -> object:
        return cross_scale_similarity(query, value, key, text, directions=BOTH)

    name = f"scoring, both, the first {n_first:,} of {n_images:,} images"
    return HotPath(name, work, flops=_flops(inputs) * n_first / n_images, straightforward=whole)


def frozen_step(model_class: type[TextImageModel], device: torch.device, *, quick: bool) -> Iterator[HotPath]:
    """A training step whose captions were seen before, and the same with the encoder run: the towers' sizes are the paper's."""
    text = {"width": 32, "layers": 1, "heads": 2} if quick else {"width": 768, "layers": 1, "heads": 12}
    image: dict[str, Any] = {"weights": None}
    if quick:
        image |= {"height": 32, "width": 16, "patch": 4, "window": 2, "embed_dim": 8, "depths": (1, 1, 1), "heads": (1, 2, 4)}
    options = {"image": image, "text": {"source": None, "frozen": True, **text}, "width": 32 if quick else 768}
    torch.manual_seed(0)
    model: Any = model_class(model_class.Config(**options), Vocabulary(n_tokens=1000, n_classes=100)).to(device)
    if not quick:
        model.text_tower.bert = _bert_base().to(device)
    model.train()
    batch = _batch(4, model.inputs.height, model.inputs.width, device)

    def step() -> None:
        torch.stack(list(model.loss(batch).values())).sum().backward()  # type: ignore[no-untyped-call]
        model.zero_grad()

    def forgetful() -> None:
        tower = model.text_tower
        tower.frozen, kept = False, tower.frozen
        step()
        tower.frozen = kept

    yield HotPath(f"step of 4 pairs, frozen text ({model_class.__name__})", step, straightforward=forgetful)


def _bert_base() -> Any:
    """BERT-base but for its vocabulary, with random weights, frozen: `text.source` without a download."""
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(vocab_size=1000), add_pooling_layer=False).requires_grad_(False)


def _batch(n: int, height: int, width: int, device: torch.device) -> Batch:
    """Pixels and captions at random, as long as they usually are: some 28 tokens, 6 phrases of 4."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 36, (n,), generator=generator)
    tokens = torch.randint(5, 1000, (n, int(lengths.max())), generator=generator)
    mask = torch.arange(tokens.shape[1]) < lengths[:, None]
    phrases = torch.randint(5, 1000, (n, PHRASES, 6), generator=generator)
    present = torch.arange(PHRASES) < torch.randint(4, 9, (n, 1), generator=generator)
    phrase_mask = (torch.arange(6) < torch.randint(3, 7, (n, PHRASES, 1), generator=generator)) & present[..., None]
    images = torch.randn(n, 3, height, width, generator=generator)
    return Batch(images, Captions(tokens, mask, phrases, phrase_mask, present), torch.arange(n)).to(device)
