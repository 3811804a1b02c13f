"""The reporter: plain lines in a log, a bar on a terminal, and no text read as markup."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench import console
from bench.console import ConsoleReporter, duration, table


def reporter(terminal: bool = False) -> tuple[ConsoleReporter, io.StringIO]:
    written = io.StringIO()
    return ConsoleReporter(Console(file=written, force_terminal=terminal, width=60, color_system=None, highlight=False)), written


def test_a_log_says_at_once_what_begins_and_then_how_long_it_took() -> None:
    reporting, written = reporter()
    for item in reporting.track([1, 2, 3], "embed [test]"):
        assert item > 1 or written.getvalue() == "embed [test]: 3 ... "
    assert written.getvalue() == "embed [test]: 3 ... 0.0 s\n"


def test_what_comes_between_has_a_line_of_its_own() -> None:
    reporting, written = reporter()
    for _ in reporting.track(range(1), "outer"):
        list(reporting.track(iter("ab"), "inner"))
        reporting.note("note")
    assert written.getvalue().splitlines() == ["outer: 1 ... ", "inner ... 0.0 s", "note", "outer: 1 in 0.0 s"]


def test_a_line_that_an_error_cut_is_ended() -> None:
    reporting, written = reporter()
    next(iter(reporting.track(range(2), "cut")))
    reporting.close()
    reporting.close()
    assert written.getvalue() == "cut: 2 ... \n"


def test_a_log_has_a_line_every_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(clock))
    reporting, written = reporter()
    assert sum(1 for _ in reporting.track(iter(range(6)), "train", total=6)) == 6
    assert written.getvalue().splitlines() == ["train: 6 ... ", "train: 3/6, left 12.0 s", "train: 6/6, left 0.0 s", "train: 6 in 28.0 s"]


def test_bars_nest_and_disappear() -> None:
    reporting, written = reporter(terminal=True)
    for _ in reporting.track(range(2), "outer"):
        for _ in reporting.track(range(2), "inner [b]"):
            reporting.note("inside")
            break  # a loop left early takes its bar along
    reporting.close()
    assert "outer" in written.getvalue()
    assert "inner [b]" in written.getvalue()
    assert written.getvalue().count("inside\n") == 2
    assert not reporting._progress.tasks


def test_text_is_shown_as_it_is() -> None:
    reporting, written = reporter()
    reporting.note("[red]a[/red] " + "long " * 30)
    reporting.warn("[/nothing]")
    assert written.getvalue() == "[red]a[/red] " + "long " * 30 + "\nwarning: [/nothing]\n"


def test_an_epoch_is_a_line_with_the_time_left() -> None:
    reporting, written = reporter()
    reporting.epoch(3, 40, {"train/loss": 5.123, "val/t2i/R1": 21.34, "val/t2i/mAP": 18.0, "seconds": 6.1})
    reporting.epoch(40, 40, {"train/loss": 4.0})
    lines = written.getvalue().splitlines()
    assert lines == ["epoch 3/40  loss 5.12  val R1 21.3  mAP 18.0  6.1 s  left 4 min", "epoch 40/40  loss 4.00"]


@pytest.mark.parametrize(("seconds", "said"), [(0.04, "0.0 s"), (59.4, "59.4 s"), (180, "3 min"), (9000, "2.5 h")])
def test_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_a_table_shows_numbers_and_gaps() -> None:
    written = io.StringIO()
    Console(file=written, width=60).print(table("t [b]", ("a", "b", "c"), [(1234567, 2.5, None)]))
    assert all(text in written.getvalue() for text in ("t [b]", "1,234,567", "2.50", "-"))
