"""Names -> classes: listing without torch, look-up, plugins, entry points, and what each mistake is answered with."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from bench import registry
from bench.errors import UsageError

BUILT_IN = '''
from bench.contracts import Options, Preset, TextImageModel

class SomeOptions(Options):
    """Not the model."""

class _Shared:
    """Not public."""

class Something({base}):
    """Aligns nothing.

    And more.
    """

    citation = (
        "Nobody: "
        "Nothing."
    )
    presets: dict = {{"paper": Preset("as published", model={{}}), "small": Preset(about="for tests")}}
'''


@pytest.fixture(autouse=True)
def _no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugged_in", {"model": [], "dataset": []})


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project of its own, whose `models/` and `datasets/` are empty."""
    for folder in ("models", "datasets"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    return tmp_path


def write(file: Path, text: str = BUILT_IN, base: str = "TextImageModel") -> None:
    file.write_text(text.format(base=base), encoding="utf-8")


def test_a_built_in_is_described_by_its_source_alone(root: Path) -> None:
    write(root / "models" / "some_thing.py", "import a_module_that_is_not_there\n" + BUILT_IN)
    write(root / "models" / "_shared.py")
    write(root / "models" / "__init__.py")
    (entry,) = registry.names("model").values()
    assert entry == registry.Entry(
        "some-thing",
        "Aligns nothing.",
        "models/some_thing.py",
        "models.some_thing:Something",
        "Nobody: Nothing.",
        {"paper": "as published", "small": "for tests"},
    )


def test_a_module_with_two_public_classes_is_an_error(root: Path) -> None:
    write(root / "models" / "two.py", "class A: ...\nclass B: ...\n")
    with pytest.raises(UsageError, match=r"models/two\.py must hold one public class .* holds: A, B; begin the others with '_'"):
        registry.names("model")


def test_a_module_that_is_no_python_is_named(root: Path) -> None:
    write(root / "models" / "bad.py", "class :")
    with pytest.raises(UsageError, match=r"models/bad\.py cannot be read: invalid syntax"):
        registry.names("model")


def test_every_built_in_loads_as_what_the_contract_asks() -> None:
    from bench.contracts import Dataset, TextImageModel

    assert all(issubclass(registry.load("model", name), TextImageModel) for name in registry.names("model"))
    assert all(issubclass(registry.load("dataset", name), Dataset) for name in registry.names("dataset"))


def test_what_is_read_from_source_equals_what_the_class_says() -> None:
    for name, entry in registry.names("model").items():
        loaded = registry.load("model", name)
        assert entry.presets == {preset: value.about for preset, value in loaded.presets.items()}
        assert (loaded.__doc__ or "").strip().startswith(entry.about)
        assert entry.citation in (None, loaded.citation)


@pytest.mark.parametrize("spelling", ["some-thing", "SOME_THING", "something", "Some Thing", "some.thing"])
def test_names_ignore_case_and_punctuation(root: Path, spelling: str) -> None:
    write(root / "datasets" / "some_thing.py")
    assert registry.find("dataset", spelling).name == "some-thing"


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list(root: Path) -> None:
    write(root / "datasets" / "some_thing.py")
    write(root / "datasets" / "other.py")
    with pytest.raises(UsageError) as caught:
        registry.load("dataset", "somthing")
    assert str(caught.value) == "unknown dataset 'somthing' (datasets: other, some-thing); did you mean 'some-thing'?"
    with pytest.raises(UsageError) as caught:
        registry.load("dataset", "xyz")
    assert str(caught.value) == "unknown dataset 'xyz' (datasets: other, some-thing)"


def test_nearest_ignores_case_and_punctuation() -> None:
    assert registry.nearest("CUHKPEDS", ["cuhk-pedes", "rstpreid"]) == "cuhk-pedes"
    assert registry.nearest("zzz", ["cuhk-pedes"]) == ""
    assert registry.nearest("zzz", []) == ""


def test_a_name_found_twice_names_both_places(root: Path) -> None:
    write(root / "models" / "same.py")
    write(root / "models" / "sa_me.py")
    with pytest.raises(UsageError, match=r"found twice: in models/sa_me\.py and in models/same\.py"):
        registry.names("model")


def test_a_plugin_may_be_a_module() -> None:
    registry.plug_in("tests.stub_plugin")
    entry = registry.find("model", "stub-plugin")
    assert (entry.about, entry.origin) == ("A model without parts.", "plugin tests.stub_plugin")
    assert entry.presets == {"paper": "as it was published", "tiny": "for tests"}
    assert registry.load("model", "stub_plugin").__name__ == "StubModel"


def test_a_plugin_may_name_its_class() -> None:
    registry.plug_in("tests.stub_plugin")
    assert registry.load("dataset", "stub-data").__name__ == "StubDataset"


def test_a_plugin_may_be_a_file_and_hides_no_module_of_its_name(tmp_path: Path) -> None:
    source = Path(__file__).with_name("stub_plugin.py").read_text(encoding="utf-8")
    (tmp_path / "json.py").write_text(source, encoding="utf-8")
    before = sys.modules["json"]
    registry.plug_in(str(tmp_path / "json.py"))
    assert registry.load("model", "json").__name__ == "StubModel"
    assert sys.modules["json"] is before


def test_a_plugin_given_twice_is_one_plugin(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(Path(__file__).with_name("stub_plugin.py").read_text(encoding="utf-8"), encoding="utf-8")
    for value in ("tests.stub_plugin", str(tmp_path / "mine.py")):
        registry.plug_in(value)
        registry.plug_in(value)
    with pytest.raises(UsageError, match=r"found twice: in plugin tests\.stub_plugin and in plugin .*mine\.py"):
        registry.names("dataset")  # both name themselves stub-data
    assert {"mine", "stub-plugin"} <= set(registry.names("model"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import a_module_that_is_not_there", "cannot be imported: ModuleNotFoundError: No module named 'a_module_that_is_not_there'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("def f(:", "cannot be imported: SyntaxError: invalid syntax"),
        ("x = 1", "holds no public subclass of bench.contracts.TextImageModel or bench.contracts.Dataset"),
        ("from bench.contracts import Dataset, TextImageModel", "holds no public subclass of"),
    ],
)
def test_a_bad_plugin_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.py").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        registry.plug_in(str(tmp_path / "bad.py"))
    assert str(caught.value).startswith(f"plugin {tmp_path / 'bad.py'} {said}")
    assert "\n" not in str(caught.value)


def test_a_plugin_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be imported: FileNotFoundError"):
        registry.plug_in(str(tmp_path / "none.py"))
    with pytest.raises(UsageError, match="plugin no_such_module cannot be imported: ModuleNotFoundError"):
        registry.plug_in("no_such_module")


def entry_point(monkeypatch: pytest.MonkeyPatch, value: str, name: str = "outside") -> None:
    def found(group: str) -> list[EntryPoint]:
        return [EntryPoint(name, value, group)] if group == "bench.models" else []

    monkeypatch.setattr(registry, "entry_points", found)


def test_an_entry_point_is_described_without_an_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "outsider").mkdir()
    (tmp_path / "outsider" / "__init__.py").write_text("1 / 0")
    write(tmp_path / "outsider" / "alien.py", BUILT_IN + "\nclass Second: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry_point(monkeypatch, "outsider.alien:Something")
    entry = registry.find("model", "outside")
    assert (entry.about, entry.target) == ("Aligns nothing.", "outsider.alien:Something")
    assert "entry point outside = outsider.alien:Something" in entry.origin
    with pytest.raises(UsageError, match=r"entry point outside .* cannot be imported: ZeroDivisionError"):
        registry.load("model", "outside")


def test_an_entry_point_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    entry_point(monkeypatch, "tests.stub_plugin:StubModel")
    assert registry.load("model", "outside").__name__ == "StubModel"


@pytest.mark.parametrize("value", ["tests.stub_plugin:StubDataset", "tests.stub_plugin:Nothing"])
def test_an_entry_point_to_something_else_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    entry_point(monkeypatch, value)
    with pytest.raises(UsageError, match=r"is no subclass of bench\.contracts\.TextImageModel"):
        registry.load("model", "outside")


def test_an_entry_point_that_has_a_built_ins_name_is_an_error(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    write(root / "models" / "out_side.py")
    entry_point(monkeypatch, "tests.stub_plugin:StubModel")
    with pytest.raises(UsageError, match=r"found twice: in models/out_side\.py and in entry point outside"):
        registry.names("model")


@pytest.mark.parametrize("package", ["models", "datasets"])
def test_a_built_in_imports_of_its_package_shared_parts_only(package: str) -> None:
    """A family is one file that can be taken away: what two of them need stands in a module that begins with `_`."""
    for file in (registry.ROOT / package).glob("[a-z]*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        origins = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        origins += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        assert not [origin for origin in origins if origin.partition(".")[0] == package and not origin.startswith(f"{package}._")], file


def test_listing_imports_no_torch() -> None:
    code = "import sys; from bench import registry; registry.names('model'); registry.names('dataset'); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=registry.ROOT, capture_output=True, text=True, check=True).stdout == "False\n"
