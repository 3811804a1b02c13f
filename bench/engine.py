"""The three loops of a run: train an epoch, embed a split, score it. Device and precision are accelerate's.

Dimension letters: N images, T captions, Q queries, G gallery.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from bench.config import EvaluationOptions, RunConfig
from bench.contracts import Batch, Features, TextImageModel, Track, silently
from bench.data import EncodedSplit
from bench.errors import RunFailed, UsageError
from bench.metrics import Ranking, blocks, rank

Direction = Literal["t2i", "i2t"]
Compare = Callable[[Features, Features], dict[str, Tensor]]
Mixing = Mapping[str, float]
"""Weight of each component of a model's similarities."""


def accelerator(config: RunConfig) -> Accelerator:
    """Device, precision and processes of a run; makes it deterministic where asked."""
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here; take --device cpu, or install a CUDA build of torch")
    on_cpu = config.device == "cpu" or not torch.cuda.is_available()
    if config.train.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats itself only with a fixed workspace
        torch.backends.cudnn.benchmark = False
    mode = "default" if not config.train.deterministic else "error" if on_cpu else "warn"
    torch.set_deterministic_debug_mode(mode)  # as use_deterministic_algorithms, which first loads torch's compiler (seconds)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # a check that costs a pass
    precision = "bf16" if config.precision == "bf16" else "no"
    _forget_another(on_cpu, precision)
    return Accelerator(cpu=on_cpu, mixed_precision=precision)


def _forget_another(on_cpu: bool, precision: str) -> None:
    """accelerate keeps the first accelerator's device and precision for the whole process; another run may ask for others.

    The state is left to the accelerators that have it and a new one begun. Processes that `accelerate launch` started keep theirs.
    """
    state = AcceleratorState._shared_state
    if not state or PartialState().num_processes > 1:
        return
    if (state["device"].type == "cpu", state["_mixed_precision"]) != (on_cpu, precision):
        AcceleratorState._shared_state, PartialState._shared_state = {}, {}


# ------------------------------------------------------------------------------------------------------------ training


def train_epoch(
    model: Callable[[Batch], dict[str, Tensor]],
    batches: Iterable[Batch],
    optimiser: Optimizer,
    schedule: LRScheduler,
    engine: Accelerator,
    clip_norm: float | None = None,
) -> dict[str, float]:
    """One pass over `batches`. Returns the mean of each loss term, and of their sum as `loss`."""
    sums: dict[str, float] = {}
    steps = 0
    for step, batch in enumerate(batches):
        terms = model(batch.to(engine.device))
        for name, value in _finite(terms, step).items():
            sums[name] = sums.get(name, 0.0) + value
        engine.backward(torch.stack(list(terms.values())).sum())
        if clip_norm is not None:
            engine.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        steps += 1
    means = {name: value / max(1, steps) for name, value in sums.items()}
    return means | {"loss": sum(means.values())}


