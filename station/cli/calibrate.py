"""How is the camera measured? Board, lens, scale, flat field, reference, and the check at shift start."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError
from rich.table import Table

from station.cli.options import ConfigOption, JsonOption, RecipeOption, source_named
from station.cli.printing import counting, say, write_json
from station.config import CameraSource, StationConfig, load_config
from station.core.errors import DetectorFault, UsageError
from station.core.part import Box
from station.core.timing import SystemClock

if TYPE_CHECKING:  # OpenCV and SciPy take their time to import: only where a camera is measured
    from station.calibrate import Shot

calibrate_app = typer.Typer(
    help="Measure the camera: lens, scale, light, reference; check it at shift start.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PicturesArgument = Annotated[
    list[Path] | None,
    typer.Argument(help="Pictures or folders of them, as the camera gives them (default: from the camera)."),
]
SourceOption = Annotated[
    str | None, typer.Option("--source", help="Camera: device number or stream URL (default: the station's).")
]


@calibrate_app.command("board")
def calibrate_board(
    squares: Annotated[str, typer.Option(help="Squares across and down.")] = "12x9",
    square_mm: Annotated[float, typer.Option(help="Side of a square.")] = 20.0,
    marker_mm: Annotated[float | None, typer.Option(help="Side of a marker (default: 75 % of the square).")] = None,
    paper: Annotated[str, typer.Option(help="a5, a4, a3, a2 or letter, lying.")] = "a4",
    printed_mm: Annotated[
        float, typer.Option("--printed-mm", help="What the rulers of 100 mm measure on the paper.")
    ] = 100.0,
    config_file: ConfigOption = None,
) -> None:
    """Write the board as a PDF to print true to scale, and remember its sizes.

    Take a board that more than fills the picture, with squares 40 to 60 pixels wide there: the corners next to the rim
    make the rim right.

    Examples:

      station calibrate board

      station calibrate board --squares 12x9 --square-mm 4 --paper a5

      station calibrate board --printed-mm 99.7
    """
    from station.calibrate import print_board
    from station.calibration.optics.board import Board
    from station.calibration.optics.record import words_of

    columns, rows = _squares(squares)
    folder = load_config(config_file).optics_folder
    try:
        board = Board(columns=columns, rows=rows, square_mm=square_mm, marker_mm=marker_mm or 0.75 * square_mm)
    except ValidationError as error:
        raise UsageError(f"no such board: {words_of(error)}") from error
    path = print_board(folder, board, paper=paper, printed_mm=printed_mm)
    say(
        f"{path}: print it at 100 %, lay a steel rule along both rulers; where they are not 100.0 mm give what they "
        "measure with --printed-mm. Glue it on something flat.",
        json_file=None,
    )


@calibrate_app.command("optics")
def optics(
    pictures: PicturesArgument = None,
    source: SourceOption = None,
    views: Annotated[int, typer.Option(min=8, help="Views to take from a camera.")] = 20,
    seconds: Annotated[float, typer.Option(min=1, help="Longest time for that.")] = 240.0,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Measure the lens from views of the board; the residuals are drawn beside the result.

    Examples:

      station calibrate optics views/

      station calibrate optics --source 0
    """
    from station.calibrate import RESIDUALS, calibrate_optics

    config = load_config(config_file)
    with _shots(pictures, config, source) as taken, counting("views", None if pictures else views) as step:
        fit = calibrate_optics(
            config.optics_folder,
            taken,
            live=not pictures,
            views=views,
            seconds=seconds,
            clock=SystemClock(),
            progress=step,
        )
    lens = fit.lens
    table = Table("lens", "")
    table.add_row("rms", f"{lens.rms_px:.3f} px over {lens.corners} corners in {lens.views} views")
    table.add_row(
        "worst view", f"{max(fit.rms_px, key=lambda name: fit.rms_px[name])}: {max(fit.rms_px.values()):.3f} px"
    )
    table.add_row("focal length", f"{lens.fx:.1f} x {lens.fy:.1f} px, sure to {lens.fx_error_px:.1f} px")
    table.add_row("centre", f"{lens.cx:.1f}, {lens.cy:.1f} px")
    table.add_row("field seen", f"{lens.coverage:.0%}")
    for name, why in fit.left_out.items():
        table.add_row(f"left out: {name}", why)
    table.add_row("residuals", str(config.optics_folder / RESIDUALS))
    table.add_row("next", "station calibrate scale")
    say(table, json_file=json_file)
    write_json(json_file, lens.model_dump(mode="json") | {"views_rms_px": fit.rms_px, "left_out": fit.left_out})


