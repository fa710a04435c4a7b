"""Who put which limits in force, and why? Draft, compare, approve, activate and roll back limits from the shell."""

from __future__ import annotations

import getpass
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from station.cli.options import ConfigOption, DbOption, JsonOption, RecipeOption, station_config
from station.cli.printing import limits_named_as, limits_table, say, write_json

limits_app = typer.Typer(
    help="Limits as versions: draft, compare, approve by a second person, activate, roll back.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

VersionArgument = Annotated[int, typer.Argument(min=1, help="Number of the version.")]
WhichArgument = Annotated[str, typer.Argument(help="Number of the version, or 'file' for the recipe file.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why, in words: an auditor will ask.")]
PersonOption = Annotated[str | None, typer.Option("--person", help="Who does it (default: the system's user).")]
OneRecipeOption = Annotated[
    str | None, typer.Option("--recipe", "-r", help="Recipe under calibration/recipes/ (needed for 'file').")
]


@limits_app.command("list")
def limits_list(
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Of one recipe (default: of all).")] = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """List the versions of a recipe's limits, newest first, with what is in force.

    Examples:

      station limits list

      station limits list --recipe magnetic-tile
    """
    from station.limits_writer import known_recipes, limits_overview

    config = station_config(config_file, db)
    found = [limits_overview(config, name) for name in ([recipe] if recipe else known_recipes(config))]
    table = Table("recipe", "version", "standing", "made (UTC)", "by", "approved by", "widens", "reason")
    for it in found:
        for v in it["versions"]:
            table.add_row(
                it["recipe"],
                str(v["id"]),
                v["standing"].replace("_", " "),
                v["made_at"][:16],
                v["made_by"],
                ", ".join(v["approved_by"]),
                "yes" if v["widens"] else "no",
                v["reason"],
            )
        standing = "in force" if it["in_force"] is None else ""
        table.add_row(it["recipe"], "file", standing, "", "", "", "", "as in the recipe file")
    say(table if found else "no limits were ever drafted here: station limits draft", json_file=json_file)
    write_json(json_file, {"recipes": found})


@limits_app.command("show")
def limits_show(
    which: WhichArgument,
    recipe: OneRecipeOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Show one version whole: its limits, what it promises, and what was done with it by whom.

    Examples:

      station limits show 3

      station limits show file --recipe magnetic-tile
    """
    from station.core.errors import LimitsRefused
    from station.limits_writer import limits_overview, named_by, version_named

    config = station_config(config_file, db)
    number = version_named(which)
    it = limits_overview(config, recipe or named_by(config, number))
    if number is None:
        shown = {"recipe": it["recipe"], "model": it["model"], "limits": it["file"], "words": it["file_words"]}
    else:
        found = [v for v in it["versions"] if v["id"] == number]
        if not found:
            raise LimitsRefused("unknown", f"recipe {it['recipe']} has no version {number}: see 'station limits list'")
        shown = found[0]
    say(limits_table(shown), json_file=json_file)
    write_json(json_file, shown)


@limits_app.command("diff")
def limits_diff(
    a: WhichArgument,
    b: WhichArgument,
    recipe: OneRecipeOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Say word by word in what two versions differ, and what of it may release more.

    Examples:

      station limits diff 2 3

      station limits diff file 3
    """
    from station.limits_view import compared
    from station.limits_writer import limits_named, named_by, version_named
    from station.recipe import load_recipe

    config = station_config(config_file, db)
    number = version_named(a) or version_named(b)
    product = load_recipe(recipe or named_by(config, number), config.recipes)
    before, after = (limits_named(config, product, name)[0] for name in (a, b))
    result = compared(before, after)
    table = Table(f"from {a} to {b}", "")
    for change in result["changes"]:
        table.add_row(
            change["words"], "widens" if change["widens"] else "", style="yellow" if change["widens"] else None
        )
    say(table if result["changes"] else f"{a} and {b} are the same limits", json_file=json_file)
    write_json(json_file, result)


@limits_app.command("draft")
def limits_draft(
    recipe: RecipeOption,
    reason: ReasonOption,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="CLASS.FIELD=VALUE, such as scratch.pass_below=0.35; may be given several times."),
    ] = None,
    source: Annotated[
        Path | None, typer.Option("--from", help="JSON of 'station tune --json', or {class: {pass_below, fail_above}}.")
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="Version it is derived from, or 'file' (default: what is in force; a report: the file)."),
    ] = None,
    diff: Annotated[
        Path | None, typer.Option("--diff", help="JSON of 'station diff --json': what flips on which footage.")
    ] = None,
    person: PersonOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Write limits down as a new version; nothing is in force by that.

    Examples:

      station limits draft --recipe magnetic-tile --set crack.pass_below=0.35 --reason "fewer false cracks"

      station limits draft --recipe magnetic-tile --from tune.json --reason "tuned on line 4" --person Eva
    """
    from station.core.errors import UsageError
    from station.limits import with_changes
    from station.limits_writer import FILE, Proposal, limits_named, proposed, read_json
    from station.recipe import load_recipe

    if not changes and source is None:
        raise UsageError("say which limits: --set CLASS.FIELD=VALUE, or --from FILE")
    config = station_config(config_file, db)
    product = load_recipe(recipe, config.recipes)
    data = None if source is None else read_json(source)
    if data is not None and "chosen" in data:
        # What was tuned and promised are these very limits with those changes.
        base = base or (FILE if data.get("base") is None else str(data["base"]))
    onto, number = limits_named(config, product, base)
    it = Proposal(onto) if data is None else proposed(data, onto, product.name)
    given: dict[str, Any] = {
        "base": number,
        "limits": with_changes(it.limits, changes or ()).to_dict(),
        "diff": read_json(diff) if diff is not None else it.diff,
        # A promise holds for the limits it was made for, and with changes these are others.
        "certificate": None if changes else it.certificate,
    }
    _act("draft", given, person, reason, product.name, db, config_file, json_file)


@limits_app.command("approve")
def limits_approve(
    version: VersionArgument,
    reason: ReasonOption,
    person: PersonOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Approve a version that somebody else has made.

    Example:

      station limits approve 3 --person Ada --reason "the flips are all good parts"
    """
    _act("approve", {"version": version}, person, reason, None, db, config_file, json_file)


@limits_app.command("withdraw")
def limits_withdraw(
    version: VersionArgument,
    reason: ReasonOption,
    person: PersonOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Take a version out of use for good.

    Example:

      station limits withdraw 3 --reason "tuned on the wrong lot"
    """
    _act("withdraw", {"version": version}, person, reason, None, db, config_file, json_file)


@limits_app.command("activate")
def limits_activate(
    which: WhichArgument,
    reason: ReasonOption,
    without_diff: Annotated[
        str | None, typer.Option(help="Why nobody looked at what flips, where the version has no diff.")
    ] = None,
    recipe: OneRecipeOption = None,
    person: PersonOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Put a version in force: from the next part on where a loop runs, otherwise from its next start on.

    Examples:

      station limits activate 3 --reason "approved on 21 November"

      station limits activate 3 --reason "stricter at once" --without-diff "a customer complained"
    """
    from station.limits_writer import version_named

    given = {"version": version_named(which), "without_diff": without_diff}
    _act("activate", given, person, reason, recipe, db, config_file, json_file)


@limits_app.command("rollback")
def limits_rollback(
    recipe: RecipeOption,
    reason: ReasonOption,
    person: PersonOption = None,
    db: DbOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Go one step back: to the limits that were in force before the newest activation. Always allowed.

    Example:

      station limits rollback --recipe magnetic-tile --reason "false cracks are back"
    """
    _act("rollback", {}, person, reason, recipe, db, config_file, json_file)


def _act(
    what: str,
    given: dict[str, Any],
    person: str | None,
    reason: str,
    recipe: str | None,
    db: Path | None,
    config_file: Path | None,
    json_file: Path | None,
) -> None:
    from station.limits_writer import act_on_limits
    from station.store.limits import COMMAND_LINE, Act

    act = Act(uuid.uuid4().hex, person or getpass.getuser(), reason, COMMAND_LINE)
    done = act_on_limits(station_config(config_file, db), what, act, given, recipe=recipe)
    about, now = (limits_named_as(done[name]) for name in ("version", "in_force"))
    said = {"draft": "drafted", "approve": "approved", "withdraw": "withdrawn"}.get(what)
    say(f"{about} is {said}; in force: {now}" if said else f"in force: {now}", json_file=json_file)
    write_json(json_file, done)
