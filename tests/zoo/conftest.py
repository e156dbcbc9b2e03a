"""Every test of the zoo has caches of its own and no way to a hub but the loopback one."""

import importlib.util
import sys
from pathlib import Path

import pytest


def _loopback():
    """The hub's module: tests are no package."""
    name = "vmae_zoo_tests_loopback_hub"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("loopback_hub.py"))
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Caches that belong to this test; nobody is logged in."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "zoo_cache"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def hub():
    with _loopback().loopback_hub() as found:
        yield found


@pytest.fixture
def token(monkeypatch):
    """Log in to the loopback hub."""
    monkeypatch.setenv("HF_TOKEN", _loopback().TOKEN)
    return _loopback().TOKEN
