"""What a person sees: the Reporter on stderr (a bar on a terminal, plain lines in a log), and the tables of results."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, TypeVar

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bench.doctor.findings import Diagnosis

T = TypeVar("T")
METRICS = ("R1", "R5", "R10", "mAP", "mINP")
SECONDS_BETWEEN_LINES = 10.0
"""In a log, where a bar would leave a line for each step."""


class ConsoleReporter:
    """Reports to stderr, so that stdout holds results alone. Text is shown as it is, never read as rich's markup."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # `list` draws no bar

        self._console = console or Console(stderr=True, highlight=False)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._epoch_seconds: list[float] = []
        self._unfinished: str | None = None
        """What the last line of a log waits for."""

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        if total is None and isinstance(items, Sized):
            total = len(items)
        return self._bar(items, label, total) if self._console.is_interactive else self._lines(items, label, total)

    def note(self, text: str) -> None:
        self._line(text)

    def warn(self, text: str) -> None:
        self._line(f"warning: {text}", style="yellow")

    def epoch(self, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        shown = (("train/loss", "loss {:.2f}"), ("val/t2i/R1", "val R1 {:.1f}"), ("val/t2i/mAP", "mAP {:.1f}"))
        parts = [f"epoch {epoch}/{epochs}", *(form.format(values[key]) for key, form in shown if key in values)]
        if "seconds" in values:
            self._epoch_seconds.append(values["seconds"])
            left = (epochs - epoch) * sum(self._epoch_seconds) / len(self._epoch_seconds)
            parts += [duration(values["seconds"])] + ([f"left {duration(left)}"] if epoch < epochs else [])
        self._line("  ".join(parts))

    def close(self) -> None:
        """Take down a bar, or end a line, that an error left standing."""
        self._end_line()
        if self._progress.live.is_started:  # stopping twice would print an empty line
            self._progress.stop()

    def _line(self, text: str, style: str = "", end: str = "\n") -> None:
        self._end_line()
        self._console.print(Text(text, style=style), soft_wrap=True, end=end)

    def _end_line(self) -> None:
        if self._unfinished is not None:
            self._unfinished = None
            self._console.print()

    def _bar(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """One display for all bars, since loops nest."""
        task = self._progress.add_task(label, total=total)
        self._progress.start()
        try:
            for item in items:
                yield item
                self._progress.advance(task)
        finally:  # also where the loop is left early
            self._progress.remove_task(task)
            if not self._progress.tasks:
                self._progress.stop()

    def _lines(self, items: Iterable[T], label: str, total: int | None) -> Iterator[T]:
        """`label: 24 ... 1.2 s`: begun at the start, completed at the end, a line of its own for each of the two if others came between."""
        self._line(f"{label}: {total} ... " if total is not None else f"{label} ... ", end="")
        self._unfinished = label
        began = said = time.monotonic()
        done = 0
        for item in items:
            yield item
            done += 1
            now = time.monotonic()
            if now - said >= SECONDS_BETWEEN_LINES:
                said = now
                left = f"/{total}, left {duration((total - done) * (now - began) / done)}" if total else ""
                self._line(f"{label}: {done}{left}")
        seconds = duration(time.monotonic() - began)
        if self._unfinished == label:
            self._unfinished = None
            self._line(seconds)
        else:
            self._line(f"{label}: {done} in {seconds}")


def duration(seconds: float) -> str:
    """Seconds as a person says them: `6.1 s`, `3 min`, `2.5 h`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], *, lines: bool = False) -> Table:
    """A table of plain text; numbers stand to the right, floats with 2 decimals, None as `-`. `lines`: between rows."""
    drawn = Table(title=Text(title) if title else None, title_justify="left", show_lines=lines)
    for column in columns:
        drawn.add_column(Text(column))
    for row in rows:
        drawn.add_row(*(_cell(value) for value in row))
    return drawn


def _cell(value: Any) -> Text:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Text(f"{value:.2f}" if isinstance(value, float) else f"{value:,}", justify="right")
    return Text("-" if value is None else str(value))


def result_table(record: Mapping[str, Any]) -> Table:
    """The metrics of a record (result.json): a row a split and direction, in percent."""
    metrics = record.get("metrics") or {}
    rows = [
        (split, direction, *(_percent(metrics[split][direction].get(metric)) for metric in METRICS))
        for split in ("train", "val", "test")
        for direction in ("t2i", "i2t")
        if direction in metrics.get(split, {})
    ]
    title = f"{record.get('model')} on {record.get('dataset')}, seed {record.get('seed')}: percent"
    return table(title, ("split", "direction", *METRICS), rows)


def _percent(value: Any) -> float | None:
    return None if value is None else float(value)


def context_line(record: Mapping[str, Any]) -> str:
    """What the test R1 is to be read against: chance and, where the truth is known, the ceiling."""
    chance = ((record.get("chance") or {}).get("t2i") or {}).get("R1")
    known = {"chance": chance, "ceiling": record.get("ceiling")}
    said = ", ".join(f"{name} {value:.2f}" for name, value in known.items() if value is not None)
    return f"t2i R1 to compare with: {said}" if said else ""


def dry_run_tables(outcome: Mapping[str, Any]) -> list[Table]:
    """What a run would do: sizes of the model, of the data, and of the work."""
    towers = [(tower, counts["trained"], counts["frozen"]) for tower, counts in outcome.get("parameters", {}).items()]
    sizes = [
        (split, *(counts.get(key) for key in ("images", "captions", "identities"))) for split, counts in outcome.get("data", {}).items()
    ]
    work = [("GFLOPs a pair", _giga(outcome.get("flops_per_pair"))), *dict(outcome.get("estimate") or {}).items()]
    return [
        table("input", ("what", "value"), _items(outcome.get("input", {}))),
        table("parameters", ("tower", "trained", "frozen"), towers),
        table("data", ("split", "images", "captions", "identities"), sizes),
        table("work", ("what", "value"), work),
    ]


def check_tables(diagnosis: Diagnosis) -> list[RenderableType]:
    """What `data check` found: sizes beside the published ones, then the findings by severity, then the verdict."""
    found, published = diagnosis.sizes, diagnosis.official
    kinds = ("identities", "images", "captions")
    names = ("split", *kinds, *(f"published {kind}" for kind in kinds if published))
    rows = [
        (split, *(counts[kind] for kind in kinds), *(published.get(split, {}).get(kind) for kind in kinds if published))
        for split, counts in found.items()
    ]
    parts: list[RenderableType] = [table(diagnosis.dataset, names, rows)]
    columns = ("what was found", "what it does to results", "what to do")
    for severity, findings in diagnosis.graded():
        cells = [("\n".join((one.what, *(f"- {example}" for example in one.examples))), one.consequence, one.action) for one in findings]
        parts.append(table(f"{severity.title} ({len(cells)})", columns, cells, lines=True))
    return [*parts, *map(Text, _verdict(diagnosis))]


def _verdict(diagnosis: Diagnosis) -> list[str]:
    chosen = [f"{what}: {choice}" for what, choice in diagnosis.choices.items()]
    compared = [f"images compared with those of {', '.join(diagnosis.compared)}"] if diagnosis.compared else []
    meaning = ("clean: nothing found changes results", "usable, but something changes results", "cannot be used as it is")
    return [*chosen, *compared, f"{diagnosis.dataset}: {meaning[diagnosis.severity]} (exit code {int(diagnosis.severity)})"]


def _items(values: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in values.items()] if isinstance(values, Mapping) else [("", values)]


def _giga(count: Any) -> float | None:
    return None if count is None else count / 1e9
