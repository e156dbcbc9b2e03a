"""FLOPs counted on the meta device equal the formulas and the count of a real step."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vmae_zoo.methods import MAE, MAEST, ARVideo, Classifier, MoCoV3, VideoMAE, VideoMAEv2
from vmae_zoo.training.flops import flops_per_clip, peak_flops

SMALL = {"size": "tiny", "image_size": 32, "width": 24, "depth": 2, "num_heads": 2}
DECODER = {"decoder_width": 12, "decoder_depth": 1, "decoder_num_heads": 2}
METHODS = {
    "videomae": lambda: VideoMAE(frames=4, mask_ratio=0.5, **SMALL, **DECODER),
    "videomae_v2": lambda: VideoMAEv2(frames=4, mask_ratio=0.5, **SMALL, **DECODER),
    "arvideo": lambda: ARVideo(frames=4, cluster=(1, 1, 2), drop=0.5, **SMALL, **DECODER),
    "mae": lambda: MAE(**SMALL, **DECODER),
    "mae_st": lambda: MAEST(frames=4, pred_t_dim=2, mask_ratio=0.5, **SMALL, **DECODER),
    "moco_v3": lambda: MoCoV3(frames=4, projection_width=16, projection_dim=8, **SMALL),
    "classifier": lambda: Classifier(num_classes=5, frames=4, **SMALL),
}


def batch_for(method, clips=2):
    frames, size = method.grid.pixels[0], method.grid.pixels[1]
    video = torch.zeros(clips, 3, frames, size, size, dtype=torch.uint8)
    return {"video": video, "other": video, "key": torch.arange(clips), "bad": []}


def macs_of_block(tokens, width):
    """Multiply-adds of one block: qkv and projection 4 n d^2, MLP 8 n d^2, attention 2 n^2 d."""
    return 12 * tokens * width**2 + 2 * tokens**2 * width


def on_paper(visible, tokens, width, depth, decoder_width, decoder_depth, values, decoded=None):
    """FLOPs of a VideoMAE step per clip: backward is twice forward, but pixels want no gradient."""
    decoded = tokens if decoded is None else decoded
    embed = visible * values * width
    rest = depth * macs_of_block(visible, width) + visible * width * decoder_width
    rest += decoder_depth * macs_of_block(decoded, decoder_width) + (decoded - visible) * decoder_width * values
    return 2 * (2 * embed + 3 * rest)


def test_videomae_is_as_on_paper():
    method = METHODS["videomae"]()
    assert flops_per_clip(method, batch_for(method)) == on_paper(4, 8, 24, 2, 12, 1, 2 * 16 * 16 * 3)
    base = VideoMAE(size="base", depth=1, decoder_depth=1)
    assert flops_per_clip(base, batch_for(base)) == on_paper(160, 1568, 768, 1, 384, 1, 1536)


def test_the_published_base_model_needs_202_gflops_a_clip():
    """35.4 GMAC forward in the literature, where all tubes are embedded, not only the visible ones."""
    flops = on_paper(160, 1568, 768, 12, 384, 4, 1536)
    assert flops == pytest.approx(202.3e9, rel=1e-3)
    embedding_the_hidden_too = 2 * 2 * 1408 * 1536 * 768
    assert flops + embedding_the_hidden_too == pytest.approx(209e9, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_counting_without_data_is_counting_the_real_step(name):
    torch.manual_seed(0)
    method = METHODS[name]()
    batch = batch_for(method)
    classifies = isinstance(method, Classifier)
    arguments = (method.normalize(batch["video"]),) if classifies else method.prepare_inputs(batch)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        out = method(*arguments)
        (out.sum() if classifies else out.loss).backward()
    assert flops_per_clip(method, batch) == counter.get_total_flops() / 2 > 0


def test_a_method_that_cannot_run_on_the_meta_device_has_no_number():
    class Branching(VideoMAE):
        def forward(self, video, split):
            return {torch.device("cpu"): super().forward}[video.device](video, split)

    method = Branching(size="tiny", frames=4, image_size=32)
    assert flops_per_clip(method, batch_for(method)) is None


def test_the_method_itself_is_left_alone():
    method = METHODS["videomae"]()
    state = torch.get_rng_state()
    flops_per_clip(method, batch_for(method))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.device.type == "cpu" and p.grad is None for p in method.parameters())


@pytest.mark.parametrize(
    ("device", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A10", 125),
        ("NVIDIA L40S", 362),
        ("NVIDIA L4", 121),
        ("NVIDIA RTX A6000", 155),
        ("Tesla V100-SXM2-32GB", 125),
        ("Tesla T4", 65),
    ],
)
def test_known_gpus_are_known_by_their_full_names(device, tflops):
    assert peak_flops(device) == tflops * 1e12


def test_an_unknown_gpu_has_no_peak():
    assert peak_flops("NVIDIA GeForce GTX 1080 Ti") is None
