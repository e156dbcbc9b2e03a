"""The motion that a clip's own decoding tells, against videos of known motion and a plain decode from the start."""

import gc

import av
import cv2
import numpy as np
import pytest
from av.sidedata.sidedata import SideDataContainer

from vmae_zoo.data import ClipDataset, Row, collate, probe, read_clip
from vmae_zoo.datasets.layouts.base import list_videos
from vmae_zoo.video import decode, motion_vectors
from vmae_zoo.video.motion_vectors import Motion
from vmae_zoo.video.packet_index import read_timeline

X264 = {"refs": "1", "crf": "18"}
B_FRAMES = X264 | {"bf": "3", "b-pyramid": "none", "x264-params": "b-adapt=0:scenecut=0"}
PAIRS = np.array([[1, 0], [0, 1], [3, 0], [2, 2]])


@pytest.fixture(scope="module")
def texture():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (500, 500, 3), dtype=np.uint8), (0, 0), 2)
    return cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)


def encode(path, pictures, codec="libx264", options=None, gop=250, rotation=0):
    """A video of these pictures."""
    pictures = list(pictures)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or X264 | {"bf": "0"})
        stream.height, stream.width, stream.pix_fmt, stream.gop_size = *pictures[0].shape[:2], "yuv420p", gop
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def moving(texture, frames=24, size=(96, 128), speed=lambda t: (3, -2)):
    """Pictures whose content moves by ``speed(t)`` = (right, down) pixels from frame t - 1 to frame t."""
    x = y = 150
    for t in range(frames):
        dx, dy = speed(t) if t else (0, 0)
        x, y = x - dx, y - dy
        yield texture[y : y + size[0], x : x + size[1]]


def flow_of(path, ids, pairs=PAIRS, size=None):
    motion = Motion()
    clip = read_clip(path, ids, motion=motion)
    return motion.flow(np.asarray(pairs), size or clip.shape[1:3])


def middle(flow):
    return np.median(flow, (0, 1))


@pytest.mark.parametrize(
    ("codec", "options"), [("libx264", X264 | {"bf": "0"}), ("libx264", B_FRAMES), ("mpeg4", {"bf": "0"})]
)
def test_vectors_add_up_to_the_motion_between_the_frames_asked_for(tmp_path, texture, codec, options):
    path = encode(tmp_path / "video.mp4", moving(texture, size=(192, 256)), codec, options)
    for flow, frames in zip(flow_of(path, [4, 8, 12, 16]), (-4, 4, -12, 0), strict=True):
        assert flow.shape == (192, 256, 2)
        np.testing.assert_allclose(middle(flow), (3 * frames, -2 * frames), atol=0.5)


