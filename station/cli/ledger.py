"""What is in the ledger, and do its books add up?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from station.cli.options import ConfigOption, DbOption, JsonOption, station_config
from station.cli.printing import err, say, write_json

ledger_app = typer.Typer(help="Look into the ledger and check its books.", no_args_is_help=True, rich_markup_mode=None)


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

    config = station_config(config_file, db)
    result = check_station(config, journal=journal)
    books = str(result.books or "the books cannot be counted")
    say(books, json_file=json_file)
    for fault in result.faults:
        err.print(f"FAULT  {fault}")
    write_json(json_file, {"books": books, "good": not result.faults, "faults": list(result.faults)})
    if result.faults:
        raise typer.Exit(1)
    say("the ledger is sound", json_file=json_file)


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

    parts = newest_parts(station_config(config_file, db), limit=limit)
    table = Table("part", "time (UTC)", "verdict", "disposition", "reason")
    for p in parts:
        table.add_row(p.part_id, p.triggered_at[:19], p.evaluation, p.disposition, p.reason)
    say(table, json_file=json_file)
    write_json(
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
