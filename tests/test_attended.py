"""What phrases attend to: the weights against a twin, what models promise, and the table that a run leaves."""

from __future__ import annotations

from math import exp, sqrt
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from bench import attention
from bench.config import EvaluationOptions
from bench.contracts import Box, CaptionRecord, Captions, Grounding, ImageRecord, Split, TextImageModel
from bench.engine import Embedded
from bench.phrases import noun_phrases
from bench.tables import write
from models._attention import cross_scale_similarity, phrase_attention
from models._scales import cell_boxes, cell_means
from tests.tiny_models import CASES, tiny_batch, tiny_model

N, R, P, D = 3, 4, 3, 5
MASK = torch.tensor([[True, True, True], [False, True, False], [False, False, False]])


def drawn() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """image_query, image_value, text_key, text_value of N pairs."""
    generator = torch.Generator().manual_seed(1)
    image_query, image_value = (torch.randn(N, R, D, generator=generator, dtype=torch.float64) for _ in range(2))
    text_key, text_value = (torch.randn(N, P, D, generator=generator, dtype=torch.float64) for _ in range(2))
    return image_query, image_value, text_key, text_value


class TestPhraseAttention:
    def test_equals_loops_over_pairs_phrases_and_tokens(self) -> None:
        query, _, key, _ = drawn()
        weights = phrase_attention(query, key, MASK)
        for n in range(N):
            there = MASK[n].nonzero()[:, 0].tolist()
            near = {p: [torch.cosine_similarity(key[n, p], query[n, r], dim=0).item() for r in range(R)] for p in there}
            near = {p: [a if a > 0 else 0.1 * a for a in row] for p, row in near.items()}
            norm = [sqrt(sum(row[r] ** 2 for row in near.values())) for r in range(R)]  # over the phrases
            for p in range(P):
                strength = [exp(20 * near[p][r] / norm[r]) for r in range(R)] if p in near else [0.0] * R
                assert weights[n, p].tolist() == pytest.approx([s / max(sum(strength), 1e-9) for s in strength], abs=1e-6)

    def test_these_weights_give_the_similarity(self) -> None:
        query, value, key, text_value = drawn()
        contexts = phrase_attention(query, key, MASK) @ value  # (N, P, D)
        cosines = torch.cosine_similarity(text_value, contexts, dim=2) * MASK
        _, t2i = cross_scale_similarity(query, value, key, text_value, MASK)
        expected = cosines.sum(dim=1) / MASK.sum(dim=1).clamp(min=1)
        torch.testing.assert_close(t2i.diagonal(), expected)


class TestBoxes:
    @pytest.mark.parametrize(("grid", "rows", "columns"), [((6, 3), 4, 1), ((12, 6), 2, 2), ((7, 7), 4, 1), ((5, 3), 3, 2)])
    def test_they_are_the_places_that_are_averaged(self, grid: tuple[int, int], rows: int, columns: int) -> None:
        boxes = cell_boxes(grid, rows, columns)
        assert len(boxes) == rows * columns
        for place in range(grid[0] * grid[1]):
            row, column = divmod(place, grid[1])
            one = torch.zeros(grid[0] * grid[1])
            one[place] = 1.0
            reached = cell_means(one.view(1, 1, *grid), rows, columns)[0, :, 0] > 0
            centre = ((column + 0.5) / grid[1], (row + 0.5) / grid[0])
            assert reached.tolist() == [box.left < centre[0] < box.right and box.top < centre[1] < box.bottom for box in boxes]


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_every_model_attends_as_promised_or_says_that_it_does_not(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).eval()
    batch = tiny_batch(model.inputs)
    with torch.inference_mode():
        weights = model.attention(model.encode_captions(batch.captions), model.encode_images(batch.images))
    boxes = model.token_boxes()
    if weights is None:
        assert boxes is None
        return
    assert weights.shape[:2] == batch.captions.phrase_mask.shape
    told = weights.sum(dim=2)
    present = batch.captions.phrase_mask if model.inputs.phrase_filler is None else torch.ones_like(batch.captions.phrase_mask)
    torch.testing.assert_close(told, present.float())
    if boxes is not None:
        assert len(boxes) == weights.shape[2]
        assert all(0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1 for box in boxes)


