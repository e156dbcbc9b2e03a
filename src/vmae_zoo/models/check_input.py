"""Refusal of clips that an encoder would turn into wrong features, with the cure."""

import torch
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid

LARGEST = 20.0  # normalized pixels lie within -3 to 3, pixels of 0 to 255 do not


def check_input(video_BCTHW: Tensor, grid: TokenGrid, channels: int, dtype: torch.dtype, values: bool) -> None:
    """``ValueError`` unless these are clips of the grid, in the dtype of the weights.

    With ``values`` the range of the values is checked too, which waits for the device.
    """
    expected = (channels, *grid.pixels)
    shape, size = tuple(video_BCTHW.shape), " x ".join(map(str, grid.pixels))
    if shape[1:] != expected or len(shape) != 5:
        raise ValueError(
            f"the input has the shape {shape} and the encoder takes (clips, {', '.join(map(str, expected))}): "
            f"{_cure(shape, expected, size)}"
        )
    device = video_BCTHW.device.type  # "meta" if only FLOPs are counted, which has no autocast
    mixed = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    if not video_BCTHW.is_floating_point() or (video_BCTHW.dtype != dtype and dtype.is_floating_point and not mixed):
        raise ValueError(
            f"the input is {_name(video_BCTHW.dtype)} and the weights are {_name(dtype)}: make it with "
            "encoder.preprocess(frames), which normalizes and follows the weights, or convert the encoder"
        )
    if values and video_BCTHW.numel() and bool(torch.stack(video_BCTHW.aminmax()).abs().amax() > LARGEST):
        raise ValueError(
            f"the input exceeds {LARGEST:g} in magnitude, and normalized clips lie within about 3: make it with "
            "encoder.preprocess(frames), from uint8 frames"
        )


def _cure(shape: tuple[int, ...], expected: tuple[int, ...], size: str) -> str:
    channels, frames, rows, columns = expected
    if shape[-1:] == (channels,):
        return (
            "channels come before frames, rows and columns; encoder.preprocess(frames) takes uint8 frames as they are"
        )
    if shape[1:] == (frames, channels, rows, columns):
        return "channels come before frames: input.transpose(1, 2), or encoder.preprocess(frames)"
    if shape == expected:
        return "add a first axis for the clips: input[None], or encoder.preprocess(frames)"
    return (
        f"make clips of {size} with encoder.preprocess(frames or path), or resize the positions of the encoder with "
        "load_pretrained(..., clip=(frames, rows, columns))"
    )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