@pytest.mark.parametrize(("codec", "options"), [("libx264", B_FRAMES | {"bf": "2"}), ("mpeg4", {"bf": "2"})])
@pytest.mark.parametrize("ids", [(0, 3), (3, 6, 9), (24, 27, 30)])
def test_the_last_frames_step_is_its_own_where_the_speed_changes(tmp_path, texture, codec, options, ids):
    speeds = [(2 if t // 3 % 2 else -2, 0) for t in range(36)]
    path = encode(tmp_path / "video.mp4", moving(texture, 36, (192, 256), speeds.__getitem__), codec, options, gop=12)
    pairs = [(place, place - 1) for place in range(1, len(ids))]
    for flow, (here, there) in zip(flow_of(path, ids, pairs), pairs, strict=True):
        exact = -sum(speed[0] for speed in speeds[ids[there] + 1 : ids[here] + 1])
        np.testing.assert_allclose(middle(flow), (exact, 0), atol=0.7)


def plain_flow(path, ids, pairs):
    """The same by a decode from the start and loops: each pixel of a frame is followed from block to block.

    Without rotation; the vectors of B frames are left out, I frames go on, steps are shared evenly.
    """
    steps, last = [], None
    with av.open(str(path), metadata_errors="replace") as container:
        container.streams.video[0].codec_context.options = {"flags2": "+export_mvs"}
        for position, frame in enumerate(container.decode(video=0)):
            height, width = frame.height, frame.width
            vectors = frame.side_data.get("MOTION_VECTORS")
            if frame.pict_type == 3:
                continue
            if vectors is not None:
                last = np.zeros((-(-height // 8), -(-width // 8), 2))
                for v in vectors.to_ndarray():
                    if v["source"] < 0:
                        top, left = (v["dst_y"] - v["h"] // 2) // 8, (v["dst_x"] - v["w"] // 2) // 8
                        part = last[top : top + v["h"] // 8, left : left + v["w"] // 8]
                        part[:] = np.array([v["motion_x"], v["motion_y"]]) / v["motion_scale"]
                last /= position + 1 - len(steps)
            still = np.zeros((-(-height // 8), -(-width // 8), 2))
            steps += [still if last is None else last] * (position + 1 - len(steps))
            if position >= max(ids):
                break
        steps += [last] * (position + 1 - len(steps))
    rows, columns = np.mgrid[:height, :width]
    return np.stack([followed(steps, ids[here], ids[there], rows, columns) for here, there in pairs])


def followed(steps, here, there, rows, columns):
    """Flow at the middle of every pixel; inverse steps by search for the point that leads here."""
    x, y = (columns + 0.5) / 8 - 0.5, (rows + 0.5) / 8 - 0.5  # of blocks
    x, y = x.astype(np.float32), y.astype(np.float32)
    grid_y, grid_x = np.mgrid[: steps[0].shape[0], : steps[0].shape[1]].astype(np.float32)
    total = np.zeros((*steps[0].shape[:2], 2), np.float32)
    for position in range(here, there, -1) if here > there else range(here + 1, there + 1):
        step = (steps[position] / 8).astype(np.float32)
        if here < there:
            forward = -step
            for _ in range(2):
                forward = -sampled(step, grid_x + forward[..., 0], grid_y + forward[..., 1])
            step = forward
        total = total + sampled(step, grid_x + total[..., 0], grid_y + total[..., 1])
    return 8 * sampled(total, x, y)


def sampled(field, x, y):
    """Bilinear, by numpy."""
    x, y = (np.clip(value, 0, side - 1) for value, side in ((x, field.shape[1]), (y, field.shape[0])))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, low = np.minimum(left + 1, field.shape[1] - 1), np.minimum(top + 1, field.shape[0] - 1)
    a, b = (x - left)[..., None], (y - top)[..., None]
    upper = field[top, left] * (1 - a) + field[top, right] * a
    return upper * (1 - b) + (field[low, left] * (1 - a) + field[low, right] * a) * b


def assert_close(ours, plain):
    """OpenCV looks up between blocks in steps of 1/32; a step may so come out of the wrong side of an edge."""
    difference = np.abs(ours - plain)
    assert np.quantile(difference, 0.99) < 0.6
    assert np.median(difference) < 0.05


def busy(texture, frames, size):
    """A block walks over a texture that moves the other way, faster and faster."""
    for t, picture in enumerate(moving(texture, frames, size, lambda t: (-(t % 5), 1))):
        picture = picture.copy()
        picture[20:60, 10 + 2 * t : 50 + 2 * t] = texture[300:340, 300:340]
        yield picture


CODINGS = [(X264 | {"bf": "0"}, 250), (B_FRAMES, 250), (B_FRAMES, 8), ({"crf": "18"}, 250)]


@pytest.mark.parametrize(("options", "gop"), CODINGS)
def test_the_clips_own_decoding_tells_what_a_decode_from_the_start_tells(tmp_path, texture, options, gop):
    path = encode(tmp_path / "video.mkv", busy(texture, 30, (90, 126)), options=options, gop=gop)
    ids = [9, 11, 14, 15, 22, 29]
    pairs = [[5, 4], [1, 0], [0, 1], [3, 5], [4, 2], [2, 3]]
    assert probe(path).seekable
    assert_close(flow_of(path, ids, pairs), plain_flow(path, ids, pairs))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotated_video_moves_as_it_is_shown(tmp_path, texture, turns):
    path = encode(tmp_path / "video.mp4", busy(texture, 20, (90, 126)), rotation=90 * turns)
    ids, pairs = [5, 9, 13], [[1, 0], [1, 2]]
    plain = np.rot90(plain_flow(path, ids, pairs), turns, (1, 2))  # counterclockwise
    x, y = plain[..., 0], plain[..., 1]
    plain = np.stack([(x, y), (y, -x), (-x, -y), (-y, x)][turns], axis=-1)
    ours = flow_of(path, ids, pairs)
    assert ours.shape == plain.shape == (2, *read_clip(path, [0]).shape[1:3], 2)
    assert_close(ours, plain)


REAL = [("torchvision/WUzgd7C1pWA.mp4", 57), ("torchvision/basketball.mp4", 200), ("edge/carphone_pristine.mp4", 40)]


@pytest.mark.parametrize(("name", "start"), [*REAL, ("torchvision/TrumanShow_wave_f_nm_np1_fr_med_26.avi", 3)])
def test_real_files_tell_what_a_decode_from_the_start_tells(clips, name, start):
    ids, pairs = list(range(start, start + 40, 4)), [[1, 0], [9, 8], [4, 5], [7, 6]]
    assert_close(flow_of(clips / name, ids, pairs), plain_flow(clips / name, ids, pairs))


def test_only_a_reading_with_motion_asks_for_vectors_and_the_pixels_are_the_same(tmp_path, texture, monkeypatch):
    asked = []

    def look(frame, *settings):
        asked.append("MOTION_VECTORS" in SideDataContainer(frame))
        return to_pixels(frame, *settings)

    to_pixels = decode.to_pixels
    monkeypatch.setattr(decode, "to_pixels", look)
    path = encode(tmp_path / "video.mp4", busy(texture, 30, (90, 126)), options=B_FRAMES, gop=8)
    ids = np.arange(1, 30, 4)
    plain = read_clip(path, ids)
    assert len(asked) == len(ids)
    assert not any(asked)
    np.testing.assert_array_equal(read_clip(path, ids, motion=Motion()), plain)
    assert any(asked)


def test_pixels_of_real_files_are_the_same_with_motion(clips):
    for path in [*list_videos(clips / "torchvision"), *list_videos(clips / "edge")]:
        ids = np.minimum(np.arange(1, 30, 4), probe(path).frames - 1)
        np.testing.assert_array_equal(read_clip(path, ids, motion=Motion()), read_clip(path, ids))


def test_over_packets_that_are_not_decoded_motion_goes_on(tmp_path, texture):
    """Wanted frames in two groups of pictures: the end of the first is needed by nothing."""

    def speed(t):
        return (4, 0) if t <= 9 else (0, 3)

    path = encode(tmp_path / "video.mp4", moving(texture, 24, speed=speed), options=X264 | {"bf": "0"}, gop=16)
    with av.open(str(path)) as container:
        runs = read_timeline(container, container.streams.video[0]).runs([4, 8, 20])
    assert [(run.first, run.last) for run in runs] == [(0, 8), (16, 20)]
    first, over = flow_of(path, [4, 8, 20], [[0, 1], [1, 2]])
    np.testing.assert_allclose(middle(first), (16, 0), atol=0.5)
    np.testing.assert_allclose(middle(over), (8 * 4, 4 * 3), atol=1)  # frames 9 to 16 as frame 8, 17 to 20 as they are
    whole = flow_of(path, [4, 8, 15, 20], [[1, 3]])[0]
    np.testing.assert_allclose(middle(whole), (4 + 0, 11 * 3), atol=1)


def test_the_last_frame_moves_although_it_is_a_b_frame(tmp_path, texture):
    def speed(t):
        return (0, 0) if t <= 8 else (4, 0)

    path = encode(tmp_path / "video.mp4", moving(texture, 20, speed=speed), options=B_FRAMES)
    with av.open(str(path)) as container:
        kinds = [int(frame.pict_type) for frame in container.decode(video=0)]
    assert kinds[8:13] == [2, 3, 3, 3, 2]
    for ids in ([8, 11], [4, 8, 10, 11]):
        flow = flow_of(path, ids, [[-2, -1]])[0]
        np.testing.assert_allclose(middle(flow), (4 * (ids[-1] - ids[-2]), 0), atol=0.5)


def test_a_file_may_close_with_b_frames_and_ends_where_it_ends(tmp_path, texture):
    path = encode(tmp_path / "video.mp4", moving(texture, 12), options=B_FRAMES)
    np.testing.assert_allclose(middle(flow_of(path, [10, 11], [[0, 1]])[0]), (3, -2), atol=0.5)
    with pytest.raises(IndexError, match=r"frame 12 was asked of .*video.mp4, which has 12"):
        read_clip(path, [11, 12], motion=Motion())


@pytest.mark.parametrize("codec", ["mjpeg", "libx265", "libvpx", "libvpx-vp9", "libsvtav1"])
def test_codecs_without_vectors_stand_still(tmp_path, encode, codec):
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {codec}")
    path = encode(tmp_path / "video.mkv", codec, 9, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p")
    motion = Motion()
    read_clip(path, [0, 8], motion=motion)
    assert not motion.has_vectors
    assert motion.flow(PAIRS[:2], (6, 8)).shape == (2, 6, 8, 2)
    assert not motion.flow(PAIRS[:2], (6, 8)).any()


def test_frames_do_not_outlive_their_reading(tmp_path, texture):
    path = encode(tmp_path / "video.mp4", moving(texture))
    probe(path)
    gc.collect()
    gc.disable()
    try:
        read_clip(path, [1, 23], motion=Motion())
        assert gc.collect() < 24  # each frame would leave several things behind
    finally:
        gc.enable()


def move_back(clip):
    """By how many quarter pixels the middle of the second frame best fits the first one, by trying all."""
    first, second = (cv2.resize(frame, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for frame in clip)
    quarter = len(second) // 4
    fit = cv2.matchTemplate(first, second[quarter:-quarter, quarter:-quarter], cv2.TM_CCOEFF_NORMED)
    return (np.array(cv2.minMaxLoc(fit)[3]) - quarter) / 4


class Witness:
    """An extra that keeps what it is given."""

    wants_motion = True

    def __call__(self, clip, key, motion):
        return motion.flow(np.array([[1, 0]]), clip.shape[1:3])[0]


def clip_and_flow(path, **settings):
    dataset = ClipDataset([Row(path.name, path)], 2, 3, extras={"flow": Witness()}, **settings)
    for epoch in range(6):
        for item in dataset[0, epoch]:
            yield item["video"], item["flow"]


SETTINGS = [
    {"crop": "multi_scale", "size": 64},
    {"crop": "random_resized", "size": 48, "area": (0.4, 1.0)},
    {"crop": "centre", "size": 64},
    {"crop": "multi_scale", "size": 48, "short_side": 72, "repeats": 2},
    {"train": False, "size": 80},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("rotation", [0, 90])
def test_the_flow_is_that_of_the_cropped_flipped_and_resized_clip(tmp_path, texture, settings, rotation):
    path = encode(tmp_path / "video.mp4", moving(texture, 14), rotation=rotation)
    seen = set()
    for clip, flow in clip_and_flow(path, flip=True, **settings):
        x, y = move_back(clip)
        np.testing.assert_allclose(middle(flow), (x, y), atol=0.4)
        seen.add((x > 0, y > 0))
    assert len(seen) == (1 if settings.get("train") is False else 2)  # mirrored and not


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_flow_lies_where_things_move_in_the_clip(tmp_path, texture, settings):
    def pictures():
        for right in moving(texture, 14, speed=lambda t: (0, 4)):
            picture = right.copy()
            picture[:, :64] = texture[100:196, 100:164]  # stands still
            yield picture

    path = encode(tmp_path / "video.mp4", pictures())
    sides = set()
    for clip, flow in clip_and_flow(path, flip=True, **settings):
        changed = cv2.blur(np.abs(clip[1].astype(np.float32) - clip[0]).max(-1), (9, 9)) > 8
        moved = np.abs(flow[..., 1]) > 1
        if 0.2 < changed.mean() < 0.8:
            assert (moved == changed).mean() > 0.85
            sides.add(bool(changed[:, :8].mean() > 0.5))
    assert sides == ({False} if settings.get("train") is False else {True, False})


def test_a_clip_says_whether_its_file_told_any_motion_and_other_extras_get_none(tmp_path, texture, encode):
    moves = globals()["encode"](tmp_path / "a.mp4", moving(texture))
    still = encode(tmp_path / "b.mkv", "mjpeg", 24, (96, 128), pix_fmt="yuvj420p")
    extras = {"flow": Witness(), "mean": lambda clip, key: np.float32(clip.mean())}
    dataset = ClipDataset([Row(path.name, path) for path in (moves, still)], 2, 3, 64, repeats=2, extras=extras)
    batch = collate([dataset[0, 0], dataset[1, 0]])
    assert batch["vectors"].tolist() == [True, True, False, False]
    assert batch["flow"][:2].any()
    assert not batch["flow"][2:].any()
    assert batch["mean"].shape == (4,)


def test_crops_of_one_decoding_share_what_was_added_up(tmp_path, texture, monkeypatch):

    sums, between = [], motion_vectors.between
    monkeypatch.setattr(motion_vectors, "between", lambda *given: sums.append(given[1:]) or between(*given))
    dataset = ClipDataset(
        [Row("a", encode(tmp_path / "a.mp4", moving(texture)))], 2, 3, 64, repeats=4, extras={"flow": Witness()}
    )
    assert len(dataset[0, 0]) == 4
    assert len(sums) == 1
