"""``vmae-zoo masks`` and ``vmae-zoo reconstruct`` from the command line."""

import json

import av
import numpy as np
import pytest
import torch
from PIL import Image

from vmae_zoo.cli.main import main
from vmae_zoo.cli.masks import draw
from vmae_zoo.methods import VideoMAE

RECIPE = """
model:
  class_path: VideoMAE
  init_args: {size: tiny, mask_ratio: 0.75}
data: {frames: 4, stride_frames: 2, size: 64}
trainer: {accelerator: gpu, devices: 8, strategy: ddp, precision: bf16-mixed}
"""


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "moving.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        for step in range(12):
            picture = np.full((80, 96, 3), 40, np.uint8)
            picture[20:50, 4 * step : 4 * step + 30] = (220, 120, 30)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    return path


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    method = VideoMAE(
        size="tiny",
        frames=4,
        image_size=64,
        stride_frames=2,
        mask_ratio=0.75,
        width=24,
        depth=1,
        num_heads=2,
        decoder_width=24,
        decoder_depth=1,
        decoder_num_heads=2,
    )
    path = tmp_path / "small.ckpt"
    torch.save({"state_dict": method.state_dict(), "vmae_zoo": method.export_config()}, path)
    return path


@pytest.mark.slow
def test_reconstruct_draws_all_videos_in_one_picture(video, checkpoint, tmp_path, capsys):
    arguments = ["reconstruct", "--checkpoint", str(checkpoint), "--video", str(video), str(video)]
    sheet, movie = tmp_path / "new" / "sheet.png", tmp_path / "new" / "moving.mp4"
    assert main([*arguments, "--out", str(sheet), "--columns", "3", "--json", str(tmp_path / "n.json")]) == 0
    rows = json.loads((tmp_path / "n.json").read_text())["videos"]
    assert rows[0]["mse"] == rows[1]["mse"] > 0
    assert f"zero prediction {rows[0]['zero_mse']:.5f}" in capsys.readouterr().out
    assert Image.open(sheet).height > 10 * 144  # two panels of five rows
    assert main([*arguments, "--out", str(movie)]) == 0
    with av.open(str(movie)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 4
    assert abs(frames[0].astype(int) - frames[-1]).max() > 50  # it moves


@pytest.mark.slow
def test_masks_move_with_all_frames(video, tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "masks.gif"
    recipe.write_text(RECIPE)
    assert main(["masks", "--recipe", str(recipe), "--video", str(video), "--out", str(out)]) == 0
    assert Image.open(out).n_frames == 4


@pytest.mark.slow
def test_masks_of_mgmae_come_with_their_flow(video, tmp_path):
    """A square that moves right is hue red, the direction of angle 0, and lighter than the still background."""
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE.replace("VideoMAE", "MGMAE"))
    (panel,), _ = draw(recipe, video)
    clip, flow = (panel.rows[name].astype(int) for name in ("clip", "flow"))
    assert flow.shape == clip.shape
    square = clip[0, ..., 0] > 150
    assert np.median(flow[0][square][:, 0] - flow[0][square][:, 2]) > 50
    assert flow[0][square].max(-1).mean() > flow[0, :6].max(-1).mean()


@pytest.mark.slow
def test_masks_draws_a_recipe_for_eight_gpus_on_any_machine(video, tmp_path, capsys):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "masks.png"
    recipe.write_text(RECIPE)
    arguments = ["masks", "--recipe", str(recipe), "--video", str(video), "--out", str(out)]
    assert main([*arguments, "--json", str(tmp_path / "ids.json")]) == 0
    assert "8 of 32 tokens visible, 24 predicted" in capsys.readouterr().out
    assert Image.open(out).height > 2 * 144
    ids = json.loads((tmp_path / "ids.json").read_text())
    assert sorted(ids["visible"] + ids["predicted"]) == list(range(32))


def test_mistakes_are_answered_in_one_line(video, checkpoint, tmp_path, capsys):
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    arguments = ["reconstruct", "--checkpoint", str(checkpoint), "--out", str(tmp_path / "o.png"), "--video"]
    for wrong, said in (
        ([str(tmp_path / "none.mp4")], "none.mp4"),
        ([str(text)], "text.mp4"),
        ([str(video), "--device", "toaster"], "--device toaster"),
        ([str(video), "--columns", "0"], "--columns = 0"),
        ([str(video), "--out", str(tmp_path / "o.jpeg")], ".jpeg"),
    ):
        assert main([*arguments, *wrong]) == 1
        error = capsys.readouterr().err.strip().splitlines()
        assert said in error[-1]
        assert not any("Traceback" in line for line in error)


@pytest.mark.slow
def test_masks_of_moco_v3_are_its_two_views(video, tmp_path, capsys):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "views.png"
    recipe.write_text(
        "model:\n  class_path: MoCoV3\n  init_args: {size: tiny, width: 24, num_heads: 2, projection_width: 8}\n"
        "data: {frames: 4, size: 32, crop: random_resized}\n"
    )
    arguments = ["masks", "--recipe", str(recipe), "--video", str(video), "--json", str(tmp_path / "x.json")]
    assert main([*arguments, "--out", str(out)]) == 0
    assert "two clips of one video" in capsys.readouterr().out
    assert Image.open(out).height > 4 * 144
    again, other = tmp_path / "again.png", tmp_path / "other.png"
    assert main([*arguments, "--out", str(again)]) == 0
    assert main([*arguments, "--out", str(other), "--seed", "1"]) == 0
    assert out.read_bytes() == again.read_bytes() != other.read_bytes()
