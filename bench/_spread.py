"""How far one mean can be believed: a t interval over seeds, a bootstrap over identities. `bench/stats.py` compares with it.

Dimension letters: S seeds, Q queries, I identities, B draws, M models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""Confidence of every interval; a difference is called one where its corrected p is below 1 - LEVEL."""
DRAWS = 10_000
Floats = NDArray[np.float64]


class Interval(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class OverSeeds:
    """Mean of S runs, their standard deviation (n - 1 below), and the t interval of the mean; None where one run tells nothing."""

    n: int
    mean: float
    deviation: float | None
    interval: Interval | None


def over_seeds(values: Sequence[float], *, level: float = LEVEL) -> OverSeeds:
    """Mean and spread of what S runs, that differ in their seed alone, obtained. Any unit.

    >>> told = over_seeds([48.0, 51.0, 46.5])
    >>> round(told.mean, 2), round(told.deviation, 2), [round(end, 1) for end in told.interval]
    (48.5, 2.29, [42.8, 54.2])
    >>> over_seeds([48.0])
    OverSeeds(n=1, mean=48.0, deviation=None, interval=None)

    Raises:
        ValueError: no value, or one that is not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if not found.size or not np.isfinite(found).all():
        raise ValueError(f"one finite value a seed is needed, but got {list(values)}")
    mean, n = float(found.mean()), len(found)
    if n == 1:
        return OverSeeds(1, mean, None, None)
    deviation = float(found.std(ddof=1))
    return OverSeeds(n, mean, deviation, t_interval(mean, deviation / math.sqrt(n), n - 1, level))


def t_interval(centre: float, error: float, freedom: float, level: float) -> Interval:
    from scipy.stats import t  # most of a second, for those who compare alone

    reach = float(t.ppf((1 + level) / 2, freedom)) * error
    return Interval(centre - reach, centre + reach)


# --------------------------------------------------------------------------------------------------- over identities


@dataclass(frozen=True)
class Identities:
    """Test sets that might have been: B draws of identities, with all their queries. One object for all that is compared.

    A draw takes I - 1 of the I identities with replacement; the variance over the draws is then unbiased (Rao and Wu, JASA 83, 1988:
    "Resampling inference with complex survey data").
    """

    pids: NDArray[np.int64]
    """(Q,) the identity of each query."""
    draws: int = DRAWS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ValueError(f"a spread over identities needs two of them, but got {self.n}")

    @cached_property
    def _places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(Q,) number of each query's identity, 0..I-1, and (I,) queries of each."""
        _, place, counts = np.unique(self.pids, return_inverse=True, return_counts=True)
        return place, counts

    @property
    def n(self) -> int:
        return len(self._places[1])

    @cached_property
    def weights(self) -> Floats:
        """(B, I) how often each identity was drawn."""
        random = np.random.default_rng(self.seed)
        return random.multinomial(self.n - 1, np.full(self.n, 1 / self.n), size=self.draws).astype(np.float64)

    def means(self, outcomes: ArrayLike) -> Floats:
        """(M, Q) outcomes -> (M, B) their means over the queries of each draw."""
        place, _ = self._places
        rows = np.atleast_2d(np.asarray(outcomes, dtype=np.float64))
        sums = np.stack([np.bincount(place, weights=row, minlength=self.n) for row in rows])  # (M, I)
        drawn: Floats = (sums @ self.weights.T) / self._sizes
        return drawn

    @cached_property
    def _sizes(self) -> Floats:
        """(B,) queries of each draw."""
        sizes: Floats = self.weights @ self._places[1]
        return sizes

    def interval(self, outcomes: ArrayLike, *, level: float = LEVEL) -> Interval:
        """Percentile interval of the mean of (Q,) outcomes: the same trained model, other people.

        Four people with two captions each, of which both, both, one and none are found:

        >>> people = Identities(np.array([7, 7, 8, 8, 9, 9, 11, 11]))
        >>> people.interval([1, 1, 1, 1, 1, 0, 0, 0])
        Interval(low=0.16666666666666666, high=1.0)
        """
        return self.intervals([outcomes], level=level)[0]

    def intervals(self, outcomes: Sequence[ArrayLike], *, level: float = LEVEL) -> list[Interval]:
        """`interval` of each of M models, whose outcomes are (Q,): faster together than one by one."""
        ends = np.quantile(
            self.means(np.stack([np.asarray(one, dtype=np.float64) for one in outcomes])), [(1 - level) / 2, (1 + level) / 2], axis=1
        )
        return [Interval(float(low), float(high)) for low, high in ends.T]
