"""Push and pull with the real client over a hub on loopback."""

import json
import time

import pytest
import torch
import yaml
from safetensors.torch import save

import vmae_zoo
from vmae_zoo.methods import MAE, MAEST, MGMAE, ARVideo, Classifier, MoCoV3, VideoMAE, VideoMAEv2
from vmae_zoo.zoo import hub as hub_module
from vmae_zoo.zoo.hub import fetch, parse_address

SIZE = {"size": "tiny", "image_size": 32, "width": 24, "depth": 1, "num_heads": 2}
DECODER = {"decoder_width": 16, "decoder_depth": 1, "decoder_num_heads": 2}
METHODS = {
    "VideoMAE": lambda: VideoMAE(**SIZE, **DECODER, frames=4, mask_ratio=0.75),
    "VideoMAEv2": lambda: VideoMAEv2(**SIZE, **DECODER, frames=4, mask_ratio=0.75),
    "MGMAE": lambda: MGMAE(**SIZE, **DECODER, frames=4, mask_ratio=0.75),
    "ARVideo": lambda: ARVideo(**SIZE, **DECODER, frames=4, cluster=(1, 1, 1), drop=0.0),
    "MAE": lambda: MAE(**SIZE, **DECODER),
    "MAEST": lambda: MAEST(**SIZE, **DECODER, frames=4, pred_t_dim=2, mask_ratio=0.75),
    "MoCoV3": lambda: MoCoV3(**SIZE, frames=4, projection_width=8, projection_dim=4),
    "Classifier": lambda: Classifier(**SIZE, frames=4, classes=["left", "right"]),
}


def videomae(seed=0):
    torch.manual_seed(seed)
    return METHODS["VideoMAE"]()


def equal(first, second):
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_comes_back_equal(hub, token, kind):
    model = METHODS[kind]()
    sha = vmae_zoo.push(model, "org/model", endpoint=hub.endpoint)
    task = "classify" if kind == "Classifier" else "pretrain"
    again = vmae_zoo.load_pretrained("hf://org/model", task=task, endpoint=hub.endpoint)
    assert type(again) is type(model)
    assert equal(model, again)
    assert again.loaded.revision == sha
    assert again.export_config() == model.export_config()
    encoder = vmae_zoo.load_pretrained(f"hf://org/model@{sha}", endpoint=hub.endpoint)
    assert equal(encoder, model.encoder)
    assert encoder.preprocessing == model.encoder.preprocessing


def test_by_branch_tag_and_commit(hub, token):
    first, second, third = videomae(1), videomae(2), videomae(3)
    sha = vmae_zoo.push(first, "org/model", endpoint=hub.endpoint, tag="v1")
    vmae_zoo.push(second, "org/model", endpoint=hub.endpoint)
    vmae_zoo.push(third, "org/model", endpoint=hub.endpoint, branch="trial")

    def pulled(**revision):
        return vmae_zoo.load_pretrained("hf://org/model", task="pretrain", endpoint=hub.endpoint, **revision)

    assert equal(pulled(), second)
    assert equal(pulled(revision="v1"), first)
    assert equal(pulled(revision=sha), first)
    assert equal(pulled(revision="trial"), third)
    with pytest.raises(ValueError, match="has no revision 'v9'"):
        pulled(revision="v9")


RECIPE = """# vmae-zoo fit -c recipes/videomae.yaml --data.root /home/someone/secret/hmdb51 --token hf_SECRET
data:
  root: /home/someone/secret/hmdb51
  layout: hmdb51
  sources:
  - {root: ../secret/clips}
  - {root: 'C:\\Users\\someone\\more\\'}
  - {root: 'https://someone:SECRET@secret.host:8080/shards?key=SECRET'}
ckpt_path: secret/last.ckpt
trainer:
  default_root_dir: secret
  logger: {class_path: lightning.pytorch.loggers.WandbLogger, init_args: {entity: someone}}
api_key: SECRET
"""


