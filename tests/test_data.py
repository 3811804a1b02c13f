"""Splits cut short, pixels kept or decoded on demand, and batches that depend on seed, epoch and step only."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench._augment_options import AugmentOptions
from bench.contracts import Batch, ImageRecord, InputSpec, Split, UsageError
from bench.data import EncodedSplit, ImageStore, PairBatches, build_labels, limited, trimmed
from bench.phrases import phrases_of
from bench.reword import Reworder
from bench.text import Tokenizer, encode_captions

SPEC = InputSpec(height=6, width=4, mean=(0.5, 0.25, 0.1), std=(0.5, 0.2, 0.1), max_tokens=12, max_phrases=3)
PIDS = [7, 7, 3, 3, 3, 90, 12, 12]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """8 images of 4 identities."""
    root = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(1)
    pairs = []
    for number, pid in enumerate(PIDS):
        Image.fromarray(random.integers(0, 256, (9, 5, 3), dtype=np.uint8)).save(root / f"{number}.png")
        captions = [f"a red coat and {'very ' * number} green shoes", f"number {number}", "a blue hat"][: 2 + (number % 3 > 0)]
        pairs.append((ImageRecord(f"{number}.png", pid), captions))
    return Split.from_pairs("train", root, pairs)


@pytest.fixture(scope="module")
def data(split: Split) -> EncodedSplit:
    return encoded(split, 2**20)


def encoded(split: Split, budget: int, workers: int = 2) -> EncodedSplit:
    texts = [caption.text for caption in split.captions]
    captions = encode_captions(texts, Tokenizer.train(texts, 80), SPEC, phrases_of(texts))
    return EncodedSplit(split, ImageStore(split, SPEC, budget, workers=workers), captions, build_labels(split)[0])


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(tensors(one), tensors(other), strict=True))


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [batch.images, batch.labels, *vars(batch.captions).values()]


def pictures(images: torch.Tensor) -> Counter[bytes]:
    return Counter(image.numpy().tobytes() for image in images)


class TestLimited:
    def test_whole_identities_in_order(self, split: Split) -> None:
        for n, images in [(8, 8), (99, 8), (7, 6), (6, 6), (5, 5)]:
            cut = limited(split, n)
            assert cut.images == split.images[:images]
            assert [split.images[caption.image] for caption in cut.captions] == [
                split.images[caption.image] for caption in split.captions if caption.image < images
            ]

    @pytest.mark.parametrize(("n", "paths"), [(1, "0 2"), (2, "0 2"), (3, "0 1 2"), (4, "0 1 2 3")])
    def test_two_identities_at_least(self, split: Split, n: int, paths: str) -> None:
        assert [image.path for image in limited(split, n).images] == [f"{number}.png" for number in paths.split()]

    def test_identities_that_alternate(self) -> None:
        pairs = [(ImageRecord(f"{row}.png", row % 3), ["a coat"]) for row in range(9)]
        cut = limited(Split.from_pairs("test", Path(), pairs), 7)
        assert [image.path for image in cut.images] == [f"{row}.png" for row in (0, 1, 3, 4, 6, 7)]
        assert [caption.image for caption in cut.captions] == list(range(6))

    def test_one_identity_only(self) -> None:
        pairs = [(ImageRecord(f"{row}.png", 5), ["a coat"]) for row in range(4)]
        assert len(limited(Split.from_pairs("test", Path(), pairs), 2).images) == 2

    def test_nothing_is_no_limit(self, split: Split) -> None:
        with pytest.raises(UsageError, match="at least 1"):
            limited(split, 0)


def test_labels_renumber_the_pids_in_sorted_order(split: Split) -> None:
    labels, n_classes = build_labels(split)
    assert n_classes == 4
    assert labels.tolist() == [sorted(set(PIDS)).index(split.images[caption.image].pid) for caption in split.captions]


class TestPairBatches:
    def test_an_epoch_holds_each_pair_once(self, data: EncodedSplit) -> None:
        batches = list(PairBatches(data, 7, seed=0, flip_probability=0.0).epoch(1))
        pixels = data.store.images(torch.tensor([caption.image for caption in data.split.captions]))
        assert len(pixels) == 21
        assert pictures(pixels) == pictures(torch.cat([batch.images for batch in batches]))
        assert Counter(build_labels(data.split)[0].tolist()) == Counter(torch.cat([batch.labels for batch in batches]).tolist())

    def test_a_batch_holds_pairs(self, data: EncodedSplit) -> None:
        """Each row's caption describes its image: found again by slow search."""
        batch = next(PairBatches(data, 6, seed=1, flip_probability=0.0).epoch(3))
        for row in range(6):
            tokens = batch.captions.tokens[row][batch.captions.token_mask[row]].tolist()
            matches = [
                caption.image
                for place, caption in enumerate(data.split.captions)
                if data.captions.tokens[place][data.captions.token_mask[place]].tolist() == tokens
            ]
            assert any(torch.equal(batch.images[row], data.store.images(torch.tensor([image]))[0]) for image in matches)

    @pytest.mark.parametrize(("size", "steps"), [(21, 1), (20, 1), (12, 2), (14, 2), (15, 1), (100, 1), (2, 10)])
    def test_steps(self, data: EncodedSplit, size: int, steps: int) -> None:
        batches = PairBatches(data, size, seed=0)
        assert len(batches) == len(list(batches.epoch(1))) == steps

    def test_content_depends_on_seed_and_epoch_and_nothing_else(self, data: EncodedSplit) -> None:
        first = list(PairBatches(data, 4, seed=3).epoch(2))
        torch.manual_seed(99)
        again = PairBatches(data, 4, seed=3)
        next(again.epoch(1))
        assert all(same(one, other) for one, other in zip(first, again.epoch(2), strict=True))
        assert not same(first[0], next(again.epoch(1)))
        assert not same(first[0], next(PairBatches(data, 4, seed=4).epoch(2)))

    def test_an_epoch_goes_on_at_any_step(self, data: EncodedSplit) -> None:
        batches = PairBatches(data, 4, seed=3)
        assert all(same(one, other) for one, other in zip(list(batches.epoch(1))[2:], batches.epoch(1, start_step=2), strict=True))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_prefetched_batches_are_the_same(self, split: Split, data: EncodedSplit, workers: int) -> None:
        on_demand = PairBatches(encoded(split, 0, workers), 4, seed=3)
        assert all(same(one, other) for one, other in zip(PairBatches(data, 4, seed=3).epoch(1), on_demand.epoch(1), strict=True))

    def test_stopping_early_leaves_no_thread(self, split: Split) -> None:
        before = threading.active_count()
        epoch = PairBatches(encoded(split, 0), 2, seed=3).epoch(1)
        next(epoch)
        assert threading.active_count() > before
        epoch.close()
        assert threading.active_count() == before

    @pytest.mark.parametrize("world", [2, 3])
    def test_processes_together_see_what_one_does(self, data: EncodedSplit, world: int) -> None:
        alone = list(PairBatches(data, 7, seed=5).epoch(1))
        shares = [list(PairBatches(data, 7, seed=5, rank=rank, world=world).epoch(1)) for rank in range(world)]
        for step, whole in enumerate(alone):
            parts = [share[step] for share in shares]
            assert len({len(part.images) for part in parts}) == 1
            for row in range(len(parts[0].images) * world):
                assert torch.equal(whole.images[row], parts[row % world].images[row // world])
                assert whole.labels[row] == parts[row % world].labels[row // world]

    def test_a_last_batch_feeds_every_process(self, data: EncodedSplit) -> None:
        assert [len(batch.images) for batch in PairBatches(data, 19, seed=5, rank=2, world=3).epoch(1)] == [6]
        assert [len(batch.images) for batch in PairBatches(data, 4, seed=5, rank=1, world=2).epoch(1)] == [2] * 5

    def test_flips_are_of_the_given_share(self, data: EncodedSplit) -> None:
        straight, always = (next(PairBatches(data, 20, seed=5, flip_probability=p).epoch(1)) for p in (0.0, 1.0))
        assert torch.equal(straight.images.flip(-1), always.images)
        half = next(PairBatches(data, 20, seed=5, flip_probability=0.5).epoch(1))
        mirrored = [not torch.equal(one, other) for one, other in zip(half.images, straight.images, strict=True)]
        assert 4 <= sum(mirrored) <= 16

    def test_more_processes_than_pairs(self, data: EncodedSplit) -> None:
        with pytest.raises(UsageError, match="take 6 or more"):
            PairBatches(data, 5, seed=0, rank=0, world=3)
        with pytest.raises(UsageError, match="take 2 or more"):
            PairBatches(data, 1, seed=0)

    def test_a_split_without_labels_is_refused(self, data: EncodedSplit) -> None:
        with pytest.raises(ValueError, match="labels"):
            PairBatches(EncodedSplit(data.split, data.store, data.captions), 2, seed=0)


def test_trimmed_drops_padding_only(data: EncodedSplit) -> None:
    rows = torch.tensor([0, 1])
    captions, short = data.captions[rows], trimmed(data.captions[rows])
    assert short.tokens.shape[1] < captions.tokens.shape[1]
    assert short.token_mask[:, -1].any()
    assert short.phrase_token_mask[:, :, -1].any()
    assert torch.equal(short.tokens[short.token_mask], captions.tokens[captions.token_mask])
    assert torch.equal(short.phrases[short.phrase_token_mask], captions.phrases[captions.phrase_token_mask])
    assert torch.equal(short.phrase_mask, captions.phrase_mask)


class TestChangedPairs:
    """Sampler and augmentation within batches: still by seed, epoch and step alone, and shared among processes."""

    EVERY = AugmentOptions(crop=1, erase=0.5, colour=0.3, hue=0.2, drop_words=0.3, reorder=0.5, synonyms=0.5)

    def changed(self, split: Split, budget: int = 2**20) -> EncodedSplit:
        texts = [caption.text for caption in split.captions]
        tokenizer, phrases = Tokenizer.train(texts, 80), phrases_of(texts)
        reworder = Reworder(texts, phrases, split.caption_pids.tolist(), tokenizer=tokenizer, spec=SPEC, options=self.EVERY)
        return replace(encoded(split, budget), reworder=reworder)

    def test_a_resumed_epoch_goes_on_alike(self, split: Split) -> None:
        data = self.changed(split)
        first = list(PairBatches(data, 4, 3, instances=2, augment=self.EVERY).epoch(2))
        again = list(PairBatches(self.changed(split, 0), 4, 3, instances=2, augment=self.EVERY).epoch(2, start_step=2))
        assert all(same(one, other) for one, other in zip(first[2:], again, strict=True))
        assert not same(first[0], next(PairBatches(data, 4, 3, instances=2, augment=self.EVERY).epoch(3)))
        assert not same(first[0], next(PairBatches(data, 4, 3, instances=2).epoch(2)))

    def test_processes_together_see_what_one_would(self, split: Split) -> None:
        data = self.changed(split)
        alone = list(PairBatches(data, 8, 5, instances=4, augment=self.EVERY).epoch(1))
        shares = [list(PairBatches(data, 8, 5, instances=4, augment=self.EVERY, rank=rank, world=2).epoch(1)) for rank in range(2)]
        for whole, *parts in zip(alone, *shares, strict=True):
            for rank, part in enumerate(parts):
                assert torch.equal(part.images, whole.images[rank::2])
                assert torch.equal(part.labels, whole.labels[rank::2])
                assert torch.equal(part.captions.phrase_mask, whole.captions.phrase_mask[rank::2])
                for row, mask in enumerate(part.captions.token_mask):
                    other = whole.captions[2 * row + rank]
                    assert torch.equal(part.captions.tokens[row][mask], other.tokens[other.token_mask])

    def test_a_batch_has_pairs_of_its_identities(self, data: EncodedSplit) -> None:
        for batch in PairBatches(data, 6, 5, instances=3).epoch(1):
            assert sorted(Counter(batch.labels.tolist()).values()) == [3, 3]
