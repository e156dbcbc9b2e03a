"""Parts of an encoder that keep their weights in fine-tuning and continued pre-training."""

from torch import nn

from vmae_zoo.models.encoder import Encoder

PARTS = ("patch_embed", "encoder")


def check_freeze(freeze: int | str | None) -> None:
    """``ValueError`` unless this names a part of an encoder."""
    if freeze is not None and freeze not in PARTS and not (isinstance(freeze, int) and freeze >= 1):
        raise ValueError(f"model.freeze = {freeze!r}: choose {', '.join(PARTS)}, or the number of the first blocks")


def freeze_encoder(encoder: Encoder, freeze: int | str) -> list[nn.Module]:
    """Take a part of an encoder out of training.

    Args:
        encoder: its parameters are changed in place.
        freeze: "patch_embed"; a number k, for everything before block k (counted from 0); or "encoder", for everything
            but ``fc_norm``, which starts with the head of a classifier.

    Returns:
        The modules of the part, which compute as in evaluation (no stochastic depth).

    Raises:
        ValueError: the encoder has fewer blocks.
    """
    depth = len(encoder.blocks)
    if isinstance(freeze, int) and freeze > depth:
        raise ValueError(f"model.freeze = {freeze}: the encoder has {depth} blocks, freeze at most as many")
    modules: list[nn.Module] = [encoder.patch_embed]
    if freeze != "patch_embed":
        modules += [encoder.positions, *encoder.blocks[: freeze if isinstance(freeze, int) else depth]]
        if encoder.cls_token is not None:
            encoder.cls_token.requires_grad_(False)
    if freeze == "encoder":
        modules.append(encoder.norm)
    for module in modules:
        module.requires_grad_(False)
    return modules
