"""Frame type of a video packet, parsed from its header bits without decoding it.

An exact seek needs to know how many frames the skipped packets would show, and which packets can be skipped. The
parsers here cover codecs whose packets show at most one frame each in MP4, Matroska and AVI files. They return None for
anything else: fields, packed frames, layers, damage. Bitstream syntax: ITU-T H.264 and H.265 (7.3), ISO/IEC 14496-2
(6.2.5), RFC 6386 (9.1), VP9 (6.1, annex B) and AV1 (5.3, 5.9).
"""

from collections.abc import Callable
from typing import NamedTuple

from vmae_zoo.video.picture_order import H264Order, HEVCOrder, Order


class Packet(NamedTuple):
    """Frame type of one packet.

    Args:
        shown: the packet outputs a frame; hidden reference frames do not.
        random_access: decoding can start here: no later shown frame depends on an earlier packet.
        disposable: no other packet depends on this one.
        order: place of its frame in the decoder's output; None for codecs without a picture order count.
    """

    shown: bool
    random_access: bool
    disposable: bool
    order: Order | None = None


HEADER_BYTES = 48  # of a slice, more than the part of its header that is read
PacketParser = Callable[[memoryview], Packet | None]


def packet_parser(codec: str, extradata: bytes, container: str) -> PacketParser | None:
    """The parser for packets of a codec, with its header, in a container, by FFmpeg's names; None if unsupported."""
    in_avi = container == "avi"
    if not in_avi and not any(name in container.split(",") for name in ("mp4", "matroska")):
        return None
    if codec in ("mjpeg", "png", "prores"):
        return _still
    if codec == "mpeg4":
        return _mpeg4_in_avi if in_avi else _mpeg4
    if in_avi:
        return None
    try:
        if codec == "h264" and extradata[:1] == b"\x01" and len(extradata) > 8:
            avc = H264Order(extradata)
            return lambda data: _h264(data, (extradata[4] & 3) + 1, avc)
        if codec == "hevc" and extradata[:1] == b"\x01" and len(extradata) > 22:
            hevc = HEVCOrder(extradata)
            return lambda data: _hevc(data, (extradata[21] & 3) + 1, hevc)
    except (ValueError, IndexError):
        return None
    return {"vp8": _vp8, "vp9": _vp9, "av1": _av1}.get(codec)


def _still(data: memoryview) -> Packet | None:
    return Packet(shown=True, random_access=True, disposable=True)


def _nal_units(data: memoryview, prefix: int) -> list[memoryview] | None:
    """The length-prefixed NAL units of an H.264 or H.265 packet; None if a length is invalid."""
    position, end, units = 0, len(data), []
    while position < end:
        size = int.from_bytes(data[position : position + prefix], "big")
        position += prefix
        units.append(data[position : position + size])
        if not size:
            return None
        position += size
    return units if position == end else None


def _h264(data: memoryview, prefix: int, orders: H264Order) -> Packet | None:
    pictures, random_access, disposable, order = 0, False, False, None
    for unit in _nal_units(data, prefix) or [memoryview(b"\x80")]:
        kind = unit[0] & 31
        if unit[0] & 0x80 or kind in (2, 3, 4, 20, 21):  # not a NAL unit; partitioned slices, layers
            return None
        try:
            if kind == 7:
                orders.read_parameters(bytes(unit))
            if kind in (1, 5) and len(unit) > 1:
                if unit[1] >> 7:  # the slice with macroblock 0 begins a picture (or a field)
                    pictures, order = pictures + 1, orders.of(bytes(unit[:HEADER_BYTES]))
                random_access, disposable = kind == 5, unit[0] & 0x60 == 0
        except (ValueError, IndexError):
            return None
    return Packet(True, random_access, disposable, order) if pictures == 1 else None


def _hevc(data: memoryview, prefix: int, orders: HEVCOrder) -> Packet | None:
    pictures, random_access, order = 0, False, None
    for unit in _nal_units(data, prefix) or [memoryview(b"\x80")]:
        if unit[0] & 0x80 or len(unit) < 3:
            return None
        kind = unit[0] >> 1 & 63
        layered = unit[0] & 1 or unit[1] >> 3
        if layered or kind in (16, 17, 18, 36, 37):  # decoders drop pictures at broken links and ends of sequence
            return None
        if kind < 32:
            random_access = kind in (19, 20, 21)
            if unit[2] >> 7:
                pictures += 1
                try:
                    order = orders.of(bytes(unit[:HEADER_BYTES]))
                except ValueError:
                    return None
    return Packet(True, random_access, disposable=False, order=order) if pictures == 1 else None


def _mpeg4(data: memoryview) -> Packet | None:
    _, *pictures = bytes(data).split(b"\x00\x00\x01\xb6")
    if len(pictures) != 1 or len(pictures[0]) < 16:  # packed frames, or a placeholder without a picture
        return None
    kind = pictures[0][0] >> 6
    return Packet(True, random_access=kind == 0, disposable=kind == 2)


def _mpeg4_in_avi(data: memoryview) -> Packet | None:
    packet = _mpeg4(data)
    return None if packet is None or packet.disposable else packet  # AVI with B-frames has no presentation times


def _vp8(data: memoryview) -> Packet | None:
    if len(data) < 3:
        return None
    return Packet(shown=bool(data[0] & 0x10), random_access=not data[0] & 1, disposable=False)


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
    if not frames or shown > 1:
        return None
    return Packet(shown == 1, random_access=not frames[0][0] & 0x0C, disposable=False)


def _av1(data: memoryview) -> Packet | None:
    position, shown, random_access, first = 0, 0, False, True
    while position < len(data):
        header = data[position]
        kind = header >> 3 & 15
        position += 2 if header & 4 else 1
        if not header & 2:
            return None
        size = shift = 0
        while position < len(data):
            byte = data[position]
            size |= (byte & 127) << shift
            shift += 7
            position += 1
            if byte < 128:
                break
        if kind in (3, 6) and size and position < len(data):
            show_existing, frame_kind, show = data[position] >> 7, data[position] >> 5 & 3, data[position] >> 4 & 1
            shown += show_existing | show
            if first:
                random_access, first = not show_existing and frame_kind == 0 and bool(show), False
        position += size
    if shown != 1 or position != len(data):
        return None
    return Packet(True, random_access, disposable=False)
