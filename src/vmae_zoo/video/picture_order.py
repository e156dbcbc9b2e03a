"""The order in which a decoder outputs the pictures of H.264 and H.265, from their headers.

Containers state a presentation time for each packet, but decoders output pictures by the picture order count of the
bitstream. Both orders must agree before a time can identify a frame. Syntax: ITU-T H.264 (7.3.2.1, 7.3.3, 8.2.1) and
H.265 (7.3.1.2, 7.3.2, 7.3.6, 8.3.1).
"""

from collections.abc import Sequence

_HIGH_PROFILES = (44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244)

Order = tuple[int, int]
"""Coded video sequence and picture order count of a picture: pictures are output in ascending order."""


class _Bits:
    """Fixed-length and exponential Golomb codes of a NAL unit; zeros past its end."""

    def __init__(self, data: bytes):
        data = data.replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention
        self._value, self._left = int.from_bytes(data, "big") << 512, 8 * len(data) + 512

    def read(self, count: int) -> int:
        self._left = max(self._left - count, 0)
        return self._value >> self._left & (1 << count) - 1

    def unsigned(self) -> int:
        zeros = 0
        while self._left and not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def signed(self) -> int:
        code = self.unsigned()
        return (code + 1) // 2 if code & 1 else -(code // 2)


class _Counter:
    """The picture order count, of which slices state only the low bits."""

    def __init__(self) -> None:
        self._sequence, self._previous = 0, 0

    def next(self, low: int, bits: int, restart: bool, reference: bool) -> Order:
        if restart:
            self._sequence, self._previous = self._sequence + 1, 0
        half = 1 << bits >> 1
        count = self._previous + (low - self._previous + half) % (2 * half) - half
        if reference:
            self._previous = count
        return self._sequence, count


class H264Order:
    """Order of H.264 pictures, from the ``avcC`` record of the container.

    Raises:
        ValueError: the headers are not supported: several parameter sets, order type 1, or damage.
    """

    def __init__(self, extradata: bytes):
        size = int.from_bytes(extradata[6:8], "big")
        if extradata[5] & 31 != 1 or not size:
            raise ValueError
        self._counter, self._number = _Counter(), 0
        self.read_parameters(extradata[8 : 8 + size])

    def read_parameters(self, unit: bytes) -> None:
        """Take over a sequence parameter set."""
        profile, bits = unit[1], _Bits(unit[4:])
        bits.unsigned()
        self._planes = chroma = 0
        if profile in _HIGH_PROFILES:
            chroma = bits.unsigned()
            self._planes = bits.read(1) if chroma == 3 else 0
            bits.unsigned(), bits.unsigned(), bits.read(1)
            if bits.read(1):
                for number in range(12 if chroma == 3 else 8):
                    if bits.read(1):
                        _skip_scaling_list(bits, 16 if number < 6 else 64)
        self._frame_bits, self._type = bits.unsigned() + 4, bits.unsigned()
        if self._type not in (0, 2):
            raise ValueError
        self._order_bits = bits.unsigned() + 4 if self._type == 0 else 0
        bits.unsigned(), bits.read(1), bits.unsigned(), bits.unsigned()
        self._fields = not bits.read(1)
        if max(self._frame_bits, self._order_bits) > 16:
            raise ValueError

    def of(self, unit: bytes) -> Order:
        """Order of the picture that a first slice begins; slices arrive in decoding order."""
        instantaneous, reference = unit[0] & 31 == 5, bool(unit[0] & 0x60)
        if self._type == 2:  # output order is decoding order
            self._number += 1
            return 0, self._number
        bits = _Bits(unit[1:])
        bits.unsigned(), bits.unsigned(), bits.unsigned()
        bits.read(2 * self._planes + self._frame_bits)
        if self._fields and bits.read(1):
            raise ValueError  # a single field
        if instantaneous:
            bits.unsigned()
        return self._counter.next(bits.read(self._order_bits), self._order_bits, instantaneous, reference)


class HEVCOrder:
    """Order of H.265 pictures, from the ``hvcC`` record of the container.

    Raises:
        ValueError: the headers are not supported: several parameter sets, or damage.
    """

    def __init__(self, extradata: bytes):
        units: dict[int, list[bytes]] = {33: [], 34: []}
        position = 23
        for _ in range(extradata[22]):
            kind, count = extradata[position] & 63, int.from_bytes(extradata[position + 1 : position + 3], "big")
            position += 3
            for _ in range(count):
                size = int.from_bytes(extradata[position : position + 2], "big")
                units.setdefault(kind, []).append(extradata[position + 2 : position + 2 + size])
                position += 2 + size
        if len(units[33]) != 1 or len(units[34]) != 1:
            raise ValueError
        self._counter = _Counter()
        self._read_sequence(units[33][0])
        bits = _Bits(units[34][0][2:])
        bits.unsigned(), bits.unsigned(), bits.read(1)
        self._output_flag, self._extra = bits.read(1), bits.read(3)

    def _read_sequence(self, unit: bytes) -> None:
        bits = _Bits(unit[2:])
        bits.read(4)
        layers = bits.read(3)
        bits.read(1 + 96)
        if layers:
            stated = [(bits.read(1), bits.read(1)) for _ in range(layers)]
            bits.read(2 * (8 - layers))
            for profile, level in stated:
                bits.read(88 * profile + 8 * level)
        bits.unsigned()
        self._planes = bits.read(1) if bits.unsigned() == 3 else 0
        bits.unsigned(), bits.unsigned()
        if bits.read(1):
            for _ in range(4):
                bits.unsigned()
        bits.unsigned(), bits.unsigned()
        self._order_bits = bits.unsigned() + 4
        if self._order_bits > 16:
            raise ValueError

    def of(self, unit: bytes) -> Order:
        """Order of the picture that a first slice begins; slices arrive in decoding order."""
        kind, layer = unit[0] >> 1 & 63, (unit[1] & 7) - 1
        bits = _Bits(unit[2:])
        bits.read(2 if 16 <= kind <= 23 else 1)
        bits.unsigned()
        bits.read(self._extra)
        bits.unsigned()
        if self._output_flag and not bits.read(1):
            raise ValueError  # a picture that is not output
        bits.read(2 * self._planes)
        restart = kind in (19, 20)
        low = 0 if restart else bits.read(self._order_bits)
        leading_or_unreferenced = 6 <= kind <= 9 or (kind < 16 and not kind & 1)
        return self._counter.next(low, self._order_bits, restart, layer == 0 and not leading_or_unreferenced)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def output_order(orders: Sequence[Order | None], held: Sequence[bool]) -> list[int]:
    """Numbers of the pictures in the order in which a decoder outputs them.

    Args:
        orders: order of each picture, in decoding order; None if the codec has no picture order count.
        held: without a picture order count: whether the decoder outputs the picture only when the next held one
            arrives (references around MPEG-4 B-frames).
    """
    if all(order is not None for order in orders):
        return sorted(range(len(orders)), key=lambda number: orders[number] or (0, 0))
    output: list[int] = []
    waiting: int | None = None
    for number, wait in enumerate(held):
        if wait:
            output += [] if waiting is None else [waiting]
            waiting = number
        else:
            output.append(number)
    return output if waiting is None else [*output, waiting]
