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
    live = s.get("as_live")
    if live is not None:
        table.add_row("scores", f"{s['from_cache']} kept from before, {s['inspected']} inspected now")
        if live["compared"]:
            table.add_row("as recorded live", f"{live['compared']} verdicts compared, {live['differ']} differ")
        elif live["recorded"]:
            table.add_row("as recorded live", "not compared: recorded under other limits or another model")
        if s["disputed"]:
            table.add_row("truth disputed", f"{s['disputed']} parts, left out of the figures below")
    known = s.get("labelled")
    if known:
        table.add_row("missed at the limits", f"{known['missed']} of {known['defective']} defective parts")
        table.add_row("overkill at the limits", f"{known['overkill']} of {known['good']} good parts")
        if "auroc" in known:
            table.add_row("AUROC", f"{known['auroc']:.4f}")
            table.add_row("overkill at 95 % detection", f"{known['overkill_at_95']:.1%}")
            table.add_row("overkill at 98 % detection", f"{known['overkill_at_98']:.1%}")
    return table


def footage_table(s: dict[str, Any]) -> Table:
    """What a footage holds."""
    table = Table(f"footage {s['name']}", "")
    table.add_row("made", f"{s['made_at'][:19]} UTC by {s['by']} from {s['origin']} ({s['kind']})")
    if s["recipe"]:
        table.add_row("recipe, model", f"{s['recipe']}, {s['model'] or 'none'}")
    lots = f", {s['lots']} lots" if s["lots"] else ""
    unreadable = f", {s['unreadable']} without a usable picture" if s["unreadable"] else ""
    table.add_row("parts", f"{s['parts']} pictures of {s['units']} parts{lots}{unreadable}")
    classes = ", ".join(f"{c} {n}" for c, n in s["classes"].items())
    table.add_row("truth", f"{s['good']} good, {s['defective']} defective{f' ({classes})' if classes else ''}")
    table.add_row("not marked", str(s["unmarked"]))
    for key, said in s["disputes"].items():
        table.add_row("disputed", f"{key}: " + ", ".join(f"{who} says {what}" for who, what in said.items()))
    split = s["split"]
    if split is None:
        table.add_row("split", "none yet: 'station footage split'")
    else:
        for side in ("tuning", "sealed"):
            it = split[side]
            words = f"{it['parts']} pictures of {it['units']} parts, {it['defective_units']} defective"
            table.add_row(side, f"{words}; sha256 {it['sha256'][:12]}…")
        if split["nowhere"]:
            table.add_row("not dealt yet", f"{split['nowhere']}: 'station footage split' again")
        table.add_row("looks at the sealed set", str(s["looks"]))
    if "faults" in s:
        table.add_row("pictures checked", "all as recorded" if not s["faults"] else f"{len(s['faults'])} are NOT")
    return table


def diff_table(d: dict[str, Any]) -> Table:
    """What other limits change."""
    table = Table("other limits", "")
    table.add_row("parts that flip", f"{len(d['flips'])} of {d['parts']}")
    for words, count in d["counted"].items():
        table.add_row("", f"{count} × {words}")
    for name, words in (("review_load", "review load"), ("overkill", "overkill"), ("misses", "misses")):
        before, after = d[name]["before"], d[name]["after"]
        if before is None or after is None:
            table.add_row(words, "no labelled part to tell by")
        else:
            change = after["count"] - before["count"]
            table.add_row(
                words,
                f"{before['count']} of {before['of']} ({before['share']:.1%}) before, "
                f"{after['count']} of {after['of']} ({after['share']:.1%}) after ({change:+d})",
            )
    return table


def tune_table(t: dict[str, Any]) -> Table:
    """Limits proposed, what holds of them, and what does not."""
    table = Table("tune", "")
    for words in t["warnings"]:
        table.add_row("WARNING", words, style="bold yellow")
    table.add_row("footage, recipe, scores", f"{t['footage']}, {t['recipe']}, {t['model']}")
    for side, n in t["counts"].items():
        lots = f", {n['lots']} lots" if n["lots"] else ""
        table.add_row(side, f"{n['parts']} parts ({n['pictures']} pictures): {n['defective']} defective{lots}")
    for c in t["chosen"]:
        table.add_row("all classes" if c["class"] == "*" else c["class"], c["words"])
    for name, it in t["limits"].items():
        old, new = it["before"], it["proposed"]
        if old != new:
            table.add_row(f"{name}: pass_below", f"{old['pass_below']:.4g} -> {new['pass_below']:.4g}")
    for words in t["claims"]:
        table.add_row("sealed set", words)
    for name, it in t["sealed"].items():
        table.add_row(f"sealed set, {name.replace('_', ' ')}", f"{it['count']} of {it['of']} parts ({it['share']:.1%})")
    for it in t["assumptions"]:
        said = {True: "holds", False: "does NOT hold", None: "not known"}[it["holds"]]
        table.add_row(f"assumption: {it['name']}", f"{said}: {it['words']}")
    for words in t["missing"]:
        table.add_row("to prove it", words)
    return table


def limits_named_as(version: int | None) -> str:
    """What people call a version of limits."""
    return "the limits of the recipe file" if version is None else f"version {version}"


def limits_table(v: dict[str, Any]) -> Table:
    """One version of limits, whole, or those of the recipe file."""
    table = Table(f"limits of {v['recipe']}", f"version {v['id']}" if "id" in v else "the recipe file")
    table.add_row("model", v["model"] or "none")
    for name in ("standing", "made_by", "made_at", "reason"):
        if name in v:
            table.add_row(
                name.replace("_", " "), str(v[name]).replace("_", " ") if name == "standing" else str(v[name])
            )
    if v.get("base") is not None or "id" in v:
        table.add_row("derived from", limits_named_as(v["base"]))
    for label, it in ((v["limits"] or {}).get("classes") or {}).items():
        least = [f", least {it[f]:g} {unit}" for f, unit in (("min_area_px", "px"), ("min_area_mm2", "mm2")) if it[f]]
        table.add_row(label, f"pass below {it['pass_below']:g}, fail above {it['fail_above']:g}{''.join(least)}")
    for region in (v["limits"] or {}).get("ignore") or ():
        table.add_row("ignored", f"{region['xyxy']} for {', '.join(region['classes']) or 'all'}: {region['why']}")
    if v.get("words"):
        table.add_row("cannot be read", v["words"])
    if "id" in v:
        table.add_row("decision diff", "none" if v["diff"] is None else _flips(v["diff"]))
        claims = "none" if v["certificate"] is None else f"issued {v['certificate'].get('issued_at', '')[:16]}"
        table.add_row("certificate", claims)
        if v["needs_approval"]:
            table.add_row("to activate it", "another person has to approve it first: it widens automatic release")
        for e in v["events"]:
            said = e["kind"].replace("_", " ")
            table.add_row(e["at"][:19], f"{said} by {e['person']} ({e['via']}): {e['reason']}")
    return table


def _flips(diff: dict[str, Any]) -> str:
    flips = diff.get("flips")
    many = f"{len(flips)} flips" if isinstance(flips, list) else "attached"
    return f"{many} on footage {diff['footage']}" if diff.get("footage") else many
