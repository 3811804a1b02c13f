"""Parameter groups, the schedule of the learning rate, and how a step is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import cos, pi
from typing import Any

import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from bench.config import SpeedOptions, TrainOptions
from bench.contracts import TextImageModel
from bench.errors import UsageError


def optimiser(model: TextImageModel, options: TrainOptions) -> AdamW:
    """AdamW over the model's groups, each with its learning rate; vectors (biases, norms) go without decay unless asked."""
    _each_once(model)
    groups: list[dict[str, Any]] = []
    for name, (parameters, factor) in model.parameter_groups().items():
        trained = [p for p in parameters if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1 or options.decay_all]
        vectors = [p for p in trained if p.ndim <= 1 and not options.decay_all]
        for kind, members, decay in (("matrices", matrices, options.weight_decay), ("vectors", vectors, 0.0)):
            if members:
                groups.append({"params": members, "lr": factor * options.lr, "weight_decay": decay, "name": f"{name}, {kind}"})
    return AdamW(groups, fused=True if options.speed.fused else None)


def computed(model: TextImageModel, speed: SpeedOptions) -> Any:
    """The model as its steps are computed; its weights are the model's own."""
    if speed.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    drawing: dict[str, Any] = {"fallback_random": True}  # dropout as without compiling
    return torch.compile(model, dynamic=True, options=drawing) if speed.compiled else model


def _each_once(model: TextImageModel) -> None:
    """A parameter that no group names would silently keep its first values."""
    places = Counter(id(parameter) for parameters, _ in model.parameter_groups().values() for parameter in parameters)
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trained:
        raise UsageError(f"{type(model).__name__} has no parameter to train; unfreeze some of it")
    for name, parameter in trained:
        if (count := places[id(parameter)]) != 1:
            raise UsageError(
                f"{type(model).__name__}.parameter_groups() must name each trained parameter once; {name} stands in {count} groups"
            )


def scheduler(optimiser: AdamW, options: TrainOptions, steps_per_epoch: int) -> LambdaLR:
    """One step an optimiser step: linear warm-up, then the chosen schedule."""
    return LambdaLR(optimiser, learning_rate_factor(options, steps_per_epoch))


def learning_rate_factor(options: TrainOptions, steps_per_epoch: int) -> Callable[[int], float]:
    """The multiplier of the learning rate at a step, counted from 0.

    Cosine falls from 1 to 0 over what the warm-up leaves; multistep multiplies by gamma after each milestone epoch.
    """
    warmup = round(options.warmup_epochs * steps_per_epoch)
    total = options.epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        if options.schedule == "cosine":
            return (1 + cos(pi * min(1.0, (step - warmup) / max(1, total - warmup)))) / 2
        if options.schedule == "multistep":
            return float(options.gamma ** sum(step >= epoch * steps_per_epoch for epoch in options.milestones))
        return 1.0

    return factor
