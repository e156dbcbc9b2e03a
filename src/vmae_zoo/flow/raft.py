"""RAFT-small on the device, for all pairs of a clip in one pass.

Teed, Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020, arXiv 2003.12039; the network and
its weights are torchvision's. Every frame is encoded once, instead of once per pair, and all pairs are refined
together.

Shapes: B clips, C channels, T frames, H rows, W columns, P pairs; h, w = H / 8, W / 8.
"""

from pickle import UnpicklingError

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.optical_flow import RAFT, Raft_Small_Weights, raft_small

from vmae_zoo.flow.remap import pixel_grid

RANDOM = "random"


class RaftFlow:
    """A frozen RAFT-small; not a module, so that it is neither trained nor saved with a module that uses it.

    Args:
        weights: ``C_T_V1`` (the original ones, as in MGMAE) or ``C_T_V2`` (retrained), downloaded by torchvision on
            first use; or the path of a file with either; or "random", for benchmarks.
        iterations: number of refinements (6 in MGMAE, 12 in RAFT).
        clips_per_pass: largest number of clips in one pass, which takes about 70 MB per clip of 16 x 224 x 224.
    """

    def __init__(self, weights: str, iterations: int = 6, clips_per_pass: int = 64):
        self.net = load_raft(weights)
        self.iterations, self.clips_per_pass = iterations, clips_per_pass

    @torch.no_grad()
    def __call__(self, video_BCTHW: Tensor, pairs_BP2: Tensor) -> Tensor:
        """Flow between pairs of frames: float32 (B, P, H, W, 2), x and y in pixels.

        Clips are uint8, H and W multiples of 8 from 128 on; pairs are int64 ids of a first and a second frame.
        """
        self.net = self.net.to(video_BCTHW.device)
        parts = zip(video_BCTHW.split(self.clips_per_pass), pairs_BP2.split(self.clips_per_pass), strict=True)
        return torch.cat([self._flow(video, pairs) for video, pairs in parts])

    def _flow(self, video_BCTHW: Tensor, pairs_BP2: Tensor) -> Tensor:
        clips, _, frames, height, width = video_BCTHW.shape
        if min(height, width) < 128 or height % 8 or width % 8:
            raise ValueError(
                f"RAFT needs frames of at least 128 pixels in multiples of 8, not {height} x {width}: choose another "
                "image_size, or flow = dis"
            )
        net, hidden = self.net, self.net.update_block.hidden_state_size
        images = video_BCTHW.transpose(1, 2).flatten(0, 1) / 127.5 - 1
        first_B11 = frames * torch.arange(clips, device=pairs_BP2.device)[:, None, None]
        first, second = (pairs_BP2 + first_B11).flatten(0, 1).unbind(1)
        features, context = net.feature_encoder(images), net.context_encoder(images)
        with torch.autocast(images.device.type, enabled=False):  # correlations stay float32, as in RAFT
            net.corr_block.build_pyramid(features[first].float(), features[second].float())
        state, context = context[first].split([hidden, context.shape[1] - hidden], dim=1)
        state, context = state.tanh(), context.relu()
        start_P2hw = pixel_grid(height // 8, width // 8, images.device).permute(2, 0, 1).expand(len(first), -1, -1, -1)
        flow_P2hw = torch.zeros_like(start_P2hw)
        for _ in range(self.iterations):
            with images.device:  # where torchvision then makes its grid of neighbors: a copy from the CPU would wait
                correlation = net.corr_block.index_pyramid(start_P2hw + flow_P2hw)
            state, change = net.update_block(state, context, correlation, flow_P2hw)
            flow_P2hw = flow_P2hw + change.float()
        net.corr_block.corr_pyramid = []  # free the memory, which torchvision keeps until the next call
        flow_P2HW = 8 * F.interpolate(flow_P2hw, (height, width), mode="bilinear", align_corners=True)
        return flow_P2HW.permute(0, 2, 3, 1).unflatten(0, (clips, -1))


def load_raft(weights: str) -> RAFT:
    """RAFT-small with these weights (see `RaftFlow`), frozen; ``ValueError`` if they cannot be loaded."""
    if weights == RANDOM:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return raft_small().eval().requires_grad_(False)
    names = [entry.name for entry in Raft_Small_Weights]
    net = raft_small()
    try:
        if weights in names:
            net.load_state_dict(Raft_Small_Weights[weights].get_state_dict(progress=False, check_hash=True))
        else:
            net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"flow_weights = {weights!r} cannot be loaded ({reason}): give {' or '.join(names)}, which torchvision "
            "downloads, or the path of a file; flow = dis needs no weights"
        ) from None
    return net.eval().requires_grad_(False)