TEXTS = ("A man in a red coat and black shoes.", "A woman with a bag", "", "Blue shirt, white hat")
SPLIT = Split(
    "test",
    Path(),
    (ImageRecord("a.png", 1), ImageRecord("b.png", 2), ImageRecord("c.png", 3)),
    tuple(CaptionRecord(text, image) for text, image in zip(TEXTS, (0, 0, 1, 2), strict=True)),
)
COAT, SHOES, HAT = Box(0.2, 0.2, 0.8, 0.5), Box(0.3, 0.9, 0.7, 1.0), Box(0.4, 0.0, 0.6, 0.1)
TRUTH = Grounding(
    ({"upper": COAT, "shoes": SHOES}, {}, {"upper": COAT, "head": HAT}),
    (((0, 5, "person"), (9, 19, "upper"), (24, 35, "shoes")), ((13, 18, "carried"),), (), ((0, 10, "upper"), (12, 21, "headwear"))),
)


def attended(model: TextImageModel, embedded: Embedded, truth: Grounding | None, block: int) -> pd.DataFrame | None:
    phrases, options = [noun_phrases(text) for text in TEXTS], EvaluationOptions(query_block=block)
    return attention.attended(model, embedded, split=SPLIT, phrases=phrases, truth=truth, options=options, device=torch.device("cpu"))


def table(truth: Grounding | None, block: int = 2) -> pd.DataFrame:
    model = tiny_model("acsa", "small").eval()
    batch = tiny_batch(model.inputs, 4)
    mask = torch.zeros_like(batch.captions.phrase_mask)
    for query, text in enumerate(TEXTS):
        mask[query, : max(1, len(noun_phrases(text)))] = True
    captions = Captions(**{**vars(batch.captions), "phrase_mask": mask})
    with torch.inference_mode():
        embedded = Embedded(model.encode_images(batch.images[:3]), model.encode_captions(captions))
    found = attended(model, embedded, truth, block)
    assert found is not None
    return found


class TestTable:
    def test_a_row_a_phrase_with_what_it_speaks_of(self) -> None:
        found = table(TRUTH)
        told = [(TEXTS[row.query][row.start : row.end], row.part if row.box else None, row.box) for row in found.itertuples()]
        assert found["part"].isna().tolist() == found["box"].isna().tolist()
        assert told == [
            ("man", None, None),  # the whole has no box
            ("red coat", "upper", COAT),
            ("black shoes", "shoes", SHOES),
            ("woman", None, None),
            ("bag", None, None),  # it does not show
            ("", None, None),
            ("Blue shirt", "upper", COAT),
            ("white hat", None, None),  # nor does this
        ]
        assert all(sum(weights) == pytest.approx(1) for weights in found["weights"])

    def test_any_block_and_without_a_truth(self) -> None:
        one, other = (torch.tensor(table(TRUTH, block)["weights"].tolist()) for block in (2, 100))
        torch.testing.assert_close(one, other)
        unknown = table(None)
        assert unknown["part"].isna().all()
        assert len(unknown) == 8

    def test_a_phrase_that_speaks_of_two_parts_has_none(self) -> None:
        both = Grounding(TRUTH.parts, (((9, 14, "upper"), (13, 19, "shoes")), *TRUTH.phrases[1:]))
        assert table(both)["part"].isna()[1]

    def test_a_file_gives_it_back(self, tmp_path: Path) -> None:
        found = table(TRUTH)
        write(found, tmp_path / attention.FILE)
        back = attention.read(tmp_path)
        assert back is not None
        assert attention.token_boxes(back)[0] == Box(0, 0, 1, 1)
        assert len(attention.token_boxes(back)) == len(back["weights"][0])
        assert [list(box) for box in back["box"].dropna()] == [list(box) for box in found["box"].dropna()]
        assert back["part"].tolist() == found["part"].tolist()
        assert attention.read(tmp_path / "none") is None

    def test_a_model_that_does_not_attend_leaves_none(self) -> None:
        model = tiny_model("image-sentence")
        assert attended(model, Embedded({}, {}), TRUTH, 2) is None


def test_the_truth_of_a_part_of_a_split() -> None:
    part = Split("test", Path(), SPLIT.images[::2], (CaptionRecord(TEXTS[0], 0), CaptionRecord(TEXTS[1], 0), CaptionRecord(TEXTS[3], 1)))
    cut = attention.restricted(TRUTH, SPLIT, part)
    assert cut == Grounding((TRUTH.parts[0], TRUTH.parts[2]), (TRUTH.phrases[0], TRUTH.phrases[1], TRUTH.phrases[3]))
    assert attention.restricted(TRUTH, SPLIT, SPLIT) is TRUTH
    assert attention.restricted(None, SPLIT, part) is None
