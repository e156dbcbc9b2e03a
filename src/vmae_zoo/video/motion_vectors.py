"""The motion of a clip's blocks, noted from the vectors that its decoder hands out.

What is assumed: motion between an I or P frame and the one before it is even, so B frames need no vectors of their own
(the decoder may leave them out, and FFmpeg has none for the direct blocks of MPEG-4); blocks without a vector stand
still; over frames without any vectors (I frames, and stretches that no wanted frame needs and that are not decoded)
motion goes on as before them.
"""

from bisect import bisect_left
from copy import copy

import numpy as np
from av.sidedata.sidedata import SideDataContainer
from av.video.frame import PictureType, VideoFrame

from vmae_zoo.data.transforms import Cut
from vmae_zoo.flow.codec import BLOCK, between, block_fields, look_up
from vmae_zoo.video.frame_conversion import display_matrix


class Motion:
    """Block motion between the frames of a clip; `vmae_zoo.data.read_clip` fills it while it decodes them."""

    def __init__(self) -> None:
        self.cut: Cut | None = None
        self.begin(np.zeros(0, np.int64))

    def begin(self, frame_ids: np.ndarray) -> None:
        """Forget everything: the frames of another decoding are coming.

        Args:
            frame_ids: 0-based positions of the clip's frames, as `vmae_zoo.data.read_clip` takes them.
        """
        self.frame_ids = frame_ids
        self._positions: list[int] = []  # of the frames that have vectors, with those and the frames that share them
        self._vectors: list[bytes] = []
        self._since: list[int] = []
        self._last: int | None = None
        self._coded = (BLOCK, BLOCK)
        self._turn = np.eye(2, dtype=np.int64)
        self._steps: np.ndarray | None = None
        self._flows: dict[tuple[int, int], np.ndarray] = {}

    def note(self, position: int, frame: VideoFrame) -> bool:
        """Take a frame's vectors, if it has some; frames come in ascending order.

        Returns:
            Whether the motion up to this frame is known: False for a B frame, whose motion the next other frame holds.
        """
        if frame.pict_type == PictureType.B:
            return False
        if self._last is None:
            self._coded, self._turn = (frame.height, frame.width), _quarter_turn(display_matrix(frame))
        since = 1 if self._last is None else position - self._last
        self._last = position
        if frame.pict_type == PictureType.I:
            return True
        # `frame.side_data` would keep the frame alive until the garbage collector finds it
        vectors = SideDataContainer(frame).get("MOTION_VECTORS")  # type: ignore[call-arg]
        if vectors is not None:
            if position <= self.frame_ids.min():  # only for frames without vectors that may follow
                self._positions, self._vectors, self._since = [], [], []
            self._positions.append(position)
            self._vectors.append(bytes(vectors))
            self._since.append(since)
        return True

    @property
    def has_vectors(self) -> bool:
        """Whether any frame had some; without them nothing moves."""
        return bool(self._vectors)

    def cropped(self, cut: Cut) -> "Motion":
        """The same motion as a crop shows it."""
        other = copy(self)
        other.cut = cut
        return other

    def flow(self, pairs: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Flow between frames of the clip, added up over the frames that lie between them.

        Args:
            pairs: int64 (P, 2), places in the clip: from which frame to which.
            size: rows and columns of the result, over all of the clip's crop.

        Returns:
            float32 (P, rows, columns, 2): x and y in pixels of its own size.
        """
        rows, columns = size
        if not self.has_vectors:
            return np.zeros((len(pairs), rows, columns, 2), np.float32)
        turn, coded = self._turn, np.array(self._coded[::-1])  # width, height
        width, height = np.abs(turn) @ coded
        cut = self.cut or Cut((height, width), (0, 0, height, width), mirrored=False)
        top, left, high, wide = cut.box
        down, right = height / cut.frame[0], width / cut.frame[1]
        x = (left + (np.arange(columns) + 0.5) * wide / columns) * right  # of pixel centres, in the file's pixels
        y = (top + (np.arange(rows) + 0.5) * high / rows) * down
        scale = BLOCK * np.array([columns / (wide * right), rows / (high * down)])
        if cut.mirrored:
            x, scale[0] = x[::-1], -scale[0]
        shown = np.stack(np.meshgrid(x, y), axis=-1)
        where = ((shown @ turn + np.where(turn.sum(0) < 0, coded, 0)) / BLOCK - 0.5).astype(np.float32)
        move = (turn.T * scale).astype(np.float32)
        ids = self.frame_ids
        fields = [self._between(int(ids[here]), int(ids[there])) @ move for here, there in pairs]
        return np.stack([look_up(field, where) for field in fields])

    def _between(self, here: int, there: int) -> np.ndarray:
        """Flow in blocks of the frames as coded, kept for the clip's other crops."""
        if (here, there) not in self._flows:
            self._flows[here, there] = between(self._step, here, there)
        return self._flows[here, there]

    def _step(self, position: int) -> np.ndarray:
        """Flow in blocks from a frame to the one before it."""
        if self._steps is None:
            shared = np.array(self._since, np.float32)[:, None, None, None]
            self._steps = block_fields(self._vectors, *self._coded) / shared
        number = bisect_left(self._positions, position)
        if number == len(self._positions) or self._positions[number] - self._since[number] >= position:
            number -= 1
        if number < 0:
            return np.zeros_like(self._steps[0])
        return self._steps[number]


def _quarter_turn(matrix: np.ndarray | None) -> np.ndarray:
    """The directions along which `vmae_zoo.video.frame_conversion.upright` shows the coded x and y, the columns of a 2 x 2."""
    if matrix is None:
        return np.eye(2, dtype=np.int64)
    a, b, _, c, d = np.where(matrix[:5] < 0, -1, 1)
    swapped = np.abs(matrix[[1, 3]].astype(np.int64)).sum() > np.abs(matrix[[0, 4]].astype(np.int64)).sum()
    return np.array([[0, c], [b, 0]] if swapped else [[a, 0], [0, d]])
