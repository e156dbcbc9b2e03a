"""The table and misspelt names need no torch, an encoder no Lightning: seen by the modules of a fresh process."""

import subprocess
import sys
from pathlib import Path

import pytest

OLD = Path(__file__).with_name("old")
NOT_FOR_ENCODERS = {"cv2", "lightning", "lightning_fabric", "timm", "torchmetrics", "torchvision", "transformers"}
NOT_FOR_NAMES = {*NOT_FOR_ENCODERS, "huggingface_hub", "numpy", "torch"}


def run(code, forbidden):
    """Exit code, standard error, and which of the forbidden modules a program imported."""
    report = f"print(*({forbidden!r} & {{name.partition('.')[0] for name in sys.modules}}))"
    program = f"import sys\ncode = 0\n{code}\n{report}\nsys.exit(code)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return process.returncode, process.stderr, process.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    "code", ["import vmae_zoo; assert vmae_zoo.list_pretrained('videomae*')", "import vmae_zoo.cli.main"]
)
def test_the_table_needs_no_tensors(code):
    assert run(code, NOT_FOR_NAMES) == (0, "", [])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["list", "videomae_*", "--size", "base"], 0),
        (["pull", "videomae_base.k400-160"], 1),
        (["pull", "missing/weights.pth"], 1),
        (["push", "videomae_base.k400-160", "org/model"], 1),
        (["convert", "missing.pth", "target.pth", "--to", "mae"], 1),
        (["export", "--checkpoint", "missing.pth", "--out", "model.onnx"], 1),
        (["convert", "missing.pth", "target.pth", "--to", "no_layout"], 2),
        (["list", "--no-such-option"], 2),
    ],
)
def test_a_mistyped_name_is_answered_without_them(arguments, code):
    found = run(f"from vmae_zoo.cli.main import main; code = main({arguments!r})", NOT_FOR_NAMES)
    assert found[0] == code
    assert found[2] == []
    assert bool(found[1]) == bool(code)


@pytest.mark.slow
def test_encoders_of_every_layout_need_no_training_library():
    code = f"""
import vmae_zoo
old, small = {str(OLD)!r}, dict(num_heads=2, image_size=32)
vmae_zoo.load_pretrained("videomae_tiny.demo-16")
for name, hints in {{
    "lightning.ckpt": {{}}, "folder": {{}}, "classifier": {{}}, "transformers": {{}}, "mae.pth": small,
    "mae_st.pth": small, "videomae.pth": dict(small, frames=4), "videomae_finetuned.pth": dict(small, frames=4),
}}.items():
    encoder = vmae_zoo.load_pretrained(f"{{old}}/{{name}}", **hints)
    assert encoder.loaded.used
"""
    returned, error, modules = run(code, NOT_FOR_ENCODERS)
    assert (returned, modules) == (0, []), error
