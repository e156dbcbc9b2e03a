"""Files damaged in many ways, and what can still be had of them by a decode that shares nothing with the package's."""

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
] = (  # a word in the file, and where behind it a length is
    (b"avih", 24, "little"),
    (b"vids", 32, "little"),
    (b"tkhd", 24, "big"),
    (b"mdhd", 20, "big"),
)


def _cut(data: bytes, draws: KeyedRNG) -> bytes:
    return data[: int(len(data) * draws.uniform(0.05, 0.97))]


def _flip(data: bytes, draws: KeyedRNG) -> bytes:
    spoiled = bytearray(data)
    for _ in range(max(len(data) // 20_000, 3)):
        spoiled[draws.integer(len(data) // 20, len(data))] ^= 1 << draws.integer(0, 8)
    return bytes(spoiled)


def _zero(data: bytes, draws: KeyedRNG) -> bytes:
    length = int(len(data) * draws.uniform(0.02, 0.3))
    first = draws.integer(0, len(data) - length)
    return data[:first] + bytes(length) + data[first + length :]


def _drop(data: bytes, draws: KeyedRNG) -> bytes:
    length = int(len(data) * draws.uniform(0.02, 0.3))
    first = draws.integer(0, len(data) - length)
    return data[:first] + data[first + length :]


def _noise(data: bytes, draws: KeyedRNG) -> bytes:
    return np.random.default_rng(draws.bits()).bytes(len(data))


def _other_end(data: bytes, draws: KeyedRNG) -> bytes:
    half = len(data) // 2
    return data[:half] + np.random.default_rng(draws.bits()).bytes(len(data) - half)


def _page(data: bytes, draws: KeyedRNG) -> bytes:
    return b"<!DOCTYPE html><html><body>404: this video is gone</body></html>\n" * 20


def _no_index(data: bytes, draws: KeyedRNG) -> bytes:
    data = data.replace(b"moov", b"none").replace(b"idx1", b"JUNK")
    at = data.rfind(b"\x1c\x53\xbb\x6b")  # Matroska's Cues become a Void of the same length
    if at < 0 or not data[at + 4]:
        return data
    wide = 9 - data[at + 4].bit_length()
    size = int.from_bytes(data[at + 4 : at + 4 + wide], "big") & ~(1 << 7 * wide)
    length = min(wide + 3, 8)  # of the Void's size, at most 8; the rest of the header becomes a part of it
    void = b"\xec" + ((1 << 7 * length) | (size + wide + 3 - length)).to_bytes(length, "big")
    return data[:at] + void + data[at + len(void) :]


def _lie(data: bytes, draws: KeyedRNG) -> bytes:
    """More frames in the header than there are: AVI's lengths, MP4's durations."""
    spoiled = bytearray(data)
    for mark, offset, order in LENGTHS:
        at = data.find(mark) + offset
        if at >= offset and at + 4 <= len(data):
            spoiled[at : at + 4] = min(int.from_bytes(data[at : at + 4], order) * 3 + 50, 2**31).to_bytes(4, order)
    return bytes(spoiled)


CHANGES: dict[str, Damage] = {
    "cut off": _cut,
    "flipped bits": _flip,
    "a stretch of zeros": _zero,
    "a stretch missing": _drop,
    "noise": _noise,
    "second half noise": _other_end,
    "a web page": _page,
    "empty": lambda data, draws: b"",
    "no index": _no_index,
    "header lies": _lie,
    "wrong extension": lambda data, draws: data,
}
OTHERS = ("sound only", "no frames", "a folder", "a dead link", "no permission")
WAYS = (*CHANGES, *OTHERS)


@dataclass(frozen=True)
class CorruptFile:
    """One file and what it was made from.

    Args:
        path: the file.
        way: one of `WAYS`.
        source: the whole video.
    """

    path: Path
    way: str
    source: Path


def spoil(sources: list[Path], folder: Path, count: int, seed: int = 0) -> list[CorruptFile]:
    """Make ``count`` damaged files, all ways in turn, each from another of the sources.

    Ways that this machine cannot make (an administrator reads everything) are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ways, made = list(WAYS), []
    for number in range(count):
        draws = KeyedRNG(sample_key(seed, 0, hash_text(str(number))), "damage")
        way, source = ways[number % len(ways)], draws.choice(sources)
        path = folder / f"{number + 1:03d} {way}{_other_suffix(source) if way == 'wrong extension' else source.suffix}"
        if way in CHANGES:
            path.write_bytes(CHANGES[way](source.read_bytes(), draws))
        elif way == "sound only":
            write_sound(path.with_suffix(".mp4"))
            path = path.with_suffix(".mp4")
        elif way == "no frames":
            path = path.with_suffix(".mkv")
            _header(path)
        elif way == "a folder":
            path.mkdir()
        elif way == "a dead link":
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
    """An audio stream and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=AUDIO_RATE)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = AUDIO_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _header(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        container.start_encoding()


@dataclass(frozen=True)
class Decoded:
    """All that a plain decode from the start gives.

    Args:
        prints: of every frame's pixels, upright.
        error: why it ended early; "" where it did not.
        marked: frames that the decoder marked as damaged.
    """

    prints: tuple[bytes, ...]
    error: str = ""
    marked: int = 0

    def state(self, whole: "Decoded") -> str:
        """How it differs from the whole video.

        "equal"; "unreadable" (no frame); "ends early" (an error, or whole frames but fewer); "spoiled" (other pixels,
        and the decoder marked some or lost frames); "unseen" (other pixels in as many frames, none of them marked).
        """
        if not self.prints:
            return "unreadable"
        if self.prints == whole.prints and not self.error:
            return "equal"
        if self.error or (len(self.prints) < len(whole.prints) and set(self.prints) <= set(whole.prints)):
            return "ends early"
        return "spoiled" if self.marked or len(self.prints) != len(whole.prints) else "unseen"


def decode_all(path: Path) -> Decoded:
    """Decode a file from the start with PyAV alone, pixels as its own conversion gives them."""
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
    """Of uint8 (H, W, C)."""
    return blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=12).digest()
