import pytest
import torch

from vmae_zoo.methods import MAE, MAEST, MGMAE, ARVideo, MoCoV3, VideoMAE, VideoMAEv2
from vmae_zoo.methods.output import weighted_mse

SMALL = {"size": "tiny", "width": 24, "depth": 1, "num_heads": 2, "patch": 8, "image_size": 32}
DECODER = {"decoder_width": 24, "decoder_depth": 1, "decoder_num_heads": 2}
MASKED = {
    "VideoMAE": (VideoMAE, {"frames": 8, "mask_ratio": 0.5}, {"zero", "clip_mean", "copy"}),
    "VideoMAEv2": (VideoMAEv2, {"frames": 8, "mask_ratio": 0.5}, {"zero", "clip_mean", "copy"}),
    "MGMAE": (MGMAE, {"frames": 8, "mask_ratio": 0.5}, {"zero", "clip_mean", "place_mean", "copy"}),
    "MAE": (MAE, {}, {"zero", "clip_mean", "copy"}),
    "MAEST": (MAEST, {"frames": 8, "pred_t_dim": 4}, {"zero", "clip_mean", "place_mean", "copy"}),
    "ARVideo": (ARVideo, {"frames": 8, "cluster": (1, 2, 2)}, {"zero", "clip_mean", "place_mean", "copy"}),
}


@pytest.mark.parametrize("name", MASKED)
def test_nulls_of_a_method_are_losses_of_its_own_targets(name):
    kind, settings, expected = MASKED[name]
    method = kind(**SMALL, **DECODER, **settings).eval()
    frames = settings.get("frames", 1)
    generator = torch.Generator().manual_seed(0)
    batch = {"video": torch.randint(0, 256, (3, 3, frames, 32, 32), generator=generator, dtype=torch.uint8)}
    batch["key"] = torch.arange(3)
    with torch.no_grad():
        inputs = method.prepare_inputs(batch)
        out = method(*inputs)
        found = method.null_losses(out, *inputs)
    assert set(found) == expected
    mean = out.target.mean(1, keepdim=True)
    if out.weight is not None:
        mean = (out.weight[:, :, None] * out.target).sum(1, keepdim=True) / out.weight.sum(1)[:, None, None]
    torch.testing.assert_close(found["clip_mean"], weighted_mse(mean.expand_as(out.target), out.target, out.weight))
    torch.testing.assert_close(found["zero"], weighted_mse(0 * out.target, out.target, out.weight))
    assert found["clip_mean"] < found["zero"]  # the best constant
    assert found["copy"] > 1.5 * found["zero"]  # noise: the targets of two cubes are independent
    if "place_mean" in found:
        assert found["zero"] < found["place_mean"] <= found["copy"] * 1.001


def test_a_still_clip_is_predicted_by_its_place():
    method = MGMAE(**SMALL, **DECODER, frames=8, mask_ratio=0.5).eval()
    still = torch.randint(0, 256, (2, 3, 1, 32, 32), dtype=torch.uint8).expand(-1, -1, 8, -1, -1)
    inputs = method.normalize(still), MAEST(**SMALL, frames=8, mask_ratio=0.5).sample_mask({"key": torch.arange(2)})
    predictions, target = method.null_predictions(*inputs), method.make_targets(inputs[0], inputs[1].predicted)
    same_place = (inputs[1].predicted[:, :, None] - inputs[1].visible[:, None]) % 16 == 0
    there = same_place.any(2)
    for name in ("place_mean", "copy"):
        torch.testing.assert_close(predictions[name][there], target[there])


def test_moco_has_no_nulls():
    assert MoCoV3(**SMALL, frames=8).null_losses(None) == {}
