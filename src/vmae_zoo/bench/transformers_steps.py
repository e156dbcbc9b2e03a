"""Training steps of the transformers library, for `vmae-zoo bench train`: its networks with our sizes, clips and masks.

``transformers-sdpa`` and ``transformers-eager`` are its VideoMAE; ``transformers-vjepa2`` is its V-JEPA 2, whose
`forward` encodes whole clips: here its encoder gets the visible tokens only, as in pre-training.

Shapes: B clips, C channels, T frames, H rows, W columns; N tokens, V visible, M predicted; D = width.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vmae_zoo.bench.candidates import BenchStep, Setting, clips
from vmae_zoo.masking import TokenGrid, tube_mask
from vmae_zoo.masking.multi_block import multi_block_masks
from vmae_zoo.masking.split import TokenSplit
from vmae_zoo.models.patchify import gather_tokens
from vmae_zoo.models.preprocessing import Normalize, Preprocessing
from vmae_zoo.models.sizes import decoder_size, encoder_size


def build(name: str, setting: Setting) -> BenchStep:
    """A candidate by its name; ``ValueError`` if transformers is not installed."""
    try:
        import transformers
    except ModuleNotFoundError:
        raise ValueError(f"{name} needs the transformers library: pip install transformers") from None
    kind = name.removeprefix("transformers-")
    return _vjepa2(transformers, setting) if kind == "vjepa2" else _videomae(transformers, setting, kind)


def _videomae(transformers: Any, setting: Setting, attention: str) -> BenchStep:
    encoder, decoder = encoder_size(setting.size), decoder_size("videomae", setting.size)
    settings: dict[str, Any] = {
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.num_heads,
        "intermediate_size": 4 * encoder.width,
        "decoder_hidden_size": decoder.width,
        "decoder_num_hidden_layers": decoder.depth,
        "decoder_num_attention_heads": decoder.num_heads,
        "decoder_intermediate_size": 4 * decoder.width,
        "use_mean_pooling": False,
        "attn_implementation": attention,
    }
    model: Any = transformers.VideoMAEForPreTraining(transformers.VideoMAEConfig(**settings))
    model.to(setting.device).train()
    normalizer = Normalize(Preprocessing()).to(setting.device)
    grid = TokenGrid(8, 14, 14)
    batch = clips(grid, setting)

    def loss() -> Tensor:
        hidden = tube_mask(batch["key"], grid, 0.9).hidden(grid.tokens)
        return model(normalizer(batch["video"]).transpose(1, 2), bool_masked_pos=hidden).loss

    return BenchStep(model, loss, batch, setting)


def _vjepa2(transformers: Any, setting: Setting) -> BenchStep:
    encoder, predictor = encoder_size(setting.size), decoder_size("vjepa", setting.size)
    settings: dict[str, Any] = {
        "crop_size": 256,
        "frames_per_clip": 16,
        "hidden_size": encoder.width,
        "num_hidden_layers": encoder.depth,
        "num_attention_heads": encoder.num_heads,
        "mlp_ratio": 4.0,
        "pred_hidden_size": predictor.width,
        "pred_num_hidden_layers": predictor.depth,
        "pred_num_attention_heads": predictor.num_heads,
        "attn_implementation": "sdpa",
    }
    model: Any = transformers.VJEPA2Model(transformers.VJEPA2Config(**settings))
    model.target_encoder = deepcopy(model.encoder).requires_grad_(False)
    model.to(setting.device).train()
    normalizer = Normalize(Preprocessing(size=256)).to(setting.device)
    grid = TokenGrid(8, 16, 16)
    batch = clips(grid, setting)

    def loss() -> Tensor:
        masks = multi_block_masks(batch["key"], grid)
        return vjepa2_loss(model, model.target_encoder, normalizer(batch["video"]), masks)

    return BenchStep(model, loss, batch, setting)


def vjepa2_loss(model: Any, target_encoder: Any, video_BCTHW: Tensor, masks: list[TokenSplit]) -> Tensor:
    """The loss of a `transformers.VJEPA2Model`, the mean over the mask sets, from normalized clips."""
    video_BTCHW = video_BCTHW.transpose(1, 2)
    with torch.no_grad():
        features_BND = target_encoder(video_BTCHW).last_hidden_state.float()
        features_BND = F.layer_norm(features_BND, features_BND.shape[-1:])
    tokens_BND = model.encoder.embeddings(video_BTCHW)
    losses = []
    for split in masks:
        visible_BVD = gather_tokens(tokens_BND, split.visible)
        for layer in model.encoder.layer:
            visible_BVD = layer(visible_BVD, split.visible)[0]
        visible_BVD = model.encoder.layernorm(visible_BVD)
        index_BVD = split.visible[:, :, None].expand_as(visible_BVD)
        placed_BND = torch.zeros_like(tokens_BND).scatter(1, index_BVD, visible_BVD)  # the predictor gathers them again
        prediction_BMD = model.predictor(placed_BND, [split.visible], [split.predicted]).last_hidden_state
        losses.append((prediction_BMD.float() - gather_tokens(features_BND, split.predicted)).abs().mean())
    return torch.stack(losses).mean()