@calibrate_app.command("scale")
def scale(
    pictures: PicturesArgument = None,
    source: SourceOption = None,
    above_mm: Annotated[
        float, typer.Option("--above-mm", help="The inspected face lies so much nearer to the camera than the board.")
    ] = 0.0,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Measure millimetres per pixel from the board lying where the part lies.

    Examples:

      station calibrate scale belt.png

      station calibrate scale --source 0 --above-mm 6.5
    """
    from station.calibrate import calibrate_scale

    config = load_config(config_file)
    with _shots(pictures, config, source) as taken:
        plane = calibrate_scale(config.optics_folder, taken, above_mm=above_mm)
    say(plane.words(), json_file=json_file)
    write_json(json_file, plane.model_dump(mode="json"))


@calibrate_app.command("flat-field")
def flat_field(
    pictures: PicturesArgument = None,
    source: SourceOption = None,
    frames: Annotated[int, typer.Option(min=5, help="Pictures to take the mean of.")] = 20,
    neutral: Annotated[
        bool, typer.Option("--neutral/--coloured", help="The target is neutral grey: balance the colours by it.")
    ] = True,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Measure how light falls off, and the white balance, from pictures of an empty, even, grey field.

    Examples:

      station calibrate flat-field empty/

      station calibrate flat-field --source 0 --frames 20
    """
    from station.calibrate import calibrate_flat_field

    config = load_config(config_file)
    with _shots(pictures, config, source) as taken:
        field = calibrate_flat_field(config.optics_folder, taken, frames=frames, neutral=neutral)
    blue, green, red = field.balance
    say(
        f"dimmest place {field.dimmest:.0%} of the brightest, lifted from now on; white balance blue {blue:.3f}, "
        f"green {green:.3f}, red {red:.3f}; mean of {field.frames} pictures",
        json_file=json_file,
    )
    write_json(json_file, field.model_dump(mode="json"))


@calibrate_app.command("reference")
def reference(
    recipe: RecipeOption,
    pictures: PicturesArgument = None,
    source: SourceOption = None,
    region: Annotated[
        str | None, typer.Option(help="Part with a margin: x0,y0,x1,y1 in pixels (default: the whole picture).")
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="The picture is as the camera gives it: correct it first (a camera's always is)."),
    ] = False,
    config_file: ConfigOption = None,
) -> None:
    """Make a picture of a good part the recipe's reference, which is laid over every part.

    Examples:

      station calibrate reference good.png --recipe bolt --region 120,80,520,400

      station calibrate reference --source 0 --recipe bolt --region 120,80,520,400
    """
    from station.calibrate import make_reference

    config = load_config(config_file)
    box = _region(region)
    with _shots(pictures, config, source) as taken:
        path = make_reference(config, recipe, taken, region=box, raw=raw or not pictures)
    say(f"{path} is the reference of recipe {recipe}", json_file=None)


@calibrate_app.command("baseline")
def baseline(pictures: PicturesArgument = None, source: SourceOption = None, config_file: ConfigOption = None) -> None:
    """Keep the fixed target as it looks now; from then on the camera has to be checked at every shift.

    Example:

      station calibrate baseline --source 0
    """
    from station.calibrate import take_baseline

    config = load_config(config_file)
    with _shots(pictures, config, source) as taken:
        made = take_baseline(config.optics_folder, taken)
    target = "the printed board" if made.record.board is not None else "the picture as a whole"
    say(
        f"baseline taken, target: {target}. Nothing is released automatically without a good "
        f"'station calibrate check' of the last {config.check_hours:g} h.",
        json_file=None,
    )


@calibrate_app.command("check")
def check(
    pictures: PicturesArgument = None,
    source: SourceOption = None,
    json_file: JsonOption = None,
    config_file: ConfigOption = None,
) -> None:
    """Compare the fixed target with its baseline; exit 1 where the camera is out, and nothing is released by itself.

    Examples:

      station calibrate check --source 0

      station calibrate check target.png --json -
    """
    from station.calibrate import check_camera

    config = load_config(config_file)
    with _shots(pictures, config, source) as taken:
        found = check_camera(config.optics_folder, taken)
    for words in found.words:
        say(f"out: {words}", json_file=json_file)
    if found.good:
        say(f"the camera is as it was; the check holds for {config.check_hours:g} h", json_file=json_file)
    else:
        say("every part is held until a check is good", json_file=json_file)
    write_json(json_file, found.model_dump(mode="json"))
    if not found.good:
        raise typer.Exit(1)


@contextmanager
def _shots(pictures: list[Path] | None, config: StationConfig, source: str | None) -> Iterator[Iterator[Shot]]:
    from station.calibrate import shots

    camera = None
    if source is not None:
        if pictures:
            raise UsageError("name pictures or --source, not both")
        named = source_named(source)
        if not isinstance(named, CameraSource):
            raise UsageError(f"{source!r} is no camera: name its number or URL; pictures are named without --source")
        camera = named
    taken = shots(pictures or [], config, camera, clock=SystemClock())
    try:
        yield taken
    finally:
        taken.close()


def _squares(words: str) -> tuple[int, int]:
    columns, cross, rows = words.lower().partition("x")
    if not (cross and columns.isdecimal() and rows.isdecimal()):
        raise UsageError(f"{words!r} is no number of squares: write them as 12x9")
    return int(columns), int(rows)


def _region(words: str | None) -> Box | None:
    if words is None:
        return None
    try:
        x0, y0, x1, y1 = (float(v) for v in words.split(","))
        return Box(x0, y0, x1, y1)
    except (ValueError, DetectorFault) as error:
        raise UsageError(f"{words!r} is no region: write x0,y0,x1,y1 in pixels, left and upper edge first") from error
