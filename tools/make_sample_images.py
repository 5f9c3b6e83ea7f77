"""Draws cats and dogs for the demo and the tests.

Training pictures go to <output>/train (cat.N.jpg, dog.N.jpg), test pictures to <output>/test (N.jpg). Among them
is the mess of real folders: a truncated file, a text named .jpg, pictures of other formats and colour modes. The
same seed draws the same bytes. With --faults there are also pictures that should not be trained on, for
tools.clean_images to find: faults.csv lists them.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dogcat.core import commands, flags, outputs, tables
from dogcat.core.bounds import Bounds
from dogcat.core.options import InputError, Options, option, output_folder_option, seed_option
from dogcat.core.progress import pictures_bar

from .samples.drawings import SPECIES, draw_animal, draw_other

_AT_ONCE = 64  # pictures that are written together


@dataclasses.dataclass(frozen=True)
class SampleOptions(Options):
    """Options of `tools.make_sample_images`."""

    output: str = output_folder_option("data", "Folder in which train/ and test/ are drawn.", positional=True)
    train: int = option(200, "Number of flawless training pictures, cats and dogs together.", bounds=Bounds(at_least=2))
    test: int = option(40, "Number of flawless test pictures.", bounds=Bounds(at_least=1))
    faults: int = option(
        0,
        "Number of training pictures with each of these faults: neither a cat nor a dog, a wrong label, a copy.",
        bounds=Bounds(at_least=1, zero="for none"),
    )
    seed: int = seed_option("Seed of the drawing; the same seed draws the same bytes.")


def _encoded(image: Image.Image, format: str = "JPEG", quality: int = 90, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, quality=quality, **options)
    return buffer.getvalue()


def _truncated(image: Image.Image) -> bytes:
    whole = _encoded(image)
    return whole[: len(whole) // 2]


def _exif_rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns the stored picture clockwise by a quarter
    return _encoded(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


# What is odd about a file named .jpg, and how such a file is made of a drawing.
ODDITIES: dict[str, Callable[[Image.Image], bytes]] = {
    "truncated": _truncated,
    "text": lambda image: b"<html><body>404: this picture has moved.</body></html>\n",
    "png": lambda image: _encoded(image, "PNG"),
    "gif": lambda image: _encoded(image, "GIF"),
    "cmyk": lambda image: _encoded(image.convert("CMYK")),
    "exif-rotated": _exif_rotated,
    "grey": lambda image: _encoded(image.convert("L")),
    "16-bit": lambda image: _encoded(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG"),
    "alpha": lambda image: _encoded(image.convert("RGBA").rotate(10), "PNG"),
}
UNREADABLE = ("truncated", "text")
FAULTS = ("neither", "wrong label", "duplicate")
FAULTS_FILE = "faults.csv"


class Samples(NamedTuple):
    """Numbers of pictures drawn: training pictures of each species, and test pictures."""

    train: dict[str, int]
    test: int


def make_sample_images(output: Path, train: int, test: int, seed: int, faults: int = 0) -> Samples:
    """Draws the two folders.

    Args:
        output: Folder in which `train` and `test` are made.
        train: Number of flawless training pictures; one picture of each oddity comes on top, numbered after them.
        test: Number of flawless test pictures; a truncated one comes on top.
        seed: Seed of the drawing; each picture follows from it and its own name.
        faults: Number of training pictures with each kind of fault, on top too.

    Raises:
        InputError: A folder holds files that this function did not write.
        OSError: A folder cannot be written.
    """
    # Of each picture its name, and the oddity or fault, if any.
    kinds = [*[""] * train, *ODDITIES, *(fault for fault in FAULTS for _ in range(faults))]
    of_train = [(f"{SPECIES[i % 2]}.{i // 2}.jpg", kind) for i, kind in enumerate(kinds)]
    of_test = [(f"{i}.jpg", kind) for i, kind in enumerate([*[""] * test, "truncated"], start=1)]
    folders = {output / "train": of_train, output / "test": of_test}
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file; give another folder with --output")
        outputs.require_nothing_else(folder)
    outputs.require_own(output, [FAULTS_FILE])
    for folder in folders:
        outputs.remove(folder, outputs.names_in(folder))
    outputs.remove(output, [FAULTS_FILE])
    flawless = [name for name, kind in of_train if not kind]
    planted = []
    with pictures_bar(len(of_train) + len(of_test), "drawing") as progress:
        for folder, pictures in folders.items():
            for start in range(0, len(pictures), _AT_ONCE):
                batch = {}
                for name, kind in pictures[start : start + _AT_ONCE]:
                    batch[name], detail = _draw(seed, f"{folder.name}/{name}", kind, flawless)
                    if kind in FAULTS:
                        planted.append((name, kind, detail))
                outputs.write(folder, batch)
                progress.update(len(batch))
    if planted:
        outputs.write(output, {FAULTS_FILE: tables.as_csv(("path", "fault", "detail"), planted)})
    return Samples(dict(collections.Counter(name.split(".")[0] for name, _ in of_train)), len(of_test))


def _draw(seed: int, path: str, kind: str, flawless: list[str]) -> tuple[bytes, str]:
    """The bytes of a picture and, where it has a fault, what it really is."""
    rng = random.Random(f"{seed}/{path}")  # of its own, so that no picture depends on how many are drawn
    folder, name = path.split("/")
    species = name.split(".")[0] if folder == "train" else rng.choice(SPECIES)
    if kind == "neither":
        return _encoded(draw_other(rng)), "no animal"
    if kind == "wrong label":
        other = SPECIES[1 - SPECIES.index(species)]
        return _encoded(draw_animal(other, rng)), other
    if kind == "duplicate":
        other = rng.choice(flawless)
        copied, _ = _draw(seed, f"train/{other}", "", flawless)
        if rng.random() < 0.5:
            # Saved anew, so that it is equal to the eye alone.
            image = Image.open(io.BytesIO(copied))
            copied = _encoded(image.resize((image.width * 4 // 5, image.height * 4 // 5)), quality=60)
        return copied, other
    return ODDITIES.get(kind, _encoded)(draw_animal(species, rng)), ""


def main(options: SampleOptions) -> None:
    """Draws, and says what to do next."""
    output = Path(options.output)
    samples = make_sample_images(output, options.train, options.test, options.seed, options.faults)
    of_each = ", ".join(f"{count} {species}s" for species, count in samples.train.items())
    print(
        f"drew {sum(samples.train.values())} training pictures ({of_each}; {len(ODDITIES)} of them odd on "
        f"purpose, {len(UNREADABLE)} unreadable) in {output / 'train'}"
    )
    if options.faults:
        print(f"drew {options.faults} each of {', '.join(FAULTS)} among them, which {output / FAULTS_FILE} lists")
    print(f"drew {samples.test} test pictures (1 unreadable) in {output / 'test'}")
    images, tfrecords = shlex.quote(str(output / "train")), shlex.quote(str(output / "tfrecords"))
    print(f"next: {commands.spelled('fetch-weights')}, then")
    print(f"      {commands.spelled('make-tfrecords')} {images} --output={tfrecords}")


if __name__ == "__main__":
    flags.run(main, SampleOptions)
