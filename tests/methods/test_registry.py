"""A method's class is found by name or import path, and the list of methods costs no torch."""

import subprocess
import sys
import uuid

import pytest

import vmae_zoo
from vmae_zoo.methods import MAE, Classifier, Method, VideoMAE
from vmae_zoo.methods.registry import CLASS_NAMES, METHODS, find_imported, import_path, resolve_method


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_found_by_class_and_by_both_names(name):
    found = resolve_method(name)
    assert issubclass(found, Method)
    assert found is resolve_method(found) is resolve_method(found.__name__)
    assert found is getattr(vmae_zoo, found.__name__)
    assert CLASS_NAMES[import_path(found)] == name


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write a module into the current folder, under a name that no other test uses."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    def write(text):
        name = f"guest_{uuid.uuid4().hex[:8]}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(text)
        return name

    return write


def test_an_import_path_is_looked_for_in_the_current_folder(package):
    name = package("from vmae_zoo.methods import VideoMAE\n\n\nclass MyMAE(VideoMAE):\n    pass\n")
    assert find_imported(f"{name}.MyMAE") is None
    found = resolve_method(f"{name}.MyMAE")
    assert issubclass(found, VideoMAE)
    assert find_imported(import_path(found)) is found
    assert resolve_method("vmae_zoo.methods.mae.MAE") is MAE


@pytest.mark.parametrize(
    ("text", "attribute", "reasons"),
    [
        ("import no_such_dependency\n", "MyMAE", ["no_such_dependency"]),
        ("raise RuntimeError('half done')\n", "MyMAE", ["RuntimeError", "half done"]),
        ("def broken(:\n", "MyMAE", ["SyntaxError"]),
        ("", "MyMAE", ["MyMAE", "__init__.py"]),
        ("MyMAE = 3\n", "MyMAE", ["int", "Method"]),
        ("class MyMAE:\n    pass\n", "MyMAE", ["Method"]),
    ],
)
def test_a_class_that_cannot_be_had_says_why(package, text, attribute, reasons):
    name = package(text)
    with pytest.raises(ValueError, match=name) as refused:
        resolve_method(f"{name}.{attribute}")
    assert all(reason in str(refused.value) for reason in reasons)


def test_unknown_names_are_answered_with_the_nearest():
    with pytest.raises(ValueError, match="videomae"):
        resolve_method("vidoemae")
    with pytest.raises(ValueError, match="no_such_module"):
        resolve_method("no_such_module.MyMAE")
    with pytest.raises(ValueError, match="Method"):
        resolve_method(dict)


def test_nothing_that_is_no_method_is_found_among_imported_modules():
    assert find_imported("subprocess.Popen") is None
    assert find_imported("vmae_zoo.methods.classifier.Classifier") is Classifier
    assert find_imported("Classifier") is None


def test_the_list_of_methods_imports_neither_torch_nor_lightning():
    code = "import sys, vmae_zoo.methods.registry; print(sorted({'torch', 'lightning', 'numpy'} & sys.modules.keys()))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
