"""How is a station set to work? The demo, a real line, its panel, and footage through the same loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.cli.options import (
    ConfigOption,
    DbOption,
    JsonOption,
    RecipeOption,
    source_named,
    station_config,
    with_port,
)
from station.cli.printing import counting, err, replay_table, say, shift_table, write_json
from station.config import SimulatorSource, load_config
from station.core.errors import StationError, UsageError

HEADLESS_PARTS = 50

PortOption = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="Port of the panel on 127.0.0.1 (default: panel.port, 7860 unless set)."),
]


def demo(
    headless: Annotated[bool, typer.Option("--headless", help="No panel; two simulated inspectors answer.")] = False,
    parts: Annotated[
        int | None, typer.Option(min=1, help=f"End after so many parts (default: go on; headless: {HEADLESS_PARTS}).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated line.")] = 1,
    db: DbOption = None,
    port: PortOption = None,
    json_file: JsonOption = None,
) -> None:
    """Run the simulated line: with the panel, or headless with two simulated inspectors.

    Examples:

      station demo

      station demo --headless --parts 50 --seed 1
    """
    from station.demo import run_headless, run_with_panel

    config = station_config(None, db)
    if headless:
        parts = parts or HEADLESS_PARTS
        source = SimulatorSource(seed=seed, parts=parts, frames_per_s=0)
        with counting("parts", parts) as step:
            summary = run_headless(config.model_copy(update={"source": source}), progress=step)
        say(shift_table(summary.to_dict()), json_file=json_file)
        write_json(json_file, summary.to_dict())
        if not summary.sound:
            raise StationError("the ledger has faults: " + "; ".join(summary.faults_in_books))
        return
    if json_file is not None:
        raise UsageError("--json writes the summary of a shift without panel: give --headless as well, or leave it out")
    source = SimulatorSource(seed=seed, parts=parts, frames_per_s=30)
    config = with_port(config, port)
    err.print(f"Panel on http://{config.panel.host}:{config.panel.port} – Ctrl-C ends the demo")
    run_with_panel(config.model_copy(update={"source": source}))


def run(
    recipe: RecipeOption,
    source: Annotated[
        str | None, typer.Option(help="simulator, a camera (device number or stream URL), a video or a folder.")
    ] = None,
    record: Annotated[
        str | None, typer.Option(help="Record every part as footage of this name; the line never waits for it.")
    ] = None,
    db: DbOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Run the inspection loop until Ctrl-C; 'station panel' beside it shows what waits.

    Examples:

      station run --recipe demo-disc --source simulator

      station run --recipe demo-disc --source simulator --record shift-12

      station run --recipe bolt --source 0
    """
    from station.run import run_loop

    config = station_config(config_file, db)
    if source is not None:
        config = config.model_copy(update={"source": source_named(source)})
    run_loop(config, recipe, record=record)


def panel(db: DbOption = None, port: PortOption = None, config_file: ConfigOption = None) -> None:
    """Serve the panel alone, beside a running loop.

    Example:

      station panel --port 7860
    """
    from station.panel.app import serve

    serve(with_port(station_config(config_file, db), port))


def replay(
    source: Annotated[Path, typer.Argument(help="Footage (name or folder), video, image folder, or index.csv folder.")],
    recipe: RecipeOption,
    json_file: JsonOption = None,
    db: Annotated[
        Path | None,
        typer.Option("--db", help="Keep the ledger in this file, its pictures beside it (default: thrown away)."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Worker processes (default: one per core); with --db it is one loop.")
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """Send material through the station's own eyes and inspector, on all cores; with labels, measure it.

    Scores of a footage are kept: a second replay, under other limits, asks the model nothing.

    Examples:

      station replay footage.mp4 --recipe bolt --json out.json

      station replay tiles/ --recipe magnetic-tile --json out.json --db var/tiles.db

      station replay shift-12 --recipe demo-disc --jobs 4
    """
    from station.replay import found_at
    from station.replay import replay as run_replay

    config = load_config(config_file)
    path, total = found_at(source, config)
    with counting("parts", total) as step:
        result = run_replay(path, config, recipe, database=db, jobs=jobs, progress=step)
    say(replay_table(result.summary()), json_file=json_file)
    if json_file is not None:
        write_json(json_file, result.to_dict())