def test_what_goes_can_be_read_by_a_person(hub, token, tmp_path, capsys, monkeypatch):
    run = tmp_path / "runs" / "videomae" / "20260101-000000"
    (run / "checkpoints").mkdir(parents=True)
    (run / "pictures").mkdir()
    (run / "pictures" / "step-1.png").write_bytes(b"\x89PNG picture")
    (run / "recipe.yaml").write_text(RECIPE)
    summary = {"steps": 300, "epochs": 2, "metrics": {"loss/val": 0.5}, "slurm_job": "31415926", "host": "secret-node"}
    (run / "summary.json").write_text(json.dumps({**summary, "checkpoint": "/home/someone/secret/last.ckpt"}))
    model = videomae()
    model.hparams.update({"init_from": "../secret/start.pth", "lr": 2e-3, "warmup_steps": 50})
    state = {"state_dict": model.state_dict(), "pytorch-lightning_version": "2.6.6"}
    model.on_save_checkpoint(state)
    torch.save(state, run / "checkpoints" / "last.ckpt")
    metrics = {"knn": {"top1": 33.3, "top1_low": 30.1, "top1_high": 36.7}}

    monkeypatch.chdir(run / "checkpoints")
    assert vmae_zoo.push("last.ckpt", "org/model", dry_run=True, metrics=metrics) is None
    shown = capsys.readouterr().out
    assert "model.safetensors" in shown
    assert "recipe.yaml" in shown
    assert not hub.log

    vmae_zoo.push(
        run / "checkpoints" / "last.ckpt", "org/model", endpoint=hub.endpoint, metrics=metrics, licence="Apache-2.0"
    )
    files = {path: hub.blobs[blob] for path, blob in hub.repos["org/model"].commits[sha_of(hub)].items()}
    assert set(files) == {"model.safetensors", "config.json", "recipe.yaml", "metrics.json", "README.md", "picture.png"}
    card = files["README.md"].decode()
    for said in (
        "license: apache-2.0",
        "library_name: vmae_zoo",
        "| knn top1 | 33.3 | 30.1 to 36.7 |",
        "| loss/val | 0.5 |",
        'load_pretrained("hf://org/model")',
        "No labels were used",
        "`hmdb51`",
        "- steps: 300",
        "- epochs: 2",
        "- lr: 0.002",
        "- warmup_steps: 50",
        "![clips, masks and predictions](picture.png)",
    ):
        assert said in card, said
    assert "base_lr" not in card  # lr and warmup_steps are used instead
    assert "warmup_epochs" not in card
    for private in (b"someone", b"secret", b"SECRET", b"31415926"):
        assert not any(private in content for content in files.values()), private
    assert yaml.safe_load(files["recipe.yaml"])["data"] == {
        "root": "hmdb51",
        "layout": "hmdb51",
        "sources": [{"root": "clips"}, {"root": "more"}, {"root": "shards"}],
    }
    assert json.loads(files["config.json"])["method"] == "VideoMAE"


def test_a_recipe_is_published_with_its_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    vmae_zoo.push(videomae(), "org/model", dry_run=True, recipe="recipes/videomae.yaml")
    assert "Trained on the clips embedded in vmae_zoo (demo): frames 8" in capsys.readouterr().out


def sha_of(hub, repo="org/model"):
    return hub.repos[repo].branches["main"]


def test_an_encoder_alone_goes_and_comes(hub, token):
    vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint)
    encoder = vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint)
    vmae_zoo.push(encoder, "org/encoder", endpoint=hub.endpoint)
    assert equal(vmae_zoo.load_pretrained("hf://org/encoder", endpoint=hub.endpoint), encoder)
    with pytest.raises(ValueError, match="an encoder alone"):
        vmae_zoo.load_pretrained("hf://org/encoder", task="pretrain", endpoint=hub.endpoint)
    with pytest.raises(ValueError, match="a Linear"):
        vmae_zoo.push(torch.nn.Linear(2, 2), "org/linear", endpoint=hub.endpoint)


