"""The steps of the transformers library that ``bench train`` times do the arithmetic of ours."""

import pytest
import torch

from vmae_zoo import load_pretrained
from vmae_zoo.masking import TokenGrid
from vmae_zoo.masking.multi_block import multi_block_masks

transformers = pytest.importorskip("transformers")


def test_vjepa2_of_transformers_has_the_loss_and_gradients_of_ours(tmp_path):
    from vmae_zoo.bench.transformers_steps import vjepa2_loss

    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_ratio": 4.0}
    predictor = {"pred_hidden_size": 24, "pred_num_hidden_layers": 2, "pred_num_attention_heads": 2}
    torch.manual_seed(0)
    theirs = transformers.VJEPA2Model(transformers.VJEPA2Config(crop_size=128, frames_per_clip=4, **sizes, **predictor))
    theirs.save_pretrained(tmp_path / "folder")
    ours = load_pretrained(tmp_path / "folder", task="pretrain").train()
    video = torch.randn(2, 3, 4, 128, 128)
    masks = multi_block_masks(torch.arange(2), TokenGrid(2, 8, 8))

    expected = vjepa2_loss(theirs, theirs.encoder, video, masks)
    found = ours(video, masks).loss
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    expected.backward()
    found.backward()
    torch.testing.assert_close(
        ours.encoder.patch_embed.proj.weight.grad,
        theirs.encoder.embeddings.patch_embeddings.proj.weight.grad,
        atol=1e-5,
        rtol=1e-4,
    )


@pytest.mark.slow
def test_the_candidate_trains_its_encoder_and_not_its_target_encoder():
    from vmae_zoo.bench.candidates import Setting, build

    candidate = build("transformers-vjepa2", Setting("tiny", 1, "cpu", "float32", False))
    before = {name: value.clone() for name, value in candidate.model.state_dict().items()}
    candidate.step()
    changed = {
        name.split(".")[0] for name, value in candidate.model.state_dict().items() if not value.equal(before[name])
    }
    assert changed == {"encoder", "predictor"}