def _finite(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    """The values of the terms (one wait for the device). Stops the run at the first that is not finite."""
    values = torch.stack([term.detach().float() for term in terms.values()]).tolist()
    for name, value in zip(terms, values, strict=True):
        if value != value or value in (float("inf"), float("-inf")):
            raise RunFailed(f"loss term {name!r} is {value} at step {step + 1} of the epoch; try a lower train.lr or --precision fp32")
    return dict(zip(terms, values, strict=True))


# ----------------------------------------------------------------------------------------------------------- embedding


@dataclass(frozen=True)
class Embedded:
    """A split's features on the CPU, in float32."""

    images: Features
    captions: Features


def embed(model: TextImageModel, data: EncodedSplit, options: EvaluationOptions, engine: Accelerator, track: Track = silently) -> Embedded:
    """Features of all images and captions of a split, each encoded once, `options.batch_size` at a time."""
    model.eval()
    n_images, n_captions = len(data.split.images), len(data.captions)

    def encode_images(rows: slice) -> Features:
        return model.encode_images(data.store.images(torch.arange(rows.start, rows.stop)).to(engine.device))

    def encode_captions(rows: slice) -> Features:
        return model.encode_captions(data.captions[rows].to(engine.device))

    with torch.inference_mode(), engine.autocast():
        images = _embedded(encode_images, n_images, options.batch_size, track, f"{data.split.name} images")
        captions = _embedded(encode_captions, n_captions, options.batch_size, track, f"{data.split.name} captions")
    return Embedded(images, captions)


def _embedded(encode: Callable[[slice], Features], n: int, size: int, track: Track, what: str) -> Features:
    parts = list(blocks(n, size))
    done = [{name: _kept(value) for name, value in encode(rows).items()} for rows in track(parts, f"embed {what}", len(parts))]
    return {name: torch.cat([part[name] for part in done]) for name in done[0]}


def _kept(value: Tensor) -> Tensor:
    return (value.float() if value.is_floating_point() else value).cpu()


# ------------------------------------------------------------------------------------------------------------- scoring


def score(
    model: TextImageModel,
    embedded: Embedded,
    data: EncodedSplit,
    options: EvaluationOptions,
    device: torch.device,
    mixings: Sequence[Mixing],
    direction: Direction = "t2i",
    track: Track = silently,
) -> list[Ranking]:
    """What each query obtains under each mixing. Memory: one block of queries times the gallery, never Q x G."""
    pids = {"t2i": (data.split.caption_pids, data.split.image_pids), "i2t": (data.split.image_pids, data.split.caption_pids)}
    query_pids, gallery_pids = pids[direction]
    rankings: list[list[Ranking]] = [[] for _ in mixings]
    parts = list(blocks(len(query_pids), options.query_block))
    for rows in track(parts, f"score {data.split.name} {direction}", len(parts)):
        components = similarities(model, embedded, rows, options, device, direction)
        for mixing, collected in zip(mixings, rankings, strict=True):
            collected.append(rank(mix(components, mixing), query_pids[rows], gallery_pids, first_query=rows.start))
    return [Ranking.joined(parts) for parts in rankings]


def similarities(
    model: TextImageModel,
    embedded: Embedded,
    rows: slice | Tensor,
    options: EvaluationOptions,
    device: torch.device,
    direction: Direction = "t2i",
) -> dict[str, Tensor]:
    """Named (q, G) similarities on the CPU of these queries with the whole gallery, computed block by block of the gallery.

    With `options.two_stage`, of the first `top_k` of the model's first stage alone; the rest follows in that stage's order.
    """
    queries, gallery = (embedded.captions, embedded.images) if direction == "t2i" else (embedded.images, embedded.captions)
    precision = torch.bfloat16 if options.precision == "bf16" else torch.float32
    query, n_gallery = rows_of(queries, rows, device, precision), len(next(iter(gallery.values())))

    def compared(some: Features, columns: slice | Tensor, of: Compare) -> dict[str, Tensor]:
        block = rows_of(gallery, columns, device, precision)
        found = of(some, block) if direction == "t2i" else {name: value.T for name, value in of(block, some).items()}
        return {name: value.float().cpu() for name, value in found.items()}

    def whole(of: Compare) -> dict[str, Tensor]:
        out = [compared(query, columns, of) for columns in blocks(n_gallery, options.gallery_block)]
        return {name: torch.cat([part[name] for part in out], dim=1) for name in out[0]}

    with torch.inference_mode():
        if not options.two_stage or n_gallery <= options.top_k:
            return whole(model.similarities)
        first = whole(lambda captions, images: {"first": _first_stage(model, captions, images)})["first"]
        order = first.sort(dim=1, descending=True, stable=True).indices  # (q, G)
        one_by_one = ({name: value[[number]] for name, value in query.items()} for number in range(len(order)))
        parts = [compared(one, best, model.similarities) for one, best in zip(one_by_one, order[:, : options.top_k], strict=True)]
        return _followed({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, order)


def _first_stage(model: TextImageModel, captions: Features, images: Features) -> Tensor:
    if (first := model.first_stage(captions, images)) is None:
        raise UsageError(f"evaluation.two_stage: {type(model).__name__} has but one stage; leave it off")
    return first


def _followed(best: Mapping[str, Tensor], order: Tensor) -> dict[str, Tensor]:
    """(q, K) components of the first K of `order` (q, G) -> (q, G): what follows them has whole numbers below them, falling.

    They are alike in all components, so that no mixing puts them before the first K or in another order.
    """
    n_best = next(iter(best.values())).shape[1]
    floor = torch.stack(list(best.values())).amin().floor() - 1
    tail = (floor - torch.arange(order.shape[1] - n_best)).expand(len(order), -1)  # (q, G - K)
    return {name: torch.empty(order.shape).scatter_(1, order, torch.cat([value, tail], dim=1)) for name, value in best.items()}


def rows_of(features: Features, rows: slice | Tensor, device: torch.device, precision: torch.dtype = torch.float32) -> Features:
    """The features of these items, on the device."""
    return {name: value[rows].to(device, precision if value.is_floating_point() else None) for name, value in features.items()}


def mix(components: Mapping[str, Tensor], mixing: Mixing) -> Tensor:
    """The weighted sum of the components, (q, G)."""
    if mixing.keys() != components.keys():
        raise RunFailed(f"the mixing weights are for {', '.join(mixing)}, but the model's components are {', '.join(components)}")
    return torch.stack([mixing[name] * value for name, value in components.items()]).sum(dim=0)


def candidate_mixings(names: Sequence[str], steps: int = 20) -> list[dict[str, float]]:
    """Weights to try on val: all that sum to one in steps of 1/`steps`, the first component's weight falling from 1."""

    def shares(left: int, count: int) -> list[tuple[int, ...]]:
        if count == 1:
            return [(left,)]
        return [(share, *rest) for share in range(left, -1, -1) for rest in shares(left - share, count - 1)]

    return [dict(zip(names, (share / steps for share in split), strict=True)) for split in shares(steps, len(names))]


def best_mixing(rankings: Sequence[Ranking]) -> int:
    """Index of the ranking with the highest R1, then mAP; the earliest of equals."""
    keys = [(summary["R1"], summary["mAP"]) for summary in (ranking.summary() for ranking in rankings)]
    return max(range(len(keys)), key=lambda index: (*keys[index], -index))
