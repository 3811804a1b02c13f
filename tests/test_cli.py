"""The command line: what it passes on, what it prints and where, exit codes, and that help and lists are quick."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import bench
from bench import cli, registry
from bench.errors import RunFailed, UsageError

STUB = ["--plugin", "tests.stub_plugin"]
RUN = ["run", "--model", "stub-plugin", "--dataset", "stub-data", *STUB]
SCORES = {"R1": 12.345, "R5": 20.0, "R10": 30.0, "mAP": 15.0, "mINP": 3.0}
RECORD = {
    "model": "stub-plugin",
    "dataset": "stub-data",
    "seed": 0,
    "finished": True,
    "metrics": {"test": {"i2t": SCORES, "t2i": SCORES}, "val": {"t2i": SCORES, "i2t": SCORES}},
    "chance": {"t2i": {"R1": 2.0}},
    "ceiling": 91.5,
    "mlflow_run_id": "abc",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The harness below the command line, replaced by something that notes what it is asked."""
    noted: list[Any] = []
    tracker = SimpleNamespace(address="sqlite:///mlflow.db")

    def note(*positional: Any, **named: Any) -> SimpleNamespace:
        noted.append((positional, named))
        return SimpleNamespace(folder=Path("results/there"), record=RECORD)

    def dry_run(*positional: Any) -> dict[str, Any]:
        noted.append((positional, {}))
        return {
            "configuration": {"model": {"name": "stub-plugin"}},
            "input": {"height": 8},
            "parameters": {"image tower": {"trained": 1234567, "frozen": 0}},
            "flops_per_pair": 2_500_000_000,
            "data": {"train": {"images": 10, "captions": 20, "identities": 5}},
            "estimate": {"steps an epoch": 3},
        }

    run = ModuleType("bench.run")
    vars(run).update(run=note, evaluate_saved=note, dry_run=dry_run)
    tracking = ModuleType("bench.tracking")
    vars(tracking).update(tracker=lambda kind, reporter: tracker)
    for name, module in (("run", run), ("tracking", tracking)):
        monkeypatch.setitem(sys.modules, f"bench.{name}", module)
        monkeypatch.setattr(bench, name, module, raising=False)
    return noted


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugged_in", {"model": [], "dataset": []})
    for name in ("TBPS_DEBUG", "RANK", "TBPS_DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def failing(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """The exit code of a run that raises this."""

    def run(error: BaseException) -> int:
        def fail(*_: Any) -> None:
            raise error

        monkeypatch.setattr(sys.modules["bench.run"], "run", fail)
        return cli.main(RUN)

    return run


# -------------------------------------------------------------------------------------------------------------- run


def test_run_passes_on_one_configuration(calls: list[Any]) -> None:
    flags = "--seed 3 --epochs 2 --batch_size=4 --device cpu --precision bf16 --data-root d --output-dir o --limit 9 --tracker none"
    assert (
        cli.main([*RUN, "--preset", "tiny", "--set", "train.lr=1e-4", "--set", "model.width=5", *flags.split(), "--resume", "never"]) == 0
    )
    ((config, _, _, resume), _) = calls[0]
    told = config.dump()
    assert (told["model"]["width"], told["preset"], told["train"]["lr"], resume) == (5, "tiny", 1e-4, "never")
    assert (told["seed"], told["train"]["epochs"], told["train"]["batch_size"], told["limit"]) == (3, 2, 4, 9)
    assert [told[key] for key in ("device", "precision", "data_root", "output_dir", "tracker")] == ["cpu", "bf16", "d", "o", "none"]


def test_run_prints_one_table_in_percent_and_where_it_is(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(RUN) == 0
    shown = capsys.readouterr()
    rows = [line.split() for line in shown.out.splitlines() if "12.35" in line or "12.34" in line]
    assert [row[1:4:2] for row in rows] == [["val", "t2i"], ["val", "i2t"], ["test", "t2i"], ["test", "i2t"]]
    assert "t2i R1 to compare with: chance 2.00, ceiling 91.50" in shown.out
    assert f"folder: {Path('results/there')}" in shown.out
    assert "MLflow run abc: mlflow ui --backend-store-uri sqlite:///mlflow.db" in shown.out
    assert shown.err == ""


def test_only_the_first_of_several_processes_prints(
    calls: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert cli.main(RUN) == 0
    assert capsys.readouterr() == ("", "")


def test_dry_run_shows_sizes_and_trains_nothing(calls: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*RUN, "--dry-run"]) == 0
    assert len(calls) == 1
    shown = capsys.readouterr().out
    assert "name: stub-plugin" in shown
    assert all(word in shown for word in ("1,234,567", "2.50", "steps an epoch", "identities"))


def test_a_configuration_file_repeats_a_run(calls: list[Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {name: stub-plugin, width: 3}\ndata: {name: stub-data}\nseed: 7\n")
    assert cli.main(["run", "--config", str(tmp_path / "config.yaml"), *STUB]) == 0
    config = calls[0][0][0]
    assert (config.seed, config.dump()["model"]["width"]) == (7, 3)


# ------------------------------------------------------------------------------------------------------------- eval


def test_eval_passes_on_what_it_is_asked(calls: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "--dataset",
        "stub-data",
        "--split",
        "val",
        "--data_root",
        "d",
        "--set",
        "data.x=1",
        "--device",
        "cpu",
        "--limit",
        "4",
        "--json",
    ]
    assert cli.main(["eval", str(tmp_path), *asked]) == 0
    ((path, _), named) = calls[0]
    assert path == tmp_path
    assert named == {
        "dataset": "stub-data",
        "split": "val",
        "overrides": ["data.x=1"],
        "data_root": Path("d"),
        "device": "cpu",
        "limit": 4,
        "allow_overlap": False,
    }
    assert json.loads(capsys.readouterr().out) == RECORD


def test_eval_of_nothing_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["eval", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path / 'none'} does not exist: give a run's folder")


# ------------------------------------------------------------------------------------------------------------- list


def test_list_models_and_presets_with_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "models", "--json", *STUB]) == 0
    stub = next(row for row in json.loads(capsys.readouterr().out) if row["model"] == "stub-plugin")
    assert stub == {
        "model": "stub-plugin",
        "about": "A model without parts.",
        "presets": "paper, tiny",
        "origin": "plugin tests.stub_plugin",
        "citation": "Nobody: A model without parts. 2024.",
    }
    assert cli.main(["list", "presets", *STUB]) == 0
    assert "as it was published" in capsys.readouterr().out


def test_list_runs_bears_what_is_broken_or_unfinished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        "seed0": json.dumps(RECORD),
        "seed1": '{"cut',
        "seed2": None,
        "seed3": "[]",
        "seed4": '{"metrics": {}}',
        "seed0-earlier1": "{}",
    }
    for seed, text in texts.items():
        folder = tmp_path / "walkers" / "acsa" / "0123abcd" / seed
        folder.mkdir(parents=True)
        if text is not None:
            (folder / "result.json").write_text(text)
    assert cli.main(["list", "runs", "--output-dir", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows] == ["finished", "unreadable", "unfinished", "unreadable", "unfinished"]
    assert (rows[0]["test R1"], rows[0]["hash"], rows[0]["seed"]) == (12.345, "0123abcd", "0")


def test_a_list_of_nothing_says_so_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "runs", "--output-dir", str(tmp_path)]) == 0
    assert capsys.readouterr() == ("", "no runs\n")
    assert cli.main(["list", "runs", "--output-dir", str(tmp_path), "--json"]) == 0
    assert capsys.readouterr().out == "[]\n"


# ----------------------------------------------------------------------------------------------- mistakes, exit codes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--modle", "x"], "No such option: --modle"),
        (["list", "things"], "Invalid value for 'what': 'things' is not one of 'models', 'datasets', 'presets', 'runs'."),
        (["run", "--model", "acsaa", "--dataset", "x"], "unknown model 'acsaa'"),
        (["run", "--seed", "many"], "Invalid value for '--seed'"),
        (["run", "--plugin", "no_such_module"], "plugin no_such_module cannot be imported: ModuleNotFoundError"),
        ([*RUN, "--epochs", "0"], "train.epochs must be greater than or equal to 1, got 0"),
        (["nonsense"], "No such command 'nonsense'."),
    ],
)
def test_a_wrong_command_is_one_line_and_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shown.err.startswith(f"error: {said}")


def test_what_a_run_raises_becomes_a_line_and_a_code(failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]) -> None:
    assert failing(UsageError("no images")) == 2
    assert failing(RunFailed("the loss is not finite")) == 1
    assert failing(ValueError("a\nb")) == 1
    assert failing(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.splitlines() == [
        "error: no images",
        "error: the loss is not finite",
        "error: unexpected ValueError: a b (--debug or TBPS_DEBUG=1 shows the traceback)",
        "interrupted: the same command resumes the run",
    ]


def test_debug_shows_the_traceback(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TBPS_DEBUG", "1")
    assert failing(ValueError("why")) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    monkeypatch.delenv("TBPS_DEBUG")
    assert cli.main([*RUN, "--debug"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_version_and_help_are_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("tbps-bench ")
    assert cli.main([]) == 0
    assert cli.main(["run", "-h"]) == 0
    assert "--dry-run" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- as a process


def process(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=registry.ROOT, capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["run", "--help"], ["data", "check", "--help"], ["list", "models"], ["list", "datasets"], ["list", "runs"]]
)
def test_help_and_lists_are_quick_and_import_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from bench.cli import main; code = main(sys.argv[1:]); print('torch' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    before = os.times()
    done = process("-c", code, *arguments)
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "False")
    assert seconds < 1  # of processor time: a busy machine fails no test


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    shell = f'"{sys.executable}" -m bench list models --json | true; "{sys.executable}" -m bench list presets | true'
    done = subprocess.run(["bash", "-c", shell], cwd=registry.ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
