"""The frame type of a packet is parsed from its bits; unsupported content is refused."""

import numpy as np
import pytest

from vmae_zoo.video.bitstream import Packet, packet_parser

MP4, MKV = "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"
AVCC = bytes.fromhex(  # lengths of four bytes; written by x264
    "0164000affe100176764000aacd9447a1000000300100000030320f122596001000668ebe3cb22c0fdf8f800"
)
HVCC = bytes.fromhex(  # written by x265
    "0101600000009000000000001ef000fcfdf8f800000f03200001001840010c01ffff01600000030090000003000003001e959009210001002842"
    "010101600000030090000003000003001ea020831659592e4cae6808000003000800000300c84022000100064401c173d089"
)


def packet(*units: bytes) -> memoryview:
    return memoryview(b"".join(len(unit).to_bytes(4, "big") + unit for unit in units))


H264 = {
    "keyframe": (packet(b"\x06\x05\x80", b"\x65\x88\x84"), Packet(True, True, False)),
    "reference frame": (packet(b"\x41\x9a\x00"), Packet(True, False, False)),
    "disposable frame": (packet(b"\x01\x9e\x00"), Packet(True, False, True)),
    "frame of two slices": (packet(b"\x41\x9a\x00", b"\x41\x40\x00"), Packet(True, False, False)),
    "recovery point, not a random access point": (packet(b"\x06\x06\x01", b"\x41\x88\x00"), Packet(True, False, False)),
    "two fields": (packet(b"\x41\x9a\x00", b"\x41\x9a\x00"), None),
    "no picture": (packet(b"\x06\x05\x80"), None),
    "first slice missing": (packet(b"\x41\x40\x00"), None),
    "partitioned slices": (packet(b"\x42\x9a\x00"), None),
    "forbidden bit": (packet(b"\xe5\x88\x84"), None),
    "length past the end": (memoryview(b"\x00\x00\x00\x09\x65\x88"), None),
    "zeros": (memoryview(bytes(16)), None),
    "nothing": (memoryview(b""), None),
}

HEVC = {
    "closed keyframe": (packet(b"\x26\x01\xaf"), Packet(True, True, False)),
    "open keyframe": (packet(b"\x2a\x01\xaf"), Packet(True, True, False)),
    "trailing frame": (packet(b"\x02\x01\xd0"), Packet(True, False, False)),
    "broken link, whose leading frames are dropped": (packet(b"\x20\x01\xaf"), None),
    "end of sequence": (packet(b"\x02\x01\xd0", b"\x48\x01\x00"), None),
    "second layer": (packet(b"\x02\x09\xd0"), None),
}


def vop(kind: int, size: int = 40) -> bytes:
    return b"\x00\x00\x01\xb6" + bytes([kind << 6]) + bytes(size)


MPEG4 = {
    "keyframe behind its header": (b"\x00\x00\x01\xb0\x01" + vop(0), Packet(True, True, False)),
    "predicted frame": (vop(1), Packet(True, False, False)),
    "disposable frame": (vop(2), Packet(True, False, True)),
    "two frames packed together": (vop(1) + vop(2), None),
    "placeholder": (vop(1, 3), None),
    "no frame": (b"\x7f", None),
}

VP9 = {
    "keyframe": (b"\x82\x49\x83\x42", Packet(True, True, False)),
    "frame": (b"\x86\x00\x00", Packet(True, False, False)),
    "hidden frame": (b"\x84\x00\x00", Packet(False, False, False)),
    "frame shown again": (b"\x88", Packet(True, False, False)),
    "hidden and shown frame": (b"\x84\x00" + b"\x86\x00\x00" + b"\xc1\x02\x03\xc1", Packet(True, False, False)),
    "two shown frames": (b"\x86\x00" + b"\x86\x00\x00" + b"\xc1\x02\x03\xc1", None),
    "not a frame": (b"\x00\x00", None),
}

VP8 = {
    "keyframe": (b"\x10\x00\x00", Packet(True, True, False)),
    "frame": (b"\x11\x00\x00", Packet(True, False, False)),
    "hidden frame": (b"\x01\x00\x00", Packet(False, False, False)),
}

AV1 = {
    "keyframe": (b"\x12\x00" + b"\x0a\x01\x00" + b"\x32\x02\x10\x00", Packet(True, True, False)),
    "frame": (b"\x32\x02\x30\x00", Packet(True, False, False)),
    "hidden keyframe and shown frame": (b"\x32\x02\x00\x00" + b"\x32\x02\x30\x00", Packet(True, False, False)),
    "frame shown again": (b"\x1a\x01\x80", Packet(True, False, False)),
    "two shown frames": (b"\x32\x02\x30\x00" + b"\x32\x02\x30\x00", None),
    "unit past the end": (b"\x32\x09\x30\x00", None),
}

CASES = [("h264", AVCC, H264), ("hevc", HVCC, HEVC), ("mpeg4", b"", MPEG4), ("vp9", b"", VP9), ("vp8", b"", VP8)]
CASES += [("av1", b"", AV1)]


@pytest.mark.parametrize(
    ("codec", "extradata", "data", "expected"),
    [pytest.param(c, e, *case, id=f"{c}: {name}") for c, e, cases in CASES for name, case in cases.items()],
)
def test_packets_are_parsed(codec, extradata, data, expected):
    parse = packet_parser(codec, extradata, MKV)
    assert parse is not None
    found = parse(memoryview(data))
    assert found == expected if expected is None else found[:3] == expected[:3]


@pytest.mark.parametrize(("codec", "extradata"), [(codec, extradata) for codec, extradata, _ in CASES])
def test_noise_is_parsed_or_refused_without_an_error(codec, extradata):
    parse = packet_parser(codec, extradata, MP4)
    numbers = np.random.default_rng(0)
    for _ in range(2000):
        parse(memoryview(numbers.bytes(int(numbers.integers(1, 40)))))


def test_streams_whose_times_or_packets_cannot_be_trusted_have_no_parser():
    assert packet_parser("h264", b"", MP4) is None  # start codes instead of lengths
    for codec in ("h264", "msmpeg4v3"):
        assert packet_parser(codec, AVCC, "avi") is None
    assert packet_parser("h264", AVCC, "mpegts") is None
    assert packet_parser("theora", b"", MKV) is None
    in_avi = packet_parser("mpeg4", b"", "avi")
    assert in_avi(memoryview(vop(1))) == Packet(True, False, False)
    assert in_avi(memoryview(vop(2))) is None  # a B-frame: AVI has no presentation times
