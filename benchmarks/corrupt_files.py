"""Videos damaged in many ways, and a plain decode of them that shares no code with the package."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import av
import numpy as np

from vmae_zoo.randomness import KeyedRNG, hash_text, sample_key

Damage = Callable[[bytes, KeyedRNG], bytes]
AUDIO_RATE = 16000
LENGTHS: tuple[
    tuple[bytes, int, Literal["little", "big"]], ...
] = (  # (marker, offset, byte order) of lengths in headers
    (b"avih", 24, "little"),
    (b"vids", 32, "little"),
    (b"tkhd", 24, "big"),
    (b"mdhd", 20, "big"),
)


def _truncate(data: bytes, rng: KeyedRNG) -> bytes:
    return data[: int(len(data) * rng.uniform(0.05, 0.97))]


def _flip_bits(data: bytes, rng: KeyedRNG) -> bytes:
    damaged = bytearray(data)
    for _ in range(max(len(data) // 20_000, 3)):
        damaged[rng.integer(len(data) // 20, len(data))] ^= 1 << rng.integer(0, 8)
    return bytes(damaged)


def _zero_out(data: bytes, rng: KeyedRNG) -> bytes:
    length = int(len(data) * rng.uniform(0.02, 0.3))
    first = rng.integer(0, len(data) - length)
    return data[:first] + bytes(length) + data[first + length :]


def _remove(data: bytes, rng: KeyedRNG) -> bytes:
    length = int(len(data) * rng.uniform(0.02, 0.3))
    first = rng.integer(0, len(data) - length)
    return data[:first] + data[first + length :]


def _noise(data: bytes, rng: KeyedRNG) -> bytes:
    return np.random.default_rng(rng.bits()).bytes(len(data))


def _noise_half(data: bytes, rng: KeyedRNG) -> bytes:
    half = len(data) // 2
    return data[:half] + np.random.default_rng(rng.bits()).bytes(len(data) - half)


def _web_page(data: bytes, rng: KeyedRNG) -> bytes:
    return b"<!DOCTYPE html><html><body>404: not found</body></html>\n" * 20


def _no_index(data: bytes, rng: KeyedRNG) -> bytes:
    data = data.replace(b"moov", b"none").replace(b"idx1", b"JUNK")
    at = data.rfind(b"\x1c\x53\xbb\x6b")  # replace Matroska's Cues by a Void element of the same length
    if at < 0 or not data[at + 4]:
        return data
    wide = 9 - data[at + 4].bit_length()
    size = int.from_bytes(data[at + 4 : at + 4 + wide], "big") & ~(1 << 7 * wide)
    length = min(wide + 3, 8)  # of the size field, at most 8; the rest of the header becomes part of the element
    void = b"\xec" + ((1 << 7 * length) | (size + wide + 3 - length)).to_bytes(length, "big")
    return data[:at] + void + data[at + len(void) :]


def _wrong_header(data: bytes, rng: KeyedRNG) -> bytes:
    """Overstate the number of frames in the header: lengths in AVI, durations in MP4."""
    damaged = bytearray(data)
    for mark, offset, order in LENGTHS:
        at = data.find(mark) + offset
        if at >= offset and at + 4 <= len(data):
            damaged[at : at + 4] = min(int.from_bytes(data[at : at + 4], order) * 3 + 50, 2**31).to_bytes(4, order)
    return bytes(damaged)


CHANGES: dict[str, Damage] = {
    "truncated": _truncate,
    "flipped bits": _flip_bits,
    "zeros": _zero_out,
    "bytes missing": _remove,
    "noise": _noise,
    "second half noise": _noise_half,
    "web page": _web_page,
    "empty": lambda data, rng: b"",
    "no index": _no_index,
    "wrong header": _wrong_header,
    "wrong extension": lambda data, rng: data,
}
OTHERS = ("sound only", "no frames", "folder", "dead link", "no permission")
WAYS = (*CHANGES, *OTHERS)


@dataclass(frozen=True)
class CorruptFile:
    """A damaged file.

    Args:
        path: the file.
        way: one of `WAYS`.
        source: the original video.
    """

    path: Path
    way: str
    source: Path


def corrupt(sources: list[Path], folder: Path, count: int, seed: int = 0) -> list[CorruptFile]:
    """Write ``count`` damaged files, cycling through all ways, each from a random source.

    "no permission" is left out for users who can read every file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ways, made = list(WAYS), []
    for number in range(count):
        rng = KeyedRNG(sample_key(seed, 0, hash_text(str(number))), "damage")
        way, source = ways[number % len(ways)], rng.choice(sources)
        path = folder / f"{number + 1:03d} {way}{_other_suffix(source) if way == 'wrong extension' else source.suffix}"
        if way in CHANGES:
            path.write_bytes(CHANGES[way](source.read_bytes(), rng))
        elif way == "sound only":
            write_sound(path.with_suffix(".mp4"))
            path = path.with_suffix(".mp4")
        elif way == "no frames":
            path = path.with_suffix(".mkv")
            _write_header_only(path)
        elif way == "folder":
            path.mkdir()
        elif way == "dead link":
            path.symlink_to(folder / "nowhere")
        else:
            path.write_bytes(source.read_bytes())
            path.chmod(0)
            if os.access(path, os.R_OK):
                path.unlink()
                continue
        made.append(CorruptFile(path, way, source))
    return made


def _other_suffix(source: Path) -> str:
    return ".avi" if source.suffix.lower() != ".avi" else ".mp4"


def write_sound(path: Path) -> None:
    """A file with an audio stream only."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=AUDIO_RATE)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = AUDIO_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _write_header_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()


@dataclass(frozen=True)
class Decoded:
    """The result of a plain decode from the start.

    Args:
        prints: fingerprint of every frame, upright.
        error: why decoding stopped; "" if it reached the end.
        marked: frames that the decoder marked as corrupt.
    """

    prints: tuple[bytes, ...]
    error: str = ""
    marked: int = 0

    def state(self, original: "Decoded") -> str:
        """How the file differs from its original.

        "intact"; "unreadable" (no frame); "truncated" (an error, or fewer frames, all intact); "corrupt" (other pixels,
        and frames marked or lost); "undetectable" (other pixels, but as many frames and none of them marked).
        """
        if not self.prints:
            return "unreadable"
        if self.prints == original.prints and not self.error:
            return "intact"
        if self.error or (len(self.prints) < len(original.prints) and set(self.prints) <= set(original.prints)):
            return "truncated"
        return "corrupt" if self.marked or len(self.prints) != len(original.prints) else "undetectable"


def decode_all(path: Path) -> Decoded:
    """Decode a file from the start with PyAV and its own RGB conversion."""
    prints: list[bytes] = []
    marked = 0
    try:
        with av.open(f"file:{path}", metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                prints.append(fingerprint(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90)))
                marked += frame.is_corrupt
    except (av.FFmpegError, OSError, IndexError, ValueError, MemoryError) as error:
        return Decoded(tuple(prints), f"{type(error).__name__}: {error}", marked)
    return Decoded(tuple(prints), "" if prints else "no frame", marked)


def fingerprint(pixels: np.ndarray) -> bytes:
    """Hash of a frame, uint8 (H, W, C)."""
    return blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=12).digest()
