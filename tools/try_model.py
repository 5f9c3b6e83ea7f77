"""Opens a page in which a model is tried: drop a picture or paste one, and see class, probability and heat map.

The page is served by this machine, for this machine alone unless --host says otherwise, until Ctrl-C. Pictures stay
here, and go when the command ends. It needs the package Gradio: pip install '.[try]'.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np

from dogcat.core import flags
from dogcat.core.bounds import Bounds
from dogcat.core.interrupts import Terminated
from dogcat.core.options import InputError, Options, option
from dogcat.core.text import printable
from dogcat.library.trained_models import Model, load_model
from dogcat.models.options import model_option, tta_option
from dogcat.reports import thumbnails

_LOCAL = "127.0.0.1"


@dataclasses.dataclass(frozen=True)
class TryOptions(Options):
    """Options of `tools.try_model`."""

    model: str = model_option(positional=True)
    tta: str = tta_option("Views of a picture that are averaged, as in dogcat.predict.")
    host: str = option(_LOCAL, "Address to serve on; 0.0.0.0 lets other machines in.", if_empty=f"use {_LOCAL}")
    port: int = option(7860, "Port to serve on.", bounds=Bounds(at_least=1, at_most=65535, zero="for one that is free"))


def main(options: TryOptions) -> int:
    """Serves the page until it is told to stop; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="dogcat-try-") as uploads:
        # Read when Gradio is imported: where it keeps pictures, and that it tells nobody of its use.
        os.environ.update(GRADIO_TEMP_DIR=uploads, GRADIO_ANALYTICS_ENABLED="False", HF_HUB_OFFLINE="1")
        gradio = _gradio()
        port = _free_port(options)
        model = load_model(options.model)
        # So that whoever comes first does not wait.
        model.explain(np.zeros((model.image_size, model.image_size, 3), np.uint8))
        page = _page(gradio, model, options, Path(uploads))
        # Fonts of the system, since the theme's own come from elsewhere.
        theme = gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
        page.launch(
            server_name=options.host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            theme=theme,
            footer_links=["gradio"],
            # Node would serve the same page, from a process of its own.
            ssr_mode=False,
        )
        try:
            print(printable(f"model: {model.path} ({' or '.join(model.classes)})"))
            print(f"open http://{options.host}:{port} in a browser; Ctrl-C ends it", flush=True)
            threading.Event().wait()
        except (KeyboardInterrupt, Terminated):
            # The end that there is.
            print("\nstopped")
        finally:
            page.close(verbose=False)
    return 0


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise InputError(f"Gradio cannot be imported ({error}); install it: pip install '.[try]'") from error
    return gradio


def _free_port(options: TryOptions) -> int:
    """The port to serve on.

    Raises:
        InputError: It is taken, or the address is none of this machine.
    """
    try:
        with socket.create_server((options.host, options.port)) as server:
            return int(server.getsockname()[1])
    except OSError as error:
        raise InputError(
            f"--host={options.host} --port={options.port}: cannot be served on ({error.strerror or error}); use "
            "another port, or 0 for one that is free"
        ) from error


def _page(gradio: Any, model: Model, options: TryOptions, uploads: Path) -> Any:
    def look(upload: Any) -> tuple[dict[str, float] | None, np.ndarray | None]:
        """Probability by class, and the picture with its heat map."""
        if upload is None:
            return None, None
        path: str = upload["path"] if isinstance(upload, dict) else upload.path
        # What a page asks for may be made up.
        if not Path(path).resolve().is_relative_to(uploads.resolve()):
            raise gradio.Error("this picture was not uploaded here", print_exception=False)
        try:
            shown = model.shown(path)
        except InputError as error:
            # The file's name is one that the page made up.
            raise gradio.Error(str(error).replace(path, Path(path).name), print_exception=False) from error
        predicted = model.predict(shown, tta=options.tta)
        heat = model.explain(shown, predicted.labels[0])
        return dict(zip(model.classes, predicted.probabilities[0].tolist())), thumbnails.with_heat(shown, heat)

    title = f"{' or '.join(model.classes)}?"
    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.Markdown(f"# {title}\nDrop a picture, or paste one. It stays on this machine. Model: `{model.path}`")
        with gradio.Row():
            picture = gradio.Image(sources=["upload", "clipboard"], label="Picture")
            with gradio.Column():
                answer = gradio.Label(label="Probability", num_top_classes=5)
                heat_map = gradio.Image(
                    label="What speaks for it: bright places",
                    interactive=False,
                    format="png",
                    buttons=["download", "fullscreen"],
                )
        # The file as it is: Gradio itself would turn no picture upright, and say "Error" of what is none.
        picture.change(look, picture, [answer, heat_map], show_progress="minimal", preprocess=False)
    return page


if __name__ == "__main__":
    flags.run(main, TryOptions)
