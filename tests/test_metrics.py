"""The protocol's metrics against loops, scikit-learn and the protocol's own rules."""

from __future__ import annotations

import warnings

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import Tensor

from bench.metrics import METRICS, Ranking, blocks, chance_R1, evaluate_ranking, rank

Q, G = 23, 40


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def problem(seed: int = 0, *, ties: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """similarity (Q, G), half of it negative, and pids of which each query's occurs in the gallery."""
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randn(Q, G, generator=generator)
    if ties:
        similarity = (2 * similarity).round() / 2
    gallery = torch.randint(0, 9, (G,), generator=generator)
    return similarity, gallery[torch.randint(0, G, (Q,), generator=generator)], gallery


def twin(similarity: Tensor, query_pids: Tensor, gallery_pids: Tensor) -> dict[str, float]:
    """One query at a time, in plain Python."""
    sums = dict.fromkeys(METRICS, 0.0)
    for row, pid in zip(similarity.tolist(), query_pids.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda g: (-row[g], g))
        places = [place for place, g in enumerate(order, 1) if gallery_pids[g] == pid]
        for k in (1, 5, 10):
            sums[f"R{k}"] += places[0] <= k
        sums["mAP"] += sum(j / m for j, m in enumerate(places, 1)) / len(places)
        sums["mINP"] += len(places) / places[-1]
    return {name: value / len(similarity) for name, value in sums.items()}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_the_slow_twin_says(seed: int, ties: bool) -> None:
    assert evaluate_ranking(*problem(seed, ties=ties)) == pytest.approx(twin(*problem(seed, ties=ties)), rel=1e-12)


def test_average_precision_is_scikit_learns() -> None:
    similarity, queries, gallery = problem()
    theirs = [average_precision_score((gallery == pid).numpy(), row.numpy()) for row, pid in zip(similarity, queries, strict=True)]
    assert rank(similarity, queries, gallery).average_precision.tolist() == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("shift", [-5.0, 5.0])
def test_only_the_order_counts_not_the_sign(shift: float) -> None:
    similarity, queries, gallery = problem()
    assert evaluate_ranking(similarity + shift, queries, gallery) == evaluate_ranking(similarity, queries, gallery)


def test_a_tie_falls_to_the_earlier_column_and_is_counted() -> None:
    similarity = torch.tensor([[0.5, 0.5, 0.1], [0.5, 0.5, 0.1], [0.5, 0.1, 0.1], [0.5, 0.2, 0.1]])
    outcome = rank(similarity, torch.tensor([1, 2, 1, 1]), torch.tensor([1, 2, 2]))
    assert outcome.first_match.tolist() == [1, 2, 1, 1]
    assert outcome.tied.tolist() == [True, True, False, False]  # the third's tie is between two that are no match


def test_a_tie_of_matches_alone_decides_nothing() -> None:
    outcome = rank(torch.tensor([[0.5, 0.5, 0.1]]), torch.tensor([1]), torch.tensor([1, 1, 2]))
    assert not outcome.tied.any()


def test_tied_is_where_a_match_is_as_near_as_another() -> None:
    similarity, queries, gallery = problem(ties=True)
    expected = [
        any(row[m] == row[o] for m in range(G) for o in range(G) if gallery[m] == pid != gallery[o])
        for row, pid in zip(similarity.tolist(), queries, strict=True)
    ]
    outcome = rank(similarity, queries, gallery)
    assert outcome.tied.tolist() == expected
    assert True in expected
    assert not rank(*problem()).tied.any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("block", [4, 256])
def test_a_similarity_that_is_not_finite_is_refused_with_its_query(bad: float, block: int) -> None:
    similarity, queries, gallery = problem()
    similarity[[13, 14], [3, 5]] = bad
    with pytest.raises(ValueError, match=r"query 13 has a similarity that is not finite \(2 such queries in its block\)"):
        rank(similarity, queries, gallery, block=block)
    with pytest.raises(ValueError, match="query 113 has"):
        rank(similarity, queries, gallery, block=block, first_query=100)


def test_a_query_without_a_match_is_refused_by_name() -> None:
    similarity, queries, gallery = problem()
    queries[17] = 99
    with pytest.raises(ValueError, match="query 17 has no match in the gallery"):
        evaluate_ranking(similarity, queries, gallery)


@pytest.mark.parametrize("shape", [(Q, G - 1), (Q - 1, G), (Q, G + 1), (G,), (0, G), (Q, 0)])
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    _, queries, gallery = problem()
    n_queries = 0 if shape == (0, G) else Q
    n_gallery = 0 if shape == (Q, 0) else G
    with pytest.raises(ValueError, match="similarity must be"):
        evaluate_ranking(torch.zeros(shape), queries[:n_queries], gallery[:n_gallery])


@pytest.mark.parametrize("block", [1, 7, Q, 1000])
def test_the_block_plays_no_part(block: int) -> None:
    whole, parts = rank(*problem(ties=True)), rank(*problem(ties=True), block=block)
    for field in ("first_match", "average_precision", "inverse_penalty", "tied"):
        assert torch.equal(getattr(whole, field), getattr(parts, field))


def test_parts_of_the_queries_join_to_the_whole() -> None:
    similarity, queries, gallery = problem()
    parts = [rank(similarity[rows], queries[rows], gallery) for rows in blocks(Q, 6)]
    assert Ranking.joined(parts).summary() == evaluate_ranking(similarity, queries, gallery)


def test_a_gallery_read_in_another_order_gives_the_same_once_it_is_sorted_by_path() -> None:
    similarity, queries, gallery = problem(ties=True)
    paths = [f"{place:03}.jpg" for place in range(G)]
    read = torch.randperm(G).tolist()
    sort = sorted(range(G), key=lambda place: paths[read[place]])
    again = evaluate_ranking(similarity[:, read][:, sort], queries, gallery[read][sort])
    assert again == evaluate_ranking(similarity, queries, gallery)


def test_without_ties_the_order_of_the_gallery_and_the_queries_plays_no_part() -> None:
    similarity, queries, gallery = problem()
    columns, rows = torch.randperm(G), torch.randperm(Q)
    moved = evaluate_ranking(similarity[rows][:, columns], queries[rows], gallery[columns])
    assert moved == pytest.approx(evaluate_ranking(similarity, queries, gallery), rel=1e-12)


def test_image_to_text_is_the_transposed_task() -> None:
    similarity, gallery = torch.randn(Q, G), torch.arange(G) % 6
    queries = torch.arange(Q) % 6
    assert evaluate_ranking(similarity.T, gallery, queries) == pytest.approx(twin(similarity.T, gallery, queries))


def test_a_gallery_smaller_than_k() -> None:
    result = evaluate_ranking(torch.tensor([[0.1, 0.2, 0.3]]), torch.tensor([1]), torch.tensor([1, 2, 3]))
    assert result == pytest.approx({"R1": 0, "R5": 1, "R10": 1, "mAP": 1 / 3, "mINP": 1 / 3})


def test_double_and_half_precision_are_ranked_in_float32() -> None:
    similarity, queries, gallery = problem()
    assert evaluate_ranking(similarity.double(), queries, gallery) == evaluate_ranking(similarity, queries, gallery)
    rough = similarity.bfloat16()
    assert evaluate_ranking(rough, queries, gallery) == evaluate_ranking(rough.float(), queries, gallery)


def test_inputs_are_left_as_they_were() -> None:
    given, copies = problem(), problem()
    evaluate_ranking(*given)
    assert all(torch.equal(one, two) for one, two in zip(given, copies, strict=True))


def test_chance_is_the_mean_of_random_rankings() -> None:
    _, queries, gallery = problem()
    trials = 400
    R1 = [evaluate_ranking(torch.rand(Q, G), queries, gallery)["R1"] for _ in range(trials)]
    assert chance_R1(queries, gallery) == pytest.approx(sum(R1) / trials, abs=4 * (0.25 / (Q * trials)) ** 0.5)
    assert chance_R1(torch.tensor([1, 5]), torch.tensor([1, 1, 2, 3])) == pytest.approx((2 / 4 + 0) / 2)


def test_no_warning_is_given() -> None:
    with warnings.catch_warnings(record=True) as caught:
        evaluate_ranking(*problem())
    assert not caught
