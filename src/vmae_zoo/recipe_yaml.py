"""Reading the YAML of a recipe, which may be a stranger's: plain values only, bounded in size."""

import re
from pathlib import Path
from typing import Any

import yaml

MAX_VALUES = 100_000  # of a recipe with its aliases filled in; packaged recipes have at most a few hundred


class _Loader(yaml.SafeLoader):
    """YAML as jsonargparse reads it: 1e-3 is a number, 2024-01-01 is a string."""


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read_recipe(recipe: Path) -> dict[str, Any]:
    """The keys of one YAML file.

    Raises:
        ValueError: it is not YAML, not a mapping, has a key twice, or its aliases (``*name``) expand to more than
            `MAX_VALUES` values.
    """
    try:
        loader = _Loader(recipe.read_text(encoding="utf-8-sig"))
        node = loader.get_single_node()
        if node is not None and _expanded_size(node, {}) > MAX_VALUES:
            raise ValueError(
                f"{recipe}: its aliases expand to more than {MAX_VALUES:,} values, or contain themselves: write the "
                "values out"
            )
        keys = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ValueError(f"{recipe}, line {line}: not YAML: {error.problem}") from None
    except RecursionError:
        raise ValueError(f"{recipe} is not a recipe: its values are nested too deeply") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{recipe} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(keys, dict):
        raise ValueError(f"{recipe} is not a recipe: it should map keys such as model, data and trainer to values")
    return {str(key): value for key, value in keys.items()}


def _expanded_size(node: yaml.Node, sizes: dict[int, float]) -> float:
    """Number of values of a node with its aliases filled in; infinite if it contains itself."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = float("inf")  # until it is counted
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
        names = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        first: dict[str, yaml.ScalarNode] = {}
        for key in names:
            if first.setdefault(key.value, key) is not key:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} is there twice", problem_mark=key.start_mark)
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    sizes[id(node)] = 1 + sum(_expanded_size(child, sizes) for child in children)
    return sizes[id(node)]
