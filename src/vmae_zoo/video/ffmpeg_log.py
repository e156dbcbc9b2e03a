"""FFmpeg's log, the only place where it reports damage that it concealed while decoding."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import av.logging

# Words in FFmpeg's error messages about concealed or missing pixels. Intact files cause other error messages.
DAMAGE = (
    "concealing", "corrupt", "could not find ref", "damaged", "decode error", "error at mb", "error constructing",
    "error count", "error decoding", "error parsing", "error splitting", "error while decoding", "error y=",
    "exceeds containing", "exceeds max length", "failed to parse", "file ended prematurely", "illegal",
    "invalid as first byte", "invalid cbp", "invalid data", "invalid mb type", "invalid nal", "invalid slice",
    "invalid track number", "invalid value", "marker does not match", "missing picture", "missing reference",
    "mvs not available", "out of range", "overread", "partial file", "skipped mb", "slice mismatch", "truncat",
    "unable to decode", "unknown obu",
)  # fmt: skip


@contextmanager
def capture_damage() -> Iterator[list[str]]:
    """Collect FFmpeg's messages about damage in the list; none of them reaches the terminal."""
    level, skip = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)  # PyAV would drop messages that the previous file caused too
    messages: list[str] = []
    try:
        with av.logging.Capture() as captured:
            try:
                yield messages
            finally:
                for _, _, text in captured:
                    if any(word in text.lower() for word in DAMAGE):
                        messages.append(text.strip())
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip)


def truncated_avi_frames(name: str) -> int:
    """Frame count in the header of a truncated AVI file; 0 for any other file.

    When packets are missing, MPEG-4 decoders continue from wrong reference frames without reporting an error.
    """
    with open(name, "rb") as file:
        head = file.read(52)
    cut = head[:4] == b"RIFF" and int.from_bytes(head[4:8], "little") + 8 > os.path.getsize(name)
    return int.from_bytes(head[48:], "little") if cut and head[24:28] == b"avih" else 0
