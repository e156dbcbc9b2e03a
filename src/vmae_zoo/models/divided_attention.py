"""Divided space-time attention: the TimeSformer's block.

Bertasius, Wang, Torresani, "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021,
arXiv 2102.05095.

Each token attends first to the tokens at its place in every time slice, then to the tokens of its own slice: T + S
comparisons instead of T * S. Both steps need whole tubes, so this composes with tube masks and with no mask at all, not
with masks that hide different places in different slices.

As in the official program, and against the paper's equation 11, the class token takes no part in the step over time; in
the step over space every slice has a copy of it, whose changes are averaged.

Shapes: B clips, P leading tokens (0 or the class token), T time slices, S places of a slice, D = width.
"""

import torch
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from vmae_zoo.masking.grid import TokenGrid
from vmae_zoo.models.blocks import Attention, Block, ZeroLinear
from vmae_zoo.models.rotary import Rotation


class DividedBlock(Block):
    """Attention over time, attention over space, MLP; parameters are named as in the official TimeSformer.

    The map behind the first step starts at zero, so that a new block is an image transformer's block applied to each
    slice.

    Args:
        dim: width D.
        heads: attention heads.
        slices: time slices T.
        mlp_ratio: hidden width of the MLP over D.
        bias: see `vmae_zoo.models.blocks.Attention`; "qkv" in TimeSformer.
        drop_path: chance to drop a branch; drawn for each clip and place over time, for each clip and slice over space,
            for each clip in the MLP.
        eps: of the layer norms.
        prefix: tokens before the patch tokens, P.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        slices: int,
        mlp_ratio: float = 4.0,
        bias: str = "qkv",
        drop_path: float = 0.0,
        eps: float = 1e-6,
        prefix: int = 0,
    ):
        super().__init__(dim, heads, mlp_ratio, bias, drop_path, eps=eps)
        self.slices = slices
        self.prefix = prefix
        self.temporal_norm1 = nn.LayerNorm(dim, eps=eps)
        self.temporal_attn = Attention(dim, heads, bias)
        self.temporal_fc = ZeroLinear(dim, dim)

    def forward(self, x_BND: Tensor, mask_NN: Tensor | None = None, rotation: Rotation | None = None) -> Tensor:
        """(B, P + T * S, D) -> the same shape; patch tokens in the order (time, place).

        There is no attention mask and there are no rotary positions.
        """
        assert rotation is None, "the encoder refuses rotary positions with divided attention"
        if mask_NN is not None:
            raise ValueError("divided attention takes no attention mask: use attention = joint with this method")
        first_BPD, patches_BND = x_BND[:, : self.prefix], x_BND[:, self.prefix :]
        if patches_BND.shape[1] % self.slices:
            raise ValueError(
                f"{patches_BND.shape[1]} tokens do not fill {self.slices} time slices alike: "
                "divided attention needs a tube mask or none, joint attention takes any"
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
    """Refuse tokens that are not the same places, in the same order, of every time slice.

    On a GPU only their number is checked: reading ids back would synchronize host and device at every step.

    Raises:
        ValueError: they do not form a grid of time x places.
    """
    if ids_BV.shape[1] % grid.time == 0:
        places = rearrange(ids_BV, "b (t s) -> b t s", t=grid.time)
        slices_T1 = torch.arange(grid.time, device=ids_BV.device)[:, None]
        if ids_BV.device.type != "cpu" or bool((places == places[:, :1] + slices_T1 * grid.per_slice).all()):
            return
    raise ValueError(
        "the visible tokens are not the same places of every time slice: "
        "divided attention needs a tube mask or none, joint attention takes any"
    )
