"""The drawn data set: that it is the same every time, that its truth is true, that its ceiling is what the truth allows."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import pytest
from PIL import Image

from bench.contracts import Split, SplitName, UsageError, silently
from bench.progress import T
from datasets._annotations import read_records
from datasets._walkers_draw import draw_picture
from datasets._walkers_identity import NONE, VALUES, draw_identities
from datasets._walkers_truth import Truth, known_facts, read_truth, stated_facts
from datasets.walkers import VERSION, Walkers, WalkersOptions

SMALL = WalkersOptions(size="tiny", height=48, width=24)
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Walkers:
    data = Walkers(tmp_path_factory.mktemp("data"), WalkersOptions(size="tiny", occlusion=0.5, twins=1))
    data.prepare(silently)
    return data


@pytest.fixture(scope="module")
def truth(walkers: Walkers) -> Truth:
    return read_truth(walkers.folder / "truth.json")


def spoken(walkers: Walkers, truth: Truth) -> list[tuple[str, str, dict[str, Any]]]:
    """(image path, caption, mention) of every mention of every split."""
    splits = [walkers.split(name) for name in SPLITS]
    found = []
    for split in splits:
        mentions = [one for image in split.images for one in truth["images"][image.path]["mentions"]]
        for caption, said in zip(split.captions, mentions, strict=True):
            found += [(split.images[caption.image].path, caption.text, mention) for mention in said]
    return found


def digests(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_same_parameters_same_bytes(walkers: Walkers, tmp_path: Path) -> None:
    again = Walkers(tmp_path, walkers.config)
    again.prepare(silently)
    assert digests(again.folder) == digests(walkers.folder)
    assert again.fingerprint() == walkers.fingerprint()


@pytest.mark.parametrize("change", [{"seed": 1}, {"twins": 0.25}, {"height": 96}])
def test_other_parameters_other_folder(walkers: Walkers, change: dict[str, Any]) -> None:
    assert Walkers(walkers.root, walkers.config.model_copy(update=change)).folder != walkers.folder


def test_read_back_by_the_shared_reader(walkers: Walkers) -> None:
    splits = read_records(walkers.folder / "data_captions.json", walkers.folder / "imgs")
    assert {name: (s.n_identities, len(s.images), len(s.captions)) for name, s in splits.items()} == {
        "train": (12, 24, 48),
        "val": (6, 12, 24),
        "test": (8, 16, 32),
    }
    with Image.open(splits["val"].root / splits["val"].images[0].path) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 128))


def test_captions_state_what_is_true_and_seen(walkers: Walkers, truth: Truth) -> None:
    for path, _, mention in spoken(walkers, truth):
        known, parts = known_facts(truth, path), truth["images"][path]["parts"]
        for fact, value in mention["states"].items():
            part = fact.split(".")[0]
            assert known[fact] == value != NONE
            bald = value == "bald" and parts["head"]["clear"]
            assert part in ("person", "image") or bald or parts[part]["clear"], (path, mention)


def test_nobody_sees_glasses_from_behind(truth: Truth) -> None:
    from_behind = [image for image in truth["images"].values() if image["view"] == "back"]
    assert from_behind
    assert not any(part in image["parts"] for image in from_behind for part in ("glasses", "logo"))


def test_spans_hold_the_words_that_state(walkers: Walkers, truth: Truth) -> None:
    words = {"striped": "strip", "checked": "check|plaid", "dotted": "dot|spot", "grey": "gr"}
    words |= {"purple": "purple|violet", "red": "red|ginger", "logo": "logo|print"}
    for _, text, mention in spoken(walkers, truth):
        said = text[mention["start"] : mention["end"]]
        assert said
        assert said == said.strip()
        for fact, value in mention["states"].items():
            if fact.endswith(("colour", "pattern", "sleeves")):
                assert any(word in said.lower() for word in words.get(value, value).split("|")), (said, fact, value)


def test_phrases_of_a_caption_do_not_overlap(walkers: Walkers, truth: Truth) -> None:
    for image in truth["images"].values():
        for mentions in image["mentions"]:
            assert all(one["end"] <= other["start"] for one, other in pairwise(mentions))


def test_captions_are_english(walkers: Walkers, truth: Truth) -> None:
    """Articles and pronouns agree, sentences begin with a capital and end with a stop."""
    for split in map(walkers.split, SPLITS):
        for caption in split.captions:
            attributes = truth["identities"][str(split.images[caption.image].pid)]["attributes"]
            others = {"man": r"\b(she|her)\b", "woman": r"\b(he|his)\b"}[attributes["person.gender"]]
            assert not re.search(rf"{others}|\ba [aeiou]|\ban [^aeiou]|  | [,.]|\.\.|,,", caption.text, re.IGNORECASE), caption.text
            assert re.fullmatch(r"([A-Z][^.]*\.)( [A-Z][^.]*\.)*", caption.text), caption.text


def test_boxes_lie_inside_the_image(walkers: Walkers, truth: Truth) -> None:
    boxes = [part["box"] for image in truth["images"].values() for part in image["parts"].values()]
    assert all(0 <= left < right <= 64 and 0 <= top < bottom <= 128 for left, top, right, bottom in boxes)
    heads = [image["parts"]["head"]["box"] for image in truth["images"].values() if image["parts"].get("head", {}).get("clear")]
    assert all(bottom < 64 for _, _, _, bottom in heads)


def test_twins_differ_in_exactly_one_attribute_and_share_a_split() -> None:
    identities = draw_identities(seed=3, sizes={"train": 200, "test": 51}, twins=0.6)
    assert [identity.pid for identity in identities] == list(range(251))
    assert sum(identity.twin is not None for identity in identities[:200]) == 120
    for identity in identities:
        assert list(identity.attributes) == list(VALUES)
        if identity.twin is not None:
            twin = identities[identity.twin]
            differing = [key for key in VALUES if identity.attributes[key] != twin.attributes[key]]
            assert (twin.twin, twin.split, twin.looks, len(differing)) == (identity.pid, identity.split, identity.looks, 1)


def test_version_stands_for_these_identities() -> None:
    """Where this fails, raise VERSION in datasets/walkers.py, or sets that were drawn before would pass for new ones."""
    identities = draw_identities(seed=0, sizes={"train": 50}, twins=0.5)
    assert (VERSION, hashlib.sha256(repr(identities).encode()).hexdigest()[:12]) == (3, "a66878f8fb7b")


def test_no_two_identities_of_a_split_are_alike() -> None:
    identities = draw_identities(seed=0, sizes={"train": 500}, twins=0.5)
    assert len({tuple(identity.attributes.values()) for identity in identities}) == 500


def slow_ceiling(split: Split, truth: Truth) -> float:
    """What `Walkers.ceiling` says, one caption and one image at a time."""
    shares = []
    mentions = [one for image in split.images for one in truth["images"][image.path]["mentions"]]
    for caption, said in zip(split.captions, mentions, strict=True):
        facts = stated_facts(said)
        scores = [sum(known_facts(truth, image.path)[fact] == value for fact, value in facts) for image in split.images]
        best = [image.pid for image, score in zip(split.images, scores, strict=True) if score == max(scores)]
        shares.append(best.count(split.images[caption.image].pid) / len(best))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("name", SPLITS)
def test_ceiling_equals_its_slow_twin(walkers: Walkers, truth: Truth, name: SplitName) -> None:
    split = walkers.split(name)
    chance = 1 / split.n_identities
    assert chance < walkers.ceiling(name) < 1
    assert walkers.ceiling(name) == pytest.approx(slow_ceiling(split, truth))


def test_options_of_every_set_draw_no_other_walkers() -> None:
    """Moved captions are the same captions: the folder of the default set is the same as ever."""
    assert Walkers(Path("data"), WalkersOptions(caption_noise=0.2, noise_seed=3)).folder == Walkers(Path("data")).folder
    assert Walkers(Path("data"), WalkersOptions(wrong_facts=0.2)).folder != Walkers(Path("data")).folder


def test_grounding_is_the_truths(walkers: Walkers, truth: Truth) -> None:
    split, grounding = walkers.split("val"), walkers.grounding("val")
    captions = iter(zip(split.captions, grounding.phrases, strict=True))
    for image, parts in zip(split.images, grounding.parts, strict=True):
        said = truth["images"][image.path]
        pixels = {part: [round(edge * size) for edge, size in zip(box, (64, 128, 64, 128), strict=True)] for part, box in parts.items()}
        assert pixels == {part: seen["box"] for part, seen in said["parts"].items()}
        for mentions in said["mentions"]:
            caption, phrases = next(captions)
            assert [(start, end, part) for start, end, part in phrases] == [(m["start"], m["end"], m["part"]) for m in mentions]
            assert split.images[caption.image] == image
        assert walkers.camera(image.path) == said["view"]


def test_wrong_facts_are_in_train_captions_only(tmp_path: Path) -> None:
    noisy = Walkers(tmp_path, WalkersOptions(size="tiny", height=48, width=24, wrong_facts=0.4))
    noisy.prepare(silently)
    truth = read_truth(noisy.folder / "truth.json")

    def wrong(split: SplitName) -> float:
        paths = {image.path for image in noisy.split(split).images}
        stated = [(path, fact) for path, _, mention in spoken(noisy, truth) if path in paths for fact in mention["states"].items()]
        return sum(1 for path, (fact, value) in stated if known_facts(truth, path)[fact] != value) / len(stated)

    assert wrong("test") == 0
    assert 0.25 < wrong("train") < 0.55


def test_half_written_folder_is_not_used(tmp_path: Path) -> None:
    data = Walkers(tmp_path, SMALL)
    (data.folder / "imgs").mkdir(parents=True)
    (data.folder / "data_captions.json").write_text("[]")
    assert len(data.split("test").captions) == 32
    assert [entry.name for entry in tmp_path.iterdir()] == [data.folder.name]


def test_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        yield from list(items)[:3]
        raise KeyboardInterrupt

    data = Walkers(tmp_path, SMALL)
    with pytest.raises(KeyboardInterrupt):
        data.prepare(interrupted)
    assert list(tmp_path.iterdir()) == []


def test_two_processes_at_once_leave_one_set(tmp_path: Path) -> None:
    data, other = Walkers(tmp_path, SMALL), Walkers(tmp_path, SMALL)
    drawn: list[dict[str, str]] = []

    def overtaken(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        other.prepare(silently)
        drawn.append(digests(other.folder))
        yield from items

    data.prepare(overtaken)
    assert [entry.name for entry in tmp_path.iterdir()] == [data.folder.name]
    assert [digests(data.folder)] == drawn


def test_unwritable_root_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="--data-root"):
        Walkers(tmp_path / "file", SMALL).prepare(silently)


@pytest.mark.parametrize(("height", "width"), [(32, 16), (97, 130), (256, 128)])
def test_any_size_of_image(height: int, width: int) -> None:
    identity = draw_identities(seed=0, sizes={"test": 1}, twins=0)[0]
    for number in range(4):
        picture = draw_picture(identity, Random(number), height=height, width=width, occlusion=1)
        assert picture.image.size == (width, height)
        assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in (seen.box for seen in picture.parts.values()))


def test_a_whole_set_is_not_drawn_again(walkers: Walkers) -> None:
    def forbidden(items: Iterable[T], label: str, total: int | None = None) -> NoReturn:
        raise AssertionError("drawn again")

    Walkers(walkers.root, walkers.config).prepare(forbidden)


def test_annotation_file_is_rstpreids(walkers: Walkers) -> None:
    records = json.loads((walkers.folder / "data_captions.json").read_text(encoding="utf-8"))
    assert set(records[0]) == {"id", "img_path", "captions", "split"}
    assert all(len(record["captions"]) == 2 for record in records)
