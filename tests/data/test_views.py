"""Test views are the published ones, and unreadable videos end nothing."""

import numpy as np

from vmae_zoo.data.clip_frames import view_ids
from vmae_zoo.data.clip_spec import ClipSpec
from vmae_zoo.data.views import ViewDataset, collate_views
from vmae_zoo.datasets.layouts import ClipRecord
from vmae_zoo.video.decode import read_clip


def test_clips_of_a_video_are_the_golden_ones():
    ends = [(ids[0], ids[-1]) for ids in view_ids(ClipSpec(), 5, 300)]
    assert ends == [(0, 60), (56, 116), (116, 176), (176, 236), (236, 296)]
    first, second = view_ids(ClipSpec(sampling="uniform"), 2, 50).tolist()
    assert first == [0, 3, 6, 9, 12, 15, 18, 21, 25, 28, 31, 34, 37, 40, 43, 46]
    assert second == [1, 4, 7, 10, 14, 17, 20, 23, 26, 29, 32, 35, 39, 42, 45, 48]


def test_items_are_clips_times_crops_of_the_right_frames_and_places(encode, tmp_path):
    video = encode(tmp_path / "a.mp4", frames=40, size=(32, 64))
    spec = ClipSpec(4, 2, 32)
    items = ViewDataset([ClipRecord("a.mp4", video, 3)], spec, clips=2, crops=3)[0]
    assert [item["view"] for item in items] == list(range(6))
    assert {item["label"] for item in items} == {3}
    for view, item in enumerate(items):
        clip, crop = divmod(view, 3)
        frames = read_clip(video, view_ids(spec, 2, 40)[clip], 32)
        left = int(crop * (frames.shape[2] - 32) / 2)
        assert np.array_equal(item["video"], frames[:, :, left : left + 32])


def test_unreadable_videos_are_left_out_and_listed(encode, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    rows = [
        ClipRecord("bad.mp4", tmp_path / "bad.mp4", 0),
        ClipRecord("a.mp4", encode(tmp_path / "a.mp4", size=(32, 32)), 1),
    ]
    dataset = ViewDataset(rows, ClipSpec(4, 2, 32))
    batch = collate_views([dataset[0], dataset[(1, 0)]])
    assert batch["label"].tolist() == [1]
    assert batch["bad"][0]["path"].endswith("bad.mp4")
    assert set(collate_views([dataset[0]])) == {"bad"}
