"""The grid of tokens that a clip is cut into."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenGrid:
    """Tokens of a clip, counted along each axis; ids run row-major over (time, height, width).

    An image is ``time=1`` with ``cube=(1, 16, 16)``.

    Args:
        time: tokens along time.
        height: tokens along height.
        width: tokens along width.
        cube: frames, rows and columns of pixels in one token; (2, 16, 16) in VideoMAE.
    """

    time: int
    height: int
    width: int
    cube: tuple[int, int, int] = (2, 16, 16)

    def __post_init__(self):
        if min(self.time, self.height, self.width, *self.cube) < 1:
            raise ValueError(f"a token grid needs at least one token of one pixel along each axis, got {self}")

    @classmethod
    def of_clip(cls, frames: int, height: int, width: int, cube: tuple[int, int, int] = (2, 16, 16)) -> "TokenGrid":
        """The grid of a clip of ``frames`` x ``height`` x ``width`` pixels.

        ``ValueError`` where a cube does not divide it.
        """
        for name, size, step in zip(("frames", "height", "width"), (frames, height, width), cube, strict=True):
            if size < step or size % step:
                raise ValueError(
                    f"{name} = {size} is not a multiple of {step}, its side of a {cube} cube: "
                    f"choose {max(size // step, 1) * step} or {(size // step + 1) * step}"
                )
        return cls(frames // cube[0], height // cube[1], width // cube[2], (cube[0], cube[1], cube[2]))

    @property
    def per_slice(self) -> int:
        """Tokens in one time slice."""
        return self.height * self.width

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.time * self.per_slice

    @property
    def shape(self) -> tuple[int, int, int]:
        """Tokens along (time, height, width)."""
        return self.time, self.height, self.width

    @property
    def pixels(self) -> tuple[int, int, int]:
        """The clip's size: (frames, height, width)."""
        return self.time * self.cube[0], self.height * self.cube[1], self.width * self.cube[2]
