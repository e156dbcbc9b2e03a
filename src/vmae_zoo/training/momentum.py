"""Momentum encoders: exponential moving averages of the trained weights.

As the momentum encoder of MoCo (He et al., CVPR 2020, arXiv 1911.05722) and the target encoder of V-JEPA (Bardes et
al., 2024, arXiv 2404.08471): ``average = momentum * average + (1 - momentum) * online`` after every optimizer step.

Different from the official programs: a step that is skipped because a loss or gradient is not finite does not move the
average. Whether it was skipped is read on the device, without synchronization.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

M = TypeVar("M", bound=nn.Module)


class MomentumEncoder:
    """Moves the parameters of modules towards those of other modules.

    The averages are submodules of the method: they are saved, resumed and sharded with it. Buffers, such as the running
    statistics of batch norms, are not averaged.
    """

    def __init__(self, online: Sequence[nn.Module], average: Sequence[nn.Module]):
        self.online, self.average = tuple(online), tuple(average)

    @torch.no_grad()
    def reset(self) -> None:
        """Set the averages to the online weights."""
        for average, online in self._pairs():
            average.copy_(online)

    @torch.no_grad()
    def update(self, momentum: float, skipped: Tensor | None = None) -> None:
        """Update the averages once, unless the optimizer step was skipped: ``skipped``, a float scalar, is then > 0."""
        averages, online = (list(each) for each in zip(*self._pairs(), strict=True))
        if skipped is None:
            torch._foreach_lerp_(averages, online, 1 - momentum)
            return
        change = torch._foreach_sub(online, averages)
        torch._foreach_mul_(change, (1 - momentum) * (skipped == 0).float())
        torch._foreach_add_(averages, change)

    def attach(self, optimizer: Optimizer, momentum: Callable[[], float]) -> None:
        """Update after each step of ``optimizer`` from now on, with the momentum that ``momentum`` then returns.

        Raises:
            ValueError: the weights have 16 bits, in which an average with a momentum near 1 would never move.
        """
        if any(average.dtype in (torch.bfloat16, torch.float16) for average, _ in self._pairs()):
            raise ValueError(
                "trainer.precision keeps weights in 16 bits, and a moving average of them rounds to no change: "
                "use bf16-mixed"
            )

        def update_after(stepped: Optimizer, *_: Any) -> None:
            if all(group["lr"] == 0 for group in stepped.param_groups):
                return  # loading a sharded optimizer state makes a step at rate 0, which is none of training
            if any(parameter.grad is not None for group in stepped.param_groups for parameter in group["params"]):
                self.update(momentum(), getattr(stepped, "found_inf", None))  # PyTorch sets it if a step was skipped

        optimizer.register_step_post_hook(update_after)

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of average and online weights; of sharded weights, the parts on this process."""
        for average, online in zip(self.average, self.online, strict=True):
            for one, other in zip(average.parameters(), online.parameters(), strict=True):
                yield _local(one), _local(other)


def frozen_copy(module: M) -> M:
    """A copy whose weights require no gradient."""
    return copy.deepcopy(module).requires_grad_(False)


def _local(parameter: Tensor) -> Tensor:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        from torch.distributed.tensor import DTensor

        if isinstance(parameter, DTensor):
            return parameter.to_local()
    return parameter
