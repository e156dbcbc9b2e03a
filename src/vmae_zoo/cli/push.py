"""``vmae-zoo push``: upload a checkpoint to a repository on the Hub, with a model card."""

import argparse
from pathlib import Path

from vmae_zoo.cli.checkpoint_option import add_method, check_checkpoint
from vmae_zoo.cli.json_option import add_json, write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("checkpoint", help="a name of `vmae-zoo list`, a file, a run folder or hf://org/repo")
    add_method(parser)
    parser.add_argument("repo", metavar="ORG/REPO", help="repository, created if it does not exist")
    parser.add_argument("--dry-run", action="store_true", help="print the contents and upload nothing")
    parser.add_argument("--private", action="store_true", help="a new repository is visible to its owners only")
    parser.add_argument("--tag", help="tag for this commit")
    parser.add_argument("--branch", help="branch to upload to (default the main branch)")
    parser.add_argument("--licence", metavar="SPDX", help="licence of the weights, such as Apache-2.0")
    parser.add_argument("--metrics", metavar="FILE", type=Path, nargs="+", default=[], help="JSON files with numbers")
    parser.add_argument("--recipe", metavar="FILE", help="recipe of the training, outside a run folder")
    parser.add_argument("--picture", metavar="FILE", type=Path, help="image for the card, outside a run folder")
    parser.add_argument("--endpoint", metavar="URL", help="address of the Hub (default: that of huggingface_hub)")
    add_json(parser, "the commit")
    parser.epilog = (
        "example: vmae-zoo push runs/videomae/20260101-120000/checkpoints/last.ckpt me/my-videomae --dry-run"
    )


def run(args: argparse.Namespace) -> int:
    """Upload, and print the commit."""
    from vmae_zoo.resources import find_recipe

    for file in (*args.metrics, *filter(None, [args.picture])):
        if not file.is_file():
            raise ValueError(f"{file}: no such file")
    if args.recipe:
        find_recipe(args.recipe)
    check_checkpoint(args)
    from vmae_zoo.zoo.safe_load import read_json
    from vmae_zoo.zoo.upload import push

    commit = push(
        args.checkpoint,
        args.repo,
        endpoint=args.endpoint,
        private=args.private,
        tag=args.tag,
        dry_run=args.dry_run,
        branch=args.branch,
        licence=args.licence,
        metrics={file.stem: read_json(file) for file in args.metrics},
        recipe=args.recipe,
        picture=args.picture,
        method=args.method,
    )
    if commit:
        print(commit)
    write_json(args.json, {"repo": args.repo, "commit": commit})
    return 0
