"""Foreign layouts of weights, one file each: how to know one, how to read it, how to write it.

A layout is a module with ``NAME``, ``recognises(tensors)`` and ``read(tensors, told)``; one that can also be written
has ``write(model)``.
"""

from types import ModuleType

from torch import Tensor

from vmae_zoo.zoo.convert import hugging_face, jepa, mae, mae_st, timesformer, timm_vit, videomae

LAYOUTS: dict[str, ModuleType] = {
    layout.NAME: layout for layout in (videomae, hugging_face, jepa, mae_st, timesformer, mae, timm_vit)
}


def layout_of(tensors: dict[str, Tensor], where: str) -> ModuleType:
    """The layout that these names belong to.

    Args:
        tensors: weights by name, wrapper prefixes stripped.
        where: the file, for the error.

    Raises:
        ValueError: no layout knows them.
    """
    for layout in LAYOUTS.values():
        if layout.recognises(tensors):
            return layout
    raise ValueError(
        f"{where} holds the weights of another architecture ({', '.join(list(tensors)[:3])}, ...): "
        f"layouts read here are {', '.join(LAYOUTS)}"
    )
