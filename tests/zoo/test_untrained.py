import torch

from vmae_zoo.methods import MAEST, VideoMAE
from vmae_zoo.zoo import load_pretrained, load_untrained

TINY = {"frames": 4, "stride_frames": 2, "image_size": 32, "width": 24, "depth": 1, "num_heads": 2, "patch": 8}


def save(method, path):
    torch.save({"state_dict": method.state_dict(), "vmae_zoo": method.export_config()}, path)
    return path


def test_an_untrained_encoder_has_the_architecture_and_other_weights(tmp_path):
    for method in (VideoMAE("tiny", **TINY), MAEST("tiny", **TINY, pred_t_dim=2)):
        file = save(method, tmp_path / "method.ckpt")
        trained = load_pretrained(file)
        before = torch.get_rng_state()
        one, two, other = (load_untrained(file, seed) for seed in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), before)
        assert one.preprocessing == trained.preprocessing
        assert not one.training
        weights = [dict(model.named_parameters()) for model in (trained, one, two, other)]
        name = "blocks.0.attn.qkv.weight"
        assert {key: value.shape for key, value in weights[0].items()} == {k: v.shape for k, v in weights[1].items()}
        assert torch.equal(weights[1][name], weights[2][name])
        assert not torch.equal(weights[1][name], weights[0][name])
        assert not torch.equal(weights[1][name], weights[3][name])
        assert weights[1][name].std() > 0.01


def test_an_untrained_encoder_starts_as_the_method_does(tmp_path):
    file = save(VideoMAE("tiny", **TINY), tmp_path / "method.ckpt")
    torch.manual_seed(5)
    expected = VideoMAE("tiny", **TINY).encoder.state_dict()
    found = load_untrained(file, seed=5).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
