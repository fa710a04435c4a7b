"""Which jobs can be started from the command line? One command per job, one module per group; each is thin."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Annotated, Any

import typer
from rich.logging import RichHandler

from station import __version__
from station.cli import calibrate, data, footage, ledger, limits, models, recipe, run, user
from station.cli.printing import err, out
from station.core.errors import StationError, UsageError

app = typer.Typer(
    name="station",
    help="Visual inspection station: a person confirms what the machine is unsure of; the evidence is kept.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for job in (run.demo, run.run, run.panel, run.replay, footage.diff, footage.tune, data.train, data.export):
    app.command()(job)
app.add_typer(footage.footage_app, name="footage")
app.add_typer(calibrate.calibrate_app, name="calibrate")
app.add_typer(recipe.recipe_app, name="recipe")
app.add_typer(models.models_app, name="models")
app.add_typer(ledger.ledger_app, name="ledger")
app.add_typer(limits.limits_app, name="limits")
app.add_typer(user.user_app, name="user")


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
