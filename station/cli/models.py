"""Which models are there, and is each what its card says?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from station.cli.options import ConfigOption, JsonOption
from station.cli.printing import say, write_json
from station.config import load_config

models_app = typer.Typer(help="List and check the models.", no_args_is_help=True, rich_markup_mode=None)


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
    say(table, json_file=json_file)
    write_json(json_file, {"models": rows})


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
    say(f"{detector.model}: good, sha256 {detector.model.sha256}", json_file=json_file)
    write_json(json_file, {"model": str(detector.model), "sha256": detector.model.sha256, "good": True})
