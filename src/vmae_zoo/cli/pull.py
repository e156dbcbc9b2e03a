"""``vmae-zoo pull``: download and verify weights, for use without network access."""

import argparse
from pathlib import Path

from vmae_zoo.cli.json_option import add_json, write_json


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", help="a name from `vmae-zoo list`, or hf://org/repo[/file][@revision]")
    parser.add_argument("--revision", help="branch, tag or commit on the Hub")
    parser.add_argument("--endpoint", metavar="URL", help="address of the Hub (default: that of huggingface_hub)")
    parser.add_argument("--from", dest="given", metavar="FILE", type=Path, help="a file downloaded by hand")
    add_json(parser, "the result")
    parser.epilog = "example: vmae-zoo pull videomae_base.k400-1600"


def run(args: argparse.Namespace) -> int:
    """Download, and print the file; the last line is its path."""
    from vmae_zoo.zoo import registry
    from vmae_zoo.zoo.resolve import register_download, resolve

    if args.given:
        resolved = register_download(registry.find(args.name), args.given)
    else:
        resolved = resolve(args.name, endpoint=args.endpoint, revision=args.revision)
    found = {
        "name": resolved.name,
        "revision": resolved.commit,
        "sha256": resolved.sha256,
        "licence": resolved.entry.licence if resolved.entry else None,
        "file": str(resolved.file),
    }
    for key, value in found.items():
        if value and key != "file":
            print(f"{key + ':':<10}{value}")
    print(resolved.file)
    write_json(args.json, found)
    return 0
