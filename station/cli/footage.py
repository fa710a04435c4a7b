"""How is footage brought in, marked, split, and used to choose limits? One command per job."""

from __future__ import annotations

import getpass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from station.cli.options import ConfigOption, JsonOption, RecipeOption
from station.cli.printing import counting, diff_table, footage_table, say, tune_table, write_json
from station.config import load_config
from station.core.errors import StationError, UsageError
from station.core.timing import SystemClock

footage_app = typer.Typer(
    help="Bring in footage, mark what is true, split it.", no_args_is_help=True, rich_markup_mode=None
)

FootageArgument = Annotated[str, typer.Argument(metavar="FOOTAGE", help="Name of a footage, or its folder.")]
JobsOption = Annotated[int | None, typer.Option(min=1, help="Worker processes (default: one per core).")]


class SplitBy(StrEnum):
    """What ``station footage split`` deals as one."""

    PART = "part"
    LOT = "lot"


@footage_app.command("import")
def footage_import(
    source: Annotated[Path, typer.Argument(help="Folder, folder with index.csv, COCO or YOLO set, or video.")],
    name: Annotated[str, typer.Option(help="Name of the footage; an import that was cut off goes on.")],
    recipe: Annotated[
        str | None, typer.Option("--recipe", "-r", help="For a video: whose trigger says which frame shows a part.")
    ] = None,
    person: Annotated[str | None, typer.Option(help="Who brings it in (default: the system's user).")] = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Bring pictures (byte for byte) or the parts of a video in as footage.

    Examples:

      station footage import tiles/ --name tiles

      station footage import shift.mp4 --name shift --recipe demo-disc
    """
    from station.footage_import import import_footage

    config = load_config(config_file)
    with counting("parts", None) as step:
        done = import_footage(
            source, name, config, recipe_name=recipe, by=person or getpass.getuser(), clock=SystemClock(), progress=step
        )
    words = f"{done.kind}: {done.added} parts added to {config.footage / name}"
    extra = [
        f"{count} {what}"
        for count, what in (
            (done.there, "were there already"),
            (done.marked, "are labelled"),
            (done.unreadable, "cannot be read and are kept with their fault"),
        )
        if count
    ]
    say("; ".join([words, *extra]), json_file=json_file)
    names = ("kind", "added", "there", "marked", "unreadable")
    write_json(json_file, {name: getattr(done, name) for name in names})


@footage_app.command("list")
def footage_list(json_file: JsonOption = None, config_file: ConfigOption = None) -> None:
    """List the footage.

    Example:

      station footage list
    """
    from station.footage.book import names_in
    from station.footage.overview import overview

    root = load_config(config_file).footage
    table = Table("footage", "parts", "defective", "good", "disputed", "made", "from")
    rows = []
    for name in names_in(root):
        try:
            row = overview(root / name)
        except UsageError as error:
            row = {"name": name, "refused": str(error)}
            table.add_row(name, "", "", "", "", "", str(error))
        else:
            table.add_row(
                name,
                str(row["parts"]),
                str(row["defective"]),
                str(row["good"]),
                str(row["disputed"]),
                row["made_at"][:16],
                row["origin"],
            )
        rows.append(row)
    say(table, json_file=json_file)
    write_json(json_file, {"footage": rows})


@footage_app.command("show")
def footage_show(
    footage: FootageArgument,
    check: Annotated[bool, typer.Option("--check", help="Read every picture and hold it against the book.")] = False,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Show what a footage holds, its truth and its split; exit 1 where --check finds a picture changed.

    Examples:

      station footage show tiles

      station footage show tiles --check
    """
    from station.footage.book import find
    from station.footage.overview import overview

    found = find(footage, load_config(config_file).footage)
    row = overview(found.folder)
    if check:
        with counting("pictures", len(found.parts)) as step:
            row["faults"] = found.faults(step)
    say(footage_table(row), json_file=json_file)
    write_json(json_file, row)
    if row.get("faults"):
        raise StationError(f"{len(row['faults'])} pictures are not what they were: {'; '.join(row['faults'][:5])}")


@footage_app.command("mark")
def footage_mark(
    footage: FootageArgument,
    part: Annotated[str, typer.Argument(help="Key of the part: its part id, or its picture's path.")],
    truth: Annotated[str, typer.Argument(help="'ok' or the class of its worst defect.")],
    person: Annotated[str, typer.Option(help="Who says so.")],
    box: Annotated[
        list[str] | None, typer.Option(help="Where, in part pixels: CLASS:x0,y0,x1,y1; may be given several times.")
    ] = None,
    note: Annotated[str | None, typer.Option(help="Free words.")] = None,
    settle: Annotated[bool, typer.Option("--settle", help="Decide what people disagree on; needs --note.")] = False,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Refuse a class that it does not name.")] = None,
    config_file: ConfigOption = None,
) -> None:
    """Write down what is true of a part; nothing that was said before is lost.

    Examples:

      station footage mark tiles images/t1.jpg crack --person Mia --box crack:10,20,60,45

      station footage mark tiles images/t1.jpg ok --person Joe --settle --note "a hair, gone after cleaning"
    """
    from station.footage.book import find
    from station.footage.truth import mark, now_mark, parse_box, truths
    from station.recipe import load_recipe

    config = load_config(config_file)
    found = find(footage, config.footage)
    classes = load_recipe(recipe, config.recipes).class_names if recipe else None
    boxes = tuple(parse_box(words) for words in box or ())
    at = SystemClock().now()
    mark(found, [now_mark(part, truth, person=person, at=at, boxes=boxes, note=note, settles=settle)], classes=classes)
    disputed = truths(found).disputed.get(part)
    if disputed:
        said = ", ".join(f"{it.person}: {it.truth}" for it in disputed)
        say(f"{part} is disputed and counts in no figure until someone settles it ({said})", json_file=None)
    else:
        say(f"{part}: {truth}", json_file=None)


@footage_app.command("split")
def footage_split(
    footage: FootageArgument,
    sealed: Annotated[float, typer.Option(help="Share that is sealed for certification.")] = 0.5,
    by: Annotated[SplitBy, typer.Option(help="What is dealt as one.")] = SplitBy.PART,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Deal the parts into a tuning set and a sealed certification set.

    Example:

      station footage split tiles --sealed 0.5 --by part
    """
    from station.footage.book import find
    from station.footage.overview import overview
    from station.footage.split import deal

    found = find(footage, load_config(config_file).footage)
    deal(found, seed=seed, sealed_share=sealed, by=by.value)
    row = overview(found.folder)
    say(footage_table(row), json_file=json_file)
    write_json(json_file, row)


def diff(
    footage: FootageArgument,
    recipe: RecipeOption,
    limit: Annotated[
        list[str] | None, typer.Option(help="CLASS=pass_below[:fail_above] instead of the recipe's; several times.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="Another recipe with the same model: its limits, sizes, regions instead."),
    ] = None,
    jobs: JobsOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Say which parts of a footage flip under other limits, and what that changes.

    Examples:

      station diff tiles --recipe magnetic-tile --limit crack=0.3:0.9 --limit fray=0.6

      station diff tiles --recipe magnetic-tile --against magnetic-tile-strict --json diff.json
    """
    from station.compare import compare

    with counting("parts", None) as step:
        result = compare(
            footage, recipe, load_config(config_file), changes=limit or (), against=against, jobs=jobs, progress=step
        )
    say(diff_table(result), json_file=json_file)
    write_json(json_file, result)


def tune(
    footage: FootageArgument,
    recipe: RecipeOption,
    miss: Annotated[float, typer.Option(help="Miss rate to promise.")] = 0.01,
    confidence: Annotated[float, typer.Option(help="How sure the promise shall be, for all limits together.")] = 0.95,
    per_class: Annotated[bool, typer.Option("--per-class", help="A limit for each class from its own parts.")] = False,
    scores: Annotated[
        Path | None, typer.Option(help="CSV with part, label and class scores, such as a model's out-of-fold.csv.")
    ] = None,
    certify: Annotated[bool, typer.Option(help="Open the sealed set; every other question is another look.")] = True,
    person: Annotated[str | None, typer.Option(help="Who looks (default: the system's user).")] = None,
    why: Annotated[str, typer.Option(help="Why, for the record of looks.")] = "tune",
    jobs: JobsOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Choose pass_below on the tuning set, certify it on the sealed set, and say what the footage cannot prove.

    Examples:

      station tune shift-12 --recipe demo-disc --miss 0.01 --confidence 0.95 --json tune.json

      station tune tiles --recipe magnetic-tile --scores models/magnetic-tile/1/out-of-fold.csv

      station tune tiles --recipe magnetic-tile --per-class --no-certify
    """
    from station.tune import tune as run_tune

    with counting("parts", None) as step:
        result = run_tune(
            footage,
            recipe,
            load_config(config_file),
            miss=miss,
            confidence=confidence,
            now=SystemClock().now(),
            person=person or getpass.getuser(),
            why=why,
            scores=scores,
            per_class=per_class,
            certify=certify,
            jobs=jobs,
            progress=step,
        )
    say(tune_table(result.to_dict()), json_file=json_file)
    write_json(json_file, result.to_dict())
