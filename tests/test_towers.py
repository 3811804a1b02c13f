"""The image tower: where its weights come from, what is refused, and what it gives."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from bench.contracts import UsageError
from models._timm import import_timm
from models._towers import ImageTower, ImageTowerOptions

ROOT = Path(__file__).parents[1]
SWIN: dict[str, Any] = {"height": 32, "width": 16, "patch": 4, "window": 2, "embed_dim": 8, "depths": (1, 2, 1), "heads": (1, 2, 4)}


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def image_tower(weights: Path | str | None = None, **options: Any) -> ImageTower:
    return ImageTower(ImageTowerOptions(weights=None if weights is None else str(weights), **{**SWIN, **options})).eval()


def refusal(error: pytest.ExceptionInfo[UsageError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 480
    return message


def test_maps_are_the_last_two_stages() -> None:
    tower = image_tower()
    images = torch.randn(3, 3, 32, 16)
    maps = tower(images)
    assert (tower.width, tower.earlier_width) == (32, 16)
    assert maps.final.shape == (3, 32, 2, 1)
    assert maps.earlier.shape == (3, 16, 4, 2)
    assert maps.window_attention is None
    torch.testing.assert_close(maps.final, tower.swin.forward_features(images).permute(0, 3, 1, 2))


def test_height_comes_before_width() -> None:
    images = torch.zeros(1, 3, 32, 16)
    images[:, :, :16] = 1  # above
    final = image_tower()(images).final[0]  # (D, 2, 1)
    assert not torch.allclose(final[:, 0], final[:, 1])


@pytest.mark.parametrize("kind", ["safetensors", "pth", "pth with its training state"])
def test_weights_come_from_a_local_file(tmp_path: Path, kind: str) -> None:
    ours, images = image_tower(), torch.randn(2, 3, 32, 16)
    state = {**ours.swin.state_dict(), "head.weight": torch.zeros(3, 32)}  # a classifier is passed over
    file = tmp_path / f"swin.{kind.split()[0]}"
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save(state if kind == "pth" else {"model": state, "epoch": 3}, file)
    torch.testing.assert_close(image_tower(file)(images).final, ours(images).final, rtol=0, atol=0)


def test_weights_of_a_swin_v2_come_from_a_local_file(tmp_path: Path) -> None:
    options = {"name": "swinv2_tiny_window8_256"}
    ours, images = image_tower(**options), torch.randn(2, 3, 32, 16)
    torch.save(ours.swin.state_dict(), tmp_path / "swin.pth")
    torch.testing.assert_close(image_tower(tmp_path / "swin.pth", **options)(images).final, ours(images).final, rtol=0, atol=0)


class Danger:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (os.environ["DANGER"],)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANGER", str(tmp_path / "run"))
    (tmp_path / "swin.pth").write_bytes(pickle.dumps({"model": Danger()}))
    with pytest.raises(UsageError, match=r"cannot read .*swin.pth as weights of this Swin") as error:
        image_tower(tmp_path / "swin.pth")
    refusal(error)
    assert not (tmp_path / "run").exists()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*none.pth") as error:
        image_tower(tmp_path / "none.pth")
    refusal(error)


@pytest.mark.parametrize(
    ("other", "why"),
    [({"embed_dim": 16}, "size mismatch"), ({"depths": (1, 1, 1)}, r"lacks \d+ tensors of this Swin, for example 'layers")],
)
def test_weights_of_another_architecture_are_refused(tmp_path: Path, other: dict[str, Any], why: str) -> None:
    save_file(image_tower(**other).swin.state_dict(), tmp_path / "swin.safetensors")
    with pytest.raises(UsageError, match=why) as error:
        image_tower(tmp_path / "swin.safetensors")
    refusal(error)


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "swin.safetensors").write_text("hello")
    with pytest.raises(UsageError, match=r"cannot read .*swin.safetensors") as error:
        image_tower(tmp_path / "swin.safetensors")
    refusal(error)


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny", "vit_tiny_patch16_224"])
def test_what_is_no_swin_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"model.image.name: '{name}' is no Swin of timm") as error:
        image_tower(name=name)
    refusal(error)


@pytest.mark.parametrize("wrong", [{"depths": (1,), "heads": (1,)}, {"heads": (1,)}])
def test_a_swin_that_cannot_be_is_refused_without_talk_of_the_network(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"model\.image") as error:
        image_tower(**wrong)
    assert "network" not in refusal(error)


NAMES = (
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_base_patch4_window7_224",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "swinv2_base_window8_256",
)


@pytest.mark.parametrize("name", NAMES)
def test_any_swin_of_timm_will_do(name: str) -> None:
    side = 256 if "v2" in name else 224
    with torch.device("meta"):
        tower = ImageTower(ImageTowerOptions(name=name, weights=None, height=side, width=side), tap_windows=True)
        maps = tower(torch.zeros(2, 3, side, side))
    assert maps.final.shape == (2, tower.width, side // 32, side // 32)
    assert maps.earlier.shape == (2, tower.earlier_width, side // 16, side // 16)
    assert tower.tap is not None
    assert maps.window_attention is not None
    assert maps.window_attention.shape == (2, tower.tap.n_windows, tower.earlier_width)


@pytest.mark.parametrize("side", [64, 96])
def test_windows_that_the_border_cuts_are_counted(side: int) -> None:
    tower = ImageTower(ImageTowerOptions(**{**SWIN, "weights": None, "height": side, "window": 5, "patch": 4}), tap_windows=True)
    maps = tower(torch.randn(2, 3, side, 16))
    assert tower.tap is not None
    assert maps.window_attention is not None
    assert maps.window_attention.shape == (2, tower.tap.n_windows, 16)


def test_a_frozen_image_tower_still_trains_what_is_not_loaded() -> None:
    tower = ImageTower(ImageTowerOptions(**SWIN, weights=None, frozen=True), tap_windows=True)
    assert [name for name, p in tower.named_parameters() if p.requires_grad] == ["tap.norm.weight", "tap.norm.bias"]


@pytest.mark.slow
def test_the_hub_without_a_network_is_refused() -> None:
    """In a process of its own: the hub's client reads HF_HUB_OFFLINE when it is imported."""
    code = "from models._towers import *\nImageTower(ImageTowerOptions())"
    said = offline(code)
    assert "UsageError: model.image: timm cannot build 'swin_tiny_patch4_window7_224' with weights 'hub'" in said
    assert "--set model.image.weights=FILE" in said


def offline(code: str) -> str:
    """The last line of standard error of a process without a hub and without a cache."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": "nowhere", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_timm_and_transformers_can_be_imported_whatever_torchvision_is() -> None:
    """In this process it is imported already: at least it answers, and again."""
    assert import_timm() is import_timm()
    assert hasattr(import_timm(), "create_model")


def test_an_import_that_fails_for_another_reason_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "timm":
                raise RuntimeError("something else")

    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(RuntimeError, match="something else"):
        import_timm()