def test_a_private_repository_needs_a_token(hub, token, monkeypatch, tmp_path):
    vmae_zoo.push(videomae(), "org/secret", endpoint=hub.endpoint, private=True)
    assert hub.repos["org/secret"].private
    vmae_zoo.load_pretrained("hf://org/secret", endpoint=hub.endpoint)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another_cache"))
    for wrong in (None, "hf_wrong_but_secret"):
        monkeypatch.setenv("HF_TOKEN", wrong) if wrong else monkeypatch.delenv("HF_TOKEN")
        with pytest.raises(ValueError, match="does not exist, or is private and no token") as refused:
            vmae_zoo.load_pretrained("hf://org/secret", endpoint=hub.endpoint)
        assert "hf_" not in str(refused.value).replace("HF_TOKEN", "")


def test_tokens_are_never_printed(hub, token, monkeypatch, capsys, caplog):
    vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint)
    vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint)
    with pytest.raises(ValueError, match="does not exist") as refused:
        vmae_zoo.load_pretrained("hf://org/none", endpoint=hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_but_secret")
    with pytest.raises(ValueError, match=r"does not exist|token is not valid") as denied:
        vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint)
    streams = capsys.readouterr()
    said = streams.out + streams.err + caplog.text + str(refused.value) + str(denied.value)
    assert token not in said
    assert "hf_wrong_but_secret" not in said


def test_with_the_server_gone_the_cache_loads_at_once(hub, token):
    sha = vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint, tag="v1")
    for revision in (None, "v1", sha):
        vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint, revision=revision)
    hub.stop()
    for revision in (None, "v1", sha):
        started = time.monotonic()
        assert equal(
            vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint, revision=revision), videomae().encoder
        )
        assert time.monotonic() - started < 5
    started = time.monotonic()
    with pytest.raises(ValueError, match="cannot be reached"):
        vmae_zoo.load_pretrained("hf://org/other", endpoint=hub.endpoint)
    with pytest.raises(ValueError, match="cannot be reached"):
        vmae_zoo.load_pretrained("hf://org/other", endpoint=hub.endpoint, revision="0" * 40)
    with pytest.raises(ValueError, match=r"cannot be reached.*push again") as refused:
        vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint)
    assert "cache" not in str(refused.value)
    assert time.monotonic() - started < 5


def test_a_pinned_commit_in_the_cache_costs_no_request(hub, token):
    sha = vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint)
    vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint)
    hub.log.clear()
    vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint, revision=sha)
    assert hub.log == []


def weights(values=100_000):
    return save({"a": torch.arange(float(values))})


def test_a_cut_download_goes_on_where_it_stopped(hub):
    data = weights()
    hub.add("org/model", {"model.safetensors": data})
    hub.cut_after = 150_000
    assert fetch("org/model", endpoint=hub.endpoint).path.read_bytes() == data
    ranges = [line.rpartition(" ")[2] for line in hub.log if "bytes=" in line]
    assert ranges == ["bytes=0-", "bytes=150000-", "bytes=300000-"]


@pytest.mark.parametrize(
    ("pause", "cut", "message"),
    [
        ((0, 5.0), None, r"sent 0 bytes in .* seconds, 0 in total: what arrived is kept"),
        ((10, 0.05), None, r"sent \d+ bytes in .* seconds, .* what arrived is kept"),
        (
            None,
            1000,
            r"(10 connections in a row broke before 10,000 bytes|bytes in .* seconds).*: what arrived is kept",
        ),
    ],
    ids=["silence", "trickle", "short connections"],
)
def test_a_download_that_brings_next_to_nothing_is_given_up(hub, monkeypatch, pause, cut, message):
    monkeypatch.setattr(hub_module, "STALL_SECONDS", 0.5)
    hub.add("org/model", {"model.safetensors": weights()})
    hub.pause, hub.cut_after = pause, cut
    with pytest.raises(ValueError, match=message):
        fetch("org/model", endpoint=hub.endpoint)


def test_a_file_that_exceeds_the_disk_is_not_begun(hub, tmp_path):
    hub.add("org/model", {"model.safetensors": weights()})
    hub.announced_size = 10**18
    with pytest.raises(ValueError, match=r"1,000,000,000,000,000,000 bytes .* free"):
        fetch("org/model", endpoint=hub.endpoint)
    assert not [path for path in tmp_path.rglob("*.partial") if path.stat().st_size]


