"""The grid of tokens into which a clip is divided."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenGrid:
    """Number of tokens along each axis of a clip; token ids are row-major over (time, height, width).

    An image has ``time=1`` and ``cube=(1, 16, 16)``.

    Args:
        time: tokens along time.
        height: tokens along height.
        width: tokens along width.
        cube: frames, rows and columns of pixels of one token ((2, 16, 16) in VideoMAE).
    """

    time: int
    height: int
    width: int
    cube: tuple[int, int, int] = (2, 16, 16)

    def __post_init__(self):
        if min(self.time, self.height, self.width, *self.cube) < 1:
            raise ValueError(f"{self}: every size of a token grid must be >= 1")

    @classmethod
    def of_clip(cls, frames: int, height: int, width: int, cube: tuple[int, int, int] = (2, 16, 16)) -> "TokenGrid":
        """The grid of a clip of ``frames`` x ``height`` x ``width`` pixels; ``ValueError`` if no cubes fill it."""
        for name, size, step in zip(("frames", "height", "width"), (frames, height, width), cube, strict=True):
            if size < step or size % step:
                raise ValueError(
                    f"{name} = {size} is not a multiple of {step} (cube = {cube}): "
                    f"choose {max(size // step, 1) * step} or {(size // step + 1) * step}"
                )
        return cls(frames // cube[0], height // cube[1], width // cube[2], (cube[0], cube[1], cube[2]))

    @property
    def per_slice(self) -> int:
        """Number of tokens of one time slice."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """Number of tokens of the clip."""
        return self.time * self.per_slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of tokens along (time, height, width)."""
        return self.time, self.height, self.width

    @property
    def pixels(self) -> tuple[int, int, int]:
        """Size of the clip: (frames, height, width)."""
        return self.time * self.cube[0], self.height * self.cube[1], self.width * self.cube[2]
