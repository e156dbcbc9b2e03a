"""The page's pictures are those of the commands; uploads are checked; a Space is three files."""

import numpy as np
import pytest
import yaml

from vmae_zoo.app.pictures import METHOD_NAMES, as_html, draw_features, draw_masks, draw_reconstruction, takes_ratio
from vmae_zoo.app.space import export_space
from vmae_zoo.app.videos import EMBEDDED, Limits, check_upload, sentence, write_embedded
from vmae_zoo.cli.app import BUNDLED, labeled
from vmae_zoo.zoo.resolve import find_source


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_embedded(tmp_path_factory.mktemp("embedded"))


def test_the_embedded_videos_are_there(videos):
    assert list(videos) == list(EMBEDDED)
    for file in videos.values():
        check_upload(file, Limits())


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_method_draws_its_masks(videos, name):
    video = next(iter(videos.values()))
    panels = draw_masks(video, name, 0.75, 0, BUNDLED)
    assert all(frames.dtype == np.uint8 for panel in panels for frames in panel.rows.values())
    assert as_html(panels).startswith('<img src="data:image/webp;base64,')
    family = name in ("VideoMAE", "VideoMAEv2", "MGMAE")
    if family:
        rows = draw_reconstruction(video, name, 0.75, 0, BUNDLED)[0].rows
        assert rows["reconstruction"].shape == (8, 32, 32, 3)
        assert panels[0].rows["clip"].shape == (8, 32, 32, 3)  # on the grid of the checkpoint
    else:
        with pytest.raises(ValueError, match="does not reconstruct"):
            draw_reconstruction(video, name, 0.75, 0, BUNDLED)


def test_ratio_and_seed_change_the_mask(videos):
    video = next(iter(videos.values()))

    def seen(ratio, seed):
        return draw_masks(video, "VideoMAE", ratio, seed, BUNDLED)[0].rows["encoder sees"]

    np.testing.assert_array_equal(seen(0.9, 0), seen(0.9, 0))
    assert not np.array_equal(seen(0.9, 0), seen(0.9, 1))
    assert seen(0.5, 0).mean() < seen(0.9, 0).mean()  # the clip is darker than what covers it
    assert [name for name in METHOD_NAMES if not takes_ratio(name)] == ["ARVideo", "VJEPA", "MoCoV3"]


def test_features_are_drawn(videos):
    (panel,) = draw_features(next(iter(videos.values())), BUNDLED)
    assert list(panel.rows) == ["clip", "token PCA", "attention"]


def test_uploads_beyond_the_limits_are_refused(videos, tmp_path, encode):
    file = next(iter(videos.values()))
    for limits, words in (
        (Limits(megabytes=0), "larger than 0 MB"),
        (Limits(minutes=1 / 120), "minutes"),
        (Limits(pixels=100), "megapixels"),
    ):
        with pytest.raises(ValueError, match=words):
            check_upload(file, limits)
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    with pytest.raises(ValueError, match=r"text\.mp4") as caught:
        check_upload(text, Limits())
    assert str(tmp_path) not in sentence(caught.value, text)  # no folder of the server


def test_every_checkpoint_has_its_own_label(tmp_path):
    runs = [tmp_path / name / "20260101-000000" for name in ("mae", "mgmae")]
    for run in runs:
        (run / "checkpoints").mkdir(parents=True)
        (run / "summary.json").touch()
        for name in ("last.ckpt", "best.ckpt"):
            (run / "checkpoints" / name).touch()
    files = [str(run / "checkpoints" / "last.ckpt") for run in runs]
    best = str(runs[0] / "checkpoints" / "best.ckpt")
    label = "mae/20260101-000000"
    assert labeled([BUNDLED, *files, best, best]) == {
        BUNDLED: BUNDLED,
        label: files[0],
        "mgmae/20260101-000000": files[1],
        f"{label} (2)": best,
    }


def test_a_space_holds_what_it_needs(tmp_path):
    files = export_space(tmp_path / "space", {BUNDLED: BUNDLED}, "6.31.0")
    assert [file.name for file in files] == ["app.py", "requirements.txt", "README.md"]
    _, header, _ = (tmp_path / "space" / "README.md").read_text().split("---\n")
    keys = yaml.safe_load(header)
    assert (keys["sdk"], keys["sdk_version"], keys["app_file"]) == ("gradio", "6.31.0", "app.py")
    compile((tmp_path / "space" / "app.py").read_text(), "app.py", "exec")
    find_source(BUNDLED, "pretrain")
    (tmp_path / "own.ckpt").touch()
    with pytest.raises(ValueError, match=r"own\.ckpt"):
        export_space(tmp_path / "space", {"own": str(tmp_path / "own.ckpt")}, "6.31.0")
