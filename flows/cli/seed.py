"""`labeling seed`: prompt tables that nobody has to draw."""

from typing import Annotated

import typer

from flows.cli.console import DEAD_LETTERS, OK, console
from flows.configure import as_configuration, load_config, require_settings
from labeling.track.grid import GridRule

commands = typer.Typer(rich_markup_mode="markdown")
app = typer.Typer(no_args_is_help=True, help="Make a prompt table from the videos alone.")
commands.add_typer(app, name="seed")

EXAMPLES = """
Examples:

    labeling seed grid source.uri=clips model=nano -o seeds

    labeling seed grid source.uri=s3://videos/raw -o seeds --every 5 --boxes model=tiny \\
        model.checkpoint=/weights/sam2.1_hiera_tiny.pt

    labeling run source.uri=clips prompts.uri=seeds/prompts.jsonl store.root=labels model=nano
"""


@app.command(epilog=EXAMPLES)
def grid(
    out: Annotated[str, typer.Option("-o", "--out", help="A folder: prompts.jsonl, and sheet.jpg to look at")],
    overrides: Annotated[list[str] | None, typer.Argument(help="Hydra overrides: `source.uri=clips model=tiny`")] = None,
    every: Annotated[float | None, typer.Option(help="Look every so many seconds, not at the first frame alone")] = None,
    points: Annotated[int, typer.Option(help="Points a side of the grid that asks for masks")] = 32,
    score: Annotated[float, typer.Option(help="The least predicted IoU of a mask")] = 0.8,
    stability: Annotated[float, typer.Option(help="How little a mask may depend on where it is cut, 0 to 1")] = 0.9,
    pixels: Annotated[int, typer.Option(help="Parts, holes and objects with fewer go")] = 200,
    boxes: Annotated[bool, typer.Option("--boxes", help="Write boxes, not masks")] = False,
) -> None:
    """Find objects on chosen frames by a grid of points, each once, and write them as prompts for `labeling run`."""
    config = load_config(overrides or [])
    if not config.source.manifest:
        require_settings(config, "source.uri")
    from flows.run.seed_grid import seed_grid

    with as_configuration():
        rule = GridRule(points_per_side=points, min_iou=score, min_stability=stability, min_pixels=pixels)
    found = seed_grid(config, out=out, rule=rule, every_s=every, boxes=boxes, console=console)
    raise typer.Exit(DEAD_LETTERS if found.failed else OK)
