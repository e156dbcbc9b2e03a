"""What a batch is: from video files to batches of uint8 clips."""

from vmae_zoo.lazy_imports import lazy_exports

__getattr__, __all__ = lazy_exports(
    __name__,
    {
        "vmae_zoo.data.clip_spec": ("Augmentation", "ClipConsumer", "ClipRequest", "ClipSpec"),
        "vmae_zoo.data.dataset": ("ClipDataset", "collate"),
        "vmae_zoo.data.interfaces": ("RunControl", "VideoDataModule"),
        "vmae_zoo.data.module": ("ClipDataModule",),
        "vmae_zoo.data.views": ("ViewDataset",),
        "vmae_zoo.datasets.layouts": ("Catalog", "ClipRecord", "open_catalog"),
        "vmae_zoo.datasets.synthetic.embedded": ("embedded_root",),
        "vmae_zoo.video.decode": ("VideoError", "VideoInfo", "probe", "read_clip"),
    },
)
