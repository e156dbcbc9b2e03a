"""The Lightning strategy ``fsdp2``: parameters, gradients and optimizer state sharded over all processes.

Lightning's `ModelParallelStrategy` is made for tensor parallelism: by default the processes of a node are one
tensor-parallel group, which gets the same clips. Here all processes are data-parallel, and a checkpoint is one ordinary
file.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch import nn
from torch.distributed.device_mesh import DeviceMesh


class FSDP2Strategy(ModelParallelStrategy):
    """FSDP2 over all processes of all nodes."""

    def __init__(self, **settings: Any):
        super().__init__(**{"save_distributed_checkpoint": False, **settings, "tensor_parallel_size": 1})

    def setup_environment(self) -> None:
        """Make every process data-parallel."""
        self._data_parallel_size = self.num_processes * self.num_nodes
        super().setup_environment()

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Distribute full weights, unless `load_checkpoint` has done so and removed them from the checkpoint."""
        if "state_dict" in checkpoint:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

            assert self.model is not None
            options = StateDictOptions(full_state_dict=True, strict=strict)
            set_model_state_dict(self.model, dict(checkpoint["state_dict"]), options=options)


def shard(module: nn.Module, blocks: list[nn.Module], mesh: DeviceMesh) -> None:
    """Shard each block as a unit of its own, and the rest with the module, over the data-parallel axis of the mesh."""
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if isinstance(module, FSDPModule):
        return
    for part in (*blocks, module):
        fully_shard(part, mesh=mesh["data_parallel"])


@contextmanager
def unsharded(module: nn.Module) -> Iterator[None]:
    """Gather the parameters outside of blocks, which belong to ``module``, to run one of its submodules."""
    from torch.distributed.fsdp import FSDPModule

    if isinstance(module, FSDPModule):
        module.unshard()
    yield
    if isinstance(module, FSDPModule):
        module.reshard()


def unwrapped_type(module: nn.Module) -> type[nn.Module]:
    """The class of a module before sharding, which replaces it by a subclass whose name begins with FSDP."""
    return next(kind for kind in type(module).__mro__ if not kind.__name__.startswith("FSDP"))


if "fsdp2" not in StrategyRegistry.available_strategies():
    StrategyRegistry.register("fsdp2", FSDP2Strategy, description="FSDP2 over all processes, one checkpoint file")
