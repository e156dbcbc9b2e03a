"""The measures of mask tracking on cases with a known result, and the command."""

import json

import av
import numpy as np
import pytest
import torch
from benchmarks.mask_tracking import followed
from benchmarks.silhouettes import SIZE, Scene, scenes

from benchmarks import guidance


@pytest.fixture
def archive(tmp_path):
    """Two sequences of a block: one travels two pixels a frame, one stays."""
    masks = np.zeros((2, 40, 144, 180), np.uint8)
    for t in range(40):
        masks[0, t, 40:100, 30 + 2 * t : 60 + 2 * t] = 1
        masks[1, t, 40:100, 70:100] = 1
    path = tmp_path / "silhouettes.npz"
    packed = np.packbits(masks, axis=3).reshape(80, 144, 23)
    names = {"names": ["a_walk", "a_bend"], "label": [1, 0], "classes": ["bend", "walk"], "lengths": [40, 40]}
    np.savez(path, frames=packed, **names)
    return path


@pytest.fixture
def videos(tmp_path):
    """Two short real-sized videos."""
    folder = tmp_path / "videos"
    folder.mkdir()
    for n in range(2):
        rng = np.random.default_rng(n)
        with av.open(str(folder / f"{n}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 256, 240, "yuv420p"
            picture = np.kron(rng.integers(0, 255, (30, 32, 3)), np.ones((8, 8, 1))).astype(np.uint8)
            for t in range(62):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(picture, t, 1)), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return folder


def block(step):
    """A person of 32 x 64 pixels on token borders that moves ``step`` pixels a frame."""
    person = np.zeros((16, SIZE, SIZE), bool)
    for t in range(16):
        person[t, 64:128, 96 + step * t : 128 + step * t] = True
    center = np.array([[111.5 + step * t, 95.5] for t in range(16)])
    return Scene("block", "walk", np.zeros((16, SIZE, SIZE, 3), np.uint8), person, center)


def tokens(columns_of_slice):
    """Visible ids: row 5 of each slice at these columns."""
    return torch.tensor([[196 * t + 14 * 5 + c for t, columns in enumerate(columns_of_slice) for c in columns]])


def test_a_mask_that_stays_on_a_still_person_keeps_all_and_leaks_nothing():
    kept, leaked, shown = followed(tokens([[6]] * 8), block(0))
    assert (kept, leaked, shown) == (1, 0, 1 / 8)


def test_a_still_mask_loses_a_moving_person_and_shows_what_was_hidden():
    kept, leaked, _ = followed(tokens([[10]] * 8), block(8))  # a token a slice; at slice 4 columns 10 and 11
    assert kept < 0.2
    assert leaked > 0.1


def test_a_mask_that_moves_along_keeps_what_it_showed():
    follows = followed(tokens([[6 + t] for t in range(8)]), block(8))
    stays = followed(tokens([[10]] * 8), block(8))
    assert follows[0] > 0.7 > stays[0]  # a slice holds two frames, half a token apart
    assert follows[1] < stays[1]


def test_scenes_move_their_texture_with_the_person(archive):
    pictures = [np.random.default_rng(n).integers(0, 256, (31, SIZE, SIZE, 3), dtype=np.uint8) for n in range(2)]
    walk, bend = scenes(archive, pictures, 31)
    assert walk.travels
    assert not bend.travels
    move = np.rint(walk.center[8] - walk.center[0]).astype(int)
    assert move[0] == pytest.approx(8 * 2 * SIZE / 180, abs=1)
    flow = walk.flow(np.array([[8, 0]]))[0]
    assert np.abs(flow[walk.person[8]] + move).max() < 1
    assert not flow[~walk.person[8]].any()
    assert np.array_equal(bend.video[3][~bend.person[3]], pictures[1][3][~bend.person[3]])


@pytest.mark.slow
def test_the_command_measures_and_writes(command, tmp_path, archive, videos, capsys):
    out = tmp_path / "guidance.json"
    arguments = ["follow", "cost", "--clips", str(videos), "--silhouettes", str(archive), "--raft-limit", "0"]
    assert command(guidance, [*arguments, "--repeats", "1", "--json", str(out)]) == 0
    results = json.loads(out.read_text())
    assert json.loads(capsys.readouterr().out) == results
    group = results["follow"]["still background, travelling"]
    assert group["exact"]["kept"]["mean"] > group["none (tube)"]["kept"]["mean"]
    assert group["none (tube)"]["kept"]["minus_tube"] == 0
    totals = results["cost"]["totals"]["as found"]
    assert totals["dis_ms"]["median"] > totals["dis_flow_ms"]["median"] > 0
    assert totals["dis"]["share_of_all_decode"] > 0


def test_following_needs_its_silhouettes(command, videos, capsys):
    assert command(guidance, ["follow", "--clips", str(videos)]) == 1
    assert "--silhouettes" in capsys.readouterr().err
