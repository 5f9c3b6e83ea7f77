"""Writes a model for servers and phones: uint8 RGB pictures in, in batches of any size, probabilities out.

Preprocessing, the temperature and the classes are inside, so a server needs no code of this program. `savedmodel`, for
TensorFlow Serving and the like, is written as version 1 of a model, OUTPUT/1. It has two signatures, serving_default
for pixels and jpeg for JPEG or PNG files (upright ones: EXIF orientations are not heeded), both with the outputs
`probabilities` and `class`. `tflite` is one file, with dogcat.json, which names the classes, in the zip archive behind
the model. `keras` is a .keras file that plain Keras 3 opens with TensorFlow, JAX or PyTorch, whichever Keras is
installed here; of two classes it gives the probability of the second. What was written is run on 32 drawn pictures and
compared with the original before it appears.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dogcat.core import files, flags, runtime
from dogcat.core.options import InputError, Options, is_utf8, option, output_folder_option
from dogcat.core.text import printable
from dogcat.models.options import model_option
from dogcat.pictures import resizing

from .samples.drawings import SPECIES, draw_animal

_PICTURES = 32
# Of the logarithm of a probability: both sides compute in float32, in another order.
_TOLERANCE = 1e-2
_LONGEST_REASON = 100


@dataclasses.dataclass(frozen=True)
class ExportOptions(Options):
    """Options of `tools.export_model`."""

    model: str = model_option(positional=True)
    format: str = option("savedmodel", "What to write.", choices=("savedmodel", "tflite", "keras"))
    output: str = output_folder_option("exported", "Folder to write; it must not exist yet.")

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used."""
        super().__post_init__()
        self.require("output", is_utf8(self.output), "TensorFlow writes under names in UTF-8 alone; give such a name")


def main(options: ExportOptions) -> None:
    """Exports and compares."""
    output = Path(options.output)
    if os.path.lexists(output):
        raise InputError(f"--output={output}: is there already; remove it, or name another folder")
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: the folder {output.parent} does not exist; make it first")
    runtime.prepare()
    from dogcat.models import export, model_files

    path = model_files.find_file(options.model, "model")
    description = model_files.describe(path)
    print(printable(f"model: {path} ({' or '.join(description.classes)}, {description.image_size} pixels)"))
    with _naming(output), tempfile.TemporaryDirectory(dir=output.parent, prefix=".exporting-") as temporary:
        folder = Path(temporary) / output.name
        # A server is given the folder of all versions of a model, each in a folder called by its number.
        written = folder / "1" if options.format == "savedmodel" else folder
        written.mkdir(parents=True)
        export.write(path, options.format, written)
        pictures = _draw(description.image_size, description.resize)
        differences = export.largest_differences(path, options.format, written, pictures)
        for what, difference in differences.items():
            if not difference <= _TOLERANCE:
                raise InputError(
                    f"--format={options.format}: a log-probability of {what} differs from the model's by "
                    f"{difference:.4f}, more than {_TOLERANCE}; not written, use another format"
                )
        # A folder that has come to be there meanwhile would be replaced, if it is empty.
        if os.path.lexists(output):
            raise InputError(f"--output={output}: has come to be there meanwhile; name another folder")
        files.rename_folder(folder, output)
    said = ", ".join(f"{difference:.1e} for {what}" for what, difference in differences.items())
    print(f"compared on {_PICTURES} drawn pictures: log-probabilities differ by at most {said}")
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    print(printable(f"wrote {output}: {options.format}, {size / 1e6:.1f} MB"))


@contextlib.contextmanager
def _naming(output: Path) -> Iterator[None]:
    """Tells of a full disk and its like with the output's name, in a line, whoever found it."""
    import tensorflow as tf

    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(output), None
        raise
    except tf.errors.OpError as error:
        reason = str(error.message).split(" [Op:")[0].rsplit("; ", 1)[-1]
        raise InputError(f"{output}: cannot be written: {reason[:_LONGEST_REASON]}") from error


def _draw(size: int, resize: str) -> np.ndarray:
    """Drawn animals, uint8 [pictures, size, size, 3]."""
    rng = random.Random(0)
    drawn = [draw_animal(SPECIES[number % len(SPECIES)], rng).convert("RGBX") for number in range(_PICTURES)]
    return np.stack([resizing.resize(np.asarray(picture), size, resize)[:, :, :3] for picture in drawn])


if __name__ == "__main__":
    flags.run(main, ExportOptions)
