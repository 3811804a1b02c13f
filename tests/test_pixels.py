"""Pixels decoded into memory, into a file, or on demand: always the same; and no half-written file is ever used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench import images, pixels
from bench.contracts import ImageRecord, InputSpec, Split, UsageError
from bench.images import decode, normalise
from bench.pixels import ImageStore, prepared_file
from bench.progress import T
from bench.registry import ROOT

SPEC = InputSpec(height=6, width=4, mean=(0.5, 0.25, 0.1), std=(0.5, 0.2, 0.1))
N, BYTES = 8, 8 * 3 * 6 * 4


def album(root: Path, n: int = N) -> Split:
    random = np.random.default_rng(1)
    root.mkdir(exist_ok=True)
    for number in range(n):
        Image.fromarray(random.integers(0, 256, (9, 5, 3), dtype=np.uint8)).save(root / f"{number}.png")
    return Split.from_pairs("train", root, [(ImageRecord(f"{number}.png", number // 2), ["a coat"]) for number in range(n)])


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return album(tmp_path / "images")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "pixels"


def decoded(split: Split) -> torch.Tensor:
    return torch.stack([decode(split.root / image.path, SPEC) for image in split.images])


class Watch:
    """A Track that notes what it was shown, and may fail before an image."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.shown: list[tuple[str, int | None]] = []
        self.fails_at = fails_at

    def __call__(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        self.shown.append((label, total))
        for number, item in enumerate(items):
            if number == self.fails_at:
                raise KeyboardInterrupt
            yield item


class TestImageStore:
    @pytest.mark.parametrize("workers", [0, 1, 3])
    @pytest.mark.parametrize("budget", [BYTES, BYTES - 1])
    def test_kept_or_on_demand_it_gives_the_same(self, split: Split, budget: int, workers: int) -> None:
        store = ImageStore(split, SPEC, budget, workers=workers)
        assert store.in_memory == (budget == BYTES)
        rows = torch.tensor([5, 0, 5, 7])
        expected = decoded(split)[rows]
        assert torch.equal(store.pixels(rows), expected)
        assert torch.equal(store.images(rows), normalise(expected, SPEC))
        assert store.images(rows[:0]).shape == (0, 3, 6, 4)

    def test_a_bad_image_is_named(self, split: Split, cache: Path) -> None:
        (split.root / "3.png").write_bytes(b"")
        with pytest.raises(UsageError, match=r"3\.png"):
            ImageStore(split, SPEC)
        with pytest.raises(UsageError, match=r"3\.png"):
            ImageStore(split, SPEC, 0).images(torch.tensor([3]))
        with pytest.raises(UsageError, match=r"3\.png"):
            ImageStore(split, SPEC, 0, cache=cache)
        assert not list(cache.glob("*.npy"))
        assert not list(cache.glob(".*.part"))

    def test_decoding_is_shown(self, split: Split) -> None:
        watch = Watch()
        ImageStore(split, SPEC, track=watch)
        assert watch.shown == [("decode train", N)]


class TestPreparedFile:
    def test_it_holds_the_pixels_that_decoding_gives(self, split: Split, cache: Path) -> None:
        file = ImageStore(split, SPEC, 0).prepare(cache)
        assert torch.equal(torch.from_numpy(np.load(file)), decoded(split))
        watch = Watch()
        store = ImageStore(split, SPEC, 0, watch, cache=cache)
        assert store.in_memory
        assert not watch.shown
        rows = torch.tensor([7, 0, 7])
        assert torch.equal(store.pixels(rows), decoded(split)[rows])
        assert torch.equal(store.images(rows), ImageStore(split, SPEC).images(rows))

    def test_it_is_used_where_the_split_would_fit_memory_too(self, split: Split, cache: Path) -> None:
        ImageStore(split, SPEC).prepare(cache)
        watch = Watch()
        assert torch.equal(ImageStore(split, SPEC, track=watch, cache=cache).pixels(torch.arange(N)), decoded(split))
        assert not watch.shown

    def test_it_is_made_by_itself_only_where_memory_does_not_suffice(self, split: Split, cache: Path) -> None:
        ImageStore(split, SPEC, BYTES, cache=cache)
        assert not cache.exists()
        assert ImageStore(split, SPEC, BYTES - 1, cache=cache).in_memory
        assert prepared_file(cache, split, SPEC).is_file()

    def test_what_is_done_to_the_pixels_does_not_reach_it(self, split: Split, cache: Path) -> None:
        store = ImageStore(split, SPEC, 0, cache=cache)
        store.pixels(torch.tensor([0])).zero_()
        assert store._pixels is not None
        store._pixels.zero_()
        assert torch.equal(ImageStore(split, SPEC, 0, cache=cache).pixels(torch.arange(N)), decoded(split))

    def test_another_image_size_or_decoder_is_another_file(self, split: Split, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        files = [prepared_file(cache, split, SPEC), prepared_file(cache, split, InputSpec(5, 4, SPEC.mean, SPEC.std))]
        Image.new("RGB", (5, 9)).save(split.root / "3.png")
        files.append(prepared_file(cache, split, SPEC))
        monkeypatch.setattr(pixels, "DECODER", "another")
        files.append(prepared_file(cache, split, SPEC))
        assert len(set(files)) == 4
        assert images.DECODER != "another"

    @pytest.mark.parametrize("content", [b"", b"nothing", "cut", "other shape", "other type"])
    def test_a_spoilt_file_is_not_used_and_made_anew(self, split: Split, cache: Path, content: bytes | str) -> None:
        file = ImageStore(split, SPEC).prepare(cache)
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content == "cut":
            file.write_bytes(file.read_bytes()[:-1])
        else:
            with file.open("wb") as out:
                np.save(out, np.zeros((N, 3, 6, 4 if content == "other type" else 5), dtype=np.float32 if "type" in content else np.uint8))
        assert torch.equal(ImageStore(split, SPEC, cache=cache).pixels(torch.arange(N)), decoded(split))
        ImageStore(split, SPEC).prepare(cache)
        assert torch.equal(torch.from_numpy(np.load(file)), decoded(split))

    def test_an_interruption_leaves_nothing(self, split: Split, cache: Path) -> None:
        with pytest.raises(KeyboardInterrupt):
            ImageStore(split, SPEC, 0, Watch(fails_at=3), cache=cache)
        assert [file.suffix for file in cache.iterdir()] == [".lock"]

    def test_a_place_that_cannot_be_written_costs_the_file_only(self, split: Split, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        store = ImageStore(split, SPEC, 0, cache=tmp_path / "file" / "pixels")
        assert not store.in_memory
        assert torch.equal(store.pixels(torch.arange(N)), decoded(split))
        with pytest.raises(UsageError, match="cannot be kept there"):
            store.prepare(tmp_path / "file" / "pixels")

    def test_a_disk_without_room_is_let_be(self, split: Split, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pixels, "ROOM", 2**70)
        assert not ImageStore(split, SPEC, 0, cache=cache).in_memory
        assert not cache.exists()


PREPARES = """
import sys, time
from pathlib import Path
from bench.pixels import ImageStore
from tests.test_pixels import SPEC, ImageRecord, Split

def slowly(items, label, total=None):
    for number, item in enumerate(items):
        print(number, flush=True)
        time.sleep(float(sys.argv[3]))
        yield item

root = Path(sys.argv[1])
split = Split.from_pairs("train", root, [(ImageRecord(file.name, 0), ["a coat"]) for file in root.glob("*.png")])
ImageStore(split, SPEC, 0, workers=1).prepare(Path(sys.argv[2]), slowly)
"""


def preparing(split: Split, cache: Path, seconds_an_image: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PREPARES, str(split.root), str(cache), str(seconds_an_image)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


class TestProcesses:
    def test_a_killed_one_leaves_nothing_that_is_used(self, split: Split, cache: Path) -> None:
        process = preparing(split, cache, 0.5)
        assert process.stdout is not None
        while process.stdout.readline().strip() != "5":  # five of eight are written
            assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL
        process.stdout.close()
        assert [file.suffix for file in sorted(cache.iterdir())] == [".part", ".lock"]
        assert torch.equal(ImageStore(split, SPEC, cache=cache).pixels(torch.arange(N)), decoded(split))
        file = ImageStore(split, SPEC).prepare(cache)
        assert torch.equal(torch.from_numpy(np.load(file)), decoded(split))
        assert sorted(left.suffix for left in cache.iterdir()) == [".lock", ".npy"]

    def test_of_several_at_once_one_decodes(self, split: Split, cache: Path) -> None:
        processes = [preparing(split, cache, 0.05) for _ in range(2)]
        lines = [process.communicate(timeout=120)[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0, 0]
        assert sorted(map(len, lines)) == [0, N]
        assert torch.equal(ImageStore(split, SPEC, 0, cache=cache).pixels(torch.arange(N)), decoded(split))
        assert sorted(left.suffix for left in cache.iterdir()) == [".lock", ".npy"]

    def test_a_waiting_one_goes_on_when_the_writer_is_killed(self, split: Split, cache: Path) -> None:
        writer = preparing(split, cache, 30)
        assert writer.stdout is not None
        writer.stdout.readline()
        waiting = preparing(split, cache, 0)
        time.sleep(0.1)
        writer.kill()
        writer.communicate(timeout=30)
        waiting.communicate(timeout=120)
        assert waiting.returncode == 0
        assert torch.equal(torch.from_numpy(np.load(prepared_file(cache, split, SPEC))), decoded(split))
