"""What the next trial is: drawn anew from the study's seed and the trial's number, whichever process asks.

Optuna's samplers draw from a generator that lives as long as its process. Here each trial has a sampler of its own, so that what it
proposes depends on the seed, the trial's number and the trials that have ended, and on nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from bench.study.declared import Range, Search, kind_of, label
from bench.study.search.attempts import numbers


def pruner_of(search: Search) -> BasePruner:
    """Steps are epochs, counted from 1."""
    options = search.file.pruner
    if not search.prunes:
        return NopPruner()
    if options.name == "median":
        return MedianPruner(n_startup_trials=options.startup, n_warmup_steps=options.warmup)
    return PercentilePruner(options.keep, n_startup_trials=options.startup, n_warmup_steps=options.warmup)


class ByNumber(BaseSampler):
    """The declared sampler, seeded for each trial; an ablation's next cell."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._inner: BaseSampler = RandomSampler(seed=0)
        self._number = 0

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._number = numbers(study.get_trials(deepcopy=False))[trial.number]
        options = self._search.file.sampler
        seed = int.from_bytes(sha256(f"{options.seed}:{self._number}".encode()).digest()[:4])
        if options.name == "tpe":
            self._inner = TPESampler(seed=seed, n_startup_trials=options.startup)
        else:
            self._inner = RandomSampler(seed=seed)
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        found: dict[str, BaseDistribution] = {} if self._search.file.grid else self._inner.infer_relative_search_space(study, trial)
        return found

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        found: dict[str, Any] = self._inner.sample_relative(study, trial, search_space) if search_space else {}
        return found

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        if self._search.file.grid:
            cell, seed = self._search.cells[self._number]
            return seed if param_name == "seed" else label(cell[param_name])
        if self._number == 0 and self._search.file.sampler.preset_first and _holds(param_distribution, own := self._search.own(param_name)):
            return own
        return self._inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        self._inner.after_trial(study, trial, state, values)


def _holds(span: BaseDistribution, value: Any) -> bool:
    """Whether a value stands in a range or among choices."""
    if isinstance(span, optuna.distributions.CategoricalDistribution):
        return value in span.choices
    assert isinstance(span, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution)
    return isinstance(value, int | float) and span.low <= value <= span.high


def drawn(trial: optuna.Trial, search: Search) -> dict[str, Any]:
    """The options' values of a trial: drawn now, unless they were; of an ablation, its cell."""
    for key, offered in search.file.grid.items():
        trial.suggest_categorical(key, list(dict.fromkeys(map(label, offered))))
    if search.file.grid:
        trial.suggest_categorical("seed", list(search.file.seeds))
    for key, span in search.space.items():
        _suggest(trial, search, key, span)
    return search.values(trial.params)


def _suggest(trial: optuna.Trial, search: Search, key: str, span: Range) -> None:
    if span.choices is not None:
        trial.suggest_categorical(key, list(dict.fromkeys(map(label, span.choices))))
        return
    assert span.low is not None
    assert span.high is not None
    if kind_of(search.base, key) is int:
        trial.suggest_int(key, int(span.low), int(span.high), step=int(span.step or 1), log=span.log)
    else:
        trial.suggest_float(key, span.low, span.high, step=span.step, log=span.log)


def drawn_keys(search: Search) -> list[str]:
    """What `drawn` asks of a trial."""
    return [*search.file.grid, "seed"] if search.file.grid else list(search.space)
