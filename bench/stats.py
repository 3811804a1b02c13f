"""What a comparison may claim: spread over seeds, intervals over identities, paired tests, groups, the smallest difference shown.

Two things vary behind a mean. *Seeds*: another run of the same configuration obtains something else; a t interval over the runs tells
that. *Identities*: another test set has other people. The captions of one person succeed and fail together, so people are drawn,
not captions: a bootstrap over identities tells that.

How seeds enter a comparison of two models: the outcome of a query is averaged over each model's seeds, and the identities are drawn
once for both models (the same people, so what is hard for both cancels). To the variance of that comes the variance of each model's
mean over its own seeds, s2/S, less the part of it that the identities hold already (that a seed does better on these people and
worse on those). Seeds are not drawn: the bootstrap of three values understates their spread by a third and has no tails, while s2/S
is unbiased, and the t distribution (Satterthwaite's degrees of freedom) pays for how few there are: simulated, it errs in 2 to 5 of 100
cases where 5 are allowed, while the identities alone err in 14 to 35 where seeds matter. Seed k of one model has nothing to do with
seed k of another: seeds are not paired. With one seed nothing is known of that spread: `Comparison.over_seeds` is False, and the
statement is about these trained models, not about the methods.

Pure functions of arrays; no model, file or name of a metric. Dimension letters: S seeds, Q queries, I identities, B draws, M models.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bench._spread import DRAWS as DRAWS
from bench._spread import LEVEL, Floats, t_interval
from bench._spread import Identities as Identities
from bench._spread import Interval as Interval
from bench._spread import OverSeeds as OverSeeds
from bench._spread import over_seeds as over_seeds

POWER = 0.8
NOTHING = 1e-12
"""A standard error below this is rounding: the values it comes from are all equal."""

# ------------------------------------------------------------------------------------------------- paired comparison


@dataclass(frozen=True)
class Comparison:
    """Mean outcome of `first` minus that of `second` over the same queries."""

    first: str
    second: str
    difference: float
    interval: Interval
    """Of the difference, not corrected for the number of comparisons."""
    p: float
    corrected: float
    """p after Holm, over all comparisons that were made together."""
    identity_error: float
    """Standard error from the identities alone: what this test set costs, however many seeds are run."""
    error: float
    """Standard error from identities and seeds."""
    freedom: float
    """Degrees of freedom of `error` (Satterthwaite)."""
    over_seeds: bool
    """Whether both models have several seeds; else it speaks of trained models, not of methods."""

    @property
    def told_apart(self) -> bool:
        return self.corrected < 1 - LEVEL

    @property
    def better(self) -> str | None:
        """The name of the better of the two, None where they cannot be told apart."""
        if not self.told_apart:
            return None
        return self.first if self.difference > 0 else self.second


def compare(outcomes: Mapping[str, ArrayLike], identities: Identities, *, level: float = LEVEL) -> list[Comparison]:
    """Every pair of models, in the order given. `outcomes`: name -> (S, Q), larger is better; S may differ, the queries may not.

    >>> people = Identities(np.arange(100).repeat(2))
    >>> good, poor = np.arange(200) % 10 < 8, np.arange(200) % 10 < 5
    >>> (told,) = compare({"good": [good], "poor": [poor]}, people)
    >>> round(told.difference, 2), told.better, told.over_seeds
    (0.3, 'good', False)

    Raises:
        ValueError: the outcomes of a model are not (S, Q).
    """
    models = {name: _outcomes(name, values, len(identities.pids)) for name, values in outcomes.items()}
    if len(models) < 2:
        return []
    spread = np.cov(identities.means(np.stack([values.mean(axis=0) for values in models.values()])))  # (M, M)
    seeds = {name: _Seeds.of(values, identities) for name, values in models.items()}
    pairs = [
        _pair(seeds[first], seeds[second], max(0.0, spread[i, i] + spread[j, j] - 2 * spread[i, j]), identities.n, level)
        | {"first": first, "second": second}
        for (i, first), (j, second) in combinations(enumerate(models), 2)
    ]
    corrected = holm([pair["p"] for pair in pairs])
    return [Comparison(**pair, corrected=value) for pair, value in zip(pairs, corrected, strict=True)]


def _outcomes(name: str, values: ArrayLike, n_queries: int) -> Floats:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or not len(found) or found.shape[1] != n_queries:
        raise ValueError(f"{name}: outcomes must be (S, {n_queries}), a row a seed, but got {found.shape}")
    return found


class _Seeds(NamedTuple):
    """A model's mean over its S seeds: its variance s2/S, and the part of it that the variance over identities holds already."""

    n: int
    mean: float
    variance: float
    held: float

    @classmethod
    def of(cls, values: Floats, identities: Identities) -> _Seeds:
        n, mean = len(values), float(values.mean())
        if n == 1:
            return cls(n, mean, 0.0, 0.0)
        held = identities.means(values - values.mean(axis=0)).var(axis=1, ddof=1).mean() / (n - 1)
        return cls(n, mean, float(values.mean(axis=1).var(ddof=1) / n), float(held))


