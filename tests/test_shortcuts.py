"""Shortcuts of evaluation: two stages, bfloat16, embeddings that were kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import embeddings, run
from bench.config import EvaluationOptions, config_hash
from bench.contracts import CaptionRecord, ImageRecord, Split, TextImageModel
from bench.engine import Embedded, mix, similarities
from bench.errors import UsageError
from bench.metrics import rank
from bench.progress import Silent
from bench.tracking import NoTracker
from models.acsa import ACSA
from tests.small_run import small_config
from tests.tiny_models import tiny_model

Q, G, K = 12, 40, 10
CPU = torch.device("cpu")


@pytest.fixture
def model() -> TextImageModel:
    return tiny_model("acsa").eval()


def features(seed: int = 0) -> Embedded:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    images = {"global": drawn(G, 8), "query": drawn(G, 3, 8), "value": drawn(G, 3, 8)}
    captions = {"global": drawn(Q, 8), "key": drawn(Q, 4, 8), "value": drawn(Q, 4, 8)}
    return Embedded(images, captions | {"present": torch.arange(4) < torch.randint(1, 5, (Q, 1), generator=generator)})


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_two_stages_rank_the_first_in_full_and_the_rest_as_the_first_stage(model: TextImageModel, weight: float, direction: str) -> None:
    options, mixing = EvaluationOptions(gallery_block=7), {"global": 1 - weight, "cross_scale": weight}
    size = Q if direction == "t2i" else K + 5
    full = similarities(model, features(), slice(0, size), options, CPU, direction)  # type: ignore[arg-type]
    two = options.model_copy(update={"two_stage": True, "top_k": K})
    ours = mix(similarities(model, features(), slice(0, size), two, CPU, direction), mixing)  # type: ignore[arg-type]
    for one, first, whole in zip(ours, full["global"], mix(full, mixing), strict=True):
        order = sorted(range(len(first)), key=lambda g: -first[g])
        best = sorted(order[:K], key=lambda g: -whole[g])
        assert one.argsort(descending=True).tolist() == best + order[K:]


def test_a_model_with_one_stage_is_refused(model: TextImageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(model), "first_stage", lambda *_: None)
    with pytest.raises(UsageError, match="has but one stage"):
        similarities(model, features(), slice(0, 2), EvaluationOptions(two_stage=True, top_k=10), CPU)


def test_bfloat16_moves_similarities_by_little(model: TextImageModel) -> None:
    fine = similarities(model, features(), slice(0, Q), EvaluationOptions(), CPU)
    rough = similarities(model, features(), slice(0, Q), EvaluationOptions(precision="bf16"), CPU)
    assert max((rough[name] - fine[name]).abs().max() for name in fine) < 0.05  # at width 8; it falls with the width
    pids = torch.arange(G) % Q
    R1, other = (rank(found["global"], torch.arange(Q), pids).summary()["R1"] for found in (fine, rough))
    assert pytest.approx(other, abs=0.1) == R1


def test_a_shortcut_is_told_and_is_another_run(tmp_path: Path) -> None:
    plain, short = small_config(tmp_path), small_config(tmp_path, "evaluation.two_stage=true", "evaluation.top_k=20")
    assert config_hash(plain) != config_hash(short)
    assert config_hash(plain) == config_hash(small_config(tmp_path, "evaluation.top_k=20", "evaluation.keep_embeddings=false"))
    assert (plain.evaluation.shortcuts, short.evaluation.shortcuts) == ("", ", two-stage, first 20")


def test_a_saved_run_is_evaluated_from_its_embeddings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run.run(small_config(tmp_path, **{"train.epochs": 1}), NoTracker(), Silent())
    assert {file.name for file in (made.folder / embeddings.FOLDER).iterdir()} == {"val.safetensors", "test.safetensors"}
    monkeypatch.setattr(ACSA, "encode_images", lambda *_: pytest.fail("the towers ran"))
    again = run.evaluate_saved(made.folder, Silent())
    assert again.record["metrics"]["test"] == made.record["metrics"]["test"]


def test_embeddings_of_other_records_or_weights_are_not_taken(tmp_path: Path, model: TextImageModel) -> None:
    file = tmp_path / "test.safetensors"
    config = small_config(tmp_path)
    split = Split("test", tmp_path, (ImageRecord("a.png", 1),), (CaptionRecord("a man", 0),))
    other = Split("test", tmp_path, (ImageRecord("a.png", 1),), (CaptionRecord("a woman", 0),))
    digest = embeddings.key(model, split, config)
    embeddings.write(file, features(), split, digest)
    found = embeddings.read(file, digest)
    assert found is not None
    for side in embeddings.SIDES:
        for name, value in getattr(features(), side).items():
            assert torch.equal(getattr(found, side)[name], value)
    assert embeddings.read(file, embeddings.key(model, other, config)) is None
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert embeddings.read(file, embeddings.key(model, split, config)) is None
    file.write_bytes(b"cut off")
    assert embeddings.read(file, digest) is None
