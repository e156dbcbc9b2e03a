"""``vmae-zoo features``: the tokens of an encoder as colors, and where it attends."""

import argparse

from vmae_zoo.cli.checkpoint_option import add_checkpoint, check_checkpoint, load_checkpoint
from vmae_zoo.cli.reconstruct import add_pictures, check_pictures


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    add_pictures(parser)
    parser.epilog = "example: vmae-zoo features --checkpoint videomae_tiny.demo-16 --video clip.mp4 --out features.gif"


def run(args: argparse.Namespace) -> int:
    """Draw a panel per video, all in one picture."""
    check_pictures(args)
    check_checkpoint(args)
    from vmae_zoo.cli.probing import device_of
    from vmae_zoo.data.input_clip import input_clip
    from vmae_zoo.viz.features import show_features
    from vmae_zoo.viz.picture import save_panels

    encoder = load_checkpoint(args).to(device_of(args))
    panels = []
    for video in args.video:
        frames = input_clip(video, encoder.preprocessing.clip)
        panels.append(show_features(encoder, encoder.preprocess(frames), frames, f"{args.checkpoint}: {video.name}"))
        print(f"{video}  {panels[-1].note}")
    save_panels(panels, args.out, columns=args.columns)
    print(args.out)
    return 0
