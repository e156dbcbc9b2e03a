"""Whether the videos of a data set have motion vectors at all, asked before any training."""

import os
from collections.abc import Sequence

import numpy as np

from vmae_zoo.datasets.layouts import Row
from vmae_zoo.video.decode import VideoError, probe, read_clip
from vmae_zoo.video.jpeg_shards import Place
from vmae_zoo.video.motion_vectors import Motion

FRAMES = 9  # of each video tried: I frames have no vectors, and encoders that use others seldom put two in a row


def check_motion(rows: Sequence[Row], rand_augment: int, tries: int = 8) -> None:
    """Read the first frames of a few videos, spread over the rows, until one has motion vectors.

    Args:
        rows: what will be read.
        rand_augment: operations of RandAugment on a clip.
        tries: how many videos.

    Raises:
        ValueError: none has any, some lie in a cache of frames, or clips will be augmented by what vectors ignore.
    """
    if rand_augment:
        raise ValueError(
            f"data.rand_augment = {rand_augment} turns and shifts frames, which the motion vectors of their files do "
            "not follow: set it to 0, or choose a flow that is computed (dis)"
        )
    codecs = set()
    for row in [rows[len(rows) * k // tries] for k in range(tries)] if rows else []:
        if Place.of(os.fspath(row.path)) is not None:
            raise ValueError(
                f"{row.path} lies in a cache, whose frames have no motion vectors: give data.root the videos "
                "themselves, or choose a flow that is computed (dis)"
            )
        motion = Motion()
        try:
            info = probe(row.path)
            read_clip(row.path, np.arange(min(info.frames, FRAMES)), motion=motion)
        except VideoError:
            continue  # told where it is met
        if motion.has_vectors:
            return
        codecs.add(info.codec)
    if codecs:
        raise ValueError(
            f"FFmpeg finds no motion vectors in the videos tried ({', '.join(sorted(codecs))}, {rows[0].path} among "
            "them): choose a flow that is computed (dis), or re-encode them (vmae-zoo reencode)"
        )
