"""Hidden and context tokens of multi-block masks: fixed counts here, the smallest of a batch in the official collator.

``python -m benchmarks.multi_block_counts``: a simulation of the official rule (one aspect ratio per batch; all clips of
a batch are cut to its smallest counts) beside the counts of `vmae_zoo.masking.block_layout`.
"""

import argparse

import numpy as np

from vmae_zoo.masking.block_layout import ASPECTS, LONG_RANGE, SHORT_RANGE, BlockSet, block_layout, block_size


def union_sizes(rng: np.random.Generator, side: int, blocks: BlockSet, batch: int) -> np.ndarray:
    """Covered cells of the clips of a batch; clips without context are sampled again."""
    rows, columns = block_size(side, side, blocks.scale, float(rng.choice(ASPECTS)))
    sizes: list[int] = []
    while len(sizes) < batch:
        covered = np.zeros((side, side), bool)
        for _ in range(blocks.blocks):
            top, left = rng.integers(side - rows + 1), rng.integers(side - columns + 1)
            covered[top : top + rows, left : left + columns] = True
        if not covered.all():
            sizes.append(int(covered.sum()))
    return np.array(sizes)


def main() -> None:
    """Print a table row per grid and mask set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=1000, metavar="N", help="simulated batches (default 1000)")
    parser.add_argument("--batch", type=int, default=24, metavar="N", help="clips per process (default 24)")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print("grid, set | covered cells | official hidden / context | here hidden / context | dropped, official | here")
    for side in (14, 16):
        for name, blocks in (("short", SHORT_RANGE), ("long", LONG_RANGE)):
            size_NB = np.stack([union_sizes(rng, side, blocks, args.batch) for _ in range(args.batches)])
            mean, cells = size_NB.mean(), side * side
            official = size_NB.min(1).mean(), (cells - size_NB).min(1).mean()
            here = block_layout(side, side, blocks).kept
            dropped = [
                f"{100 * (1 - hidden / mean):.0f} % / {100 * (1 - context / (cells - mean)):.0f} %"
                for hidden, context in (official, here)
            ]
            kept = f"{official[0]:.1f} / {official[1]:.1f} | {here[0]} / {here[1]}"
            print(f"{side}x{side} {name} | {mean:.1f} | {kept} | {dropped[0]} | {dropped[1]}")


if __name__ == "__main__":
    main()
