"""Two views of one video: two clips, or two crops of one."""

import numpy as np
import pytest

from vmae_zoo.data import dataset as clips
from vmae_zoo.data.catalog import Row
from vmae_zoo.data.decode import VideoInfo
from vmae_zoo.data.module import ClipDataModule


@pytest.fixture
def video(monkeypatch, tmp_path):
    """A video of 200 frames whose pixels say frame, row and column."""
    info = VideoInfo(frames=200, height=48, width=64, fps=25.0, codec="none", rotation=0, seekable=True)

    def read_clip(path, frame_ids, *options):
        rows, columns = np.arange(48)[:, None], np.arange(64)
        frame = np.stack([np.zeros((48, 64)), rows + 0 * columns, columns + 0 * rows], -1)
        clip = np.repeat(frame[None].astype(np.uint8), len(frame_ids), 0)
        clip[..., 0] = np.asarray(frame_ids)[:, None, None]
        return clip

    monkeypatch.setattr(clips, "probe", lambda path: info)
    monkeypatch.setattr(clips, "read_clip", read_clip)
    return Row(id="a.mp4", path=tmp_path / "a.mp4", label=0, split="train")


def test_views_start_on_their_own_unless_they_share_a_clip(video):
    settings = {"frames": 4, "stride_frames": 2, "size": 32, "crop": "random_resized", "views": 2}
    two, same = clips.ClipDataset([video], **settings), clips.ClipDataset([video], same_clip=True, **settings)
    starts = {
        epoch: [item[name][0, 0, 0, 0] for name in ("video", "other")] for epoch in range(5) for item in two[0, epoch]
    }
    assert any(one != other for one, other in starts.values())
    for epoch in range(5):
        item = same[0, epoch][0]
        assert np.array_equal(item["video"][:, 0, 0, 0], item["other"][:, 0, 0, 0])
        assert not np.array_equal(item["video"], item["other"])  # crops of their own
        assert np.array_equal(item["video"], two[0, epoch][0]["video"])


@pytest.mark.parametrize("area", [(0.2, 1.0), (0.5, 0.6)])
def test_random_resized_crops_keep_to_their_share_of_the_frame(video, area):
    settings = {"frames": 1, "size": 32, "crop": "random_resized", "area": area}
    dataset = clips.ClipDataset([video], **settings)
    for epoch in range(20):
        frame = dataset[0, epoch][0]["video"][0].astype(int)
        box = (np.ptp(frame[..., 1]) + 1) * (np.ptp(frame[..., 2]) + 1)
        assert 0.8 * area[0] < box / (48 * 64) < 1.2 * area[1]


@pytest.mark.parametrize("area", [(0.0, 1.0), (0.6, 0.5), (0.5, 1.5)])
def test_a_range_that_is_none_is_refused(area):
    with pytest.raises(ValueError, match=r"data\.area = "):
        ClipDataModule(area=area)
