"""Smooth random textures that continue beyond their edges."""

import cv2
import numpy as np
import torch

from vmae_zoo.randomness import KeyedRNG, random_uniform


def draw_texture(rng: KeyedRNG, height: int, width: int, cells: tuple[int, ...]) -> np.ndarray:
    """Smooth noise that blends three random colors: float32 (height, width, 3), 0 to 255.

    ``cells`` are sides in pixels of the noise's cells, coarse to fine, each half as strong; they divide height and
    width.
    """
    noise: np.ndarray = np.zeros((height, width), np.float32)
    for octave, cell in enumerate(cells):
        key = torch.tensor([rng.bits()])
        grid = random_uniform(key, height * width // cell**2, "noise").view(height // cell, width // cell).numpy()
        wrapped = np.pad(grid, 2, mode="wrap")
        large = cv2.resize(wrapped, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
        noise += large[2 * cell : 2 * cell + height, 2 * cell : 2 * cell + width] / 2**octave
    noise = (noise - noise.min()) / (noise.max() - noise.min()) * 255
    colors = np.array([[rng.uniform(15, 240) for _ in range(3)] for _ in range(3)])
    table = np.stack([np.interp(np.arange(256), (0, 127.5, 255), channel) for channel in colors.T], 1)
    return table.astype(np.float32)[noise.astype(np.uint8)]
