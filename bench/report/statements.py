"""What a comparison shows, in words. It never says more than the tests do, and says so where nobody wins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from bench.report.data import Difference, ModelRow

NAMED = 12
"""Models of which each has a sentence of its own."""


def statements(models: Sequence[ModelRow], differences: Sequence[Difference], test: Mapping[str, int]) -> Iterator[str]:
    """Sentences on a section, the most important first. `models`: by R1, the best first."""
    best, *others = models
    if not others:
        yield f"{best.label} obtains an R1 of {_mean(best)}. There is nothing here to compare it with."
        return
    told = {frozenset((d.first, d.second)): d for d in differences if d.metric == "R1"}
    if not told:
        yield f"{best.label} has the highest R1, {_mean(best)}, but nothing was tested: the order alone shows nothing."
        return
    yield _winner(best, others, told)
    for model in others[: NAMED - 1]:
        yield _loser(model, best, told)
    for metric in ("mAP", "mINP"):
        yield _also(metric, models, [d for d in differences if d.metric == metric])
    yield from _limits(list(told.values()), test)


def _mean(model: ModelRow) -> str:
    told = model.t2i["R1"]
    return f"{told.mean:.1f} ({told.n} seed{'s' if told.n > 1 else ''})"


def _winner(best: ModelRow, others: Sequence[ModelRow], told: Mapping[frozenset[str], Difference]) -> str:
    found = [told.get(frozenset((best.label, other.label))) for other in others]
    alike = [other.label for other, d in zip(others, found, strict=True) if d is not None and d.better is None]
    unknown = sum(d is None for d in found)
    if alike:
        return f"No model wins by R1: {best.label} has the highest, {_mean(best)}, but cannot be told apart from {_names(alike)}."
    if unknown == len(others):
        return f"{best.label} has the highest R1, {_mean(best)}, but was not tested against any other: the order alone shows nothing."
    all_tested = "every other model" if not unknown else f"each of the {len(others) - unknown} models it was tested against"
    return f"{best.label} wins by R1: {_mean(best)}, told apart from {all_tested}."


def _loser(model: ModelRow, best: ModelRow, told: Mapping[frozenset[str], Difference]) -> str:
    d = told.get(frozenset((model.label, best.label)))
    if d is None:
        return f"{model.label} does not win: its R1 is {_mean(model)}; it was not tested against {best.label}."
    low, high = (d.low, d.high) if d.first == best.label else (-d.high, -d.low)
    behind = (
        f"{abs(d.difference):.1f} points of R1 behind {best.label} (95 % interval {low:.1f} to {high:.1f}; p {_p(d.corrected)} after Holm)"
    )
    return f"{model.label} does not win: it is {behind}{'' if d.better else ', which is too little to tell them apart'}."


def _also(metric: str, models: Sequence[ModelRow], told: Sequence[Difference]) -> str:
    ordered = sorted(models, key=lambda model: -model.t2i[metric].mean)
    best, value = ordered[0].label, ordered[0].t2i[metric].mean
    alike = [d.second if d.first == best else d.first for d in told if best in (d.first, d.second) and d.better is None]
    if alike:
        return f"By {metric} no model wins: {best} has the highest, {value:.1f}, but cannot be told apart from {_names(alike)}."
    return f"By {metric} {best} wins, with {value:.1f}."


def _limits(told: Sequence[Difference], test: Mapping[str, int]) -> Iterator[str]:
    at_best, here = median(d.smallest for d in told), median(d.smallest_here for d in told)
    sentence = (
        f"With {test.get('identities', 0)} identities this test set shows a true difference of R1 of {at_best:.1f} points or more "
        "with a probability of 80 % (median over the pairs of models)"
    )
    if all(d.over_seeds for d in told):
        yield f"{sentence}; with the seeds that were run, of {here:.1f} points. A smaller difference may be there and not be seen."
    else:
        yield f"{sentence}. A smaller difference may be there and not be seen."
        yield "Some models have one seed: what is said of them is said of the trained models, not of the methods."


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _names(names: Sequence[str], most: int = 6) -> str:
    shown = list(names)
    if len(shown) > most:
        return f"{', '.join(shown[:most])} and {len(shown) - most} more"
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
