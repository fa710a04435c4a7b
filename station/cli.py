"""Which jobs can be started from the command line? One command per job; each is thin."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from station import __version__
from station.config import CameraSource, FootageSource, SimulatorSource, StationConfig, load_config
from station.core.errors import StationError, UsageError

err = Console(stderr=True)
out = Console()

app = typer.Typer(
    name="station",
    help="Visual inspection station: a person confirms what the machine is unsure of; the evidence is kept.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
models_app = typer.Typer(help="List and check the models.", no_args_is_help=True, rich_markup_mode=None)
ledger_app = typer.Typer(help="Look into the ledger and check its books.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(models_app, name="models")
app.add_typer(ledger_app, name="ledger")

ConfigOption = Annotated[Path | None, typer.Option("--config", help="Station configuration (default: station.toml).")]
RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="Recipe under calibration/recipes/.")]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="Write the result for machines; '-' is standard output.")
]
DbOption = Annotated[Path | None, typer.Option("--db", help="Ledger file (default: var/ledger.db).")]


class ExportForm(StrEnum):
    """Formats of ``station export``."""

    COCO = "coco"
    YOLO = "yolo"
    FOLDER = "folder"
    CSV = "csv"


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(message)s",
        handlers=[RichHandler(console=err, show_path=False)],
        force=True,
    )
    if version:
        out.print(f"inspection-station {__version__}")
        raise typer.Exit


@app.command()
def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No panel; a simulated inspector answers.")] = False,
    parts: Annotated[int | None, typer.Option(min=1, help="End after so many parts (default: go on).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated line.")] = 1,
    db: DbOption = None,
    port: Annotated[int, typer.Option(help="Port of the panel on 127.0.0.1.")] = 7860,
    json_file: JsonOption = None,
) -> None:
    """Run the simulated line: with the panel, or headless with a simulated inspector.

    Examples:

      station demo

      station demo --headless --parts 50 --seed 1
    """
    from station.demo import run_headless, run_with_panel

    config = _config(None, db)
    if headless:
        source = SimulatorSource(seed=seed, parts=parts or 50, frames_per_s=0)
        with _progress("parts", parts or 50) as step:
            summary = run_headless(config.model_copy(update={"source": source}), progress=step)
        _print_shift(summary.to_dict())
        _write_json(json_file, summary.to_dict())
        if not summary.sound:
            raise StationError("the ledger has faults: " + "; ".join(summary.faults_in_books))
        return
    source = SimulatorSource(seed=seed, parts=parts, frames_per_s=30)
    panel = config.panel.model_copy(update={"port": port})
    err.print(f"Panel on http://{panel.host}:{panel.port} – Ctrl-C ends the demo")
    run_with_panel(config.model_copy(update={"source": source, "panel": panel}))


@app.command()
def run(
    recipe: RecipeOption,
    source: Annotated[
        str | None, typer.Option(help="simulator, a camera (device number or stream URL), a video or a folder.")
    ] = None,
    db: DbOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Run the inspection loop until Ctrl-C; 'station panel' beside it shows what waits.

    Examples:

      station run --recipe demo-disc --source simulator

      station run --recipe bolt --source 0
    """
    from station.demo import run_loop

    config = _config(config_file, db)
    if source is not None:
        config = config.model_copy(update={"source": _source(source)})
    run_loop(config, recipe)


@app.command()
def panel(
    db: DbOption = None,
    port: Annotated[int | None, typer.Option(help="Port on 127.0.0.1 (default: 7860).")] = None,
    config_file: ConfigOption = None,
) -> None:
    """Serve the panel alone, beside a running loop.

    Example:

      station panel --port 7860
    """
    from station.panel.app import serve

    config = _config(config_file, db)
    if port is not None:
        config = config.model_copy(update={"panel": config.panel.model_copy(update={"port": port})})
    serve(config)


