"""``vmae-zoo masks``: what a recipe's method sees of a video; for MoCo v3, which has no masks, its two views."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.cli.reconstruct import add_picture, check_picture, check_videos
from vmae_zoo.cli.trainer_settings import ONE_CPU

if TYPE_CHECKING:
    from vmae_zoo.viz.picture import Panel


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--recipe", required=True, metavar="FILE", help="recipe of the method")
    parser.add_argument("--method", metavar="CLASS", help="another method, such as your own my_package.MyMAE")
    parser.add_argument("--video", required=True, type=Path, metavar="FILE", help="a video")
    add_picture(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the mask (default 0)")
    add_json(parser, "the token ids")
    parser.epilog = "example: vmae-zoo masks --recipe recipes/videomae.yaml --video clip.mp4 --out masks.png"


def run(args: argparse.Namespace) -> int:
    """Draw the masks of a clip over it, or two views side by side."""
    check_picture(args)
    panels, ids = draw(args.recipe, args.video, args.seed, args.method)
    from vmae_zoo.viz.picture import save_panels

    save_panels(panels, args.out, columns=args.columns)
    for panel in panels:
        print(f"{args.out}  {panel.title}: {panel.note}")
    write_json(args.json, ids)
    return 0


def draw(
    recipe: str | Path, video: Path, seed: int = 0, method: str | None = None
) -> tuple[list["Panel"], dict[str, Any]]:
    """The panels of a recipe's method over a video, and its name and token ids."""
    from vmae_zoo.compose import compose
    from vmae_zoo.resources import find_recipe

    model = compose(find_recipe(recipe)).get("model") or {}
    check_videos([video])
    from vmae_zoo.cli.lightning_cli import SettingsCLI
    from vmae_zoo.cli.log_filters import filter_logs
    from vmae_zoo.methods.registry import resolve_method
    from vmae_zoo.viz.method_masks import draw_method

    filter_logs()
    options = ["-c", str(recipe), *(f"--{name}={value}" for name, value in ONE_CPU.items()), "--trainer.logger=false"]
    if method:
        method_class = resolve_method(method)
        options += ["--model", f"{method_class.__module__}.{method_class.__qualname__}"]
    elif "." not in model.get("class_path", ""):  # a method of this package: one block is quick to build
        options += ["--model.init_args.depth=1"]
    cli = SettingsCLI(options, run=False)
    panels, ids = draw_method(cli.model, video, seed, cli.datamodule.augmentation)
    return panels, {"method": type(cli.model).__name__, **ids}