def test_a_killed_download_goes_on_in_the_next_process(hub, tmp_path):
    data = weights()
    hub.add("org/model", {"model.safetensors": data})
    digest = next(iter(hub.blobs))
    left = tmp_path / "hub_cache" / "models--org--model" / "blobs" / f"{digest}.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(data[:123_456])
    assert fetch("org/model", endpoint=hub.endpoint).path.read_bytes() == data
    assert [line.rpartition(" ")[2] for line in hub.log if "bytes=" in line] == ["bytes=123456-"]
    assert not left.exists()


def test_a_wrong_rest_of_a_download_is_found_out(hub, tmp_path):
    hub.add("org/model", {"model.safetensors": weights()})
    digest = next(iter(hub.blobs))
    left = tmp_path / "hub_cache" / "models--org--model" / "blobs" / f"{digest}.partial"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"not the beginning of this file")
    with pytest.raises(ValueError, match="sha256"):
        fetch("org/model", endpoint=hub.endpoint)
    fetch("org/model", endpoint=hub.endpoint)


def test_the_digest_seen_first_is_kept(hub):
    commit = hub.add("org/model", {"model.safetensors": weights()})
    found = fetch("org/model", endpoint=hub.endpoint)
    found.path.resolve().write_bytes(weights() + b"tampered")
    with pytest.raises(ValueError, match="has sha256"):
        fetch("org/model", endpoint=hub.endpoint, revision=commit)


def test_a_digest_that_is_known_is_checked(hub):
    hub.add("org/model", {"model.safetensors": weights()})
    with pytest.raises(ValueError, match="the table of checkpoints has 000000"):
        fetch("org/model", endpoint=hub.endpoint, sha256="0" * 64)


def test_repositories_without_one_file_of_weights_say_what_they_have(hub):
    hub.add("org/model", {"a.pth": b"1", "b.pth": b"2"})
    with pytest.raises(ValueError, match=r"has no one file of weights.*it has a\.pth, b\.pth"):
        fetch("org/model", endpoint=hub.endpoint)
    with pytest.raises(ValueError, match=r"has no c\.pth"):
        fetch("org/model", "c.pth", endpoint=hub.endpoint)
    assert fetch("org/model", "a.pth", endpoint=hub.endpoint).path.read_bytes() == b"1"


def test_addresses():
    assert parse_address("hf://org/repo") == ("org/repo", None, None)
    assert parse_address("hf://org/repo@v1") == ("org/repo", None, "v1")
    assert parse_address("hf://org/repo/mae-g/x.pth@main") == ("org/repo", "mae-g/x.pth", "main")
    for wrong in ("hf://org", "hf://org/", "hf://org/repo/../../x.pth", "hf://../repo"):
        with pytest.raises(ValueError, match="is not an address"):
            parse_address(wrong)


def test_a_non_commercial_licence_is_said_and_carried_on(hub, token, caplog):
    vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint, licence="CC-BY-NC-4.0")
    model = vmae_zoo.load_pretrained("hf://org/model", task="pretrain", endpoint=hub.endpoint)
    assert "licence CC-BY-NC-4.0, not for commercial use" in caplog.text
    assert model.loaded.licence == "CC-BY-NC-4.0"
    with pytest.raises(ValueError, match="licence cannot be MIT"):
        vmae_zoo.push(model, "org/derived", endpoint=hub.endpoint, licence="MIT")
    vmae_zoo.push(model, "org/derived", endpoint=hub.endpoint)
    card = hub.blobs[hub.repos["org/derived"].commits[sha_of(hub, "org/derived")]["README.md"]].decode()
    assert "license: cc-by-nc-4.0" in card
    assert "Not for commercial use." in card


def test_a_hub_that_does_not_answer_is_given_up(hub, token, monkeypatch):
    vmae_zoo.push(videomae(), "org/model", endpoint=hub.endpoint)
    vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint)
    monkeypatch.setattr("vmae_zoo.zoo.hub.TIMEOUT", 0.3)
    hub.delay = 4.0
    started = time.monotonic()
    vmae_zoo.load_pretrained("hf://org/model", endpoint=hub.endpoint)
    with pytest.raises(ValueError, match="cannot be reached"):
        vmae_zoo.load_pretrained("hf://org/other", endpoint=hub.endpoint)
    assert time.monotonic() - started < 3
