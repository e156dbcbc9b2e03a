"""The page as a Hugging Face Space: three files that run there as they are."""

from collections.abc import Mapping
from pathlib import Path

import vmae_zoo

APP = '''"""What a video encoder sees: masks, reconstructions and features of a video."""

from vmae_zoo.app.page import serve

serve({checkpoints}, server_name="0.0.0.0", server_port=7860)
'''

README = """---
title: What a video encoder sees
emoji: 🎞️
colorFrom: blue
colorTo: yellow
sdk: gradio
sdk_version: {gradio}
python_version: "3.11"
app_file: app.py
license: apache-2.0
---

Masks, reconstructions and features of videos, by vmae_zoo {version}.
"""


def export_space(folder: Path, checkpoints: Mapping[str, str], gradio_version: str) -> list[Path]:
    """Write ``app.py``, ``requirements.txt`` and ``README.md`` for checkpoints: label -> name or hf:// address.

    Raises:
        ValueError: a checkpoint is a local file, which the Space would not have.
    """
    local = [source for source in checkpoints.values() if Path(source).exists()]
    if local:
        raise ValueError(f"--checkpoint {local[0]} is a file of this machine: push it, and give its hf:// address")
    texts = {
        "app.py": APP.format(checkpoints=dict(checkpoints)),
        "requirements.txt": f"vmae-zoo[app]=={vmae_zoo.__version__}\n",
        "README.md": README.format(gradio=gradio_version, version=vmae_zoo.__version__),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]
