"""Statistics against slow, obvious twins and cases whose answer is known."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats as reference

from bench.stats import Identities, Interval, compare, groups, holm, mcnemar, over_seeds, smallest_difference

RANDOM = np.random.default_rng(5)
PIDS = np.repeat(np.arange(30), RANDOM.integers(1, 6, 30))
Q = len(PIDS)


def outcomes(seeds: int, share: float, seed: int = 0, spread: float = 0.3) -> np.ndarray:
    """(S, Q) hits whose queries depend on their identity."""
    random = np.random.default_rng(seed)
    ease = share + spread * random.standard_normal(30)
    return (random.random((seeds, Q)) < ease[PIDS]).astype(float)


class TestOverSeeds:
    def test_it_is_scipys_interval_of_the_mean(self) -> None:
        values = [48.3, 51.0, 46.1]
        told = over_seeds(values)
        assert told.interval == pytest.approx(reference.ttest_1samp(values, 0).confidence_interval(0.95))
        assert told.deviation == pytest.approx(math.sqrt(sum((v - told.mean) ** 2 for v in values) / 2))

    def test_equal_values_have_no_spread(self) -> None:
        assert over_seeds([3.0, 3.0]).interval == Interval(3.0, 3.0)

    @pytest.mark.parametrize("values", [[], [1.0, math.nan]])
    def test_no_value_is_refused(self, values: list[float]) -> None:
        with pytest.raises(ValueError, match="one finite value a seed"):
            over_seeds(values)

    def test_it_covers_as_often_as_it_says(self) -> None:
        random = np.random.default_rng(1)
        hits = sum(told.low <= 5 <= told.high for told in (over_seeds(random.normal(5, 2, 3)).interval for _ in range(800)) if told)
        assert hits / 800 == pytest.approx(0.95, abs=0.025)


class TestIdentities:
    def test_draws_are_those_of_the_slow_twin(self) -> None:
        """Each draw with its people's queries laid out one by one."""
        people, hits = Identities(PIDS, draws=50, seed=3), outcomes(2, 0.5)
        assert (people.weights.sum(axis=1) == 29).all()
        for model, means in zip(hits, people.means(hits), strict=True):
            for weights, mean in zip(people.weights, means, strict=True):
                drawn = [pid for pid, times in enumerate(weights) for _ in range(int(times))]
                queries = [value for pid in drawn for value in model[pid == PIDS]]
                assert mean == pytest.approx(sum(queries) / len(queries))

    def test_the_interval_is_the_draws_quantiles(self) -> None:
        people, (hits,) = Identities(PIDS, draws=400), outcomes(1, 0.5)
        ordered = sorted(people.means(hits)[0])
        low, high = people.interval(hits)
        assert ordered[9] <= low <= ordered[10]
        assert ordered[389] <= high <= ordered[390]

    def test_people_of_equal_size_have_the_standard_error_of_a_mean(self) -> None:
        hits = np.random.default_rng(0).random(40 * 4)
        means = hits.reshape(40, 4).mean(axis=1)
        error = Identities(np.arange(40).repeat(4), draws=40_000).means(hits).std()
        assert error == pytest.approx(means.std(ddof=1) / math.sqrt(40), rel=0.02)

    def test_captions_of_one_person_count_once(self) -> None:
        """Every caption ten times over: as wide as before, though there are ten times as many."""
        (hits,) = outcomes(1, 0.5)
        once, often = Identities(PIDS), Identities(PIDS.repeat(10))
        assert often.interval(hits.repeat(10)) == pytest.approx(once.interval(hits))

    def test_the_order_of_queries_and_the_names_of_people_change_nothing(self) -> None:
        (hits,) = outcomes(1, 0.5)
        order = np.random.default_rng(2).permutation(Q)
        assert Identities(PIDS[order] + 100).interval(hits[order]) == pytest.approx(Identities(PIDS).interval(hits))

    def test_one_person_has_no_spread(self) -> None:
        with pytest.raises(ValueError, match="needs two of them, but got 1"):
            Identities(np.zeros(5, dtype=np.int64))


