"""FSDP2 as Lightning strategy ``fsdp2``: parameters, gradients and optimiser state sharded over every process.

Lightning's `ModelParallelStrategy` is built for tensor parallelism: left alone it takes the processes of a node for one
tensor-parallel group, and all of them draw the same clips. Here every process is a data-parallel one, and a checkpoint
is one ordinary file.
"""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh


class FSDP2Strategy(ModelParallelStrategy):
    """Shard over all processes of all nodes.

    Args:
        **settings: of `lightning.pytorch.strategies.ModelParallelStrategy`.
    """

    def __init__(self, **settings: Any):
        super().__init__(**{"save_distributed_checkpoint": False, **settings, "tensor_parallel_size": 1})

    def setup_environment(self) -> None:
        """Every process is data-parallel."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Share out whole weights; Lightning's own call has none left, `load_checkpoint` took them."""
        if "state_dict" in checkpoint:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

            assert self.model is not None
            options = StateDictOptions(full_state_dict=True, strict=strict)
            set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)


def shard(module: nn.Module, blocks: list[nn.Module], mesh: DeviceMesh) -> None:
    """Shard each block by itself and the rest with the module, over the mesh's data-parallel axis."""
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if isinstance(module, FSDPModule):
        return
    for part in (*blocks, module):
        fully_shard(part, mesh=mesh["data_parallel"])


def unwrapped_type(module: nn.Module) -> type[nn.Module]:
    """The class that a module was written as; sharding gives it one of its own, FSDP before the name."""
    return next(kind for kind in type(module).__mro__ if not kind.__name__.startswith("FSDP"))


if "fsdp2" not in StrategyRegistry.available_strategies():
    StrategyRegistry.register("fsdp2", FSDP2Strategy, description="FSDP2 over all processes, one checkpoint file")
