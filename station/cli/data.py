"""How do confirmed samples leave the station, and how do they come back as a model? Export and training."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from station.cli.options import ConfigOption, DbOption, JsonOption, RecipeOption, station_config
from station.cli.printing import counting, report, sharing
from station.config import load_config
from station.core.errors import UsageError


class ExportForm(StrEnum):
    """Formats of ``station export``."""

    COCO = "coco"
    YOLO = "yolo"
    FOLDER = "folder"
    CSV = "csv"


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

    config = station_config(config_file, db)
    with counting("samples", None) as step:
        result = export_samples(
            config.store.database,
            target,
            form=ExportFormat(form.value),
            images=config.store.images,
            seed=seed,
            progress=step,
        )
    report(json_file, result.to_dict())


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
    with sharing() as progress:
        result = fit(
            data,
            recipe_name=chosen.name,
            classes=chosen.class_names,
            out=target,
            minutes=minutes,
            seed=seed,
            folds=folds,
            simulated_parts=simulated_parts,
            progress=progress,
        )
    report(json_file, result.to_dict())
