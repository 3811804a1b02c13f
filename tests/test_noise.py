"""Captions moved to wrong images: how many, which, and that nothing else moves; RDE's index files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.contracts import Box, DataOptions, Dataset, Grounding, ImageRecord, Split, SplitName, UsageError, silently
from bench.noise import Noisy, account, with_noise
from bench.sealed import WithoutTest
from datasets.icfg_pedes import ICFGPEDES, ICFGOptions
from datasets.rstpreid import RSTPReid
from tests.test_datasets import write


class Album(Dataset):
    """Images named out of order, two captions each; image n of identity n // 2."""

    citation = "Made up here."

    def split(self, name: SplitName) -> Split:
        images = [(ImageRecord(f"{9 - n}.jpg", n // 2), (f"{name} {n} one", f"{name} {n} two")) for n in range(10)]
        return Split.from_pairs(name, self.root, images)

    def grounding(self, name: SplitName) -> Grounding:
        split = self.split(name)
        phrases = tuple(((0, len(caption.text), caption.text),) for caption in split.captions)
        return Grounding(tuple({"all": Box(0, 0, 1, 1)} for _ in split.images), phrases)


def album(**options: object) -> Dataset:
    return with_noise(Album(Path("nowhere"), DataOptions.model_validate(options)))


def texts(dataset: Dataset, name: SplitName = "train") -> list[str]:
    return [caption.text for caption in dataset.split(name).captions]


CLEAN = texts(album())


class TestShare:
    def test_none_leaves_the_data_set_itself(self) -> None:
        assert not isinstance(album(), Noisy)
        assert account(album()) is None

    @pytest.mark.parametrize(("share", "moved"), [(0.1, 2), (0.2, 4), (0.5, 10), (1.0, 20)])
    def test_that_share_is_moved(self, share: float, moved: int) -> None:
        noisy = album(caption_noise=share)
        assert sum(one != other for one, other in zip(CLEAN, texts(noisy), strict=True)) == moved
        assert sorted(texts(noisy)) == sorted(CLEAN)

    def test_one_alone_cannot_move(self) -> None:
        assert texts(album(caption_noise=0.04)) == CLEAN

    def test_images_and_other_splits_stay(self) -> None:
        clean, noisy = album(), album(caption_noise=0.5)
        assert noisy.split("train").images == clean.split("train").images
        assert [c.image for c in noisy.split("train").captions] == [c.image for c in clean.split("train").captions]
        assert texts(noisy, "val") == texts(clean, "val")
        assert noisy.split("test") == clean.split("test")

    def test_the_seed_says_which(self) -> None:
        assert texts(album(caption_noise=0.5)) == texts(album(caption_noise=0.5))
        assert texts(album(caption_noise=0.5)) != texts(album(caption_noise=0.5, noise_seed=1))

    def test_the_account_is_true(self) -> None:
        noisy = album(caption_noise=0.8)
        said = [int(text.split()[1]) // 2 for text in texts(noisy)]
        wrong = sum(pid != own for pid, own in zip(noisy.split("train").caption_pids.tolist(), said, strict=True))
        assert (
            account(WithoutTest(noisy))
            == account(noisy)
            == {"captions": 20, "moved": 16, "wrong_identity": wrong, "wrong_share": wrong / 20}
        )
        assert 8 < wrong <= 16

    def test_the_fingerprint_tells(self) -> None:
        shares = (0.0, 0.2, 0.5)
        assert (
            len({album(caption_noise=share).fingerprint() for share in shares} | {album(caption_noise=0.5, noise_seed=3).fingerprint()})
            == 4
        )

    def test_phrases_go_with_their_captions(self) -> None:
        noisy = album(caption_noise=0.5)
        for name in ("train", "test"):
            truth = noisy.grounding(name)
            assert truth is not None
            assert [phrases[0][2] for phrases in truth.phrases] == texts(noisy, name)

    def test_options_exclude_each_other(self) -> None:
        with pytest.raises(ValueError, match="exclude each other"):
            DataOptions(caption_noise=0.1, noise_index=Path("x.npy"))


def slow_rde(records: Sequence[dict[str, object]], index: NDArray[np.int64]) -> dict[tuple[str, int], str]:
    """(image, place among its captions) -> text, by the definition: pairs in the file's order, pair i gets the text of index[i]."""
    pairs = [(str(r["img_path"]), place, text) for r in records if r["split"] == "train" for place, text in enumerate(r["captions"])]  # type: ignore[arg-type,var-annotated]
    return {(path, place): pairs[index[number]][2] for number, (path, place, _) in enumerate(pairs)}


class TestIndex:
    def test_numbers_are_those_of_the_file(self, tmp_path: Path) -> None:
        """Whatever order the file's records stand in."""
        file = write(tmp_path, "rstpreid")
        records = json.loads(file.read_text())
        chance = np.random.default_rng(0)
        records = [{**records[n], "captions": [f"caption {n} {k}" for k in range(1 + n % 3)]} for n in chance.permutation(len(records))]
        file.write_text(json.dumps(records))
        index = chance.permutation(sum(len(r["captions"]) for r in records if r["split"] == "train"))
        np.save(tmp_path / "noise.npy", index)
        noisy = with_noise(RSTPReid(tmp_path, DataOptions(noise_index=tmp_path / "noise.npy")))
        train, places = noisy.split("train"), dict[int, int]()
        found = {}
        for caption in train.captions:
            places[caption.image] = places.get(caption.image, -1) + 1
            found[train.images[caption.image].path, places[caption.image]] = caption.text
        assert found == slow_rde(records, index)

    def test_identities_that_are_held_out_are_numbered_too(self, tmp_path: Path) -> None:
        """ICFG-PEDES: val is carved out of train, while the file is of all of it."""
        file = write(tmp_path, "icfg_pedes")
        records = json.loads(file.read_text())
        records = [{**record, "captions": [f"caption {number}"]} for number, record in enumerate(records)]
        file.write_text(json.dumps(records))
        train = [record for record in records if record["split"] == "train"]
        index = np.random.default_rng(1).permutation(len(train))
        np.save(tmp_path / "noise.npy", index)
        clean, noisy = (with_noise(ICFGPEDES(tmp_path, ICFGOptions(noise_index=given))) for given in (None, tmp_path / "noise.npy"))
        own = {image.path for image in clean.split("train").images}
        assert len(own) < len(train)
        expected = {}
        for number, record in enumerate(train):
            source = train[index[number]]
            expected[record["file_path"]] = (source if source["file_path"] in own else record)["captions"][0]
        split = noisy.split("train")
        found = {split.images[caption.image].path: caption.text for caption in split.captions}
        assert found == {path: text for path, text in expected.items() if path in own}
        assert any(train[index[number]]["file_path"] not in own for number, record in enumerate(train) if record["file_path"] in own)

    def test_the_identity_changes_nothing(self, tmp_path: Path) -> None:
        np.save(tmp_path / "noise.npy", np.arange(20))
        noisy = album(noise_index=tmp_path / "noise.npy")
        assert texts(noisy) == CLEAN
        assert account(noisy) == {"captions": 20, "moved": 0, "wrong_identity": 0, "wrong_share": 0.0}

    @pytest.mark.parametrize(
        ("array", "said"),
        [
            (np.arange(19), r"shape \(19,\), but train has 20 captions"),
            (np.arange(20).reshape(4, 5), "shape"),
            (np.arange(20) + 1, "outside 0 to 19"),
            (np.arange(20) / 2, "whole numbers"),
            (np.array([None] * 20), "no array of numbers"),
        ],
    )
    def test_wrong_arrays(self, tmp_path: Path, array: NDArray[np.generic], said: str) -> None:
        np.save(tmp_path / "noise.npy", array, allow_pickle=True)
        with pytest.raises(UsageError, match=said):
            album(noise_index=tmp_path / "noise.npy").split("train")

    @pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
    def test_files_that_are_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "noise.npy").write_bytes(content)
        with pytest.raises(UsageError, match="no array of numbers"):
            album(noise_index=tmp_path / "noise.npy").split("train")

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file"):
            album(noise_index=tmp_path / "noise.npy").split("train")


def test_a_clean_data_set_is_prepared_through_the_noise() -> None:
    album(caption_noise=0.5).prepare(silently)
