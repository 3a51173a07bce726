"""`labeling seed`: prompt tables that nobody has to draw."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.console import DEAD_LETTERS, OK, console
from flows.configure import as_configuration, load_config, require_settings
from labeling.config import LabelConfig

commands = typer.Typer(rich_markup_mode="markdown")
app = typer.Typer(no_args_is_help=True, help="Make a prompt table from the videos alone.")
commands.add_typer(app, name="seed")

Out = Annotated[str, typer.Option("-o", "--out", help="A folder: prompts.jsonl, and sheet.jpg to look at")]
Overrides = Annotated[list[str] | None, typer.Argument(help="Hydra overrides: `source.uri=clips model=tiny`")]

GRID_EXAMPLES = """
Examples:

    labeling seed grid source.uri=clips model=nano -o seeds

    labeling seed grid source.uri=s3://videos/raw -o seeds --every 5 --boxes model=tiny \\
        model.checkpoint=/weights/sam2.1_hiera_tiny.pt

    labeling run source.uri=clips prompts.uri=seeds/prompts.jsonl store.root=labels model=nano
"""


@app.command(epilog=GRID_EXAMPLES)
def grid(
    out: Out,
    overrides: Overrides = None,
    every: Annotated[float | None, typer.Option(help="Look every so many seconds, not at the first frame alone")] = None,
    points: Annotated[int, typer.Option(help="Points a side of the grid that asks for masks")] = 32,
    score: Annotated[float, typer.Option(help="The least predicted IoU of a mask")] = 0.8,
    stability: Annotated[float, typer.Option(help="How little a mask may depend on where it is cut, 0 to 1")] = 0.9,
    pixels: Annotated[int, typer.Option(help="Parts, holes and objects with fewer go")] = 200,
    boxes: Annotated[bool, typer.Option("--boxes", help="Write boxes, not masks")] = False,
) -> None:
    """Find objects on chosen frames by a grid of points, each once, and write them as prompts for `labeling run`."""
    config = _config(overrides)
    from flows.run.seed_finders import seed_grid
    from labeling.track.grid import GridRule

    with as_configuration():
        rule = GridRule(points_per_side=points, min_iou=score, min_stability=stability, min_pixels=pixels)
    found = seed_grid(config, out=out, rule=rule, every_s=every, boxes=boxes, console=console)
    raise typer.Exit(DEAD_LETTERS if found.failed else OK)


FORMATS = "coco, youtube-vis, mot, mots, yolo, sav, davis, cvat or label-studio"
DETECTOR_EXAMPLES = """
Examples:

    labeling seed detector source.uri=clips model=nano -o seeds

    labeling seed detector source.uri=clips -o seeds prompts.detector.name=transformers \\
        prompts.detector.checkpoint=/weights/owlv2 "prompts.detector.queries=[a car,a person]" model=tiny \\
        model.checkpoint=/weights/sam2.1_hiera_tiny.pt

    labeling seed detector source.uri=clips -o seeds prompts.detector.name=torchvision \\
        prompts.detector.model=fcos_resnet50_fpn prompts.detector.checkpoint=/weights/fcos.pt \\
        "prompts.detector.categories=[bolt,nut]"
"""


@app.command(epilog=DETECTOR_EXAMPLES)
def detector(
    out: Out,
    overrides: Overrides = None,
    every: Annotated[float, typer.Option(help="Look every so many seconds")] = 0.2,
) -> None:
    """Find objects by a detector's boxes, new ones in mid-video too, each once, and write them as prompts for `labeling run`.

    The detector is `prompts.detector`: without a setting the small one of the package, which knows drawn objects alone. What
    is found is followed with the tracker that the settings name: a box on it is no new object, and a young track that the
    detector does not see again is a ghost and goes.
    """
    config = _config(overrides)
    from flows.run.seed_finders import seed_detector

    found = seed_detector(config, out=out, every_s=every, console=console)
    raise typer.Exit(DEAD_LETTERS if found.failed else OK)


@app.command("import")
def import_seeds(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help=FORMATS)],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file, or the folder that holds the format's files")],
    out: Annotated[str, typer.Option("-o", "--out", help="The table: .jsonl, .csv or .parquet")],
    overrides: Overrides = None,
    size: Annotated[str | None, typer.Option(help="WIDTHxHEIGHT of all videos, where neither file nor source says it")] = None,
) -> None:
    """Make prompts of labels from another tool: the first box or mask of each object.

    With `source.uri` the file's videos are found in the source, by key or by name; without it their names stay as they are.
    Boxes without identities are joined to objects by overlap, doubles and ghosts among them dropped. What cannot be kept is
    said. Nothing is written where the file cannot be read.
    """
    from flows.run.seed_import import import_prompts

    import_prompts(load_config(overrides or []), format_, path, out=out, size=size, console=console)


@app.command("train-detector")
def train_detector(
    out: Annotated[Path, typer.Argument(help="The file of weights, .safetensors")],
    steps: Annotated[int, typer.Option(help="Steps of 16 frames")] = 700,
    seed: Annotated[int, typer.Option(help="Of the first weights; scenes are chosen by their own numbers")] = 0,
) -> None:
    """Train the package's small detector on drawn scenes, from the first weight on, with one thread.

    `prompts.detector.checkpoint=OUT` uses it.
    """
    from flows.learn.small_detector import DetectorRecipe, train_small_detector

    with as_configuration():
        recipe = DetectorRecipe(steps=steps, seed=seed)
    train_small_detector(recipe, out, console)


def _config(overrides: list[str] | None) -> LabelConfig:
    config = load_config(overrides or [])
    if not config.source.manifest:
        require_settings(config, "source.uri")
    return config
