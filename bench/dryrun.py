"""`--dry-run`: what a run would be, without training: configuration, input, sizes, arithmetic, time."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.config import RunConfig, run_folder
from bench.contracts import Batch, Captions, InputSpec, TextImageModel
from bench.cost import flops, seconds
from bench.data import trimmed
from bench.engine import accelerator
from bench.materials import SPLITS, Materials, gather
from bench.optim import computed, optimiser
from bench.progress import Reporter
from bench.record import parameter_counts


def dry_run(config: RunConfig, reporter: Reporter) -> dict[str, Any]:
    """The resolved configuration, the model's input, parameters by tower, FLOPs a pair, and an estimate of the run.

    The estimate times a few steps on random pixels and real captions, with weights that are thrown away.
    """
    with tempfile.TemporaryDirectory() as scratch:
        materials = gather(config, reporter, Path(scratch) / "tokenizer")
        captions = materials.captions("train")
    engine = accelerator(config)
    model = materials.build().to(engine.device)
    return {
        "configuration": config.dump(),
        "folder": str(run_folder(config)),
        "input": asdict(materials.spec) | {"vocabulary_size": materials.vocabulary.n_tokens},
        "parameters": parameter_counts(model),
        "flops_per_pair": flops(model, _pixels(materials.spec, 1, engine.device), captions[:1].to(engine.device)),
        "data": {name: materials.split(name).sizes() for name in SPLITS},
        "estimate": _estimate(config, materials, model, captions, engine),
    }


def _pixels(spec: InputSpec, n: int, device: torch.device) -> torch.Tensor:
    return torch.randn(n, 3, spec.height, spec.width, device=device)


def _estimate(config: RunConfig, materials: Materials, model: TextImageModel, captions: Captions, engine: Any) -> dict[str, Any]:
    """Seconds of the run's parts, from steps timed here. Reading data, tokens and start-up are not in it."""
    size = min(config.train.batch_size, len(captions))
    steps = max(1, round(len(captions) / config.train.batch_size))
    batch = Batch(
        _pixels(materials.spec, size, torch.device("cpu")), trimmed(captions[:size]), torch.arange(size) % materials.vocabulary.n_classes
    )
    step = _seconds_a_step(config, model, batch.to(engine.device), engine)
    with torch.inference_mode(), engine.autocast():
        image = seconds(lambda: model.encode_images(batch.images.to(engine.device)), engine.device) / size
        text = seconds(lambda: model.encode_captions(batch.captions.to(engine.device)), engine.device) / size
    val = materials.split("val").sizes()
    epoch = steps * step + val["images"] * image + val["captions"] * text
    return {
        "steps_per_epoch": steps,
        "seconds_per_step": step,
        "seconds_per_epoch": epoch,
        "minutes_of_training": config.train.epochs * epoch / 60,
    }


def _seconds_a_step(config: RunConfig, model: TextImageModel, batch: Batch, engine: Any) -> float:
    optimise, trained = optimiser(model, config.train), computed(model, config.train.speed)
    model.train()

    def step() -> None:
        with engine.autocast():
            terms = trained(batch)
        engine.backward(torch.stack(list(terms.values())).sum())
        optimise.step()
        optimise.zero_grad(set_to_none=True)

    duration = seconds(step, engine.device)
    model.eval()
    return duration
