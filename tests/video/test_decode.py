"""Frames are exactly those of a decode from the start, for every kind of file."""

import os
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
import pytest
from benchmarks.corrupt_files import write_sound

from vmae_zoo.video import decode
from vmae_zoo.video.decode import VideoError, probe, read_clip
from vmae_zoo.video.packet_index import IndexMismatchError, read_packet_index

B_FRAMES = {"crf": "20", "bf": "3", "b-pyramid": "normal"}
OPEN_GOP = "open-gop=1:keyint=10:min-keyint=4:scenecut=0"
X265 = "log-level=error:open-gop=1:keyint=8:min-keyint=4:bframes=3"
UNEVEN = [40 * k + 7 * k * k % 35 for k in range(30)]

# name: (arguments of `encode`, whether the packets determine the position of every frame)
ODD = {
    "plain.mp4": ({"options": B_FRAMES, "frames": 50}, True),
    "one_frame.mp4": ({"frames": 1}, True),
    "one_gop.mp4": ({"gop": 1000, "options": B_FRAMES}, True),
    "only_keyframes.mp4": ({"gop": 1}, True),
    "variable_rate.mp4": ({"times": UNEVEN, "options": B_FRAMES}, True),
    "variable_rate.mkv": ({"times": UNEVEN, "options": B_FRAMES}, True),
    "ten_bit.mp4": ({"pix_fmt": "yuv420p10le"}, True),
    "full_range.mkv": ({"pix_fmt": "yuvj420p"}, True),
    "odd_size.mp4": ({"pix_fmt": "yuv444p", "size": (47, 63)}, True),
    "slices.mp4": ({"options": B_FRAMES | {"slices": "4"}}, True),
    "open_gop.mkv": ({"options": B_FRAMES | {"x264-params": OPEN_GOP}, "frames": 40}, True),
    "intra_refresh.mkv": ({"options": B_FRAMES | {"x264-params": "intra-refresh=1:keyint=10"}, "frames": 40}, True),
    "fragments.mp4": ({"options": B_FRAMES, "container_options": {"movflags": "frag_keyframe+empty_moov"}}, True),
    "no_cues.mkv": ({"options": B_FRAMES, "container_options": {"live": "1"}}, True),
    "open_gop_hevc.mp4": ({"codec": "libx265", "options": {"x265-params": X265}, "frames": 40}, True),
    "b_frames.mp4": ({"codec": "mpeg4", "options": {"bf": "2"}}, True),
    "b_frames.avi": ({"codec": "mpeg4", "options": {"bf": "2"}}, False),
    "no_b_frames.avi": ({"codec": "mpeg4"}, True),
    "h264.avi": ({"options": B_FRAMES}, False),
    "odd_size.webm": ({"codec": "libvpx-vp9", "size": (47, 63), "options": {"cpu-used": "5"}}, True),
    "vp8.webm": ({"codec": "libvpx"}, True),
    "av1.mkv": ({"codec": "libsvtav1", "options": {"preset": "10"}}, True),
    "motion_jpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, True),
    "prores.mov": ({"codec": "prores_ks", "pix_fmt": "yuv422p10le", "frames": 10}, True),
    "ffv1.mkv": ({"codec": "ffv1"}, False),
    "transport.ts": ({"options": B_FRAMES}, False),
    "mpeg2.mpg": ({"codec": "mpeg2video", "options": {"bf": "2"}}, False),
    "animation.gif": ({"codec": "gif", "pix_fmt": "rgb8", "frames": 8}, False),
}


def decode_from_start(
    path: Path, wanted: Iterable[int] | None = None, threads: int = 0
) -> tuple[int, dict[int, np.ndarray]]:
    """Number of frames that PyAV decodes, and the wanted ones as it converts them by default."""
    ids, frames, count = None if wanted is None else set(wanted), {}, 0
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = threads
        for count, frame in enumerate(container.decode(stream), start=1):
            if ids is None or count - 1 in ids:
                frames[count - 1] = frame.to_ndarray(format="rgb24")
    return count, frames


def assert_reads(path: Path, ids: list[int], frames: dict[int, np.ndarray]) -> None:
    clip = read_clip(path, ids)
    assert clip.dtype == np.uint8
    assert clip.shape == (len(ids), *frames[ids[0]].shape)
    wrong = [i for i, got in zip(ids, clip, strict=True) if not np.array_equal(got, frames[i])]
    assert not wrong, f"wrong frames: {wrong}"


