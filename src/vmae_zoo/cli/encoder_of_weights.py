"""``fit`` of a classifier from weights: the shape of its encoder is that of the weights, whatever the recipe states."""

from typing import Any

from vmae_zoo.cli.recipe_arguments import as_options, options_of, recipes_of
from vmae_zoo.compose import compose, settings_of

CLASSIFIERS = ("Classifier", "vmae_zoo.methods.Classifier", "vmae_zoo.methods.classifier.Classifier")


def with_encoder_of_weights(arguments: list[str]) -> list[str]:
    """The arguments, with options for the shape of the encoder that ``model.init_from`` names.

    Nothing changes for other methods and divided attention, when a run is resumed, and for settings that the command
    line has already.
    """
    options = {name.replace("init_args.", ""): value for name, value in options_of(arguments)}
    if arguments[:1] != ["fit"] or "ckpt_path" in options:
        return arguments
    model: dict[str, Any] = {}
    name = ""
    for recipe in recipes_of(arguments):
        group = compose(recipe).get("model") or {}
        name, model = group.get("class_path", name), {**model, **settings_of(group)}
    weights = options.get("model.init_from", model.get("init_from"))
    name = options.get("model.class_path", options.get("model", name))
    divided = options.get("model.attention", model.get("attention", "joint")) != "joint"  # TimeSformer's own design
    if divided or name not in CLASSIFIERS or weights in (None, "", "null"):
        return arguments
    from vmae_zoo.zoo.init_from import encoder_arguments

    shape = encoder_arguments(weights)
    shape = {key: value for key, value in shape.items() if f"model.{key}" not in options and model.get(key) != value}
    if not shape:
        return arguments
    from lightning.pytorch.utilities import rank_zero_only

    settings = ", ".join(f"{key} {value}" for key, value in shape.items())
    rank_zero_only(print)(f"model:  as in {weights}: {settings}", flush=True)
    return [*arguments, *as_options("model", shape)]
