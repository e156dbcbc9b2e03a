"""``vmae-zoo pull``: fetch weights once, checked, for use without a network."""

import argparse
import json
from pathlib import Path


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", help="a name from `vmae-zoo list`, or hf://org/repo[/file][@revision]")
    parser.add_argument("--revision", help="branch, tag or commit on the Hub")
    parser.add_argument("--endpoint", metavar="URL", help="address of the Hub (default huggingface_hub's)")
    parser.add_argument("--from", dest="given", metavar="FILE", type=Path, help="a file that was downloaded by hand")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write what was pulled here")
    parser.epilog = "example: vmae-zoo pull videomae_base.k400-1600"


def run(args: argparse.Namespace) -> int:
    """Fetch, and print where it lies; the last line is the path."""
    from vmae_zoo.zoo import registry
    from vmae_zoo.zoo.resolve import adopt, locate

    if args.given:
        located = adopt(registry.find(args.name), args.given)
    else:
        located = locate(args.name, endpoint=args.endpoint, revision=args.revision)
    found = {
        "name": located.name,
        "revision": located.commit,
        "sha256": located.sha256,
        "licence": located.entry.licence if located.entry else None,
        "file": str(located.file),
    }
    for key, value in found.items():
        if value and key != "file":
            print(f"{key + ':':<10}{value}")
    print(located.file)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0