@app.command()
def replay(
    source: Annotated[Path, typer.Argument(help="Video, image folder, or folder with index.csv.")],
    recipe: RecipeOption,
    json_file: JsonOption = None,
    db: DbOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Send footage through the station's own loop; with labels, measure it.

    Examples:

      station replay footage.mp4 --recipe bolt --json out.json

      station replay tiles/ --recipe magnetic-tile --json out.json --db var/tiles.db
    """
    from station.replay import replay as run_replay

    with _progress("parts", None) as step:
        result = run_replay(source, load_config(config_file), recipe, database=db, progress=lambda n: step(n))
    _print_replay(result.summary())
    _write_json(json_file, result.to_dict())


@app.command()
def train(
    recipe: RecipeOption,
    data: Annotated[
        Path | None, typer.Option(help="Folder with index.csv, images and masks; none: simulated parts.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="Model folder to write (default: the recipe's model).")
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.05, help="Bound for cross-validation and final model together.")
    ] = 38.0,
    folds: Annotated[
        int, typer.Option(min=2, help="Cross-validation folds, split by part; trained side by side, one per core.")
    ] = 4,
    seed: Annotated[int, typer.Option(help="Seed of splits and weights.")] = 0,
    simulated_parts: Annotated[int, typer.Option(min=8, help="How many parts to render without --data.")] = 1200,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Train a model from scratch and write it with its card; needs the extra 'train'.

    Examples:

      station train --recipe demo-disc

      station train --recipe magnetic-tile --data tiles/
    """
    try:
        from station.training.fit import train as fit
    except ImportError as error:
        raise UsageError(f"training needs more packages ({error}): pip install 'inspection-station[train]'") from error
    from station.recipe import load_recipe

    config = load_config(config_file)
    chosen = load_recipe(recipe, config.recipes)
    target = to or config.models / (chosen.model or f"{chosen.name}/1")
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=err
    ) as bar:
        task = bar.add_task("starting", total=1.0)
        report = fit(
            data,
            recipe_name=chosen.name,
            classes=chosen.class_names,
            out=target,
            minutes=minutes,
            seed=seed,
            folds=folds,
            simulated_parts=simulated_parts,
            progress=lambda words, share: bar.update(task, description=words, completed=share),
        )
    result = report.to_dict()
    out.print_json(json.dumps(result))
    _write_json(json_file, result)


