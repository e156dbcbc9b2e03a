"""``load_pretrained``: from a name, a path or an address to a model that is ready to use."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vmae_zoo.zoo.build import build
from vmae_zoo.zoo.convert import layout_of
from vmae_zoo.zoo.convert.described import METHODS, Described, Told
from vmae_zoo.zoo.files import Contents, read_json, read_weights

WRAPPERS = ("module.", "_orig_mod.", "backbone.", "model.")


def load_pretrained(
    name_or_path: str | Path,
    *,
    task: str = "encoder",
    method: str | None = None,
    num_heads: int | None = None,
    decoder_num_heads: int | None = None,
    image_size: int | None = None,
    frames: int | None = None,
    endpoint: str | None = None,
    revision: str | None = None,
    allow_missing: Sequence[str] = (),
    allow_unexpected: Sequence[str] = (),
) -> nn.Module:
    """Load weights into the model they belong to.

    Args:
        name_or_path: a file of weights or a folder.
        task: "encoder"; "pretrain" for the whole method, encoder and decoder; "classify" for a classifier.
        method: whose weights they are, where a file fits several: videomae, videomae_v2 or mgmae.
        num_heads: attention heads of the encoder, where its width is not a published one.
        decoder_num_heads: of the decoder, likewise.
        image_size: rows and columns of a clip in pixels, where the file does not say; 224 without it.
        frames: frames of a clip, likewise; 16 without it.
        endpoint: address of the Hub; None: the usual one.
        revision: branch, tag or commit on the Hub.
        allow_missing: patterns of names that the file may lack, for example ["decoder.*"]; they keep a random start.
        allow_unexpected: patterns of names that the file may have beyond the model.

    Returns:
        The model in eval mode, gradients on; ``.loaded`` tells what became of each tensor of the file.

    Raises:
        ValueError: in one sentence, why this file does not make this model.
    """
    if method is not None and method not in METHODS:
        raise ValueError(f"method = {method!r} is not known: choose one of {', '.join(METHODS)}")
    path = Path(name_or_path).expanduser()
    file = weights_file(path)
    told = Told(
        str(path),
        task,
        method,
        num_heads,
        decoder_num_heads,
        image_size,
        frames,
        read_json(file.parent / "config.json"),
    )
    contents = read_weights(file)
    described, layout = describe(contents, told)
    return build(
        described,
        task=task,
        source=str(path),
        layout=layout,
        allow_missing=allow_missing,
        allow_unexpected=allow_unexpected,
    )


def weights_file(path: Path) -> Path:
    """The file of weights that a path means: itself, or the one in the folder."""
    if not path.is_dir():
        return path
    for name in ("model.safetensors", "checkpoints/last.ckpt", "pytorch_model.bin"):
        if (path / name).exists() or (path / name).is_symlink():
            return path / name
    raise ValueError(f"{path} holds no model.safetensors, pytorch_model.bin or checkpoints/last.ckpt: name the file")


def describe(contents: Contents, told: Told) -> tuple[Described, str]:
    """What a file is, and the name of its layout."""
    record = contents.record or (told.config if "vmae_zoo" in told.config else {})
    if "method" in record:
        return own(record, contents.tensors, told), "vmae_zoo"
    tensors = unwrapped(contents.tensors, told.where)
    layout = layout_of(tensors, told.where)
    try:
        return layout.read(tensors, told), layout.NAME
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{told.where} looks like the {layout.NAME} layout but is damaged or incomplete: {error!r}"
        ) from None


def own(record: dict[str, Any], tensors: dict[str, Tensor], told: Told) -> Described:
    """A file that this package wrote: it says itself what it is."""
    method, hparams, preprocessing = (record.get(name) for name in ("method", "hparams", "preprocessing"))
    if method not in (*METHODS.values(), "Encoder") or not isinstance(hparams, dict):
        raise ValueError(
            f"{told.where} says it is a {method!r} of vmae_zoo, which this version does not know: upgrade vmae_zoo"
        )
    return Described(str(method), hparams, tensors, preprocessing if isinstance(preprocessing, dict) else {})


def unwrapped(tensors: dict[str, Tensor], where: str) -> dict[str, Tensor]:
    """The names without what DistributedDataParallel, torch.compile and wrapper classes put before them."""
    names = {name: name.replace("_orig_mod.", "") for name in tensors}
    while wrapper := next((w for w in WRAPPERS if all(name.startswith(w) for name in names.values())), None):
        names = {name: short.removeprefix(wrapper) for name, short in names.items()}
    if len(set(names.values())) < len(names):
        raise ValueError(f"{where} holds some weights twice, once with a prefix and once without: keep one set")
    return {names[name]: value for name, value in tensors.items()}
