"""The page in Gradio."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from vmae_zoo.app.pictures import (
    METHOD_NAMES,
    as_html,
    draw_features,
    draw_masks,
    draw_reconstruction,
    load,
    takes_ratio,
    trained_ratio,
)
from vmae_zoo.app.videos import EMBEDDED, Limits, check_upload, sentence, write_embedded

TITLE = "What a video encoder sees"
INTRODUCTION = """Choose a video and a method. **Mask**: what the encoder sees of the clip. **Reconstruction**: what the
checkpoint makes of the rest. **Features**: its tokens, tokens of one color being alike, and where it attends."""
STYLE = "footer {display: none !important} .picture img {image-rendering: auto}"
LARGEST_SEED = 2**31 - 1


def build(checkpoints: Mapping[str, str], folder: Path, limits: Limits) -> Any:
    """The page as `gradio.Blocks`; of a checkpoint (label -> name or path), visitors see the label."""
    import gradio as gr

    embedded = write_embedded(folder)
    first, *_ = map(load, checkpoints.values())  # a wrong one ends the program at its start

    def show(
        upload: str | None, sample: str, method: str, ratio: float, seed: float | None, checkpoint: str
    ) -> Iterator[tuple[str, str, str]]:
        """The three pictures, each as soon as it is ready."""
        file, source = Path(upload) if upload else embedded[sample], checkpoints[checkpoint]
        number = min(max(int(seed or 0), 0), LARGEST_SEED)
        shown = ["", "", ""]
        try:
            if upload:
                check_upload(file, limits)
            drawings = (
                lambda: draw_masks(file, method, ratio, number, source),
                lambda: draw_reconstruction(file, method, ratio, number, source),
                lambda: draw_features(file, source),
            )
            for place, drawing in enumerate(drawings):
                try:
                    shown[place] = as_html(drawing())
                except ValueError as error:
                    shown[place] = message(sentence(error, file))
                yield shown[0], shown[1], shown[2]
        except (ValueError, OSError) as error:
            yield message(sentence(error, file)), "", ""

    def show_ratio(method: str) -> Any:
        """The ratio is there for methods that have one."""
        return gr.update(visible=takes_ratio(method))

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(60, 900)) as page:
        gr.Markdown(f"# {TITLE}\n\n{INTRODUCTION}")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.File(label="Your video", type="filepath", height=160, elem_id="upload")
                gr.Markdown(f"At most {limits.megabytes} MB and {limits.minutes:g} minutes; deleted after 15 minutes.")
                sample = gr.Dropdown(list(EMBEDDED), value=next(iter(EMBEDDED)), label="or an embedded video")
                method = gr.Dropdown(list(METHOD_NAMES), value="VideoMAE", label="Method", elem_id="method")
                ratio = gr.Slider(0.5, 0.95, value=trained_ratio(first), step=0.05, label="Mask ratio", elem_id="ratio")
                seed = gr.Number(0, label="Seed of the mask", precision=0, minimum=0, maximum=LARGEST_SEED)
                checkpoint = gr.Dropdown(list(checkpoints), value=next(iter(checkpoints)), label="Checkpoint")
                button = gr.Button("Show", variant="primary")
            with gr.Column(scale=3, min_width=320):
                outputs = []
                for name in ("Mask", "Reconstruction", "Features"):
                    gr.Markdown(f"## {name}")
                    outputs.append(gr.HTML(elem_id=name.lower(), elem_classes="picture"))
        inputs = [upload, sample, method, ratio, seed, checkpoint]
        triggers = [upload.change, sample.change, method.change, ratio.change, seed.submit, checkpoint.change]
        gr.on(
            [*triggers, button.click, page.load],
            show,
            inputs,
            outputs,
            concurrency_limit=1,
            trigger_mode="always_last",
            api_visibility="private",
        )
        method.change(show_ratio, method, ratio, api_visibility="private")
    return page


def message(text: str) -> str:
    """A sentence instead of a picture."""
    return f'<p role="alert">{escape(text)}</p>'


def serve(checkpoints: Mapping[str, str], limits: Limits | None = None, **launch: Any) -> None:
    """Show the page until it is stopped; uploads are deleted after a quarter of an hour, and at the end.

    ``launch`` are arguments of `gradio.Blocks.launch`, such as ``server_name`` and ``server_port``.
    """
    limits = limits or Limits()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as Ctrl-C, so that the temporary folder is removed
    with tempfile.TemporaryDirectory(prefix="vmae_zoo_app_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder) / "uploads")
        import gradio as gr  # reads the variable

        embedded = Path(folder) / "embedded"
        embedded.mkdir()
        page = build(checkpoints, embedded, limits)
        page.queue(max_size=64).launch(
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),  # no fonts of the web
            css=STYLE,
            footer_links=[],
            max_file_size=2**20 * limits.megabytes,
            ssr_mode=False,
            **launch,
        )
