"""What a frozen text encoder has seen: its vectors by weights and tokens, so that no text is encoded twice in a process.

Dimension letters: T texts, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.contracts import weights_digest

Encode = Callable[[Tensor, Tensor], Tensor]


class Memory:
    """Vectors of texts on the CPU, by the bytes of their tokens. Padding plays no part."""

    def __init__(self) -> None:
        self._place: dict[bytes, int] = {}
        self._vectors = torch.empty(0, 0)  # (room, D): grows by doubling

    def __len__(self) -> int:
        return len(self._place)

    def recall(self, tokens: Tensor, mask: Tensor, encode: Encode) -> Tensor:
        """(T, L) ids and bool mask -> (T, D), on the tokens' device. Only texts that are new go through `encode`."""
        rows = torch.where(mask, tokens, -1).cpu().numpy()  # -1: no token here
        keys = [row[row >= 0].tobytes() for row in rows]
        new = {key: row for row, key in enumerate(keys) if key not in self._place}
        if new:
            with torch.inference_mode(mode=False), torch.no_grad():  # a vector made for evaluation must serve training too
                some = torch.tensor(list(new.values()), device=tokens.device)
                self._keep(list(new), encode(tokens[some].clone(), mask[some].clone()))
        return self._vectors[[self._place[key] for key in keys]].to(tokens.device)

    def _keep(self, keys: list[bytes], vectors: Tensor) -> None:
        start, end = len(self._place), len(self._place) + len(keys)
        if end > len(self._vectors):
            room = torch.empty(max(end, 2 * len(self._vectors)), vectors.shape[1], dtype=vectors.dtype)
            if start:
                room[:start] = self._vectors[:start]
            self._vectors = room
        self._vectors[start:end] = vectors.cpu()
        self._place |= {key: start + number for number, key in enumerate(keys)}


_MEMORIES: dict[str, Memory] = {}
"""By weights and precision: the models that a process builds one after the other (seeds, trials) share what they all know."""


def memory_of(encoder: nn.Module, precision: torch.dtype) -> Memory:
    """The memory of an encoder with these weights (SHA-256 over them), computing in this precision."""
    return _MEMORIES.setdefault(weights_digest(encoder, str(precision)), Memory())
