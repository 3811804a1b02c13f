"""What Optuna makes of a search: the importance of each option, and its interactive figures as one page that needs no network."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import optuna

from bench import checkpoint
from bench.study.declared import described
from bench.study.search.searching import Searching

LEAST = 4
"""Complete trials that an importance is worth computing from."""


def importances(searching: Searching) -> dict[str, float]:
    """Option -> share of the objective's variance over the space that it explains (fANOVA), the largest first; {} for too few trials."""
    complete = [row for row in searching.rows() if row.state == "complete"]
    varied = len({row.values for row in complete}) > 1
    if len(complete) < LEAST or not varied or len(searching.search.file.objective) > 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(searching.study, evaluator=evaluator))


def page(searching: Searching, path: Path) -> Path:
    """Write the interactive figures as one HTML file: the library is in it, once."""
    parts: list[str] = []
    for figure in _figures(searching):
        parts.append(figure.to_html(full_html=False, include_plotlyjs="inline" if not parts else False))
    name = html.escape(searching.search.name)
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>study {name}</title>'
    best = "; ".join(f"trial {row.number}: {described(row.params)}" for row in searching.best())
    text = f"<h1>study {name}</h1><p>best: {html.escape(best) or 'none yet'}</p>"
    style = "<style>body{font-family:sans-serif;max-width:1200px;margin:1em auto;padding:0 1em}</style>"
    checkpoint.write_text(path, "\n".join([head, style, text, *parts, "</html>"]))
    return path


def _figures(searching: Searching) -> list[Any]:
    from optuna import visualization as draw

    study, objective = searching.study, searching.search.file.objective
    if len(objective) == 2:
        return [draw.plot_pareto_front(study, target_names=list(objective))]
    if len(objective) > 2:
        return []
    name = f"val {objective[0]}"
    drawn = [draw.plot_optimization_history(study, target_name=name), draw.plot_slice(study, target_name=name)]
    drawn += [draw.plot_parallel_coordinate(study, target_name=name), draw.plot_intermediate_values(study)]
    if importances(searching):
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        drawn.append(draw.plot_param_importances(study, evaluator=evaluator, target_name=name))
    return drawn
