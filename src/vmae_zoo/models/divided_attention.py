"""Divided space-time attention: the block of TimeSformer.

Bertasius, Wang, Torresani, "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021,
arXiv 2102.05095.

Each token attends first to the tokens of its spatial position in all time slices, then to the tokens of its own slice:
T + S comparisons instead of T * S. The visible tokens must therefore form whole tubes: tube masks or no mask.

As in the official program, and unlike equation 11 of the paper, the class token is left out of attention over time; in
attention over space every slice has a copy of it, and the results are averaged.

Shapes: B clips, P leading tokens (0, or 1 for a class token), T time slices, S spatial positions, D = width.
"""

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.blocks import Attention, Block, ZeroLinear, layer_norm
from vmae_zoo.models.rotary import Rotation


class DividedBlock(Block):
    """Attention over time, attention over space, MLP; parameters are named as in the official TimeSformer.

    The linear map after attention over time is initialized with zeros, so that a new block computes what the block of
    an image transformer computes for each slice.

    Args:
        dim: width D.
        heads: attention heads.
        slices: time slices T.
        mlp_ratio: hidden width of the MLP over D.
        bias: see `vmae_zoo.models.blocks.Attention`; "qkv" in TimeSformer.
        drop_path: probability of dropping a branch, sampled for each clip and spatial position (attention over time),
            each clip and slice (attention over space), or each clip (MLP).
        prefix: number P of tokens before the patch tokens.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        slices: int,
        mlp_ratio: float = 4.0,
        bias: str = "qkv",
        drop_path: float = 0.0,
        prefix: int = 0,
    ):
        super().__init__(dim, heads, mlp_ratio, bias, drop_path)
        self.slices = slices
        self.prefix = prefix
        self.temporal_norm1 = layer_norm(dim)
        self.temporal_attn = Attention(dim, heads, bias)
        self.temporal_fc = ZeroLinear(dim, dim)

    def forward(self, x_BND: Tensor, mask_NN: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        """(B, P + T * S, D) -> the same shape; patch tokens in the order (time, position); without mask."""
        assert rotation is None, "Encoder raises a ValueError for rotary positions with divided attention"
        if mask_NN is not None:
            raise ValueError("divided attention takes no attention mask: use attention = joint with this method")
        first_BPD, patches_BND = x_BND[:, : self.prefix], x_BND[:, self.prefix :]
        if patches_BND.shape[1] % self.slices:
            raise ValueError(
                f"{patches_BND.shape[1]} visible tokens are no multiple of {self.slices} time slices: divided "
                "attention needs a tube mask or none; use attention = joint with other masks"
            )
        batch = x_BND.shape[0]  # len() would fix the batch size of an exported program

        tubes = rearrange(patches_BND, "b (t s) d -> (b s) t d", t=self.slices)
        change = self.temporal_fc(self.drop_path(self.temporal_attn(self.temporal_norm1(tubes))))
        patches_BND = patches_BND + rearrange(change, "(b s) t d -> b (t s) d", b=batch)

        copies = repeat(first_BPD, "b p d -> (b t) p d", t=self.slices)
        images = torch.cat([copies, rearrange(patches_BND, "b (t s) d -> (b t) s d", t=self.slices)], dim=1)
        change = self.drop_path(self.attn(self.norm1(images)))
        first_change = reduce(change[:, : self.prefix], "(b t) p d -> b p d", "mean", b=batch)
        patch_change = rearrange(change[:, self.prefix :], "(b t) s d -> b (t s) d", b=batch)

        x_BND = torch.cat([first_BPD + first_change, patches_BND + patch_change], dim=1)
        return x_BND + self.drop_path(self.mlp(self.norm2(x_BND)))


def check_tubes(ids_BV: Tensor, grid: TokenGrid) -> None:
    """Check that the visible tokens are the same spatial positions, in the same order, in every time slice.

    On a GPU only their number is checked: reading ids back would synchronize host and device at every step.

    Raises:
        ValueError: they are not.
    """
    if ids_BV.shape[1] % grid.time == 0:
        places = rearrange(ids_BV, "b (t s) -> b t s", t=grid.time)
        slices_T1 = torch.arange(grid.time, device=ids_BV.device)[:, None]
        if ids_BV.device.type != "cpu" or bool((places == places[:, :1] + slices_T1 * grid.per_slice).all()):
            return
    raise ValueError(
        "the visible tokens are not the same positions in every time slice: divided attention needs a tube mask or "
        "none; use attention = joint with other masks"
    )