class TestCompare:
    models: ClassVar = {"a": outcomes(3, 0.6, seed=1), "b": outcomes(2, 0.4, seed=2), "c": outcomes(1, 0.6, seed=3)}

    def twin(self, first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
        """Difference, standard error and p: loops over draws, and variances by their definition."""
        people = Identities(PIDS, draws=500)
        difference = first.mean(axis=0) - second.mean(axis=0)
        drawn = []
        for weights in people.weights:
            queries = [value for pid, times in enumerate(weights) for value in difference[pid == PIDS] for _ in range(int(times))]
            drawn.append(sum(queries) / len(queries))
        centre = sum(drawn) / len(drawn)
        variance = people_variance = sum((value - centre) ** 2 for value in drawn) / (len(drawn) - 1)
        below = people_variance**2 / 29
        for model in (first, second):
            if (n := len(model)) > 1:
                seeds = [float(row.mean()) for row in model]
                part = sum((value - sum(seeds) / n) ** 2 for value in seeds) / (n - 1) / n
                variance += max(0.0, part - self.held(model, people))
                below += part**2 / (n - 1)
        freedom = variance**2 / below
        shift = float(difference.mean())
        return shift, math.sqrt(variance), 2 * reference.t(freedom).sf(abs(shift) / math.sqrt(variance))

    def held(self, model: np.ndarray, people: Identities) -> float:
        """How far a seed departs from the mean of the seeds on these people and not on others."""
        total = 0.0
        for row in model:
            apart = row - model.mean(axis=0)
            drawn = [sum(w * apart[pid == PIDS].sum() for pid, w in enumerate(ws)) / sum(ws[PIDS]) for ws in people.weights]
            total += float(np.var(drawn, ddof=1))
        return total / len(model) / (len(model) - 1)

    def test_it_is_as_the_slow_twin_says(self) -> None:
        told = compare(self.models, Identities(PIDS, draws=500))
        assert [(c.first, c.second) for c in told] == [("a", "b"), ("a", "c"), ("b", "c")]
        for c in told:
            expected = self.twin(self.models[c.first], self.models[c.second])
            assert (c.difference, c.error, c.p) == pytest.approx(expected)
            assert c.interval == pytest.approx(reference.t.interval(0.95, c.freedom, c.difference, c.error))
            assert c.over_seeds == ((c.first, c.second) == ("a", "b"))
        assert [c.corrected for c in told] == pytest.approx(holm([c.p for c in told]))

    def test_one_seed_and_one_query_a_person_are_the_paired_t_test(self) -> None:
        random = np.random.default_rng(4)
        first, second = random.random((2, 1, 60))
        (told,) = compare({"a": first, "b": second}, Identities(np.arange(60), draws=100_000))
        assert told.p == pytest.approx(reference.ttest_rel(first[0], second[0]).pvalue, abs=0.01)
        assert told.freedom == pytest.approx(59)

    def test_seeds_alone_are_welchs_t_test(self) -> None:
        """Everyone is as easy as everyone else: only seeds vary."""
        first, second = np.array([[0.5], [0.6], [0.55]]), np.array([[0.4], [0.45], [0.3], [0.42]])
        (told,) = compare({"a": first.repeat(20, axis=1), "b": second.repeat(20, axis=1)}, Identities(np.arange(20)))
        expected = reference.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
        assert told.p == pytest.approx(expected.pvalue)
        assert told.interval == pytest.approx(expected.confidence_interval())

    def test_what_is_hard_for_both_cancels(self) -> None:
        (told,) = compare({"a": self.models["a"][:1], "b": 0.9 * self.models["a"][:1]}, Identities(PIDS))
        (apart,) = compare({"a": self.models["a"][:1], "c": outcomes(1, 0.6, seed=9)}, Identities(PIDS))
        assert told.error < apart.error / 3

    def test_equal_models_are_equal(self) -> None:
        hits = self.models["a"][:1]
        (told,) = compare({"a": hits, "b": hits}, Identities(PIDS))
        assert (told.difference, told.p, told.better) == (0.0, 1.0, None)

    def test_the_better_one_is_named_whichever_comes_first(self) -> None:
        good, poor = np.ones((1, Q)), np.zeros((1, Q))
        assert compare({"x": good, "y": poor}, Identities(PIDS))[0].better == "x"
        assert compare({"y": poor, "x": good}, Identities(PIDS))[0].better == "x"

    def test_it_errs_no_more_often_than_it_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Equally good models, each with people that are hard for it and with lucky seeds, three each. The identities alone err often."""
        monkeypatch.setattr("bench.stats.holm", list)  # there is but one p
        random = np.random.default_rng(7)
        pids, wrong, blind, trials = np.arange(30).repeat(4), 0, 0, 300
        people = Identities(pids, draws=300)
        for _ in range(trials):
            models = {}
            for name in "ab":
                taste, luck = random.normal(0, 0.15, 30)[pids], random.normal(0, 0.08, (3, 1))
                models[name] = (random.random((3, 120)) < 0.5 + taste + luck).astype(float)
            (told,) = compare(models, people)
            wrong += told.p < 0.05
            blind += abs(told.difference) > 1.96 * told.identity_error
        assert 0.01 <= wrong / trials <= 0.06
        assert blind / trials > 0.1

    def test_a_table_of_another_shape_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"b: outcomes must be \(S, "):
            compare({"a": self.models["a"], "b": self.models["a"][0]}, Identities(PIDS))

    def test_one_model_is_compared_with_none(self) -> None:
        assert compare({"a": self.models["a"]}, Identities(PIDS)) == []


def test_holm_is_the_definition() -> None:
    p_values = [0.2, 0.01, 0.03, 0.005, 0.5]
    order, corrected, most = sorted(range(5), key=lambda i: p_values[i]), [0.0] * 5, 0.0
    for rank, i in enumerate(order):
        most = max(most, min(1.0, (5 - rank) * p_values[i]))
        corrected[i] = most
    assert holm(p_values) == pytest.approx(corrected)
    assert holm([]) == []


class TestMcNemar:
    def test_the_p_is_that_of_a_coin(self) -> None:
        """All outcomes of the discordant queries that are no likelier than what was seen."""
        first, second = outcomes(1, 0.6, seed=1), outcomes(1, 0.45, seed=2)
        a, b = int((first > second).sum()), int((second > first).sum())
        tail = sum(math.comb(a + b, k) for k in range(min(a, b) + 1)) / 2 ** (a + b)
        told = mcnemar(first, second)
        assert (told.only_first, told.only_second) == (a, b)
        assert told.p == pytest.approx(min(1.0, 2 * tail))

    def test_several_seeds_are_twice_the_mean(self) -> None:
        first, second = outcomes(3, 0.6, seed=1), outcomes(2, 0.45, seed=2)
        single = [mcnemar(a, b) for a, b in product(first, second)]
        told = mcnemar(first, second)
        assert told.p == pytest.approx(min(1.0, 2 * sum(one.p for one in single) / 6))
        assert told.only_first == pytest.approx(sum(one.only_first for one in single) / 6)

    def test_no_difference_anywhere(self) -> None:
        assert mcnemar(np.ones((2, 5)), np.ones((1, 5))).p == 1.0


class TestGroups:
    @pytest.mark.parametrize("seed", range(5))
    def test_two_share_a_letter_if_and_only_if_they_cannot_be_told_apart(self, seed: int) -> None:
        random, names = np.random.default_rng(seed), "uvwxyz"
        alike = {pair for pair in combinations(names, 2) if random.random() < 0.5}
        letters = groups(names, alike)
        for one, two in combinations(names, 2):
            assert bool(set(letters[one]) & set(letters[two])) == ((one, two) in alike)
        assert "a" in letters["u"]

    def test_a_known_display(self) -> None:
        assert groups("xyz", [("x", "y"), ("y", "z")]) == {"x": "a", "y": "ab", "z": "b"}

    def test_those_that_were_compared(self) -> None:
        share, order = {"good": 80, "fair": 74, "poor": 55}, np.random.default_rng(0).permutation(200)
        told = compare({name: [order < 2 * hits] for name, hits in share.items()}, Identities(np.arange(100).repeat(2)))
        assert groups(list(share), [(c.first, c.second) for c in told if not c.told_apart]) == {"good": "a", "fair": "b", "poor": "c"}

    def test_one_model_is_a_group(self) -> None:
        assert groups(["x"], []) == {"x": "a"}


def test_the_smallest_difference_is_found_as_often_as_it_says() -> None:
    random, error = np.random.default_rng(3), 0.7
    shift = smallest_difference(error)
    assert shift == pytest.approx((1.959964 + 0.841621) * error, rel=1e-5)
    found = abs(shift + error * random.standard_normal(4_000)) > 1.959964 * error
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_few_seeds_show_less() -> None:
    assert smallest_difference(1.0, 4) > smallest_difference(1.0, 40) > smallest_difference(1.0)
