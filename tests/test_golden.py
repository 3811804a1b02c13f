"""The values of other implementations, on random inputs, that ours must give (tests/golden/)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.metrics import evaluate_ranking, rank
from models._attention import cross_scale_similarity
from models._losses import cmpc, cmpm, info_nce, sdm, similarity_kl

GOLDEN = Path(__file__).parent / "golden"


def load(name: str) -> dict[str, Tensor]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: torch.from_numpy(np.asarray(file[key])) for key in file}


def close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, check_dtype=False)


def gradients(loss: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, inputs)


def gradient_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5, check_dtype=False)


@pytest.fixture(scope="module")
def losses() -> dict[str, Tensor]:
    return load("losses")


def tracked(golden: dict[str, Tensor], *names: str) -> list[Tensor]:
    return [golden[name].clone().requires_grad_() for name in names]


def test_cross_scale_similarity() -> None:
    g = load("cross_scale_similarity")
    inputs = [g[name] for name in ("image_query", "image_value", "text_key", "text_value")]
    for ours, theirs in zip(cross_scale_similarity(*inputs), (g["sim_i2t"], g["sim_t2i"]), strict=True):
        close(ours, theirs)


def test_cross_scale_similarity_with_padded_phrases_masked() -> None:
    g = load("cross_scale_similarity")
    inputs = [g[name] for name in ("image_query", "image_value", "text_key", "text_value")]
    mask = torch.arange(g["text_key"].shape[1]) < g["phrase_count"][:, None]
    for ours, theirs in zip(cross_scale_similarity(*inputs, mask), (g["sim_i2t_masked"], g["sim_t2i_masked"]), strict=True):
        close(ours, theirs)


def test_cmpm(losses: dict[str, Tensor]) -> None:
    image, text = tracked(losses, "image", "text")
    value = cmpm(image, text, losses["pid"])
    close(value, losses["cmpm"])
    for ours, name in zip(gradients(value, image, text), ("image", "text"), strict=True):
        gradient_close(ours, losses[f"cmpm_grad_{name}"])


def test_cmpc(losses: dict[str, Tensor]) -> None:
    image, text, weight = tracked(losses, "image", "text", "cmpc_weight")
    value = cmpc(image, text, losses["pid"], weight)
    close(value, losses["cmpc"])
    for ours, name in zip(gradients(value, image, text, weight), ("image", "text", "weight"), strict=True):
        gradient_close(ours, losses[f"cmpc_grad_{name}"])


def test_cross_scale_loss(losses: dict[str, Tensor]) -> None:
    names = ("image_query", "image_value", "text_key", "text_value")
    inputs = tracked(losses, *names)
    i2t, t2i = cross_scale_similarity(*inputs)
    close(i2t, losses["sim_i2t"])
    close(t2i, losses["sim_t2i"])
    value = similarity_kl(i2t, losses["pid"]) + similarity_kl(t2i, losses["pid"])
    close(value, losses["contrastive"])
    for ours, name in zip(gradients(value, *inputs), names, strict=True):
        gradient_close(ours, losses[f"contrastive_grad_{name}"])


def test_acsa_total(losses: dict[str, Tensor]) -> None:
    g = losses
    i2t, t2i = cross_scale_similarity(*(g[name] for name in ("image_query", "image_value", "text_key", "text_value")))
    cross_scale = similarity_kl(i2t, g["pid"]) + similarity_kl(t2i, g["pid"])
    total = cmpm(g["image"], g["text"], g["pid"]) + 4 * cmpc(g["image"], g["text"], g["pid"], g["cmpc_weight"]) + 0.1 * cross_scale
    close(total, g["acsa_total"])


def test_sdm_and_info_nce(losses: dict[str, Tensor]) -> None:
    close(sdm(losses["image"], losses["text"], losses["pid"], 50.0), losses["sdm_scale50"])
    close(info_nce(losses["image"], losses["text"], 50.0), losses["itc_scale50"])


@pytest.mark.parametrize(("prefix", "transposed"), [("", False), ("i2t_", True)])
def test_ranking(prefix: str, transposed: bool) -> None:
    g = load("ranking")
    similarity, queries, gallery = g["similarity"], g["query_pid"], g["gallery_pid"]
    if transposed:
        similarity, queries, gallery = similarity.T, gallery, queries
    ours = evaluate_ranking(similarity, queries, gallery)
    theirs = {name: g[f"{prefix}{name.replace('R', 'r') if name[0] == 'R' else name}"].item() for name in ours}
    assert {name: 100 * value for name, value in ours.items()} == pytest.approx(theirs, rel=1e-4, abs=1e-5)


def test_first_match_agrees_with_the_reference_ranking() -> None:
    g = load("ranking")
    first = rank(g["similarity"], g["query_pid"], g["gallery_pid"]).first_match
    hit = g["gallery_pid"][g["top10"]] == g["query_pid"][:, None]  # (Q, 10)
    theirs = torch.where(hit.any(dim=1), hit.int().argmax(dim=1) + 1, 99)
    assert torch.equal(first.clamp(max=11) * (first <= 10) + 99 * (first > 10), theirs)
