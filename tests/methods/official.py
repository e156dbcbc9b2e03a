"""Numbers of the official programs on seeded tiny models, and tolerances for equality."""

from pathlib import Path

import torch
from safetensors.torch import load_file

TINY = {"width": 24, "depth": 2, "num_heads": 2, "decoder_width": 16, "decoder_depth": 2, "decoder_num_heads": 2}

MAE_NAMES = {  # of MAE and space-time MAE; all else is the encoder's
    "decoder_embed": "encoder_to_decoder",
    "decoder_pred": "decoder.head",
    "decoder_norm": "decoder.norm",
    "decoder_blocks": "decoder.blocks",
    "decoder_cls_token": "decoder_cls_token",
    "mask_token": "mask_token",
}


def numbers(name):
    """Inputs, outputs, weights and gradients by name."""
    return load_file(Path(__file__).parents[1] / "golden" / f"{name}.safetensors")


def part(values, prefix, rename=str):
    """Weights ("w.") or gradients ("grad.") under our names."""
    return {rename(name.removeprefix(prefix)): value for name, value in values.items() if name.startswith(prefix)}


def mae_name(name):
    """Our name of a tensor of MAE or space-time MAE."""
    first, dot, rest = name.partition(".")
    if "pos_embed" in first:
        home, first = ("decoder", first[8:]) if first.startswith("decoder_") else ("encoder", first)
        return f"{home}.positions.{first}"
    return MAE_NAMES.get(first, f"encoder.{first}") + dot + rest


def check_pretraining(method, clip, split, values, rename=str):
    """Prediction and loss within 1e-5, gradients within 1e-6."""
    out = method(clip, split)
    if "out.pred" in values:
        expected = values["out.pred"]
    else:  # of all tokens
        every = values["out.pred_all_tokens"]
        expected = every.gather(1, split.predicted[:, :, None].expand(-1, -1, every.shape[2]))
    torch.testing.assert_close(out.prediction, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(out.loss, values["out.loss"][0], atol=1e-5, rtol=1e-5)
    out.loss.backward()
    gradients = part(values, "grad.", rename)
    assert gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(method.get_parameter(name).grad, gradient, atol=1e-6, rtol=1e-4)
