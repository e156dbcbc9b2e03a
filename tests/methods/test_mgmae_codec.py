"""MGMAE guided by the motion vectors of the videos themselves, from the command line to the mask."""

import csv

import av
import cv2
import numpy as np
import pytest
import torch

from vmae_zoo.cli.main import main
from vmae_zoo.data import ClipDataset, Row, collate
from vmae_zoo.masking import MotionGuide, TokenGrid
from vmae_zoo.methods import MGMAE

RECIPE = """
model:
  class_path: MGMAE
  init_args: {size: tiny, width: 24, depth: 1, num_heads: 2, decoder_width: 16, decoder_depth: 1, decoder_num_heads: 2,
              mask_ratio: 0.75, flow: codec}
data: {frames: 16, stride_frames: 2, size: 64, batch_size: 2, workers: 1, repeats: 2, flip: true}
trainer:
  accelerator: cpu
  max_epochs: 1
  enable_progress_bar: false
  logger: {class_path: CSVLogger, init_args: {save_dir: ., name: log}}
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory, encode):
    """Four videos whose content walks two pixels a frame to the right, and one without motion vectors."""
    root = tmp_path_factory.mktemp("videos")
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    for n in range(4):
        with av.open(str(root / f"{n}.mp4"), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"bf": "0", "refs": "1"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for t in range(40):
                picture = np.ascontiguousarray(texture[50 * n :, 150 - 2 * t :][:64, :64])
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    encode(root / "still.mkv", "mjpeg", 40, (64, 64), pix_fmt="yuvj420p")
    return root


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "small.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_guided_by_the_codec_and_says_how_many_clips_are_not(videos, here):
    with pytest.warns(UserWarning, match=r"20\.0% of the clips of this epoch have no motion vectors"):
        assert main(["fit", "-c", "small.yaml", "--data.root", str(videos), "--data.batch_size", "5"]) == 0
    (metrics,) = (here / "log").rglob("metrics.csv")
    logged = [row["without_vectors"] for row in csv.DictReader(metrics.open()) if row.get("without_vectors")]
    assert [float(value) for value in logged] == [pytest.approx(0.2)]


def test_a_run_on_videos_without_vectors_ends_in_one_sentence(videos, here, capfd):
    listed = here / "list.csv"
    listed.write_text(f"{videos / 'still.mkv'} 0\n" * 4)
    assert main(["fit", "-c", "small.yaml", "--data.root", str(listed)]) != 0
    said = capfd.readouterr().err
    assert "no motion vectors in the videos tried (mjpeg" in said
    assert "Traceback" not in said


def test_visible_tokens_walk_along(videos):
    method = MGMAE("tiny", image_size=64, mask_ratio=0.75, flow="codec", initial_map="token_rand", hole_filling="none")
    rows = [Row("a", videos / "0.mp4"), Row("still", videos / "still.mkv")]
    dataset = ClipDataset(rows, 16, 2, 64, train=False, extras=method.clip_extras)
    batch = collate([dataset[0, 0], dataset[1, 0]])
    assert batch["scores"].shape == (2, 128)
    walking, still = batch["scores"].view(2, 8, 4, 4)
    assert torch.equal(still, still[:1].expand(8, -1, -1))
    for time in (2, 6):  # 4 pixels a frame of the clip: a slice is half a token
        step = (time - 4) // 2
        old, new = walking[4], walking[time].roll(-step, 1)
        kept = slice(0, 3) if step > 0 else slice(1, 4)
        assert torch.corrcoef(torch.stack([old[:, kept].flatten(), new[:, kept].flatten()]))[0, 1] > 0.9


class Told:
    """Motion that is asked for a pair's numbers."""

    def flow(self, pairs, size):
        return np.broadcast_to(pairs[:, None, None].astype(np.float32), (len(pairs), *size, 2)).copy()


@pytest.mark.parametrize("warp", ["backward", "forward"])
def test_the_guide_carries_its_map_along_the_motion_it_is_given(warp):
    guide = MotionGuide(TokenGrid(8, 4, 4), 0.75, warp=warp, flow="codec")
    key = torch.tensor([5])
    flow = Told().flow(guide.pairs(key)[0].numpy(), (16, 16))  # a quarter of the clip's rows and columns
    clip = np.zeros((16, 64, 64, 3), np.uint8)
    np.testing.assert_allclose(guide(clip, 5, Told()), guide.scores(key, torch.from_numpy(flow)[None])[0], atol=1e-5)


def test_clips_that_come_from_no_file_are_refused():
    method = MGMAE("tiny", image_size=64, mask_ratio=0.75, flow="codec")
    method.setup("fit")
    with pytest.raises(ValueError, match="flow = codec needs clips that are read from their videos"):
        method.draw({"key": torch.tensor([1]), "video": torch.zeros(1, 3, 16, 64, 64, dtype=torch.uint8)})