@app.command()
def export(
    target: Annotated[Path, typer.Argument(help="Folder to write; a former export there is replaced.")],
    form: Annotated[ExportForm, typer.Option("--format", help="Format of the data set.")] = ExportForm.COCO,
    db: DbOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the split into train, val and test.")] = 0,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Write the confirmed samples as a data set with its manifest.

    Examples:

      station export dataset/ --format coco

      station export dataset/ --format yolo --db var/ledger.db
    """
    from station.export import ExportFormat, export_samples

    config = _config(config_file, db)
    with _progress("samples", None) as step:
        report = export_samples(
            config.store.database,
            target,
            form=ExportFormat(form.value),
            images=config.store.folder / "images",
            seed=seed,
            progress=step,
        )
    out.print_json(json.dumps(report.to_dict()))
    _write_json(json_file, report.to_dict())


@models_app.command("list")
def models_list(json_file: JsonOption = None, config_file: ConfigOption = None) -> None:
    """List the models, refused ones with the reason.

    Example:

      station models list
    """
    from station.registry import ModelRegistry

    found = ModelRegistry(load_config(config_file).models).list()
    table = Table("model", "classes", "sha256", "standing")
    rows = []
    for entry in found:
        card = entry.card
        rows.append(
            {
                "model": f"{entry.name}/{entry.version}",
                "classes": list(card.head.classes) if card else [],
                "sha256": card.sha256 if card else None,
                "refused": entry.refused,
            }
        )
        table.add_row(
            f"{entry.name}/{entry.version}",
            ", ".join(card.head.classes) if card else "",
            card.sha256[:12] if card else "",
            entry.refused or "good",
        )
    out.print(table)
    _write_json(json_file, {"models": rows})


@models_app.command("verify")
def models_verify(
    model: Annotated[str, typer.Argument(help="<name>/<version>")],
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Check a model: card, hash, graph and parity pictures; exit 1 where it is refused.

    Example:

      station models verify demo-disc/1
    """
    from station.detector.onnx import OnnxDetector
    from station.registry import ModelRegistry

    detector = OnnxDetector(ModelRegistry(load_config(config_file).models).open(model))
    out.print(f"{detector.model}: good, sha256 {detector.model.sha256}")
    _write_json(json_file, {"model": str(detector.model), "sha256": detector.model.sha256, "good": True})


@ledger_app.command("check")
def ledger_check(
    db: DbOption = None,
    journal: Annotated[Path | None, typer.Option(help="Journal of the simulated line to compare with.")] = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Check the books; exit 1 where anything is wrong.

    triggered = disposed + on the way + waiting; every release has a pass or a person's answer; every label
    has its crop; every picture is on disk.

    Example:

      station ledger check --db var/ledger.db
    """
    from station.audit import check_station

    config = _config(config_file, db)
    result = check_station(config, journal=journal)
    out.print(str(result.books))
    for fault in result.faults:
        err.print(f"FAULT  {fault}")
    _write_json(json_file, {"books": str(result.books), "good": not result.faults, "faults": list(result.faults)})
    if result.faults:
        raise typer.Exit(1)
    out.print("the ledger is sound")


@ledger_app.command("show")
def ledger_show(
    limit: Annotated[int, typer.Option(min=1, help="How many parts, newest first.")] = 20,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Show the newest parts with verdict, reason and disposition.

    Example:

      station ledger show --limit 5
    """
    from station.audit import newest_parts

    parts = newest_parts(_config(config_file, db), limit=limit)
    table = Table("part", "time (UTC)", "verdict", "disposition", "reason")
    for p in parts:
        table.add_row(p.part_id, p.triggered_at[:19], p.evaluation, p.disposition, p.reason)
    out.print(table)
    _write_json(
        json_file,
        {
            "parts": [
                {
                    "part_id": p.part_id,
                    "triggered_at": p.triggered_at,
                    "verdict": p.evaluation,
                    "reason": p.reason,
                    "score": p.score,
                    "scores": dict(p.scores),
                    "disposition": p.disposition,
                    "audit": p.audit,
                }
                for p in parts
            ]
        },
    )


def main() -> None:
    """Runs the command line: errors in plain words and an exit code other than 0."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except StationError as error:
        err.print(f"error: {error}", style="bold red", markup=False, highlight=False)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _terminated(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def _config(path: Path | None, db: Path | None) -> StationConfig:
    config = load_config(path)
    if db is None:
        return config
    store = config.store.model_copy(update={"folder": db.resolve().parent, "file": db.name})
    return config.model_copy(update={"store": store})


def _source(words: str) -> SimulatorSource | CameraSource | FootageSource:
    if words == "simulator":
        return SimulatorSource()
    if words.isdigit() or "://" in words or words.startswith("/dev/"):
        return CameraSource(address=words)
    if Path(words).exists():
        return FootageSource(path=Path(words))
    raise UsageError(f"{words!r} is no source: name 'simulator', a camera (0, rtsp://…), a video file or a folder")


@contextmanager
def _progress(unit: str, total: int | None) -> Iterator[Callable[[int], None]]:
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
        shown = [0.0]

        def step(done: int) -> None:
            # A redraw per part would cost more than the part.
            now = time.monotonic()
            if now - shown[0] > 0.1 or done == total:
                shown[0] = now
                bar.update(task, completed=done)

        yield step


def _write_json(path: Path | None, data: dict[str, Any]) -> None:
    if path is None:
        return
    words = json.dumps(data, indent=1)
    if str(path) == "-":
        print(words)
        return
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(words + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error}") from error


def _print_shift(s: dict[str, Any]) -> None:
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
    out.print(table)


def _print_replay(s: dict[str, Any]) -> None:
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
    out.print(table)
