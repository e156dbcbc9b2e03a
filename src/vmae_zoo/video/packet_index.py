"""Where each frame of a video lies among its packets, and which packets must be decoded to get some of them."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from av.container import InputContainer
from av.packet import Packet as EncodedPacket
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vmae_zoo.video.bitstream import Packet, packet_reader


class IndexMismatchError(Exception):
    """Decoding did not show the frames that the packets promised."""


@dataclass(frozen=True)
class Run:
    """Packets to decode in one go.

    Args:
        first: the packet to begin with, a place where decoding may start.
        last: the last packet to decode.
        needed: packets between them that may not be left out although no other packet needs them.
        positions: the frames wanted from this run, ascending.
    """

    first: int
    last: int
    needed: frozenset[int]
    positions: tuple[int, ...]


class PacketIndex:
    """The packets of a video in the order of the file, which is that of decoding; each shows one frame or none.

    Args:
        pts: presentation time of each packet, no two alike.
        packets: what each packet decodes to.
    """

    def __init__(self, pts: list[int], packets: list[Packet]):
        self.pts = np.array(pts, np.int64)
        self.spare = np.array([packet.spare for packet in packets])
        self.shown = np.array([packet.shown for packet in packets])
        self._starts = np.flatnonzero([packet.start for packet in packets])
        shown = np.flatnonzero(self.shown)
        self._packet_of_frame = shown[np.argsort(self.pts[shown])]

    @property
    def frames(self) -> int:
        """Frames that a decode from the start yields."""
        return len(self._packet_of_frame)

    @property
    def times(self) -> np.ndarray:
        """Presentation time of each frame, ascending."""
        return self.pts[self._packet_of_frame]

    def pack(self) -> bytes:
        """All of it in few bytes, for `unpack`."""
        starts = np.zeros(len(self.pts), np.uint8)
        starts[self._starts] = 1
        flags = starts | self.shown.astype(np.uint8) << 1 | self.spare.astype(np.uint8) << 2
        return zlib.compress(flags.tobytes() + np.diff(self.pts, prepend=0).astype("<i8").tobytes())

    @classmethod
    def unpack(cls, packed: bytes) -> "PacketIndex":
        """What was packed."""
        data = zlib.decompress(packed)
        count = len(data) // 9
        flags = np.frombuffer(data, np.uint8, count)
        pts = np.cumsum(np.frombuffer(data, "<i8", count, offset=count))
        packets = [Packet(bool(flag & 2), bool(flag & 1), bool(flag & 4)) for flag in flags.tolist()]
        return cls(pts.tolist(), packets)

    def promised(self, sent: list[int], first: int) -> Iterator[tuple[int, int]]:
        """Position and time of each frame that these packets show, ascending, if decoding starts at ``first``."""
        times = np.sort(self.pts[[k for k in sent if self.shown[k] and self.pts[k] >= self.pts[first]]])
        positions = np.searchsorted(self.pts[self._packet_of_frame], times)
        return zip(positions.tolist(), times.tolist(), strict=True)

    def runs(self, positions: Iterable[int]) -> list[Run]:
        """The fewest packets that give the frames at these ascending positions."""
        runs: list[Run] = []
        for position in positions:
            packet = int(self._packet_of_frame[position])
            starts = self._starts[(self._starts <= packet)]
            first = int(starts[self.pts[starts] <= self.pts[packet]][-1])
            if runs and first <= runs[-1].last + 1:
                run = runs.pop()
                runs.append(Run(run.first, max(run.last, packet), run.needed | {packet}, (*run.positions, position)))
            else:
                runs.append(Run(first, packet, frozenset([packet]), (position,)))
        return runs


def read_timeline(container: InputContainer, stream: VideoStream) -> PacketIndex | None:
    """Read all packets without decoding them; None where their frames cannot be counted for certain.

    So it is with AVI files with B-frames (their presentation times are made up), missing or repeated times, packed or
    interlaced frames, damaged packets, and codecs and containers without a `packet_reader`.
    """
    context = stream.codec_context
    read = packet_reader(context.codec.canonical_name, bytes(context.extradata or b""), container.format.name)
    if read is None:
        return None
    pts: list[int] = []
    packets: list[Packet] = []
    for packet in container.demux(stream):
        if packet.size == 0 and packet.pts is None and packet.dts is None:
            continue  # PyAV's mark at the end
        found = read(memoryview(packet)) if packet.size else None
        if found is None or packet.pts is None or packet.is_corrupt:
            return None
        if found.start and packet.has_sidedata("new_extradata"):
            return None
        pts.append(packet.pts)
        packets.append(found._replace(shown=False) if packet.is_discard else found)
    if not packets or not packets[0].start or len(set(pts)) < len(pts) or min(pts) < pts[0]:
        return None
    return PacketIndex(pts, packets)


def decode_run(
    container: InputContainer, stream: VideoStream, timeline: PacketIndex, run: Run
) -> Iterator[tuple[int, VideoFrame]]:
    """Frames of a run with their positions, ascending, the wanted ones among them.

    Args:
        container: the opened file.
        stream: its video.
        timeline: of its packets.
        run: what to decode.

    Raises:
        IndexMismatchError: another frame came than the timeline promised, or none, or a damaged one, which the decoder
            mends with what it has seen before.
    """
    sent = [k for k in range(run.first, run.last + 1) if k in run.needed or not timeline.spare[k]]
    promised = timeline.promised(sent, run.first)
    for frame in _decoded(container, stream, timeline, run, frozenset(sent)):
        if frame.pts is None or frame.pts < timeline.pts[run.first]:
            continue  # shown before the keyframe, and not whole without what lies before it
        position, pts = next(promised, (-1, None))
        if frame.pts != pts or frame.is_corrupt:
            raise IndexMismatchError
        yield position, frame
        if position >= run.positions[-1]:
            return
    raise IndexMismatchError


def _decoded(
    container: InputContainer, stream: VideoStream, timeline: PacketIndex, run: Run, sent: frozenset[int]
) -> Iterator[VideoFrame]:
    for index, packet in enumerate(_packets(container, stream, timeline, run.first), start=run.first):
        if packet.pts != timeline.pts[index]:
            raise IndexMismatchError
        if index in sent:
            yield from stream.decode(packet)
        if index == run.last:
            break
    yield from stream.decode(None)  # what the decoder still holds back for reordering


def _packets(
    container: InputContainer, stream: VideoStream, timeline: PacketIndex, first: int
) -> Iterator[EncodedPacket]:
    """The packets of the file from number ``first`` on."""
    for target in (first, 0):
        container.seek(int(timeline.pts[target]), stream=stream)
        packets = container.demux(stream)
        packet = next(packets)
        landed = np.flatnonzero(timeline.pts == packet.pts)
        if landed.size and landed[0] <= first:
            break
    else:
        raise IndexMismatchError
    while packet.pts != timeline.pts[first]:
        packet = next(packets)
    yield packet
    yield from packets
