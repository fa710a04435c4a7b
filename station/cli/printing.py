"""What does a command print, and where? Words for people, JSON for machines, progress for who waits.

With ``--json -`` standard output is the machine's alone: what is meant for people goes to standard error.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from station.core.errors import UsageError

# No markup: a reason or a path may hold square brackets.
err = Console(stderr=True, markup=False)
out = Console(markup=False)

STEP_S = 0.1
"""A redraw per part would cost more than the part."""


def say(words: RenderableType, *, json_file: Path | None) -> None:
    """Prints for people; aside where standard output belongs to a machine."""
    (err if str(json_file) == "-" else out).print(words)


def write_json(json_file: Path | None, data: dict[str, Any]) -> None:
    """Writes the result for machines: nowhere, to standard output (``-``), or to a file, whole or not at all.

    Raises:
        UsageError: The file cannot be written.
    """
    if json_file is None:
        return
    words = json.dumps(data, indent=1)
    if str(json_file) == "-":
        print(words)
        return
    temporary = json_file.with_name(json_file.name + ".part")
    try:
        temporary.write_text(words + "\n", encoding="utf-8")
        temporary.replace(json_file)
    except OSError as error:
        raise UsageError(f"cannot write {json_file} ({error}): name another file with --json") from error


def report(json_file: Path | None, data: dict[str, Any]) -> None:
    """Prints a result that is JSON for people too, once, and writes it where asked."""
    if str(json_file) != "-":
        out.print_json(json.dumps(data))
    write_json(json_file, data)


@contextmanager
def counting(unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar that counts to ``total`` on a terminal's standard error; yields what to call with the count."""
    with Progress(
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    ) as bar:
        task = bar.add_task(unit, total=total)
        shown = 0.0

        def step(done: int) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown > STEP_S or done == total:
                shown = now
                bar.update(task, completed=done)

        yield step


@contextmanager
def sharing() -> Iterator[Callable[[str, float], None]]:
    """A bar that fills from 0 to 1; yields what to call with words and the share done."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), console=err
    ) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda words, share: bar.update(task, description=words, completed=share)


def shift_table(s: dict[str, Any]) -> Table:
    """A shift on the simulated line."""
    table = Table("shift summary", "", show_header=True)
    verdicts = ", ".join(f"{k} {v}" for k, v in sorted(s["verdicts"].items()))
    dispositions = ", ".join(f"{k} {v}" for k, v in sorted(s["dispositions"].items()))
    answers = ", ".join(f"{k} {v}" for k, v in sorted(s["answers"].items())) or "none"
    table.add_row("parts", f"{s['parts']} in {s['seconds']} s ({s['parts_per_s']} parts/s)")
    table.add_row("verdicts", verdicts)
    table.add_row("dispositions", dispositions)
    table.add_row("answers", answers)
    table.add_row("labels stored", str(s["labels"]))
    table.add_row("audits of passed parts", str(s["audits"]))
    table.add_row("escapes (truth known)", f"{s['released_defective']} of {s['defective_parts']} defective parts")
    table.add_row("overkill (truth known)", f"{s['stopped_good']} of {s['good_parts']} good parts")
    table.add_row("books", s["books"])
    return table


def replay_table(s: dict[str, Any]) -> Table:
    """What the station says to footage, measured where it is labelled."""
    table = Table("replay", "")
    table.add_row("recipe, model", f"{s['recipe']}, {s['model'] or 'no model: every part to review'}")
    table.add_row("parts", f"{s['parts']} ({s['parts_per_s']} parts/s)")
    table.add_row("verdicts", ", ".join(f"{k} {v}" for k, v in sorted(s["verdicts"].items())))
    known = s.get("labelled")
    if known:
        table.add_row("missed at the limits", f"{known['missed']} of {known['defective']} defective parts")
        table.add_row("overkill at the limits", f"{known['overkill']} of {known['good']} good parts")
        if "auroc" in known:
            table.add_row("AUROC", f"{known['auroc']:.4f}")
            table.add_row("overkill at 95 % detection", f"{known['overkill_at_95']:.1%}")
            table.add_row("overkill at 98 % detection", f"{known['overkill_at_98']:.1%}")
    return table
