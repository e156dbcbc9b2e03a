"""The packet index of a video: which packet shows which frame, and which packets a frame depends on."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from av.container import InputContainer
from av.packet import Packet as EncodedPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmae_zoo.video.bitstream import Packet, packet_parser
from vmae_zoo.video.container import demux
from vmae_zoo.video.picture_order import output_order

MAX_PACKETS = 5_000_000  # of a video: 23 hours at 60 frames per second


class IndexMismatchError(Exception):
    """Decoding yielded other frames than the packet index lists."""


@dataclass(frozen=True)
class PacketRange:
    """Consecutive packets to decode in one pass.

    ``first`` is the number of a random access point. ``needed`` packets must be decoded although they are disposable;
    ``positions`` of the wanted frames are ascending.
    """

    first: int
    last: int
    needed: frozenset[int]
    positions: tuple[int, ...]


class PacketIndex:
    """The packets of a video in file order, which is decoding order; each shows one frame or none."""

    def __init__(self, pts: list[int], packets: list[Packet]):
        self.pts = np.array(pts, np.int64)
        self.disposable = np.array([packet.disposable for packet in packets])
        self.shown = np.array([packet.shown for packet in packets])
        self._random_access = np.flatnonzero([packet.random_access for packet in packets])
        shown = np.flatnonzero(self.shown)
        self._packet_of_frame = shown[np.argsort(self.pts[shown])]

    @property
    def frames(self) -> int:
        """Number of frames that decoding from the start yields."""
        return len(self._packet_of_frame)

    @property
    def times(self) -> np.ndarray:
        """Presentation time of each frame, ascending."""
        return self.pts[self._packet_of_frame]

    def pack(self) -> bytes:
        """The index in compressed form, for `unpack`."""
        random_access = np.zeros(len(self.pts), np.uint8)
        random_access[self._random_access] = 1
        flags = random_access | self.shown.astype(np.uint8) << 1 | self.disposable.astype(np.uint8) << 2
        return zlib.compress(flags.tobytes() + np.diff(self.pts, prepend=0).astype("<i8").tobytes())

    @classmethod
    def unpack(cls, packed: bytes) -> "PacketIndex":
        """The index that `pack` compressed; ``ValueError`` or ``zlib.error`` if it is none."""
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_PACKETS * 9)
        if not unpacker.eof:
            raise ValueError(f"a packet index of more than {MAX_PACKETS:,} packets, or a part of one")
        count = len(data) // 9
        flags = np.frombuffer(data, np.uint8, count)
        pts = np.cumsum(np.frombuffer(data, "<i8", count, offset=count))
        packets = [Packet(bool(flag & 2), bool(flag & 1), bool(flag & 4)) for flag in flags.tolist()]
        return cls(pts.tolist(), packets)

    def expected_frames(self, sent: list[int], first: int) -> Iterator[tuple[int, int]]:
        """Position and time of each frame that the packets ``sent`` show after a start at ``first``, ascending."""
        times = np.sort(self.pts[[k for k in sent if self.shown[k] and self.pts[k] >= self.pts[first]]])
        positions = np.searchsorted(self.pts[self._packet_of_frame], times)
        return zip(positions.tolist(), times.tolist(), strict=True)

    def ranges(self, positions: Iterable[int]) -> list[PacketRange]:
        """The smallest packet ranges that contain the frames at these ascending positions."""
        ranges: list[PacketRange] = []
        for position in positions:
            packet = int(self._packet_of_frame[position])
            starts = self._random_access[self._random_access <= packet]
            first = int(starts[self.pts[starts] <= self.pts[packet]][-1])
            if ranges and first <= ranges[-1].last + 1:
                before = ranges.pop()
                needed, wanted = before.needed | {packet}, (*before.positions, position)
                ranges.append(PacketRange(before.first, max(before.last, packet), needed, wanted))
            else:
                ranges.append(PacketRange(first, packet, frozenset([packet]), (position,)))
        return ranges


def read_packet_index(container: InputContainer, stream: VideoStream) -> PacketIndex | None:
    """Read all packets of a video without decoding them; None if its frames cannot be counted with certainty.

    That is the case for AVI files with B-frames (which have no presentation times), missing or repeated times, times in
    another order than that of the decoder's output, packed or interlaced frames, damaged packets, and codecs and
    containers without a `packet_parser`.
    """
    context = stream.codec_context
    parse = packet_parser(context.codec.canonical_name, bytes(context.extradata or b""), container.format.name)
    if parse is None:
        return None
    pts: list[int] = []
    packets: list[Packet] = []
    for encoded in demux(container, stream):
        if encoded.size == 0 and encoded.pts is None and encoded.dts is None:
            continue  # PyAV's flush packet at the end
        packet = parse(memoryview(encoded)) if encoded.size else None
        if packet is None or encoded.pts is None or encoded.is_corrupt:
            return None
        if packet.random_access and encoded.has_sidedata("new_extradata"):
            return None
        pts.append(encoded.pts)
        packets.append(packet._replace(shown=False) if encoded.is_discard else packet)
    if not packets or not packets[0].random_access or len(set(pts)) < len(pts) or min(pts) < pts[0]:
        return None
    shown = [number for number, packet in enumerate(packets) if packet.shown]
    output = output_order([packets[k].order for k in shown], [not packets[k].disposable for k in shown])
    times = [pts[shown[place]] for place in output]
    return PacketIndex(pts, packets) if times == sorted(times) else None


def decode_range(
    container: InputContainer, stream: VideoStream, index: PacketIndex, packets: PacketRange
) -> Iterator[tuple[int, VideoFrame]]:
    """Decode a packet range; yields the position and the frame of at least all wanted frames, ascending.

    Raises:
        IndexMismatchError: a frame is missing, differs from the index, or is marked as damaged: the decoder would
            conceal the damage depending on what it has decoded before.
    """
    sent = [k for k in range(packets.first, packets.last + 1) if k in packets.needed or not index.disposable[k]]
    expected = index.expected_frames(sent, packets.first)
    for frame in _decode_packets(container, stream, index, packets, frozenset(sent)):
        if frame.pts is None or frame.pts < index.pts[packets.first]:
            continue  # shown before the keyframe, and incomplete without the packets before it
        position, pts = next(expected, (-1, None))
        if frame.pts != pts or frame.is_corrupt:
            raise IndexMismatchError
        yield position, frame
        if position >= packets.positions[-1]:
            return
    raise IndexMismatchError


def _decode_packets(
    container: InputContainer, stream: VideoStream, index: PacketIndex, packets: PacketRange, sent: frozenset[int]
) -> Iterator[VideoFrame]:
    for number, packet in enumerate(_seek(container, stream, index, packets.first), start=packets.first):
        if packet.pts != index.pts[number]:
            raise IndexMismatchError
        if number in sent:
            yield from stream.decode(packet)
        if number == packets.last:
            break
    yield from stream.decode(None)  # frames that the decoder holds back for reordering


def _seek(container: InputContainer, stream: VideoStream, index: PacketIndex, first: int) -> Iterator[EncodedPacket]:
    """The packets of the file from number ``first`` on."""
    for target in (first, 0):
        container.seek(int(index.pts[target]), stream=stream)
        packets = demux(container, stream)
        packet = next(packets)
        landed = np.flatnonzero(index.pts == packet.pts)
        if landed.size and landed[0] <= first:
            break
    else:
        raise IndexMismatchError
    while packet.pts != index.pts[first]:
        packet = next(packets)
    yield packet
    yield from packets