def _pair(first: _Seeds, second: _Seeds, variance: float, n: int, level: float) -> dict[str, Any]:
    """All of a Comparison but names and the corrected p. `variance`: of the difference, over draws of n identities."""
    difference = first.mean - second.mean
    error = math.sqrt(variance + sum(max(0.0, seeds.variance - seeds.held) for seeds in (first, second)))
    parts = [(variance, n - 1), *((seeds.variance, seeds.n - 1) for seeds in (first, second) if seeds.n > 1)]
    freedom = error**4 / sum(part**2 / below for part, below in parts) if error > NOTHING else float(n - 1)
    return {
        "difference": difference,
        "interval": t_interval(difference, error, freedom, level),
        "p": _p(difference, error, freedom),
        "identity_error": math.sqrt(variance),
        "error": error,
        "freedom": freedom,
        "over_seeds": min(first.n, second.n) > 1,
    }


def _p(difference: float, error: float, freedom: float) -> float:
    """Two-sided; without any spread a difference is certain, and none is none."""
    from scipy.stats import t

    if error <= NOTHING:
        return float(abs(difference) <= NOTHING)
    return float(2 * t.sf(abs(difference) / error, freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected so that all of them together err in 1 - LEVEL of the cases (Holm 1979).

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if len(p_values) else []


class McNemar(NamedTuple):
    """Queries that one of two models alone has right, means over pairs of runs, and the exact p."""

    only_first: float
    only_second: float
    p: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's exact test on (S, Q) hits, the queries taken for independent: which captions of one person are not.

    It stands in a report because others print it; groups and statements rest on `compare`. It compares runs, not methods: each run of
    the first is tested against each of the second, and several p become one that holds however they depend on each other, twice
    their mean (Vovk and Wang, Biometrika 107, 2020: "Combining p-values via averaging").

    >>> mcnemar([[1, 1, 1, 1, 1, 1, 0, 1]], [[0, 0, 0, 0, 0, 0, 0, 1]])
    McNemar(only_first=6.0, only_second=0.0, p=0.03125)
    """
    from statsmodels.stats.contingency_tables import mcnemar as exact

    ours, theirs = (np.atleast_2d(np.asarray(hits, dtype=bool)) for hits in (first, second))
    alone = [(int((a & ~b).sum()), int((b & ~a).sum())) for a in ours for b in theirs]
    p_values = [float(exact([[0, only_a], [only_b, 0]], exact=True).pvalue) if only_a + only_b else 1.0 for only_a, only_b in alone]
    p = p_values[0] if len(p_values) == 1 else min(1.0, 2 * float(np.mean(p_values)))
    only_first, only_second = np.mean(alone, axis=0)
    return McNemar(float(only_first), float(only_second), p)


# -------------------------------------------------------------------------------------------- what may be said of all


def groups(names: Sequence[str], alike: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Letters a model: two models share one if and only if they cannot be told apart. `names`: best first; `a` is the best's.

    `alike`: the pairs that cannot be told apart. The letters are the maximal sets of models of which no two are told apart (a
    compact letter display; Piepho 2004).

    >>> groups(["good", "fair", "poor"], [("good", "fair"), ("fair", "poor")])
    {'good': 'a', 'fair': 'ab', 'poor': 'b'}
    """
    import networkx

    graph = networkx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(alike)
    place = {name: number for number, name in enumerate(names)}
    sets = sorted(sorted(place[name] for name in clique) for clique in networkx.find_cliques(graph))
    return {name: "".join(_letter(number) for number, members in enumerate(sets) if place[name] in members) for name in names}


def _letter(number: int) -> str:
    """a, b, ... z, then (27), (28), ...

    >>> [_letter(number) for number in (0, 25, 26)]
    ['a', 'z', '(27)']
    """
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"


def smallest_difference(error: float, freedom: float = math.inf, *, level: float = LEVEL, power: float = POWER) -> float:
    """The true difference that a two-sided test at 1 - `level` would find with probability `power`: (t + t') standard errors.

    With `Comparison.identity_error`: what this test set can show at best, of two such models. With `error`: with the seeds at hand.

    >>> round(smallest_difference(1.0), 2)
    2.8
    """
    from scipy.stats import t

    return float(t.ppf((1 + level) / 2, freedom) + t.ppf(power, freedom)) * error


# --------------------------------------------------------------------------------------------- against a known value


class Agreement(NamedTuple):
    """Whether runs agree with a known value: `reproduced`, `not reproduced` or `inconclusive`."""

    verdict: str
    difference: float
    """Mean of the runs minus the known value."""
    interval: Interval | None
    """Of the difference, at 2 LEVEL - 1 (90 %): that of two one-sided tests at 1 - LEVEL. None where seeds tell no spread."""
    p: float | None
    """The larger p of the two tests: below 1 - LEVEL, the difference lies within the tolerance."""


def agreement(values: Sequence[float], known: Sequence[float], tolerance: float) -> Agreement:
    """Two one-sided t tests (Schuirmann 1987) of whether S runs and what is known differ by less than `tolerance`. Any unit.

    `known`: one value, taken as exact since papers tell no spread; or several, of as many seeds, with a spread of their own (Welch).
    *reproduced*: the interval of the difference lies within the tolerance. *not reproduced*: it lies wholly outside.
    *inconclusive*: it crosses a border, or one seed alone was run, which tells no spread.

    >>> agreement([63.2, 63.6, 63.5], [63.56], 1.5).verdict, agreement([54.0, 54.4, 54.1], [63.56], 1.5).verdict
    ('reproduced', 'not reproduced')
    >>> agreement([60.0, 66.0], [63.56], 1.5).verdict, agreement([63.5], [63.56], 1.5).verdict
    ('inconclusive', 'inconclusive')
    """
    ours, theirs = over_seeds(values), over_seeds(known)
    difference = ours.mean - theirs.mean
    if ours.deviation is None:
        return Agreement("inconclusive", difference, None, None)
    parts = [(told.deviation**2 / told.n, told.n - 1) for told in (ours, theirs) if told.deviation is not None]
    variance = sum(part for part, _ in parts)
    error, spread = math.sqrt(variance), sum(part**2 / below for part, below in parts)
    freedom = variance**2 / spread if error > NOTHING else float(parts[0][1])
    interval = t_interval(difference, error, freedom, 2 * LEVEL - 1)
    outside = interval.low >= tolerance or interval.high <= -tolerance
    within = interval.low > -tolerance and interval.high < tolerance
    verdict = "reproduced" if within else "not reproduced" if outside else "inconclusive"
    return Agreement(verdict, difference, interval, _beyond(difference, error, freedom, tolerance))


def _beyond(difference: float, error: float, freedom: float, tolerance: float) -> float:
    """The larger p of two one-sided tests."""
    from scipy.stats import t

    if error <= NOTHING:
        return float(abs(difference) >= tolerance)
    return float(t.sf((tolerance - abs(difference)) / error, freedom))
