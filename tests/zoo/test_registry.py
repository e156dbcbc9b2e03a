"""The table of checkpoints holds what it says."""

import json
import re
from functools import cache

import pytest
import torch
import yaml
from safetensors.torch import save_file

import vmae_zoo
from vmae_zoo.cli.main import main
from vmae_zoo.methods import VideoMAE
from vmae_zoo.methods.registry import CLASS_NAMES, METHODS
from vmae_zoo.resources import resource
from vmae_zoo.zoo import registry
from vmae_zoo.zoo.build import build_method
from vmae_zoo.zoo.convert import LAYOUTS
from vmae_zoo.zoo.convert.spec import ModelSpec
from vmae_zoo.zoo.package import save_weights

ENTRIES = registry.entries()
MCG_NJU = [
    *("base", "base-short", "large", "base-ssv2", "base-short-ssv2"),
    *("base-finetuned-kinetics", "base-short-finetuned-kinetics", "large-finetuned-kinetics"),
    *("huge-finetuned-kinetics", "small-finetuned-kinetics"),
    *("base-finetuned-ssv2", "base-short-finetuned-ssv2", "small-finetuned-ssv2"),
]


@cache
def parameters(model, architecture, encoder):
    """Counted on the meta device, which holds no numbers; once for entries with the same architecture."""
    with torch.device("meta"):
        width = torch.empty(json.loads(architecture).get("width") or 1)
        stand_ins = dict.fromkeys(map(str, range(999)), width)
        method = build_method(ModelSpec(model, json.loads(architecture), stand_ins), model)
    part = method.encoder if encoder else method
    return sum(parameter.numel() for parameter in part.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_builds_and_has_the_parameters_it_says(name):
    entry = ENTRIES[name]
    count = parameters(entry.model, json.dumps(entry.architecture, sort_keys=True), entry.task == "encoder")
    assert count == entry.parameters
    published = str(entry.published_parameters)
    if match := re.fullmatch(r"(\d+)(?:\.(\d+))?([MB])", published):
        unit = {"M": 1e6, "B": 1e9}[match[3]]
        assert round(count / unit, len(match[2] or "")) == float(published[:-1])
    elif published != registry.UNKNOWN:
        assert count == int(published)
    head = entry.architecture.get("num_classes")
    assert (entry.task == "classify") == (head is not None)
    assert entry.preprocessing["stride_frames"] >= 1


def test_the_names_of_the_methods_lead_to_all_their_public_weights():
    assert len(vmae_zoo.list_pretrained("videomae_*")) == 20 + len(vmae_zoo.list_pretrained("videomae_v2_*"))
    assert len(vmae_zoo.list_pretrained("mgmae_*")) == 8
    assert "videomae_base.k400-1600" in vmae_zoo.list_pretrained("*.k400-*")
    assert vmae_zoo.list_pretrained("no such*") == []
    hubs = {entry.source["hub"] for entry in ENTRIES.values() if "hub" in entry.source}
    assert {name for name in hubs if name.startswith("MCG-NJU/")} == {f"MCG-NJU/videomae-{rest}" for rest in MCG_NJU}


def test_nothing_is_called_verified_that_was_not():
    assert not any(entry.verified for entry in ENTRIES.values() if "bundled" not in entry.source)


SOURCES = {"hub": {"hub", "file"}, "page": {"page", "file", "id"}, "bundled": {"bundled"}}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_fits_the_schema(name):
    entry = ENTRIES[name]
    assert registry.NAME.fullmatch(name)
    assert entry.method in (*METHODS, "timesformer")
    assert entry.model in CLASS_NAMES
    assert entry.task in ("pretrain", "classify", "encoder")
    assert entry.layout in (*LAYOUTS, "vmae_zoo")
    assert re.fullmatch(r"[0-9a-f]{40}|unknown", entry.revision)
    assert re.fullmatch(r"[0-9a-f]{64}|unknown", entry.sha256)
    assert isinstance(entry.verified, bool)
    assert type(entry.parameters) is int
    assert entry.parameters > 0
    assert isinstance(entry.architecture, dict)
    assert isinstance(entry.preprocessing, dict)
    for text in (entry.licence, entry.provenance):
        assert isinstance(text, str)
        assert text
    for source in (entry.source, *entry.also):
        assert any(kind in source and set(source) <= SOURCES[kind] for kind in SOURCES)
        assert all(isinstance(value, str) for value in source.values())
    for metric in entry.metrics:
        assert {"data", "protocol", "source"} <= set(metric)
    assert not entry.retired or entry.retired in ENTRIES


def test_a_wrong_name_is_answered_with_the_closest():
    with pytest.raises(ValueError, match=r"did you mean videomae_base\.k400-1600"):
        vmae_zoo.load_pretrained("videomae_base.k400-160")
    with pytest.raises(ValueError, match="no such file"):
        vmae_zoo.load_pretrained("weights/missing.pth")


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table of our own: a small model in the package, on the hub and by hand."""
    torch.manual_seed(0)
    size = {"size": "tiny", "image_size": 32, "frames": 4, "depth": 1, "mask_ratio": 0.75}
    model = VideoMAE(**size)
    monkeypatch.setattr(registry, "BUNDLED", tmp_path / "bundled")
    (tmp_path / "bundled").mkdir()
    save_weights(model.state_dict(), model.export_config(), tmp_path / "bundled" / "x.safetensors")
    save_file(model.state_dict(), tmp_path / "official.safetensors")
    entry = {
        "method": "videomae",
        "model": "VideoMAE",
        "task": "pretrain",
        "source": {"bundled": "x.safetensors"},
        "revision": "unknown",
        "sha256": "unknown",
        "layout": "vmae_zoo",
        "architecture": size,
        "licence": "Apache-2.0",
        "provenance": "nothing",
        "parameters": sum(p.numel() for p in model.parameters()),
        "verified": False,
        "preprocessing": {"stride_frames": 2},
    }
    (tmp_path / "checkpoints.yaml").write_text(
        yaml.safe_dump(
            {
                "videomae_tiny.demo-1": entry,
                "videomae_tiny.demo-2": {**entry, "source": {"hub": "org/model"}, "layout": "videomae"},
                "videomae_tiny.demo-3": {**entry, "source": {"page": "https://example.org", "file": "y.pth"}},
                "videomae_tiny.demo-4": {**entry, "sha256": "0" * 64},
            }
        )
    )
    monkeypatch.setattr(registry, "resource", lambda name: tmp_path / name)
    return model


def test_a_bundled_model_loads_without_a_network(table):
    assert vmae_zoo.list_pretrained() == [f"videomae_tiny.demo-{number}" for number in (1, 2, 3, 4)]
    method = vmae_zoo.load_pretrained("videomae_tiny.demo-1", task="pretrain")
    assert all(torch.equal(value, method.state_dict()[name]) for name, value in table.state_dict().items())
    assert method.loaded.licence == "Apache-2.0"
    assert vmae_zoo.load_pretrained("videomae_tiny.demo-1").preprocessing.stride_frames == 2
    with pytest.raises(ValueError, match=r"is pre-training weights.*task='pretrain' or task='encoder'"):
        vmae_zoo.load_pretrained("videomae_tiny.demo-1", task="classify")
    with pytest.raises(ValueError, match="its sha256 differs"):
        vmae_zoo.load_pretrained("videomae_tiny.demo-4")


def test_a_name_on_the_hub_stays_at_the_commit_it_was_first_pulled_at(table, tmp_path, hub):
    weights = (tmp_path / "official.safetensors").read_bytes()
    first = hub.add("org/model", {"model.safetensors": weights})
    name = "videomae_tiny.demo-2"
    assert vmae_zoo.load_pretrained(name, endpoint=hub.endpoint).loaded.revision == first
    second = hub.add("org/model", {"model.safetensors": weights, "README.md": b"moved on"})
    assert vmae_zoo.load_pretrained(name, endpoint=hub.endpoint).loaded.revision == first
    assert vmae_zoo.load_pretrained(name, endpoint=hub.endpoint, revision="main").loaded.revision == second
    hub.log.clear()
    hub.stop()
    vmae_zoo.load_pretrained(name, endpoint=hub.endpoint)
    assert hub.log == []


def test_a_file_that_is_downloaded_by_hand_says_where_it_is(table):
    with pytest.raises(ValueError, match=r"get y\.pth from https://example\.org, then run `vmae-zoo pull"):
        vmae_zoo.load_pretrained("videomae_tiny.demo-3")


def test_a_file_that_was_downloaded_by_hand_is_adopted_by_its_name(table, tmp_path, capsys):
    name, given = "videomae_tiny.demo-3", tmp_path / "given.pth"
    torch.save({"model": table.state_dict()}, given)
    assert main(["pull", name, "--from", str(given)]) == 0
    given.unlink()
    cached = tmp_path / "zoo_cache" / "by_hand" / name / "weights.pth"
    assert main(["pull", name, "--from", str(cached)]) == 0
    encoder = vmae_zoo.load_pretrained(name)
    assert torch.equal(encoder.blocks[0].attn.qkv.weight, table.encoder.blocks[0].attn.qkv.weight)
    cached.write_bytes(b"changed")
    with pytest.raises(ValueError, match="has changed since it was pulled"):
        vmae_zoo.load_pretrained(name)
    assert main(["pull", "videomae_tiny.demo-1", "--from", str(tmp_path / "official.safetensors")]) == 1
    assert "videomae_tiny.demo-1" in capsys.readouterr().err


def test_another_model_does_not_pass_for_the_entrys(table, tmp_path):
    larger = VideoMAE(size="tiny", image_size=32, frames=4, depth=2, mask_ratio=0.75)
    torch.save({"model": larger.state_dict()}, tmp_path / "given.pth")
    assert main(["pull", "videomae_tiny.demo-3", "--from", str(tmp_path / "given.pth")]) == 0
    with pytest.raises(ValueError, match=r"parameters, videomae_tiny\.demo-3 has .* it is not that file"):
        vmae_zoo.load_pretrained("videomae_tiny.demo-3")


def test_the_table_of_the_package_is_the_one_that_is_read():
    assert resource("checkpoints.yaml").name == "checkpoints.yaml"
    assert len(ENTRIES) > 50
