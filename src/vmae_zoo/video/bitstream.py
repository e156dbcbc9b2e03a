"""What one packet of a video stream decodes to, read from its first bits without decoding it.

A seek is exact only if it is known how many frames the skipped packets would have shown, and what may be skipped. The
readers here say so for the codecs whose packets hold at most one shown frame in MP4, Matroska and AVI files, and refuse
(None) whatever looks otherwise: fields, packed frames, layers, damage. The layouts are those of ITU-T H.264 and H.265
(7.3), ISO/IEC 14496-2 (6.2.5), RFC 6386 (9.1), the VP9 bitstream (6.1, annex B) and the AV1 bitstream (5.3, 5.9).
"""

from collections.abc import Callable
from typing import NamedTuple


class Packet(NamedTuple):
    """One packet.

    Args:
        shown: it yields a frame; hidden reference frames do not.
        start: decoding may start here: what is shown from here on needs nothing before it.
        spare: no other packet needs it.
    """

    shown: bool
    start: bool
    spare: bool


Reader = Callable[[memoryview], Packet | None]


def packet_reader(codec: str, extradata: bytes, container: str) -> Reader | None:
    """The reader of a codec's packets, or None where nothing is promised.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: the codec's header of the file.
        container: FFmpeg's name of the container format.
    """
    in_avi = container == "avi"
    if not in_avi and not any(name in container.split(",") for name in ("mp4", "matroska")):
        return None
    if codec in ("mjpeg", "png", "prores"):
        return _still
    if codec == "mpeg4":
        return _mpeg4_in_avi if in_avi else _mpeg4
    if in_avi:
        return None
    if codec == "h264" and extradata[:1] == b"\x01" and len(extradata) > 4:
        return lambda data: _h264(data, (extradata[4] & 3) + 1)
    if codec == "hevc" and extradata[:1] == b"\x01" and len(extradata) > 21:
        return lambda data: _hevc(data, (extradata[21] & 3) + 1)
    return {"vp8": _vp8, "vp9": _vp9, "av1": _av1}.get(codec)


def _still(data: memoryview) -> Packet | None:
    return Packet(shown=True, start=True, spare=True)


def _units(data: memoryview, prefix: int) -> list[bytes] | None:
    """The first three bytes of each length-prefixed unit of an H.264 or H.265 packet; None where a length is wrong."""
    at, end, heads = 0, len(data), []
    while at < end:
        size = int.from_bytes(data[at : at + prefix], "big")
        at += prefix
        heads.append(bytes(data[at : min(at + 3, at + size)]))
        if not size:
            return None
        at += size
    return heads if at == end else None


def _h264(data: memoryview, prefix: int) -> Packet | None:
    pictures, start, spare = 0, False, False
    for unit in _units(data, prefix) or [b"\x80"]:
        kind = unit[0] & 31
        if kind in (1, 5) and len(unit) > 1:
            pictures += unit[1] >> 7  # the slice with macroblock 0 begins a picture (or a field)
            start, spare = kind == 5, unit[0] & 0x60 == 0
        if unit[0] & 0x80 or kind in (2, 3, 4, 20, 21):  # not a unit; partitioned slices, layers
            return None
    return Packet(True, start, spare) if pictures == 1 else None


def _hevc(data: memoryview, prefix: int) -> Packet | None:
    pictures, start = 0, False
    for unit in _units(data, prefix) or [b"\x80"]:
        if unit[0] & 0x80 or len(unit) < 3:
            return None
        kind = unit[0] >> 1 & 63
        if (
            unit[0] & 1 or unit[1] >> 3 or kind in (16, 17, 18, 36, 37)
        ):  # layers; broken links and ends of sequence drop pictures
            return None
        if kind < 32:
            pictures += unit[2] >> 7
            start = kind in (19, 20, 21)
    return Packet(True, start, spare=False) if pictures == 1 else None


def _mpeg4(data: memoryview) -> Packet | None:
    _, *pictures = bytes(data).split(b"\x00\x00\x01\xb6")
    if len(pictures) != 1 or len(pictures[0]) < 16:  # packed, or a place holder without a picture
        return None
    kind = pictures[0][0] >> 6
    return Packet(True, start=kind == 0, spare=kind == 2)


def _mpeg4_in_avi(data: memoryview) -> Packet | None:
    packet = _mpeg4(data)
    return None if packet is None or packet.spare else packet  # with B-frames, AVI has no presentation times


def _vp8(data: memoryview) -> Packet | None:
    if len(data) < 3:
        return None
    return Packet(shown=bool(data[0] & 0x10), start=not data[0] & 1, spare=False)


def _vp9(data: memoryview) -> Packet | None:
    frames = [data]
    if data[-1] & 0xE0 == 0xC0:
        count, width = (data[-1] & 7) + 1, (data[-1] >> 3 & 3) + 1
        index = data[-2 - count * width :]
        if index[0] == data[-1]:
            sizes = [int.from_bytes(index[1 + i * width : 1 + (i + 1) * width], "little") for i in range(count)]
            ends = [sum(sizes[: i + 1]) for i in range(count)]
            frames = [data[end - size : end] for size, end in zip(sizes, ends, strict=True) if size]
    shown = 0
    for frame in frames:
        if not len(frame) or frame[0] >> 6 != 2 or frame[0] & 0x30 == 0x30:  # not a frame, or profile 3
            return None
        shown += bool(frame[0] & 0x08 or frame[0] & 0x02)
    return Packet(shown == 1, start=not frames[0][0] & 0x0C, spare=False) if frames and shown <= 1 else None


def _av1(data: memoryview) -> Packet | None:
    at, shown, start, first = 0, 0, False, True
    while at < len(data):
        header = data[at]
        kind = header >> 3 & 15
        at += 2 if header & 4 else 1
        if not header & 2:
            return None
        size = shift = 0
        while at < len(data):
            byte = data[at]
            size |= (byte & 127) << shift
            shift += 7
            at += 1
            if byte < 128:
                break
        if kind in (3, 6) and size and at < len(data):
            show_existing, frame_kind, show = data[at] >> 7, data[at] >> 5 & 3, data[at] >> 4 & 1
            shown += show_existing | show
            if first:
                start, first = not show_existing and frame_kind == 0 and bool(show), False
        at += size
    return Packet(True, start, spare=False) if shown == 1 and at == len(data) else None
