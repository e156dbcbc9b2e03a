"""``vmae-zoo index``: damage in the videos of a data set, and the positions of their frames."""

import argparse
from collections import Counter
from pathlib import Path

from vmae_zoo.cli.json_option import add_json, write_json
from vmae_zoo.cli.shard_option import add_shard, part_of
from vmae_zoo.setting_checks import check_least

SHOWN = 20  # damaged files printed


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the videos, or a list file")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument(
        "--refuse-corrupt",
        action="store_true",
        help="count videos with concealed frames as damaged, as training does with --data.refuse_corrupt true",
    )
    add_shard(parser)
    add_json(parser, "every verdict")
    parser.epilog = (
        "example: vmae-zoo index /data/hmdb51\n"
        'a SLURM array of 64: vmae-zoo index /data/k400 --shard "$SLURM_ARRAY_TASK_ID/64", then once without --shard\n'
        "exit code 1 where a video is damaged, 0 otherwise"
    )


def run(args: argparse.Namespace) -> int:
    """Check the videos and print a table of the results."""
    root = args.root.expanduser().absolute()
    if not root.exists():
        raise ValueError(f"{root} does not exist: give the folder of the videos")
    check_least("--", 1, workers=args.workers)
    from vmae_zoo.datasets.index import excluded_verdicts
    from vmae_zoo.datasets.make_index import make_index

    part = part_of(args.shard)
    index, read = make_index(root, args.workers, part=part)
    verdicts = index.verdicts()
    counts = Counter(verdict for verdict, *_ in verdicts.values())
    kinds = Counter(
        (verdict, reason.partition(" (")[0])
        for verdict, reasons, *_ in verdicts.values()
        for reason in filter(None, reasons.split("; "))
    )
    parts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in ("good", "odd", "concealed", "damaged"))
    print(f"{root}: {len(verdicts)} videos: {parts} ({read} read now, {len(verdicts) - read} unchanged)")
    for (verdict, kind), count in sorted(kinds.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"  {count:>7}  {verdict:<9}  {kind}")
    bad = excluded_verdicts(args.refuse_corrupt)
    damaged = {path: (verdict, reasons) for path, (verdict, reasons, *_) in verdicts.items() if verdict in bad}
    for path, (verdict, reasons) in list(damaged.items())[:SHOWN]:
        print(f"{verdict}: {path}: {reasons}")
    if len(damaged) > SHOWN:
        print(f"... and {len(damaged) - SHOWN} more (--json FILE lists all)")
    print(f"index {index.fingerprint} in {index.file}")
    if part[1] > 1:
        print(f"part {part[0]} of {part[1]}: after the last one, `vmae-zoo index {root}` joins all parts")
    files = [{"path": path, "verdict": found[0], "reasons": found[1]} for path, found in verdicts.items()]
    summary = {"root": str(root), "index": str(index.file), "fingerprint": index.fingerprint, "read": read}
    write_json(args.json, {**summary, "counts": dict(counts), "files": files})
    return 1 if damaged else 0
