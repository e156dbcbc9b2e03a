"""From video files to batches of uint8 clips."""

from vmae_zoo.data.dataset import ClipDataset, collate
from vmae_zoo.data.module import ClipDataModule
from vmae_zoo.datasets.layouts import Catalog, ClipRecord, open_catalog
from vmae_zoo.datasets.synthetic.demo import demo_root
from vmae_zoo.video.decode import VideoError, VideoInfo, probe, read_clip

__all__ = [
    "Catalog",
    "ClipDataModule",
    "ClipDataset",
    "ClipRecord",
    "VideoError",
    "VideoInfo",
    "collate",
    "demo_root",
    "open_catalog",
    "probe",
    "read_clip",
]
