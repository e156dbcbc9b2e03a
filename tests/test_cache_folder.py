from vmae_zoo.cache_folder import cache_folder


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("VMAE_ZOO_CACHE", raising=False)
    assert cache_folder() == tmp_path / "xdg/vmae_zoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/vmae_zoo"
    monkeypatch.setenv("VMAE_ZOO_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
