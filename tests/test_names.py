"""The two dangerous names: `datasets` and `models` are also what others call their packages. Ours win where the project runs."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest

from bench import registry
from bench.errors import UsageError

FAKE = "raise SystemExit('the other package {name} was imported')\n"


@pytest.fixture
def fakes(tmp_path: Path) -> Path:
    """A folder with packages of the dangerous names, as an installed HuggingFace `datasets` would be."""
    for name in ("datasets", "models"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(FAKE.format(name=name))
    return tmp_path


def run(*arguments: str, cwd: Path = registry.ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | environment
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120)


LOAD_ALL = """
from bench import registry
for kind in ("model", "dataset"):
    for name in registry.names(kind):
        print(registry.load(kind, name).__module__)
"""
AS_SITE_PACKAGES = (
    """
import sys
sys.path.append({fakes!r})
"""
    + LOAD_ALL
)


def test_a_fake_on_pythonpath_does_not_win(fakes: Path) -> None:
    done = run("-m", "bench", "list", "datasets", PYTHONPATH=str(fakes))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.parametrize("place", ["PYTHONPATH", "site-packages"])
def test_a_fake_anywhere_loads_nothing(fakes: Path, place: str) -> None:
    done = run("-c", LOAD_ALL, PYTHONPATH=str(fakes)) if place == "PYTHONPATH" else run("-c", AS_SITE_PACKAGES.format(fakes=str(fakes)))
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.partition(".")[0] for line in done.stdout.split()} == {"models", "datasets"}


def test_where_another_package_wins_it_is_named(fakes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (fakes / "datasets" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(fakes)
    monkeypatch.setattr(sys, "modules", {name: module for name, module in sys.modules.items() if name.partition(".")[0] != "datasets"})
    with pytest.raises(UsageError, match=r"finds the package 'datasets' at .*, not in this project; run from the project's root folder"):
        registry.load("dataset", "rstpreid")


@pytest.mark.slow
def test_without_our_folders_in_reach_the_answer_names_the_cause(fakes: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(fakes)!r}); sys.path.append({str(registry.ROOT)!r})\n"
    for name in ("datasets", "models"):
        (fakes / name / "__init__.py").write_text("")
    done = run("-c", code + "from bench.cli import main; sys.exit(main(['run', '--model', 'acsa', '--dataset', 'rstpreid']))", cwd=fakes)
    assert done.returncode == 2
    assert "run from the project's root folder" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_other_datasets_is_answered_clearly() -> None:
    done = run("-c", "import datasets; datasets.Dataset")
    assert done.returncode == 1
    assert "this is the harness's own package `datasets`, not Hugging Face `datasets`" in done.stderr
    done = run("-c", "from datasets import load_dataset")
    assert done.returncode == 1
    assert "ImportError" in done.stderr


def test_both_are_regular_packages() -> None:
    """Without `__init__.py` a folder loses to any installed package of its name."""
    assert all((registry.ROOT / name / "__init__.py").is_file() for name in ("datasets", "models"))


def test_the_project_installs_no_package() -> None:
    project = tomllib.loads((registry.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["packages"] == []
    owners = packages_distributions()
    ours = [name for name in ("bench", "datasets", "models") if "tbps-bench" in owners.get(name, [])]
    assert ours == []


def test_where_the_project_is_installed_site_packages_hold_none_of_it() -> None:
    installed = list(distributions(name="tbps-bench", path=[sysconfig.get_paths()["purelib"]]))
    if not installed:
        pytest.skip("the project is not installed here")
    held = [file for distribution in installed for file in distribution.files or []]
    assert not [file for file in held if file.parts[0] in ("bench", "datasets", "models")]
