"""What a model costs, beside what it obtains: size, arithmetic, time, storage, memory.

| key | meaning |
|---|---|
| `parameters` | of the whole model, trained and frozen |
| `flops` | to embed one image and one caption and compare them (a multiply-add is two; matrix products and convolutions are counted) |
| `ms_image`, `ms_caption` | milliseconds to embed one, decoding and tokens apart, in batches of at most `BATCH` |
| `ms_search` | milliseconds to compare one embedded caption with all images of the split and rank them |
| `index_bytes` | an image's features as they are kept to be searched |
| `peak_mib` | most memory held: of the accelerator where there is one, else of the process |

Times are of the machine in the record's `environment`, the shortest of a few repetitions: compare them within one machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from bench.config import EvaluationOptions
from bench.contracts import Captions, Features, TextImageModel
from bench.data import EncodedSplit, trimmed
from bench.engine import Embedded, Mixing, mix, similarities
from bench.metrics import rank
from bench.record import peak_memory_mib

BATCH = 32
REPETITIONS = 3


def measure(
    model: TextImageModel, data: EncodedSplit, embedded: Embedded, mixing: Mixing, options: EvaluationOptions, engine: Accelerator
) -> dict[str, float]:
    """The table above, on the first images and captions of a split that was embedded."""
    model.eval()
    images = data.store.images(torch.arange(min(BATCH, len(data.split.images)))).to(engine.device)
    captions = trimmed(data.captions[:BATCH]).to(engine.device)

    def search() -> None:
        found = mix(similarities(model, embedded, slice(0, len(captions)), options, engine.device), mixing)
        rank(found, data.split.caption_pids[: len(captions)], data.split.image_pids)

    with torch.inference_mode(), engine.autocast():
        image = seconds(lambda: model.encode_images(images), engine.device)
        caption = seconds(lambda: model.encode_captions(captions), engine.device)
    peak = peak_memory_mib()
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "flops": flops(model, images[:1], captions[:1]),
        "ms_image": 1000 * image / len(images),
        "ms_caption": 1000 * caption / len(captions),
        "ms_search": 1000 * seconds(search, engine.device) / len(captions),
        "index_bytes": index_bytes(embedded.images),
        "peak_mib": peak.get("accelerator", peak["process"]),
    }


def flops(model: TextImageModel, images: torch.Tensor, captions: Captions) -> int:
    """Floating-point operations to embed these images and captions and compare each with each."""
    model.eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.similarities(model.encode_captions(trimmed(captions)), model.encode_images(images))
    return int(counter.get_total_flops())


def index_bytes(images: Features) -> int:
    """Bytes of one image's features."""
    return sum(value.element_size() * value[0].numel() for value in images.values())


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """The shortest of a few repetitions, after one that warms up."""
    times = []
    for _ in range(1 + REPETITIONS):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])
