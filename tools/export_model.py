"""Writes a model for servers and phones: uint8 RGB pictures in, in batches of any size, probabilities out.

Preprocessing, the temperature and the classes are inside, so a server needs no code of this program. The input is
called `pictures`, the output `probabilities`, one for each class in the order of labels.txt, which lies beside the
model, as does model-card.md. `savedmodel`, for TensorFlow Serving and the like, is written as version 1 of a model,
OUTPUT/1. It has two signatures, serving_default for pixels and jpeg for JPEG or PNG files (upright ones: EXIF
orientations are not heeded). `tflite` is one file; --quantize makes it smaller and says what that costs. `keras` is a
.keras file that plain Keras 3 opens with TensorFlow, JAX or PyTorch, whichever Keras is installed here. `onnx` is for
ONNX Runtime and others; it needs pip install 'dogcat[onnx]'. What was written is run on 32 drawn pictures and compared
with the original before it appears.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dogcat.core import files, flags, outputs, runtime
from dogcat.core.bounds import Bounds
from dogcat.core.options import InputError, Options, is_utf8, option, output_folder_option
from dogcat.core.places import place_of
from dogcat.core.text import escaped, printable
from dogcat.models.options import QUANTIZE, model_option
from dogcat.pictures import resizing

from .samples.drawings import SPECIES, draw_animal

if TYPE_CHECKING:
    from dogcat.models.model_files import Description

    from .exporting.judged_pictures import JudgedPictures
    from .exporting.known_run import KnownRun

LABELS, CARD = "labels.txt", "model-card.md"
_PICTURES = 32
# Of the logarithm of a probability. Both sides compute in float32, in another order; weights of 16 bits are off by a
# thousandth, and what 8 bits cost is measured on real pictures.
_TOLERANCE = {"none": 1e-2, "float16": 1e-1, "int8": np.inf}
_LONGEST_REASON = 100


@dataclasses.dataclass(frozen=True)
class ExportOptions(Options):
    """Options of `tools.export_model`."""

    model: str = model_option(positional=True)
    format: str = option("savedmodel", "What to write.", choices=("savedmodel", "tflite", "keras", "onnx"))
    output: str = output_folder_option("exported", "Folder to write; it must not exist yet.")
    quantize: str = option(
        "none",
        "Numbers of --format=tflite: float16 takes half the room; int8 a quarter, and is calibrated with "
        "training pictures.",
        choices=QUANTIZE,
        heading="Quantizing",
    )
    tfrecords: str = option(
        "",
        "Data set whose training pictures calibrate int8, and whose validation pictures tell what quantizing costs. "
        "Empty: that of the model's run. The model card has its figures too.",
        path=True,
        remote=True,
    )
    images: str = option(
        "", "Take a folder of pictures instead, a folder per class or names like cat.0.jpg. Empty: none.", path=True
    )
    judged: int = option(
        500, "Number of pictures that tell what quantizing costs.", bounds=Bounds(at_least=2, zero="for all")
    )

    def __post_init__(self) -> None:
        """Raises InputError for a value that cannot be used, or for options that exclude each other."""
        super().__post_init__()
        self.require("output", is_utf8(self.output), "TensorFlow writes under names in UTF-8 alone; give such a name")
        self.require("quantize", self.quantize == "none" or self.format == "tflite", "goes with --format=tflite")
        self.require("images", not (self.images and self.tfrecords), "give it or --tfrecords, not both")
        self.require("images", not self.images or self.quantize != "none", "goes with --quantize")


def main(options: ExportOptions) -> None:
    """Exports and compares."""
    output = Path(options.output)
    if os.path.lexists(output):
        raise InputError(f"--output={output}: is there already; remove it, or name another folder")
    outputs.require_folder(output)
    if not output.parent.is_dir():
        raise InputError(f"--output={output}: the folder {output.parent} does not exist; make it first")
    runtime.prepare()
    from dogcat.models import export, model_files

    from .exporting import known_run, quantizing_loss

    export.require_packages(options.format)
    path = model_files.find_file(options.model, "model")
    description = model_files.describe(path)
    print(printable(f"model: {path} ({' or '.join(description.classes)}, {description.image_size} pixels)"))
    known = known_run.find(path, options.tfrecords)
    pictures = _judged_pictures(options, description, known)
    with _naming(output), tempfile.TemporaryDirectory(dir=output.parent, prefix=".exporting-") as temporary:
        folder = Path(temporary) / output.name
        folder.mkdir()
        representative = pictures.representative if pictures else None
        export.write(path, options.format, folder, options.quantize, representative)
        differences = _compare(options, path, folder, description)
        loss = quantizing_loss.measure(path, folder / export.FILES["tflite"], pictures) if pictures else None
        with files.naming(folder / LABELS):
            names = "".join(f"{escaped(name)}\n" for name in description.classes)
            (folder / LABELS).write_text(names, encoding="utf-8")
        with files.naming(folder / CARD):
            (folder / CARD).write_bytes(known.card(options.format, options.quantize, folder, loss))
        # A folder that has come to be there meanwhile would be replaced, if it is empty.
        if os.path.lexists(output):
            raise InputError(f"--output={output}: has come to be there meanwhile; name another folder")
        files.rename_folder(folder, output)
    said = ", ".join(f"{difference:.1e} for {what}" for what, difference in differences.items())
    print(f"compared on {_PICTURES} drawn pictures: log-probabilities differ by at most {said}")
    if loss:
        print(printable(f"{options.quantize} {loss}"))
    if known.no_figures and known.run:
        print(printable(f"note: the model card has no figures: {known.no_figures}"))
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    print(printable(f"wrote {output}: {options.format}, {size / 1e6:.1f} MB, with {LABELS} and {CARD}"))


def _judged_pictures(options: ExportOptions, description: Description, known: KnownRun) -> JudgedPictures | None:
    """What int8 is calibrated with and quantizing is judged on; None: nothing is quantized, or none are known."""
    from dogcat.dataset import manifest, shard_plan

    from .exporting import judged_pictures

    if options.quantize == "none":
        return None
    if options.images:
        return judged_pictures.of_folder(Path(options.images), description, options.judged)
    if options.tfrecords and not known.validated:
        folder = place_of(options.tfrecords)
        data = manifest.load(folder, shard_plan.TRAIN, shard_plan.VALIDATION)
        return judged_pictures.of_data_set(folder, data, description, options.judged)
    if known.validated:
        folder, data = known.validated.folder, known.validated.data
        return judged_pictures.of_data_set(folder, data, description, options.judged)
    if options.quantize == "int8":
        why = f" ({known.no_figures})" if known.run else ""
        raise InputError(
            f"--quantize=int8: is calibrated with pictures, and none are known{why}; give a data set by --tfrecords, "
            "or a folder by --images"
        )
    return None


def _compare(options: ExportOptions, path: Path, folder: Path, description: Description) -> dict[str, float]:
    """Runs what was written beside the model.

    Raises:
        InputError: They differ.
    """
    from dogcat.models import export

    pictures = _draw(description.image_size, description.resize)
    differences = export.largest_differences(path, options.format, folder, pictures)
    tolerance = _TOLERANCE[options.quantize]
    for what, difference in differences.items():
        if not difference <= tolerance:
            raise InputError(
                f"--format={options.format}: a log-probability of {what} differs from the model's by {difference:.4f}, "
                f"more than {tolerance}; not written, use another format"
            )
    return differences


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