def copy_packets(source: Path, target: Path, begin: float = 0, earlier: float = 0, **options: str) -> Path:
    """Copy the packets from the keyframe before ``begin`` seconds on, all times ``earlier`` by so many seconds."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        video = old.streams.video[0]
        copy = new.add_stream_from_template(video)
        old.seek(int(begin / video.time_base), stream=video)
        for packet in old.demux(video):
            if packet.pts is not None:
                packet.pts -= int(earlier / video.time_base)
                packet.dts -= int(earlier / video.time_base)
                packet.stream = copy
                new.mux(packet)
    return target


@pytest.fixture(scope="module")
def plain(encode, tmp_path_factory) -> Path:
    """80 frames of H.264 with B-frames, a keyframe every 12."""
    return encode(tmp_path_factory.mktemp("decode") / "plain.mp4", frames=80, options=B_FRAMES)


@pytest.mark.parametrize("name", ODD)
def test_frames_of_odd_files_equal_a_decode_from_the_start(name, encode, tmp_path):
    arguments, seekable = ODD[name]
    path = encode(tmp_path / name, **arguments)
    count, frames = decode_from_start(path)
    info = probe(path)
    assert (info.frames, info.height, info.width) == (count, *frames[0].shape[:2])
    assert info.seekable == seekable
    assert_reads(path, list(range(count))[::-1], frames)
    for ids in (
        [count - 1],
        [count // 2, count // 2, 0],
        list(range(count // 3, count, 4)),
        [0, count - 1, count // 2],
    ):
        assert_reads(path, ids, frames)
    for position in range(0, count, 2):
        assert_reads(path, [position], frames)
    assert probe(path).seekable == seekable, "the packet index did not match"
    with pytest.raises(IndexError, match=f"{count}"):
        read_clip(path, [0, count])


def real_clips() -> list[str]:
    folder = os.environ.get("VMAE_ZOO_CLIPS", "")
    videos = [path for path in Path(folder).rglob("*.*") if path.suffix in (".avi", ".mkv", ".mov", ".mp4", ".webm")]
    return sorted(str(path.relative_to(folder)) for path in videos) if folder else []


@pytest.mark.parametrize("name", real_clips() or ["any"])
def test_frames_of_real_clips_equal_a_decode_from_the_start(name, clips):
    path = clips / name
    total = probe(path).frames
    dense = [min(total // 3 + 4 * k, total - 1) for k in range(16)]
    scattered = [total - 1, 0, total // 2, total // 2, total - 2, total // 5, 1]
    count, frames = decode_from_start(path, dense + scattered)
    assert total == count
    assert_reads(path, dense[::-1], frames)
    assert_reads(path, scattered, frames)
    with pytest.raises(IndexError, match=f"{count}"):
        read_clip(path, [count])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize(("begin", "earlier"), [(2.0, 0.0), (2.0, 1.9), (0.0, 0.5)])
def test_stream_copied_cuts_are_counted_right(suffix, begin, earlier, plain, tmp_path):
    keep = {"avoid_negative_ts": "disabled"} if suffix != "mkv" else {}
    path = copy_packets(plain, tmp_path / f"cut.{suffix}", begin, earlier, **keep)
    count, frames = decode_from_start(path)
    assert probe(path).frames == count
    for ids in (list(range(count)), [count - 1, count // 2], [0]):
        assert_reads(path, ids, frames)


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_display_rotation_is_applied(degrees, encode, tmp_path):
    path = encode(tmp_path / "rotated.mp4", rotation=degrees, frames=4)
    _, frames = decode_from_start(path)
    upright = np.rot90(frames[3], degrees // 90)
    np.testing.assert_array_equal(read_clip(path, [3])[0], upright)
    info = probe(path)
    assert (info.height, info.width) == upright.shape[:2]
    assert abs(info.rotation) == abs(degrees)
    assert read_clip(path, [3], 24)[0].shape == ((32, 24, 3) if degrees % 180 else (24, 32, 3))


def test_a_mirrored_display_is_mirrored(encode, tmp_path):
    path = tmp_path / "mirrored.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.set_display_rotation(0, hflip=True)
        container.mux(
            stream.encode(av.VideoFrame.from_ndarray(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)))
        )
        container.mux(stream.encode(None))
    _, frames = decode_from_start(path)
    np.testing.assert_array_equal(read_clip(path, [0])[0], frames[0][:, ::-1])


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [((48, 64), 24, (24, 32)), ((64, 48), 24, (32, 24)), ((48, 64), 60, (60, 80)), ((64, 86), 32, (32, 44))],
)
def test_resizing_keeps_the_shape_and_the_picture(size, short_side, expected, encode, tmp_path):
    path = encode(tmp_path / "sized.mp4", size=size, frames=3)
    small = read_clip(path, [2], short_side)[0]
    assert small.shape == (*expected, 3)
    native = read_clip(path, [2])[0].astype(float)
    rows, columns = (np.arange(n) * m // n for n, m in zip(expected, size, strict=True))
    assert abs(small - native[rows][:, columns]).mean() < 25


def test_a_size_already_right_is_left_alone(encode, tmp_path):
    path = encode(tmp_path / "right.webm", codec="libvpx-vp9", size=(47, 63), frames=3)
    np.testing.assert_array_equal(read_clip(path, [1], 47), read_clip(path, [1]))


def test_invalid_ids_are_refused(plain):
    for ids in ([80], [0, 1000]):
        with pytest.raises(IndexError, match=r"has 80"):
            read_clip(plain, ids)
    with pytest.raises(IndexError, match="start at 0"):
        read_clip(plain, [-1])
    for nonsense in ([], [0.5], [[0, 1]], "frames"):
        with pytest.raises(ValueError, match="frame_ids"):
            read_clip(plain, nonsense)
    with pytest.raises(ValueError, match="short_side"):
        read_clip(plain, [0], 0)


def test_files_that_are_not_videos_are_refused_with_name_and_reason(plain, tmp_path):
    empty, text, half, sound = (tmp_path / name for name in ("empty.mp4", "text.mp4", "half.mp4", "sound.mp4"))
    empty.touch()
    text.write_text("not a video\n" * 50)
    half.write_bytes(plain.read_bytes()[: plain.stat().st_size // 2])  # the index of an MP4 file is at its end
    write_sound(sound)
    reasons = {
        tmp_path / "missing.mp4": "No such file",
        tmp_path: "not a regular file",
        empty: "empty",
        text: "Invalid data",
        half: "Invalid data",
        sound: "no video stream",
    }
    for path, reason in reasons.items():
        for read in (probe, lambda path: read_clip(path, [0])):
            with pytest.raises(VideoError, match=reason) as caught:
                read(path)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)


def damage(path: Path, kind: str, target: Path) -> Path:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if kind == "cut off":
        del data[middle:]
    else:
        noise = np.random.default_rng(0).bytes(len(data) // 10)
        data[middle : middle + len(noise)] = bytes(len(noise)) if kind == "zeros" else noise
    target.write_bytes(data)
    return target


@pytest.mark.parametrize("kind", ["cut off", "zeros", "noise"])
def test_frames_before_damage_are_read_and_those_after_it_refused(kind, plain, tmp_path):
    whole = copy_packets(plain, tmp_path / "index_first.mp4", movflags="faststart")
    path = damage(whole, kind, tmp_path / "damaged.mp4")
    frames = []
    with av.open(str(path)) as container, pytest.raises(av.FFmpegError):
        frames.extend(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
    assert 0 < len(frames) < 80
    assert_reads(path, list(range(len(frames)))[::-1], dict(enumerate(frames)))
    for ids in ([len(frames)], [79], [0, 79]):
        with pytest.raises(VideoError, match=r"damaged\.mp4 is damaged"):
            read_clip(path, ids)
    with pytest.raises(VideoError, match="damaged"):
        probe(path)


def concealed(path: Path, target: Path) -> int:
    """Damage a packet so that the decoder marks a frame and carries on; returns that frame's position."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    for begin, size in packets:
        data = bytearray(path.read_bytes())
        for place in range(begin + size // 3, begin + size):
            data[place] ^= 0x55
        target.write_bytes(data)
        with av.open(str(target)) as container:
            try:
                marked = [frame.is_corrupt for frame in container.decode(video=0)]
            except av.FFmpegError:
                continue
        if len(marked) == len(packets) and True in marked:
            return marked.index(True)
    raise AssertionError("the decoder conceals no damage")


def test_concealed_frames_are_those_of_a_decode_from_the_start(plain, tmp_path):
    path = tmp_path / "flipped.mp4"
    marked = concealed(plain, path)
    _, frames = decode_from_start(path, threads=1)  # several threads conceal in another way
    assert_reads(path, [marked, 0, 79], frames)


def test_a_file_that_changes_is_read_afresh(plain, encode, tmp_path):
    path = encode(tmp_path / "changing.mp4", frames=5)
    assert probe(path).frames == 5
    path.write_bytes(plain.read_bytes())
    assert probe(path).frames == 80
    assert read_clip(path, [79]).shape == (1, 48, 64, 3)


def test_memory_stays_flat(plain):
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

    for _ in range(20):
        read_clip(plain, [5, 70], 32)
    before = resident()
    for _ in range(80):
        read_clip(plain, [5, 70], 32)
    assert resident() - before < 8


def test_an_index_that_does_not_match_ends_in_counting(plain, monkeypatch):
    _, frames = decode_from_start(plain)
    assert probe(plain).seekable

    def late(*_):
        raise IndexMismatchError

    monkeypatch.setattr(decode, "decode_range", late)
    assert_reads(plain, [70, 3], frames)
    assert (probe(plain).frames, probe(plain).seekable) == (80, False)
    decode._facts.cache_clear()
    decode._info.cache_clear()


def test_only_the_packets_that_wanted_frames_need_are_decoded(plain):
    with av.open(str(plain)) as container:
        index = read_packet_index(container, container.streams.video[0])
    starts = [packets.first for packets in index.ranges([2, 3, 50, 79])]
    assert starts == sorted(starts)
    assert len(starts) == 3
    (packets,) = index.ranges([50])
    sent = [k for k in range(packets.first, packets.last + 1) if not index.disposable[k]]
    assert len(sent) < 12
    assert index.disposable.any()  # B-frames that nothing refers to


def swap_times(source: Path, target: Path, pairs: Iterable[int]) -> Path:
    """Copy a file with the presentation times of these frames and their successors exchanged."""
    with av.open(str(source)) as old:
        times = sorted(packet.pts for packet in old.demux(video=0) if packet.pts is not None)
    new_times = {times[k]: times[k + 1] for k in pairs} | {times[k + 1]: times[k] for k in pairs}
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.pts is not None:
                packet.pts = new_times.get(packet.pts, packet.pts) + 10_000
                packet.dts, packet.stream = number, copy  # Matroska does not store it
                new.mux(packet)
    return target


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"bf": "0"}), ("libx264", {"bf": "2"}), ("libx265", {"x265-params": X265}), ("mpeg4", {"bf": "2"})],
)
def test_frames_with_exchanged_times_do_not_depend_on_earlier_reads(codec, options, encode, tmp_path):
    source = encode(tmp_path / "source.mkv", codec=codec, frames=40, options=options)
    assert probe(source).seekable
    path = swap_times(source, tmp_path / "swapped.mkv", [5, 14, 21, 32])
    count, frames = decode_from_start(path)
    for position in (6, 5, 14, 15, 21, 22, 32, 33):
        decode._info.cache_clear()
        decode._facts.cache_clear()
        assert_reads(path, [position], frames)
    assert (probe(path).frames, probe(path).seekable) == (count, False)


def test_a_stream_that_begins_inside_of_a_file_changes_nothing(encode, tmp_path):
    options = {"codec": "mpeg4", "options": {"b": "8000000"}}
    plain = encode(tmp_path / "plain.mpg", frames=250, size=(144, 176), **options)
    late = tmp_path / "late.mpg"
    with av.open(str(tmp_path / "sound.mpg"), "w", format="mpeg") as container:
        sound = container.add_stream("mp2", rate=48000)
        for number in range(50):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), layout="stereo")
            frame.rate, frame.pts = 48000, number * 1152
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    late.write_bytes(plain.read_bytes() + (tmp_path / "sound.mpg").read_bytes() + plain.read_bytes())
    with av.open(str(late)) as container:
        assert len(container.streams) == 1
    assert probe(late).frames == 500
    assert read_clip(late, [400]).shape == (1, 144, 176, 3)
