"""Draws cats and dogs for the demo and the tests.

Training pictures go to <output>/train (cat.N.jpg, dog.N.jpg), test pictures to <output>/test (N.jpg). Among them
is the mess of real folders: a truncated file, a text named .jpg, pictures of other formats and colour modes. The
same seed draws the same bytes. With --faults there are also pictures that should not be trained on, for
tools.clean_images to find: faults.csv lists them.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import io
import itertools
import random
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from dogcat.core import commands, flags, outputs, tables
from dogcat.core.options import InputError
from dogcat.core.progress import pictures_bar

from .samples.animals import SPECIES, draw_animal
from .samples.options import SampleOptions
from .samples.others import draw_other

_QUALITY = 90
# Pictures that are written together.
_AT_ONCE = 64
_EXIF_ORIENTATION = 0x0112
_QUARTER_TURN = 6  # the viewer turns the stored picture clockwise by a quarter


def _as_jpeg(image: Image.Image, **options: object) -> bytes:
    return _as(image, "JPEG", quality=_QUALITY, **options)


def _as(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def _truncated(image: Image.Image) -> bytes:
    whole = _as_jpeg(image)
    return whole[: len(whole) // 2]


def _text(image: Image.Image) -> bytes:
    return b"<html><body>404: this picture has moved.</body></html>\n"


def _exif_rotated(image: Image.Image) -> bytes:
    exif = Image.Exif()
    exif[_EXIF_ORIENTATION] = _QUARTER_TURN
    return _as_jpeg(image.transpose(Image.Transpose.ROTATE_90), exif=exif)


def _sixteen_bit(image: Image.Image) -> bytes:
    grey = np.asarray(image.convert("L")).astype(np.uint16) * 257
    return _as(Image.fromarray(grey), "PNG")


def _transparent(image: Image.Image) -> bytes:
    rgba = image.convert("RGBA")
    # The picture fades out towards its left edge.
    alpha = np.broadcast_to(np.linspace(0, 255, image.width).astype(np.uint8), image.size[::-1])
    rgba.putalpha(Image.fromarray(np.ascontiguousarray(alpha)))
    return _as(rgba, "PNG")


# What is odd about a file named .jpg, and how such a file is made of a drawing.
ODDITIES: dict[str, Callable[[Image.Image], bytes]] = {
    "truncated": _truncated,
    "text": _text,
    "png": lambda image: _as(image, "PNG"),
    "gif": lambda image: _as(image, "GIF"),
    "cmyk": lambda image: _as_jpeg(image.convert("CMYK")),
    "exif-rotated": _exif_rotated,
    "grey": lambda image: _as_jpeg(image.convert("L")),
    "16-bit": _sixteen_bit,
    "alpha": _transparent,
}
UNREADABLE = ("truncated", "text")
FAULTS = ("neither", "wrong label", "duplicate")
FAULTS_FILE = "faults.csv"


@dataclasses.dataclass(frozen=True)
class Samples:
    """What was drawn.

    Attributes:
        train: Number of training pictures of each species, the odd ones included.
        test: Number of test pictures, one truncated among them.
    """

    train: dict[str, int]
    test: int


class _Fault(NamedTuple):
    """A training picture that should not be trained on: its name, what is wrong, and what it really is."""

    path: str
    fault: str
    detail: str


def make_sample_images(output: Path, train: int, test: int, seed: int, faults: int = 0) -> Samples:
    """Draws the two folders.

    Args:
        output: Folder in which `train` and `test` are made.
        train: Number of flawless training pictures, of both species in turn; one picture of each oddity comes on
            top, numbered after them.
        test: Number of flawless test pictures; a truncated one comes on top.
        seed: Seed of the drawing; each picture follows from it and its own name.
        faults: Number of training pictures with each kind of fault, on top too.

    Raises:
        InputError: A folder holds files that this function did not write.
        OSError: A folder cannot be written.
    """
    names = _names(train, test, len(FAULTS) * faults)
    for folder in names:
        if (output / folder).exists() and not (output / folder).is_dir():
            raise InputError(f"{output / folder} is a file; give another folder with --output")
        outputs.require_nothing_else(output / folder)
    outputs.require_own(output, [FAULTS_FILE])
    for folder in names:
        if (output / folder).exists():
            outputs.remove(output / folder, outputs.names_in(output / folder))
    if output.exists():
        outputs.remove(output, [FAULTS_FILE])
    planted = []
    with pictures_bar(sum(map(len, names.values())), "drawing") as progress:

        def write(folder: str, pictures: Iterator[tuple[str, bytes]]) -> None:
            while batch := dict(itertools.islice(pictures, _AT_ONCE)):
                outputs.write(output / folder, batch)
                progress.update(len(batch))

        def flawless_and_odd() -> Iterator[tuple[str, bytes]]:
            for name, encode in zip(names["train"], [_as_jpeg] * train + list(ODDITIES.values())):
                yield name, encode(draw_animal(name.split(".")[0], _rng(seed, f"train/{name}")))

        def faulty() -> Iterator[tuple[str, bytes]]:
            for number, name in enumerate(names["train"][train + len(ODDITIES) :]):
                data, fault = _plant(FAULTS[number // faults], name, names["train"][:train], output, seed)
                planted.append(fault)
                yield name, data

        def of_test() -> Iterator[tuple[str, bytes]]:
            for name, encode in zip(names["test"], [_as_jpeg] * test + [_truncated]):
                rng = _rng(seed, f"test/{name}")
                yield name, encode(draw_animal(rng.choice(SPECIES), rng))

        write("train", flawless_and_odd())
        write("train", faulty())
        write("test", of_test())
    if planted:
        outputs.write(output, {FAULTS_FILE: tables.as_csv(_Fault._fields, planted)})
    counts = collections.Counter(name.split(".")[0] for name in names["train"])
    return Samples(dict(counts), len(names["test"]))


def _plant(fault: str, name: str, flawless: list[str], output: Path, seed: int) -> tuple[bytes, _Fault]:
    """A picture with a fault, to be called `name`; a copy is of one of the flawless pictures."""
    rng = _rng(seed, f"train/{name}")
    species = name.split(".")[0]
    if fault == "neither":
        return _as_jpeg(draw_other(rng)), _Fault(name, fault, "no animal")
    if fault == "wrong label":
        drawn = next(one for one in SPECIES if one != species)
        return _as_jpeg(draw_animal(drawn, rng)), _Fault(name, fault, drawn)
    other = rng.choice(flawless)
    copied = (output / "train" / other).read_bytes()
    if rng.random() < 0.5:
        # Saved anew, so that it is equal to the eye alone.
        image = Image.open(io.BytesIO(copied))
        copied = _as(image.resize((image.width * 4 // 5, image.height * 4 // 5)), "JPEG", quality=60)
    return copied, _Fault(name, fault, other)


def _rng(seed: int, name: str) -> random.Random:
    """A generator for one picture, so that no picture depends on how many are drawn."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return random.Random(int.from_bytes(digest, "little"))


def _names(train: int, test: int, faults: int) -> dict[str, list[str]]:
    """Names of the pictures in each folder, in the order of drawing."""
    species = itertools.cycle(SPECIES)
    counts = {name: itertools.count() for name in SPECIES}
    of_train = [
        f"{name}.{next(counts[name])}.jpg" for name in itertools.islice(species, train + len(ODDITIES) + faults)
    ]
    return {"train": of_train, "test": [f"{number}.jpg" for number in range(1, test + 2)]}


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
    print(f"      {commands.spelled('make-tfrecords')} --images={images} --output={tfrecords}")


if __name__ == "__main__":
    flags.run(main, SampleOptions)
