"""Files made to do harm are refused, each in one sentence; nothing in them runs and nothing is written."""

import json
import os
import pickle
import struct
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from vmae_zoo import load_pretrained
from vmae_zoo.methods import VideoMAE
from vmae_zoo.zoo.package import save_weights
from vmae_zoo.zoo.safe_load import read_weights

SMALL = {"frames": 4, "image_size": 32, "width": 32, "depth": 1, "num_heads": 2, "mask_ratio": 0.5, "decoder_width": 16}
SMALL |= {"decoder_depth": 1, "decoder_num_heads": 2}
TINY = {"num_heads": 2, "decoder_num_heads": 2, "image_size": 32, "frames": 16}


class Runs:
    """A pickle that makes a file when it is read by a reader that trusts it."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def weights(request):
    found = load_file(request.config.rootpath / "tests" / "golden" / "videomae_v1_pretrain.safetensors")
    return {name[2:]: value for name, value in found.items() if name.startswith("w.")}


def pickle_with_code(folder, weights):
    torch.save({"model": weights, "args": Runs(folder / "ran")}, folder / "x.pth")
    return folder / "x.pth", "mkdir"


def old_pickle_with_code(folder, weights):
    (folder / "x.bin").write_bytes(pickle.dumps({"model": Runs(folder / "ran")}, protocol=2))
    return folder / "x.bin", "mkdir|torch.save"


def whole_module(folder, weights):
    torch.save(torch.nn.Linear(2, 2), folder / "x.pt")
    return folder / "x.pt", "Linear"


def zip_bomb(folder, weights):
    with zipfile.ZipFile(folder / "x.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"\0" * 50_000_000)
    return folder / "x.pth", "unpacks"


def zip_that_leaves(folder, weights):
    torch.save({"model": weights}, folder / "x.pth")
    with zipfile.ZipFile(folder / "x.pth", "a") as archive:
        archive.writestr("../../escaped.txt", b"out")
    return folder / "x.pth", r"\.\./\.\./escaped"


def truncated(folder, weights):
    save_file(weights, folder / "whole.safetensors")
    data = (folder / "whole.safetensors").read_bytes()
    (folder / "x.safetensors").write_bytes(data[: len(data) // 2])
    return folder / "x.safetensors", "is damaged"


def truncated_pickle(folder, weights):
    torch.save(weights, folder / "whole.pth")
    data = (folder / "whole.pth").read_bytes()
    (folder / "x.pth").write_bytes(data[: len(data) // 2])
    return folder / "x.pth", "is damaged"


def header_of_two_gigabytes(folder, weights):
    (folder / "x.safetensors").write_bytes(struct.pack("<Q", 2**31) + b"{}")
    return folder / "x.safetensors", "its header claims 2,147,483,648 bytes"


def link_out(folder, weights):
    (folder / "elsewhere").mkdir()
    save_file(weights, folder / "elsewhere" / "secret.safetensors")
    (folder / "x.safetensors").symlink_to(folder / "elsewhere" / "secret.safetensors")
    return folder / "x.safetensors", "is a link out of its folder"


def folder_with_a_link_out(folder, weights):
    (folder / "elsewhere").mkdir()
    (folder / "model").mkdir()
    save_file(weights, folder / "elsewhere" / "secret.safetensors")
    (folder / "model" / "model.safetensors").symlink_to("../elsewhere/secret.safetensors")
    return folder / "model", "is a link out of its folder"


def wrong_dtype(folder, weights):
    save_file({**weights, "mask_token": weights["mask_token"].long()}, folder / "x.safetensors")
    return folder / "x.safetensors", "mask_token is torch.int64, weights are floating point"


def not_a_number(folder, weights):
    save_file({**weights, "mask_token": weights["mask_token"] * torch.nan}, folder / "x.safetensors")
    return folder / "x.safetensors", "mask_token holds NaN or infinite values"


def extra_keys(folder, weights):
    save_file({**weights, "encoder.backdoor.weight": torch.ones(3)}, folder / "x.safetensors")
    return folder / "x.safetensors", r"also holds encoder\.backdoor\.weight"


def shape_lies(folder, weights):
    torch.save({"model": {**weights, "mask_token": torch.ones(1).expand(10**12)}}, folder / "x.pth")
    return folder / "x.pth", r"\(1000000000000,\)"


def wrong_shape(folder, weights):
    save_file({**weights, "decoder.norm.bias": torch.ones(99)}, folder / "x.safetensors")
    return folder / "x.safetensors", r"decoder\.norm\.bias is \(99,\), and this VideoMAE needs \(16,\)"


def another_architecture(folder, weights):
    save_file({"conv1.weight": torch.ones(64, 3, 7, 7), "fc.weight": torch.ones(10, 64)}, folder / "x.safetensors")
    return folder / "x.safetensors", r"conv1\.weight"


def empty(folder, weights):
    (folder / "x.safetensors").write_bytes(b"")
    return folder / "x.safetensors", "is empty"


def no_tensors(folder, weights):
    torch.save({"model": {}}, folder / "x.pth")
    return folder / "x.pth", "holds no weights by name"


def settings_that_would_fill_the_memory(folder, weights):
    model = VideoMAE(size="tiny", depth=1, frames=2, image_size=32, mask_ratio=0.75)
    record = model.export_config()
    large = [("hparams", *item) for item in (("depth", 10**6), ("frames", 10**5), ("width", 10**9))]
    large += [("hparams", "image_size", 2**16), ("encoder", "depth", 10**6), ("encoder", "width", 10**9)]
    large += [("encoder", "clip", (10**5, 2**16, 2**16)), ("encoder", "num_heads", 0), ("encoder", "backdoor", 1)]
    large += [
        ("hparams", "trained_image_size", 60_000),
        ("encoder", "trained", (60_000, 60_000)),
        ("encoder", "trained", 7),
    ]
    large += [
        ("hparams", "mlp_ratio", 10**4),
        ("encoder", "mlp_ratio", "4"),
        ("encoder", "clip", 4),
        ("encoder", "trained", 7),
    ]
    for part, name, value in large:
        changed = {**record, part: {**record[part], name: value}}
        save_weights(model.state_dict(), changed, folder / "y.safetensors")
        with pytest.raises(ValueError, match=r"y\.safetensors"):
            load_pretrained(folder / "y.safetensors")
    save_weights(model.state_dict(), {**record, "method": "os.system"}, folder / "x.safetensors")
    return folder / "x.safetensors", "os.system"


def another_kind_of_file(folder, weights):
    (folder / "x.exe").write_bytes(b"MZ")
    return folder / "x.exe", ".safetensors"


def settings_too_deep_to_read(folder, weights):
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text("[" * 100_000)
    return folder, "JSON"


def keys_that_hash_for_ever(folder, weights):
    key = ()
    for _ in range(60):
        key = (key, key)
    nested = pickle.dumps(key, protocol=2)[2:-1]  # without protocol and stop
    torch.save({"model": weights}, folder / "plain.pth")
    with zipfile.ZipFile(folder / "plain.pth") as old, zipfile.ZipFile(folder / "x.pth", "w") as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith("data.pkl"):
                data = b"\x80\x02}" + nested + b"K\x01s."  # {key: 1}
            new.writestr(member.filename, data)
    return folder / "x.pth", "nests tuples"


def settings_of_a_huge_model(folder, weights):
    """A few hundred bytes that describe gigabytes."""
    record = VideoMAE(**SMALL).export_config()
    record["hparams"] |= {"width": 65536, "depth": 1, "num_heads": 1}
    record["encoder"] |= {"width": 65536, "depth": 1, "num_heads": 1}
    save_weights({"encoder.a": torch.zeros(1), "decoder.a": torch.zeros(1)}, record, folder / "x.safetensors")
    return folder / "x.safetensors", "describes a model that its weights cannot belong to"


def shapes_of_a_huge_model(folder, weights):
    record = VideoMAE(**SMALL).export_config()
    for settings in (record["hparams"], record["encoder"]):
        settings |= {"width": 20000, "depth": 20, "num_heads": 1}
    tensors = {f"encoder.{k}": torch.zeros(1) for k in range(20)} | {"encoder.norm.weight": torch.zeros(20000)}
    save_weights({**tensors, "decoder.a": torch.zeros(1)}, record, folder / "x.safetensors")
    return folder / "x.safetensors", "lacks "


def nonsense_preprocessing(name, value):
    def make(folder, weights):
        model = VideoMAE(**SMALL)
        record = model.export_config()
        record["preprocessing"][name] = value
        save_weights(dict(model.state_dict()), record, folder / "x.safetensors")
        return folder / "x.safetensors", f"states a preprocessing that no encoder can have.*{name}"

    make.__name__ = f"nonsense_{name}"
    return make


HOSTILE = [
    *(pickle_with_code, old_pickle_with_code, whole_module, zip_bomb, zip_that_leaves, truncated, truncated_pickle),
    *(header_of_two_gigabytes, link_out, folder_with_a_link_out, wrong_dtype, not_a_number, extra_keys, shape_lies),
    *(wrong_shape, another_architecture, empty, no_tensors, settings_that_would_fill_the_memory, another_kind_of_file),
    settings_too_deep_to_read,
    keys_that_hash_for_ever,
    settings_of_a_huge_model,
    shapes_of_a_huge_model,
    nonsense_preprocessing("std", [0.0, 0.0, 0.0]),
    nonsense_preprocessing("mean", ["a", 0.5, float("nan")]),
    nonsense_preprocessing("frames", 10**9),
    nonsense_preprocessing("sampling", "all"),
]


@pytest.mark.parametrize("make", HOSTILE, ids=lambda make: make.__name__)
def test_a_hostile_file_is_refused_in_one_sentence(tmp_path, weights, make):
    folder = tmp_path / "given"
    folder.mkdir()
    path, said = make(folder, weights)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=said) as refused:
        load_pretrained(path, task="pretrain", **TINY)
    assert len(str(refused.value).splitlines()) == 1
    assert str(refused.value).startswith(str(path)) or str(folder) in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before
    assert not (folder / "ran").exists()


def test_names_that_leave_the_repository_are_not_fetched(hub, tmp_path):
    hub.add("org/model", {"../../../escaped.safetensors": b"out", "config.json": b"{}"})
    with pytest.raises(ValueError, match=r"org/model.*escaped"):
        load_pretrained("hf://org/model", endpoint=hub.endpoint)
    with pytest.raises(ValueError, match="is not an address"):
        load_pretrained("hf://org/model/../../../escaped.safetensors", endpoint=hub.endpoint)
    assert not list(tmp_path.parent.rglob("escaped*"))


def test_links_within_a_folder_are_fine(tmp_path, weights):
    save_file(weights, tmp_path / "epoch-10.safetensors")
    (tmp_path / "last.safetensors").symlink_to("epoch-10.safetensors")
    load_pretrained(tmp_path / "last.safetensors", **TINY)


def test_a_namespace_beside_the_weights_is_built_and_ignored(tmp_path, weights):
    import argparse

    torch.save({"model": weights, "args": argparse.Namespace(lr=1, nested=argparse.Namespace())}, tmp_path / "x.pth")
    assert read_weights(tmp_path / "x.pth").tensors.keys() == weights.keys()


def test_a_config_that_is_no_object_is_refused(tmp_path, weights):
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps([1, 2]))
    with pytest.raises(ValueError, match="holds a list, not settings by name"):
        load_pretrained(tmp_path, **TINY)
