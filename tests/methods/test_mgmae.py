"""MGMAE is VideoMAE with other masks, whatever estimates the flow."""

import numpy as np
import pytest
import torch
from tests.methods.official import TINY, check_pretraining, numbers, part
from torchvision.models.optical_flow import raft_small

from vmae_zoo.masking import TokenSplit
from vmae_zoo.methods import MGMAE, VideoMAE
from vmae_zoo.randomness import sample_key

KEYS = torch.tensor([sample_key(0, 0, n) for n in range(2)])


def batch(side=64, frames=16):
    video = torch.randint(0, 256, (2, 3, frames, side, side), generator=torch.Generator().manual_seed(0)).byte()
    return {"video": video, "key": KEYS}


def test_arithmetic_equals_the_official_numbers():
    values = numbers("videomae_v1_pretrain")
    method = MGMAE(**TINY, image_size=32, mask_ratio=0.75)
    method.load_state_dict(part(values, "w."))
    check_pretraining(method, values["in.clip"], TokenSplit.from_masks(values["in.mask"] == 1), values)


def test_published_counts_and_parameters():
    method = MGMAE("tiny")
    split = method.sample_mask({"key": KEYS, "scores": torch.rand(2, 1568)})
    assert split.visible.shape == (2, 152)
    assert split.predicted.shape == (2, 1416)
    with torch.device("meta"):
        assert sum(p.numel() for p in MGMAE("base").parameters()) == sum(
            p.numel() for p in VideoMAE("base").parameters()
        )


def test_scores_of_the_workers_equal_those_computed_from_the_batch():
    method = MGMAE(**TINY, image_size=64, mask_ratio=0.75)
    clips = batch()
    scored = [
        method.clip_request.per_clip["scores"](v.permute(1, 2, 3, 0).contiguous().numpy(), int(k))
        for v, k in zip(*clips.values(), strict=True)
    ]
    given = method.sample_mask({**clips, "scores": torch.from_numpy(np.stack(scored))})
    assert torch.equal(method.sample_mask(clips).visible, given.visible)


@pytest.mark.slow
def test_raft_runs_on_the_device_and_gets_no_gradient():
    method = MGMAE(
        **TINY, image_size=128, frames=4, mask_ratio=0.75, flow="raft", flow_weights="random", flow_iterations=1
    )
    assert not method.clip_request.per_clip
    method.setup("fit")
    assert not any(name.startswith("flow") or "raft" in name for name, _ in method.named_parameters())
    clips = batch(128, 4)
    out = method(*method.prepare_inputs(clips))
    out.loss.backward()
    assert all(p.grad is None for p in method.raft().net.parameters())
    assert all(p.grad is not None for p in method.parameters())
    scores = method.guide.scores(KEYS, method.raft()(clips["video"], method.guide.pairs(KEYS)))
    assert torch.equal(method.scores(clips), scores)
    assert not scores.requires_grad


def test_raft_weights_are_read_from_a_file_when_training_starts(tmp_path):
    method = MGMAE(**TINY, image_size=128, mask_ratio=0.75, flow="raft", flow_weights=str(tmp_path / "raft.pth"))
    with pytest.raises(ValueError, match=r"raft\.pth"):
        method.setup("fit")
    torch.save(raft_small().state_dict(), tmp_path / "raft.pth")
    method.setup("fit")


def test_a_custom_flow_is_named_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_flow.py").write_text(
        "import numpy\n\n"
        "def still(clip, pairs):\n"
        "    return numpy.zeros((len(pairs), *clip.shape[1:3], 2), numpy.float32)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    method = MGMAE(**TINY, image_size=64, mask_ratio=0.75, flow="my_flow.still", rounding="videomae")
    method.setup("fit")
    shown = method.sample_mask(batch()).visible.view(2, 8, 4) % 16
    assert torch.equal(shown, shown[:, :1].expand(-1, 8, -1))


def test_an_unknown_flow_is_refused_when_training_starts():
    method = MGMAE(**TINY, image_size=64, mask_ratio=0.75, flow="nowhere.flow")
    with pytest.raises(ValueError, match=r"flow = 'nowhere\.flow'"):
        method.setup("fit")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flow": "raft"}, "flow_weights"),
        ({"rounding": "up"}, "rounding = 'up'"),
        ({"topk": "frame"}, "topk = 'frame'"),
        ({"image_size": 32, "mask_ratio": 0.9}, "mask_ratio = 0.9 .*rounding = videomae"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MGMAE("tiny", **settings)


def test_settings_are_saved_with_the_weights_without_the_flow_network(tmp_path):
    method = MGMAE(**TINY, image_size=128, mask_ratio=0.75, flow="raft", flow_weights="gone.pth", base_frame="random")
    contents = {
        "state_dict": method.state_dict(),
        "hyper_parameters": dict(method.hparams),
        "pytorch-lightning_version": "2.6.6",
    }
    torch.save(contents, tmp_path / "a.ckpt")
    again = MGMAE.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)
    assert dict(again.hparams) == dict(method.hparams)
    assert set(method.state_dict()) == set(VideoMAE(**TINY, image_size=128).state_dict())
