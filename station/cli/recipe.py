"""How does a new product come to the station, and is its recipe in order? Propose, teach, list, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from station.cli.options import ConfigOption, JsonOption
from station.cli.printing import say, sharing, write_json
from station.config import load_config
from station.core.timing import SystemClock

recipe_app = typer.Typer(
    help="Bring a new product to the station; list and check recipes.", no_args_is_help=True, rich_markup_mode=None
)

NameArgument = Annotated[str, typer.Argument(help="Name of the recipe: small letters, digits, dashes.")]
FromOption = Annotated[
    Path, typer.Option("--from", help="Folder of pictures, video, or footage: good parts, without labels.")
]
MinutesOption = Annotated[float, typer.Option(min=0.05, help="Wall clock for teaching the model.")]
SeedOption = Annotated[int, typer.Option(help="Seed of split, weights and planting.")]
AnySizeOption = Annotated[bool, typer.Option("--any-size", help="Take photographs of different sizes.")]


@recipe_app.command("new")
def recipe_new(
    name: NameArgument,
    source: FromOption,
    title: Annotated[str | None, typer.Option(help="What people read (default: from the name).")] = None,
    minutes: MinutesOption = 8.0,
    length_mm: Annotated[
        float | None, typer.Option(min=0.01, help="Longer side of the part in mm, for a hint at the scale.")
    ] = None,
    no_model: Annotated[bool, typer.Option("--no-model", help="Write the recipe alone; teach it later.")] = False,
    any_size: AnySizeOption = False,
    seed: SeedOption = 0,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Propose a recipe from good parts and teach its first model; every part goes before a person at first.

    Examples:

      station recipe new bolt-m8 --from photos/ --minutes 8

      station recipe new washer --from belt.mp4 --title "Washer 12 mm" --length-mm 24
    """
    from station.teaching.new_product import new_product

    with sharing() as progress:
        made = new_product(
            name,
            source,
            load_config(config_file),
            clock=SystemClock(),
            title=title,
            minutes=minutes,
            seed=seed,
            with_model=not no_model,
            any_size=any_size,
            length_mm=length_mm,
            progress=progress,
        )
    _tell(made.to_dict(), name, json_file)


@recipe_app.command("teach")
def recipe_teach(
    name: NameArgument,
    source: FromOption,
    minutes: MinutesOption = 8.0,
    any_size: AnySizeOption = False,
    seed: SeedOption = 0,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Teach the next model of a recipe with one class from good parts; needs the extra 'train'.

    Example:

      station recipe teach bolt-m8 --from monday --minutes 8
    """
    from station.teaching.new_product import teach_product

    with sharing() as progress:
        made = teach_product(
            name,
            source,
            load_config(config_file),
            clock=SystemClock(),
            minutes=minutes,
            seed=seed,
            any_size=any_size,
            progress=progress,
        )
    _tell(made.to_dict(), name, json_file)


@recipe_app.command("list")
def recipe_list(json_file: JsonOption = None, config_file: ConfigOption = None) -> None:
    """List the recipes, those that cannot be used with the reason.

    Example:

      station recipe list
    """
    from station.recipe import Recipe
    from station.teaching.new_product import recipes_in

    table = Table("recipe", "title", "trigger", "model", "classes", "standing")
    rows: list[dict[str, Any]] = []
    for name, recipe in recipes_in(load_config(config_file)).items():
        if isinstance(recipe, Recipe):
            classes = list(recipe.class_names)
            rows.append(
                {
                    "recipe": name,
                    "title": recipe.title,
                    "trigger": recipe.trigger.kind,
                    "model": recipe.model,
                    "classes": classes,
                    "refused": None,
                }
            )
            table.add_row(name, recipe.title, recipe.trigger.kind, recipe.model or "none", ", ".join(classes), "good")
        else:
            rows.append({"recipe": name, "refused": recipe})
            table.add_row(name, "", "", "", "", recipe)
    say(table, json_file=json_file)
    write_json(json_file, {"recipes": rows})


@recipe_app.command("check")
def recipe_check(name: NameArgument, json_file: JsonOption = None, config_file: ConfigOption = None) -> None:
    """Check a recipe whole, with its model, and say what it does with a part; exit 1 or 2 where it is refused.

    Example:

      station recipe check demo-disc
    """
    from station.teaching.check import check_recipe

    found = check_recipe(name, load_config(config_file))
    table = Table(f"recipe {name}", "good")
    for what, words in found.words:
        table.add_row(what, words)
    say(table, json_file=json_file)
    write_json(json_file, found.to_dict())


def _tell(made: dict[str, Any], name: str, json_file: Path | None) -> None:
    """What was made, on what grounds, and what to do next."""
    table = Table(f"recipe {name}", made["recipe"])
    for words in made["grounds"]:
        table.add_row("found", words)
    figures = made["figures"]
    if made["model"]:
        table.add_row("model", f"{made['model']}, taught in {figures['minutes']:g} min from {made['parts']} parts")
        table.add_row(
            "good parts, unseen",
            f"half score below {figures['good_score_median']:.3f}, 90 % below {figures['good_score_90']:.3f} "
            f"({figures['n_good_images']} pictures)",
        )
        table.add_row(
            "planted defects",
            f"AUROC {figures['planted_auroc']:.3f} ({figures['n_planted']} pictures); real defects: not known yet",
        )
    else:
        table.add_row("model", f"none: {made['no_model']}; later: station recipe teach {name} --from PICTURES")
    for words in made["warnings"]:
        table.add_row("look at", words)
    table.add_row("at first", "every part goes before a person; the recipe says how to change that")
    table.add_row("next", f"station recipe check {name}; station run --recipe {name} --source SOURCE")
    say(table, json_file=json_file)
    write_json(json_file, made)
